package main

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/datadriven"
)

// TestCheckFindsBreaches reads trees from testdata: each command is one tree, in which a line
// "-- path --" begins a file, and the expected output lists the breaches.
func TestCheckFindsBreaches(t *testing.T) {
	datadriven.RunTest(t, "testdata/check", func(t *testing.T, d *datadriven.TestData) string {
		files, err := load(tree(d.Input))
		if err != nil {
			return err.Error()
		}
		var out strings.Builder
		for _, b := range check(files) {
			out.WriteString(b.String() + "\n")
		}
		if out.Len() == 0 {
			return "clean\n"
		}
		return out.String()
	})
}

func tree(input string) fstest.MapFS {
	files := fstest.MapFS{}
	name := ""
	for line := range strings.Lines(input) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			name = strings.TrimSuffix(path, " --")
			files[name] = &fstest.MapFile{}
			continue
		}
		files[name].Data = append(files[name].Data, line...)
	}
	return files
}
