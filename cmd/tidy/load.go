package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
)

// file is one Go source file with its syntax tree.
type file struct {
	path  string // slash-separated, from the root
	lines int
	long  []int // numbers of lines over the limit of columns
	fset  *token.FileSet
	tree  *ast.File
}

// columnsMax is where a line is surely too wide (style 4.2 aims at 100). A tab counts as four.
const columnsMax = 120

// folder is the file's folder, "." for the root.
func (f *file) folder() string { return path.Dir(f.path) }

// top is the first folder of the path: the place in the data flow.
func (f *file) top() string { return strings.SplitN(f.path, "/", 2)[0] }

// wires says whether the file is of a program, which may read flags and start contexts.
func (f *file) wires() bool { return f.top() == "cmd" || f.top() == "e2e" }

func (f *file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f *file) line(pos token.Pos) int { return f.fset.Position(pos).Line }

func (f *file) breach(pos token.Pos, rule, format string, args ...any) breach {
	return breach{path: f.path, line: f.line(pos), rule: rule, text: fmt.Sprintf(format, args...)}
}

// load parses every Go file below root, but hidden folders and testdata.
func load(root fs.FS) ([]*file, error) {
	var files []*file
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && skipFolder(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parse(name, text)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func skipFolder(name string) bool {
	return name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func parse(name string, text []byte) (*file, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &file{path: name, fset: fset, tree: tree}
	for i, line := range bytes.Split(text, []byte("\n")) {
		width := len([]rune(strings.ReplaceAll(string(line), "\t", "    ")))
		if width > columnsMax {
			f.long = append(f.long, i+1)
		}
		f.lines = i
	}
	return f, nil
}
