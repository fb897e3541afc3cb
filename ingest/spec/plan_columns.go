package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
)

// columns compares the spec's schema with the table's. Columns that only the table has are left
// alone when they are optional: they came by evolution, or from others.
func (d *differ) columns(want *iceberg.Schema) {
	have := d.table.Metadata().CurrentSchema()
	d.fields(nil, want.Fields(), have.Fields())
}

// fields compares the fields of a struct, or of the table when path is empty.
func (d *differ) fields(path []string, want, have []iceberg.NestedField) {
	matched := map[int]bool{}
	for _, w := range want {
		at := append(slices.Clone(path), w.Name)
		h, ok := findField(have, w.Name)
		if !ok && len(path) == 0 {
			if h, ok = d.findPrevious(have, w.Name); ok {
				d.propose(decode.Proposal{Kind: decode.Rename, Path: []string{h.Name}, To: w.Name},
					h.Name, "is renamed to "+w.Name)
			}
		}
		if !ok {
			d.addField(at, w)
			continue
		}
		matched[h.ID] = true
		d.field(append(slices.Clone(path), h.Name), w, h)
	}
	for _, h := range have {
		if !matched[h.ID] && h.Required {
			d.refuse(append(slices.Clone(path), h.Name), "is required in the table and not in the spec",
				"nothing would fill it: add it to the spec, or make it optional with required: false")
		}
	}
}

func findField(fields []iceberg.NestedField, name string) (iceberg.NestedField, bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return iceberg.NestedField{}, false
}

// findPrevious finds the column that was called otherwise before the spec renamed it.
func (d *differ) findPrevious(have []iceberg.NestedField, name string) (iceberg.NestedField, bool) {
	for _, c := range d.spec.Schema.Columns {
		if c.Name != name {
			continue
		}
		for _, previous := range c.Previous {
			if f, ok := findField(have, previous); ok {
				return f, true
			}
		}
	}
	return iceberg.NestedField{}, false
}

func (d *differ) addField(path []string, want iceberg.NestedField) {
	text := "add: " + formatRequired(want.Required) + FormatType(want.Type)
	if want.Required {
		d.refuse(path, text, "rows that stand have no value for it: write required: false")
		return
	}
	d.propose(decode.Proposal{Kind: decode.AddColumn, Path: path, Type: want.Type, Doc: want.Doc},
		strings.Join(path, "."), text)
}

// field compares one field that both have; path is how the table calls it.
func (d *differ) field(path []string, want, have iceberg.NestedField) {
	switch {
	case have.Required && !want.Required:
		d.propose(decode.Proposal{Kind: decode.MakeOptional, Path: path},
			strings.Join(path, "."), "required becomes optional")
	case want.Required && !have.Required:
		d.refuse(path, "optional cannot become required", "rows that stand may hold null: write required: false")
	}
	d.types(path, want.Type, have.Type)
}

func (d *differ) types(path []string, want, have iceberg.Type) {
	switch h := have.(type) {
	case *iceberg.StructType:
		if w, ok := want.(*iceberg.StructType); ok {
			d.fields(path, w.FieldList, h.FieldList)
			return
		}
	case *iceberg.ListType:
		if w, ok := want.(*iceberg.ListType); ok {
			d.field(append(slices.Clone(path), "element"), w.ElementField(), h.ElementField())
			return
		}
	case *iceberg.MapType:
		if w, ok := want.(*iceberg.MapType); ok {
			if FormatType(w.KeyType) != FormatType(h.KeyType) {
				d.refuse(append(slices.Clone(path), "key"), changes(h.KeyType, w.KeyType), "keys of maps never change type")
			}
			d.field(append(slices.Clone(path), "value"), w.ValueField(), h.ValueField())
			return
		}
	}
	switch {
	case FormatType(want) == FormatType(have):
	case widens(have, want):
		d.propose(decode.Proposal{Kind: decode.Widen, Path: path, Type: want},
			strings.Join(path, "."), fmt.Sprintf("%s is widened to %s", FormatType(have), FormatType(want)))
	case widens(want, have):
		// The table is ahead: it followed a writer. Values of the narrower type fit.
	default:
		d.refuse(path, changes(have, want), "old rows could not be read: write type: "+FormatType(have)+
			", or add a column of another name")
	}
}

func changes(have, want iceberg.Type) string {
	return fmt.Sprintf("%s cannot become %s", FormatType(have), FormatType(want))
}

// widens says whether Iceberg lets a column of type from become to: values keep what they say.
func widens(from, to iceberg.Type) bool {
	switch f := from.(type) {
	case iceberg.Int32Type:
		_, ok := to.(iceberg.Int64Type)
		return ok
	case iceberg.Float32Type:
		_, ok := to.(iceberg.Float64Type)
		return ok
	case iceberg.DecimalType:
		t, ok := to.(iceberg.DecimalType)
		return ok && t.Scale() == f.Scale() && t.Precision() >= f.Precision()
	}
	return false
}

func (d *differ) propose(p decode.Proposal, column, text string) {
	d.plan.proposals = append(d.plan.proposals, p)
	d.plan.add(StepEvolve, "column "+column, text, "")
}

func (d *differ) refuse(path []string, text, reason string) {
	d.plan.add(StepRefuse, "column "+strings.Join(path, "."), text, reason)
}
