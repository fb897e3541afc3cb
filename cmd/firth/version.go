package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionReport is what 'firth version --json' prints.
type versionReport struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: "Prints the version, the source revision and the platform." + exitCodes("printed", "never",
			"usage"),
		Example: example("firth version", "firth version --json"),
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := version()
			return p.print(v, func(w io.Writer) error {
				revision := v.Revision
				if v.Modified {
					revision += ", modified"
				}
				_, err := fmt.Fprintf(w, "firth %s (%s) %s %s\n", v.Version, revision, v.Go, v.Platform)
				return err
			})
		},
	}
}

// version reads what the Go tool put into the binary.
func version() versionReport {
	v := versionReport{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if build.Main.Version != "" && build.Main.Version != "(devel)" {
		v.Version = build.Main.Version
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
