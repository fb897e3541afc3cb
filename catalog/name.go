package catalog

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/firthlake/firth/table"
)

// Bounds of names. A level becomes a folder name at most nameBytesMax long, which every file system
// takes; depth bounds the length of keys in the store.
const (
	nameBytesMax = 200
	depthMax     = 16
)

// levelSeparator joins levels where they must be one string: in the store and, by the protocol's
// default, in URLs. No name may contain it, since it is a control character.
const levelSeparator = "\x1f"

// Namespace is the levels of a namespace's name, outermost first. Without levels it is the root,
// which holds namespaces and no tables.
type Namespace []string

// String is the dotted name, for people.
func (n Namespace) String() string { return strings.Join(n, ".") }

// Parent is the namespace that holds n; the root is its own parent.
func (n Namespace) Parent() Namespace {
	if len(n) == 0 {
		return n
	}
	return n[:len(n)-1]
}

func (n Namespace) key() string { return strings.Join(n, levelSeparator) }

func namespaceOfKey(key string) Namespace {
	if key == "" {
		return nil
	}
	return strings.Split(key, levelSeparator)
}

// namespaceOf is the namespace part of a table's or view's name.
func namespaceOf(ident table.Ident) Namespace { return Namespace(ident[:len(ident)-1]) }

func nameOf(ident table.Ident) string { return ident[len(ident)-1] }

func identOf(namespace Namespace, name string) table.Ident {
	return append(slices.Clone(table.Ident(namespace)), name)
}

// validateNamespace says what is wrong with the name of a namespace other than the root.
func validateNamespace(n Namespace) error {
	if len(n) == 0 {
		return refused("invalid namespace: it has no levels")
	}
	return validateLevels("namespace", n)
}

// validateIdent says what is wrong with the name of a table or view.
func validateIdent(ident table.Ident) error {
	if len(ident) < 2 {
		return refused("invalid name %q: it must have a namespace", strings.Join(ident, "."))
	}
	return validateLevels("name", ident)
}

func validateLevels(what string, levels []string) error {
	if len(levels) > depthMax {
		return refused("invalid %s: %d levels, at most %d are allowed", what, len(levels), depthMax)
	}
	for _, level := range levels {
		if fault := levelFault(level); fault != "" {
			return refused("invalid %s %q: level %q %s", what, strings.Join(levels, "."), level, fault)
		}
	}
	return nil
}

// levelFault says what is wrong with one level, or nothing. Slashes are allowed, since names are not
// used as paths; what would climb if some client used them so is not.
func levelFault(level string) string {
	switch {
	case level == "":
		return "is empty"
	case len(level) > nameBytesMax:
		return "is too long"
	case !utf8.ValidString(level):
		return "is not valid UTF-8"
	case strings.ContainsFunc(level, unicode.IsControl):
		return "contains a control character"
	}
	for _, part := range strings.FieldsFunc(level, isSlash) {
		if part == "." || part == ".." {
			return "contains the path segment " + part
		}
	}
	if isSlash(rune(level[0])) || isSlash(rune(level[len(level)-1])) {
		return "begins or ends with a slash"
	}
	lower := strings.ToLower(level)
	for _, escape := range []string{"%2f", "%5c", "%2e"} {
		if strings.Contains(lower, escape) {
			return "contains the escape " + escape
		}
	}
	return ""
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }
