package document

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a file.
type Fault struct {
	// Line counts from 1; 0 is the file as a whole.
	Line int
	// Key is the path of the value at fault: sources[0].format.
	Key string
	// Text says what is wrong, Remedy what to write instead.
	Text, Remedy string
}

// Error is everything that is wrong with one file.
type Error struct {
	File   string
	Faults []Fault
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.format(e.File)
	}
	return strings.Join(lines, "\n")
}

// format is "file:line: key: text; remedy", as compilers write it.
func (f Fault) format(file string) string {
	var b strings.Builder
	b.WriteString(file)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Text)
	if f.Remedy != "" {
		b.WriteString("; " + f.Remedy)
	}
	return b.String()
}

// Faulty is the error of a file with the faults found, in the order of their lines.
func Faulty(file string, found ...Fault) *Error {
	slices.SortStableFunc(found, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: file, Faults: found}
}

// Also joins what is wrong with a file's values with what Decode said of it; either may be nil. A value
// that could not be read is told once: it has its default, which may be wrong too.
func Also(decoded, checked error) error {
	var first, second *Error
	if !errors.As(decoded, &first) || !errors.As(checked, &second) {
		return cmp.Or(decoded, checked)
	}
	all, unread := slices.Clone(first.Faults), map[int]bool{}
	for _, f := range first.Faults {
		unread[f.Line] = unread[f.Line] || f.Key == ""
	}
	for _, f := range second.Faults {
		if !unread[f.Line] {
			all = append(all, f)
		}
	}
	return Faulty(first.File, all...)
}
