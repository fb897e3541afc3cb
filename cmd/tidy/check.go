package main

import (
	"fmt"
	"slices"
	"strings"
)

// breach is one place that breaks a rule; rule is its number in docs/style.md.
type breach struct {
	path string
	line int
	rule string
	text string
}

func (b breach) String() string { return fmt.Sprintf("%s:%d: %s: %s", b.path, b.line, b.rule, b.text) }

// check runs every rule over every file.
func check(files []*file) []breach {
	var all []breach
	for _, f := range files {
		all = append(all, checkImports(f)...)
		all = append(all, checkNames(f)...)
		all = append(all, checkComments(f)...)
		all = append(all, checkBodies(f)...)
		all = append(all, checkShape(f)...)
	}
	all = append(all, checkPackages(files)...)
	all = append(all, checkVariables(files)...)
	slices.SortFunc(all, func(a, b breach) int {
		if c := strings.Compare(a.path, b.path); c != 0 {
			return c
		}
		return a.line - b.line
	})
	return all
}
