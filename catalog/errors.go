package catalog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/firthlake/firth/table"
)

// ErrNotEmpty says that a namespace still holds tables, views or namespaces. It comes together with
// table.ErrRefused: nothing was changed.
var ErrNotEmpty = errors.New("namespace is not empty")

// ErrAnswered says that the idempotency key of a request has an answer already. Nothing was changed.
var ErrAnswered = errors.New("idempotency key has an answer")

// Object is the kind of thing an Error is about; the protocol names its errors by it.
type Object string

// The objects of a catalog.
const (
	ObjectNamespace Object = "namespace"
	ObjectTable     Object = "table"
	ObjectView      Object = "view"
)

// Error is an outcome of the catalog together with what it is about. It wraps one of the sentinels of
// package table, and the cause if there is one.
type Error struct {
	Kind   error
	Object Object
	Text   string
	Cause  error
}

// Error is the text followed by the cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Text
	}
	return e.Text + ": " + e.Cause.Error()
}

// Unwrap makes errors.Is see both the sentinel and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

func notFound(object Object, levels []string) error {
	return &Error{Kind: table.ErrNotFound, Object: object,
		Text: fmt.Sprintf("%s does not exist: %s", object, strings.Join(levels, "."))}
}

// exists says that asked cannot be made because found has the name.
func exists(asked, found Object, levels []string) error {
	text := fmt.Sprintf("%s already exists: %s", found, strings.Join(levels, "."))
	if asked != found {
		text = fmt.Sprintf("%s with same name already exists: %s", found, strings.Join(levels, "."))
	}
	return &Error{Kind: table.ErrExists, Object: found, Text: text}
}

func notEmpty(levels []string) error {
	return &Error{Kind: table.ErrRefused, Object: ObjectNamespace, Cause: ErrNotEmpty,
		Text: fmt.Sprintf("cannot drop namespace %s", strings.Join(levels, "."))}
}

func refused(format string, args ...any) error {
	return &Error{Kind: table.ErrRefused, Text: fmt.Sprintf(format, args...)}
}

// invalid says that what was asked for does not make a valid table or view.
func invalid(object Object, act string, cause error) error {
	return &Error{Kind: table.ErrRefused, Object: object, Text: act, Cause: cause}
}

// unchanged marks a failure that came before the swap: nothing was changed, and a retry may help.
func unchanged(act string, cause error) error {
	for _, kind := range []error{table.ErrNotFound, table.ErrExists, table.ErrConflict, table.ErrRefused} {
		if errors.Is(cause, kind) {
			return fmt.Errorf("%s: %w", act, cause)
		}
	}
	return &Error{Kind: table.ErrConflict, Text: act + " (nothing was changed)", Cause: cause}
}

// notOpened is how Iceberg's own file I/O says that a file is gone. Clients of the reference catalog
// get these words, and the compatibility kit looks for them.
const notOpened = "to open input stream for file"

// missingFile says that a metadata file is gone.
func missingFile(location string, cause error) error {
	return fmt.Errorf("Failed "+notOpened+": %s: %w", location, cause) //nolint:staticcheck // clients look for it
}

// titled makes the first letter a capital, as the protocol's messages have it.
func titled(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// swapLost says that the object is no longer what the caller read.
func swapLost(object Object, levels []string) error {
	return &Error{Kind: table.ErrConflict, Object: object,
		Text: fmt.Sprintf("%s has changed meanwhile: %s", object, strings.Join(levels, "."))}
}

func overlaps(location string, other Entry) error {
	return refused("location %s overlaps that of %s %s at %s: choose another",
		location, other.Kind, strings.Join(other.Ident, "."), other.Location)
}
