package evolve

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
)

// Difference is what lies between a table and the columns that a spec or a subject wants.
type Difference struct {
	// Proposals would bring the table to what is wanted; Plan decides on them.
	Proposals []decode.Proposal
	// Blocking are differences that no step of evolution removes: the spec contradicts the table.
	Blocking []Conflict
	// Ahead are places where the table holds more than is wanted: further optional columns, wider
	// types, optional where required would do. They are no fault.
	Ahead []Conflict
}

// Conflict is one place where table and spec differ.
type Conflict struct {
	// Column is the dotted name.
	Column string
	Reason string
}

// String is "column: reason".
func (c Conflict) String() string { return c.Column + ": " + c.Reason }

// Diff compares the columns of current with those of wanted by name. Renames give the dotted present
// name of columns and the last name they shall have; field ids of wanted do not matter.
func Diff(current, wanted *iceberg.Schema, renames map[string]string) Difference {
	d := differ{renames: renames}
	d.fields(nil, current.Fields(), wanted.Fields())
	return d.Difference
}

type differ struct {
	Difference
	renames map[string]string
}

func (d *differ) block(path []string, format string, args ...any) {
	d.Blocking = append(d.Blocking, Conflict{strings.Join(path, "."), fmt.Sprintf(format, args...)})
}

func (d *differ) ahead(path []string, format string, args ...any) {
	d.Ahead = append(d.Ahead, Conflict{strings.Join(path, "."), fmt.Sprintf(format, args...)})
}

// fields compares the fields of a struct. Renames come first, so that later proposals find the
// columns under their new names.
func (d *differ) fields(path []string, current, wanted []iceberg.NestedField) {
	have := map[string]iceberg.NestedField{}
	for _, field := range current {
		have[field.Name] = field
	}
	for _, field := range current {
		name := inside(path, field.Name)
		to, ok := d.renames[strings.Join(name, ".")]
		if _, taken := have[to]; !ok || taken || to == field.Name {
			continue
		}
		d.Proposals = append(d.Proposals, decode.Proposal{Kind: decode.Rename, Path: name, To: to})
		delete(have, field.Name)
		have[to] = field
	}
	for _, want := range wanted {
		name := inside(path, want.Name)
		field, ok := have[want.Name]
		if !ok {
			if want.Required {
				d.block(name, "the table has no such column, and a new one cannot be required, "+
					"since the rows that are there have no value for it: make it optional")
				continue
			}
			d.Proposals = append(d.Proposals, decode.Proposal{
				Kind: decode.AddColumn, Path: name, Type: want.Type, Doc: want.Doc})
			continue
		}
		delete(have, want.Name)
		d.field(name, field, want)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if have[name].Required {
			d.block(inside(path, name), "the table requires this column and the spec leaves it out: "+
				"no row could be written; columns are not dropped")
		} else {
			d.ahead(inside(path, name), "the table has this column and the spec does not: it stays")
		}
	}
}

func (d *differ) field(path []string, have, want iceberg.NestedField) {
	switch {
	case have.Required && !want.Required:
		d.Proposals = append(d.Proposals, decode.Proposal{Kind: decode.MakeOptional, Path: path})
	case !have.Required && want.Required:
		d.ahead(path, "optional in the table and required in the spec: it stays optional")
	}
	was, wants := children(have.Type), children(want.Type)
	switch {
	case len(was) > 0 && have.Type.Type() == want.Type.Type():
		if _, ok := have.Type.(*iceberg.StructType); ok {
			d.fields(path, was, wants)
			return
		}
		for i := range was {
			d.field(inside(path, was[i].Name), was[i], wants[i])
		}
	case have.Type.Equals(want.Type):
	case wider(have.Type, want.Type):
		d.Proposals = append(d.Proposals, decode.Proposal{Kind: decode.Widen, Path: path, Type: want.Type})
	case wider(want.Type, have.Type):
		d.ahead(path, "%s in the table and %s in the spec: types are not narrowed",
			have.Type, want.Type)
	default:
		d.block(path, "%s in the table and %s in the spec: a column cannot change its type so; "+
			"give the spec the table's type, or the column another name", have.Type, want.Type)
	}
}

func inside(path []string, name string) []string { return append(slices.Clip(path), name) }
