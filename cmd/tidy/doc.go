// Command tidy is the style guide as a program: docs/style.md marks with ✓ what it checks.
//
// It reads the Go files below the current folder as text and syntax trees, needs no type checker, and
// prints a line a breach: file:line: rule: what is wrong and what to do instead. It exits with 1 when
// there is one.
package main
