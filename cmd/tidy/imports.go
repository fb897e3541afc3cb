package main

import (
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/firthlake/firth/"

// mayImport says which top-level packages a top-level package may import (style 1, "may import").
// cmd, e2e and every package's own subfolders are free.
var mayImport = map[string][]string{
	"table":      {},
	"commit":     {"table"},
	"catalog":    {"table"},
	"ingest":     {"commit", "table"},
	"compaction": {"commit", "table"},
	"serve":      {"catalog", "table"},
}

// doors says where a dependency may be imported (style 1.2).
var doors = []struct{ dependency, folder string }{
	{"github.com/twmb/franz-go", "ingest"},
	{"github.com/minio/minio-go", "table/objstore"},
	{"modernc.org/sqlite", "catalog"},
	{"github.com/jackc/pgx", "catalog"},
	{"database/sql", "catalog"},
	{"github.com/duckdb", "serve"},
	{"github.com/apache/arrow-go/v18/arrow/flight", "serve"},
	{"flag", "cmd"},
	{"github.com/spf13/cobra", "cmd"},
	{"github.com/spf13/pflag", "cmd"},
}

func checkImports(f *file) []breach {
	var found []breach
	for _, spec := range f.tree.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		if own, ok := strings.CutPrefix(name, module); ok {
			to := strings.SplitN(own, "/", 2)[0]
			allowed, ruled := mayImport[f.top()]
			if ruled && to != f.top() && !slices.Contains(allowed, to) && !f.isTest() {
				found = append(found, f.breach(spec.Pos(), "1", "%s may not import %s", f.top(), to))
			}
			if to == "cmd" && f.top() != "cmd" {
				found = append(found, f.breach(spec.Pos(), "1", "nothing imports cmd"))
			}
		}
		for _, door := range doors {
			if !within(name, door.dependency) || within(f.folder(), door.folder) || f.top() == "e2e" {
				continue
			}
			if f.isTest() {
				continue
			}
			found = append(found, f.breach(spec.Pos(), "1.2",
				"%s is imported only below %s", door.dependency, door.folder))
		}
	}
	return found
}

// within says whether a slash-separated path is folder or below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}
