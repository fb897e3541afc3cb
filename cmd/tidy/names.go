package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var bannedWords = []string{"Manager", "Helper", "Util", "Base", "Impl", "Common", "Wrapper"}

var bannedPackages = []string{"pkg", "util", "utils", "common", "types", "helper", "helpers"}

// badTestName finds names after issues, regressions or counters (style 8.7).
var badTestName = regexp.MustCompile(
	`(?i:(issue|bug|ticket|gh)_?\d|regression|misc)|^(Test|Fuzz|Benchmark)\w*[a-z]_?[0-9]$`)

func checkNames(f *file) []breach {
	var found []breach
	if slices.Contains(bannedPackages, f.tree.Name.Name) {
		found = append(found, f.breach(f.tree.Name.Pos(), "1.1", "package name %s says nothing", f.tree.Name.Name))
	}
	for _, ident := range declared(f.tree) {
		for _, word := range bannedWords {
			if hasWord(ident.Name, word) {
				found = append(found, f.breach(ident.Pos(), "4.4",
					"%s: %s says nothing, name what it is", ident.Name, word))
			}
		}
	}
	for _, decl := range f.tree.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && f.isTest() && badTestName.MatchString(fn.Name.Name) {
			found = append(found, f.breach(fn.Pos(), "8.7", "%s: name the behaviour", fn.Name.Name))
		}
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			name := spec.(*ast.TypeSpec).Name
			for _, suffix := range []string{"Info", "Data"} {
				if strings.HasSuffix(name.Name, suffix) {
					found = append(found, f.breach(name.Pos(), "4.4", "%s: no suffix %s", name.Name, suffix))
				}
			}
		}
	}
	return found
}

// hasWord says whether a camel-case name holds the word as a whole word, in either case.
func hasWord(name, word string) bool {
	lower := strings.ToLower(word)
	if strings.HasPrefix(name, lower) && endsWord(name[len(lower):]) {
		return true
	}
	for rest, start := name, 0; ; {
		i := strings.Index(rest, word)
		if i < 0 {
			return false
		}
		start += i + len(word)
		rest = name[start:]
		if endsWord(rest) {
			return true
		}
	}
}

func endsWord(rest string) bool {
	return rest == "" || !unicode.IsLower(rune(rest[0])) && !unicode.IsDigit(rune(rest[0]))
}

// declared lists the names that a file declares at package level, with methods.
func declared(tree *ast.File) []*ast.Ident {
	var names []*ast.Ident
	for _, decl := range tree.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, d.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name)
				case *ast.ValueSpec:
					names = append(names, s.Names...)
				}
			}
		}
	}
	return names
}
