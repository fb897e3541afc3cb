package spec

import (
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/messageschema"
)

// Updates are what a catalog is asked to do for the evolve steps of a plan made against meta. They
// need the table's current schema, last field id and sort order to be those of meta.
func (p Plan) Updates(s *Spec, meta icetable.Metadata) ([]icetable.Update, error) {
	var updates []icetable.Update
	if p.version > meta.Version() {
		updates = append(updates, icetable.NewUpgradeFormatVersionUpdate(p.version))
	}
	schema := meta.CurrentSchema()
	if len(p.proposals) > 0 {
		var err error
		if schema, err = evolved(schema, meta.LastColumnID(), p.proposals); err != nil {
			return nil, fmt.Errorf("evolve schema of %s: %w", s.Name, err)
		}
		// -1 stands for the schema and the sort order that the same request adds.
		updates = append(updates, icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1))
	}
	if p.reorder {
		order, err := s.SortOrder(schema)
		if err != nil {
			return nil, err
		}
		updates = append(updates, icetable.NewAddSortOrderUpdate(&order), icetable.NewSetDefaultSortOrderUpdate(-1))
	}
	if len(p.properties) > 0 {
		updates = append(updates, icetable.NewSetPropertiesUpdate(p.properties))
	}
	return updates, nil
}

// evolved is the schema after the proposals. New fields take ids after lastID; all others keep theirs.
func evolved(schema *iceberg.Schema, lastID int, proposals []decode.Proposal) (*iceberg.Schema, error) {
	fields := schema.Fields()
	next := func() int { lastID++; return lastID }
	var renames []decode.Proposal
	for _, proposal := range proposals {
		if proposal.Kind == decode.Rename {
			renames = append(renames, proposal) // last: paths are in the table's present names
			continue
		}
		if err := change(fields, proposal.Path, proposal, next, &fields); err != nil {
			return nil, err
		}
	}
	for _, proposal := range renames {
		if err := change(fields, proposal.Path, proposal, next, &fields); err != nil {
			return nil, err
		}
	}
	return iceberg.NewSchemaWithIdentifiers(schema.ID+1, schema.IdentifierFieldIDs, fields...), nil
}

// change applies one proposal to the fields of one struct and puts the changed fields into out.
func change(fields []iceberg.NestedField, path []string, p decode.Proposal, next func() int,
	out *[]iceberg.NestedField,
) error {
	changed := append([]iceberg.NestedField(nil), fields...)
	if len(path) == 1 && p.Kind == decode.AddColumn {
		*out = append(changed, iceberg.NestedField{ID: next(), Name: path[0], Doc: p.Doc,
			Type: messageschema.FreshIDs(p.Type, next)})
		return nil
	}
	for i := range changed {
		if changed[i].Name != path[0] {
			continue
		}
		if err := changeField(&changed[i], path[1:], p, next); err != nil {
			return err
		}
		*out = changed
		return nil
	}
	return fmt.Errorf("there is no column %s any more", path[0])
}

// changeField applies a proposal to a field, or to what the rest of the path leads to within it.
func changeField(f *iceberg.NestedField, rest []string, p decode.Proposal, next func() int) error {
	if len(rest) == 0 {
		switch p.Kind {
		case decode.Widen:
			f.Type = p.Type
		case decode.MakeOptional:
			f.Required = false
		case decode.Rename:
			f.Name = p.To
		default:
			return fmt.Errorf("column %s exists already", f.Name)
		}
		return nil
	}
	switch t := f.Type.(type) {
	case *iceberg.StructType:
		fields := []iceberg.NestedField{}
		if err := change(t.FieldList, rest, p, next, &fields); err != nil {
			return err
		}
		f.Type = &iceberg.StructType{FieldList: fields}
	case *iceberg.ListType:
		element := t.ElementField()
		if err := changeField(&element, rest[1:], p, next); err != nil {
			return err
		}
		f.Type = &iceberg.ListType{ElementID: t.ElementID, Element: element.Type, ElementRequired: element.Required}
	case *iceberg.MapType:
		value := t.ValueField()
		if err := changeField(&value, rest[1:], p, next); err != nil {
			return err
		}
		f.Type = &iceberg.MapType{KeyID: t.KeyID, KeyType: t.KeyType, ValueID: t.ValueID,
			ValueType: value.Type, ValueRequired: value.Required}
	default:
		return fmt.Errorf("column %s holds no fields", f.Name)
	}
	return nil
}
