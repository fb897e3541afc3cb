package main

import "github.com/firthlake/firth/ingest/spec"

// sizeFlag is a flag that takes a size as a configuration does, such as 800MiB. It implements pflag.Value.
type sizeFlag struct{ size *spec.Size }

func (f sizeFlag) String() string {
	if f.size == nil {
		return ""
	}
	return f.size.String()
}

func (f sizeFlag) Set(text string) error {
	size, err := spec.ParseSize(text)
	if err == nil {
		*f.size = size
	}
	return err
}

func (f sizeFlag) Type() string { return "size" }
