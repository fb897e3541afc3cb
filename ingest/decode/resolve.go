package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
)

// destination is what a record of the writer, or a part of it, is resolved against: the columns that take
// its fields. The root target also leads through objects that are no columns themselves to columns
// whose path option points into them.
type destination struct {
	// column is set for a column or a field of one.
	node   *node
	column *Column
	// top is the place of a top-level column among the plan's columns, else skipColumn.
	top int
	// path is the column's names from the top down.
	path []string
	// inside are the targets of a struct's fields, or of an object on the way to columns.
	inside []*destination
	// source is the name under which a writer has it; former are earlier names.
	source string
	former []string
}

// find returns the target of a writer's field: by its own name, by a column's former names, or by
// the names that the writer says the field had.
func (t *destination) find(name string, aliases []string, taken func(string) bool) *destination {
	for _, inside := range t.inside {
		if inside.source == name {
			return inside
		}
	}
	for _, inside := range t.inside {
		if slices.Contains(inside.former, name) && !taken(inside.source) {
			return inside
		}
		if slices.Contains(aliases, inside.source) && !taken(inside.source) {
			return inside
		}
	}
	return nil
}

// newDestination returns the target of a column and all in it.
func (r *resolver) newDestination(n *node, column *Column, path []string) *destination {
	t := &destination{node: n, column: column, top: skipColumn, path: path, source: n.sourceName(),
		former: r.writer.Former[n.path]}
	for i, child := range n.children {
		t.inside = append(t.inside, r.newDestination(child, column.Child(i), append(slices.Clip(path), child.name)))
	}
	return t
}

// root returns the target of the writer's record as a whole.
func (r *resolver) root(plan *Plan, columns []*Column) (*destination, error) {
	root := &destination{top: skipColumn}
	for i, n := range plan.columns {
		if plan.metadata[i] != "" {
			continue
		}
		t := r.newDestination(n, columns[i], []string{n.name})
		t.top = i
		at := root
		if path := n.options.Path; len(path) > 1 {
			for _, name := range path[:len(path)-1] {
				at = at.through(name)
			}
		}
		at.inside = append(at.inside, t)
	}
	return root, root.check()
}

// through returns the object name on the way to a column.
func (t *destination) through(name string) *destination {
	for _, inside := range t.inside {
		if inside.node == nil && inside.source == name {
			return inside
		}
	}
	inside := &destination{top: skipColumn, source: name}
	t.inside = append(t.inside, inside)
	return inside
}

func (t *destination) check() error {
	seen := map[string]bool{}
	for _, inside := range t.inside {
		if seen[inside.source] {
			return fmt.Errorf("%w: %s", errAmbiguous, inside.source)
		}
		seen[inside.source] = true
		if inside.node == nil {
			if err := inside.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolver compares one writer schema with the plan's columns and collects what the table lacks.
type resolver struct {
	writer    *WriterOptions
	unknown   UnknownFields
	proposals []Proposal
	// refused is the first unknown field, where policy forbids them.
	refused string
}

// unknownField takes note of a field of the writer that no column takes; of is its type as a column
// or nil when none can hold it. At is where the column would be.
func (r *resolver) unknownField(at *destination, field iceberg.NestedField) {
	switch r.unknown {
	case UnknownIgnore:
	case UnknownDeadLetter:
		if r.refused == "" {
			r.refused = strings.Join(append(slices.Clip(at.path), field.Name), ".")
		}
	case UnknownEvolve:
		inColumns := at.node != nil || at.path == nil && at.source == ""
		if field.Type != nil && inColumns {
			r.proposals = append(r.proposals, Proposal{Kind: AddColumn, Type: field.Type, Doc: field.Doc,
				Path: append(slices.Clip(at.path), field.Name)})
		}
	}
}

// compare takes note of a writer's type that is wider than the column's. Of may be nil.
func (r *resolver) compare(t *destination, of iceberg.Type) {
	if !r.writer.Evolve.Widen || t.node == nil {
		return
	}
	wider := false
	switch of := of.(type) {
	case iceberg.Int64Type:
		wider = t.node.kind == kindInt
	case iceberg.Float64Type:
		wider = t.node.kind == kindFloat
	case iceberg.DecimalType:
		wider = t.node.kind == kindDecimal && int(t.node.scale) == of.Scale() &&
			int(t.node.precision) < of.Precision()
	}
	if wider {
		r.proposals = append(r.proposals, Proposal{Kind: Widen, Path: t.path, Type: of})
	}
}

// optional takes note of values that the writer may leave out.
func (r *resolver) optional(t *destination) {
	if t.node != nil && t.node.required && r.writer.Evolve.MakeOptional {
		r.proposals = append(r.proposals, Proposal{Kind: MakeOptional, Path: t.path})
	}
}

// renamed takes note of a field that the writer has under another name than the table.
func (r *resolver) renamed(t *destination, name string) {
	if t.node == nil || !r.writer.Evolve.Rename || slices.Contains(t.former, name) ||
		len(t.node.options.Path) > 0 {
		return
	}
	r.proposals = append(r.proposals, Proposal{Kind: Rename, Path: t.path, To: name})
}

// missing takes note of all targets in t that the writer has no field for.
func (r *resolver) missing(t *destination, found func(*destination) bool) []*destination {
	var out []*destination
	for _, inside := range t.inside {
		if !found(inside) {
			r.optional(inside)
			out = append(out, inside)
		}
	}
	return out
}

// appendMissing keeps the place of a struct's field that the writer does not have.
func appendMissing(t *destination, f *fault) {
	if t.node.required {
		f.set(ClassRequired, t.node.path+": required and missing")
	}
	t.column.AppendNull()
}
