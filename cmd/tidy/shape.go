package main

import (
	"go/ast"
	"path"
	"strings"
)

// The caps of style 4.2, 4.6 and 2 (cmd).
const (
	fileLinesMax     = 500
	functionLinesMax = 100
	mainLinesMax     = 100
)

func checkShape(f *file) []breach {
	var found []breach
	generated := strings.HasSuffix(f.path, ".gen.go")
	if f.lines > fileLinesMax && !f.isTest() && !generated {
		found = append(found, f.breach(f.tree.Name.Pos(), "4.2", "%d lines: name the second idea in it", f.lines))
	}
	if path.Base(f.path) == "main.go" && f.lines > mainLinesMax {
		found = append(found, f.breach(f.tree.Name.Pos(), "2",
			"main.go has %d lines, at most %d", f.lines, mainLinesMax))
	}
	for _, line := range f.long {
		found = append(found, breach{path: f.path, line: line, rule: "4.2", text: "line is too wide"})
	}
	for _, decl := range f.tree.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil || f.isTest() || generated {
			continue
		}
		if lines := f.line(fn.End()) - f.line(fn.Pos()); lines > functionLinesMax {
			found = append(found, f.breach(fn.Pos(), "4.6", "%s has %d lines", fn.Name.Name, lines))
		}
	}
	return found
}

// checkPackages wants a package comment in doc.go, and each test file beside the file it tests.
func checkPackages(files []*file) []breach {
	var found []breach
	have := map[string]bool{}
	for _, f := range files {
		have[f.path] = true
	}
	seen := map[string]bool{}
	for _, f := range files {
		if f.isTest() {
			found = append(found, orphanTest(f, have)...)
			continue
		}
		if folder := f.folder(); !seen[folder] {
			seen[folder] = true
			if !have[folder+"/doc.go"] {
				found = append(found, f.breach(f.tree.Package, "9.1", "package has no doc.go"))
			}
		}
		if path.Base(f.path) == "doc.go" && f.tree.Doc == nil {
			found = append(found, f.breach(f.tree.Package, "9.1", "doc.go has no package comment"))
		}
	}
	return found
}

// wholeTests are test files that stand for a whole package rather than one file of it.
var wholeTests = map[string]bool{
	"fuzz": true, "example": true, "bench": true, "crash": true, "e2e": true, "whole": true,
}

func orphanTest(f *file, have map[string]bool) []breach {
	stem := strings.TrimSuffix(path.Base(f.path), "_test.go")
	if f.top() == "e2e" || wholeTests[stem] {
		return nil
	}
	for stem != "" {
		if have[f.folder()+"/"+stem+".go"] {
			return nil
		}
		i := strings.LastIndexByte(stem, '_')
		if i < 0 {
			break
		}
		stem = stem[:i]
	}
	return []breach{f.breach(f.tree.Package, "8.7", "no source file of this name beside it")}
}
