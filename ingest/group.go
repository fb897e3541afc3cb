package ingest

import (
	"context"
	"fmt"
	"maps"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// group is a set of tables whose records are decoded once. It is immutable: when a table changes,
// groups are made anew.
type group struct {
	key    string
	plan   *decode.Plan
	shapes []*shape
	// rowBytes is what a row takes at the least when it is decoded.
	rowBytes int
	// keys says that the keys of records without a value are decoded in its place.
	keys bool
}

// shape is how a batch of a group becomes rows of one table at one version of its schema.
type shape struct {
	table   *tableState
	version int
	schema  *iceberg.Schema
	arrow   *arrow.Schema
	// columns are, in the table's order, indexes into the group's batch.
	columns []int
	// fields are the table's columns by their ids in the group's schema. A failure of another
	// column is of no concern to the table.
	fields map[int]string
	filter *filter.Bound // nil keeps all
	keyed  *keyedShape   // nil for tables that only grow
	// transform computes some of the columns; nil when none is.
	transform *shapeTransform
}

// newGroups puts tables that can share a decode together. Tables of one format key share it when
// their columns of the same name have the same type; one that contradicts is decoded by itself.
func newGroups(ctx context.Context, tables []*tableState) ([]*group, error) {
	var unions []*union
	for _, t := range tables {
		schemas, err := t.rowSchemas(t.schema())
		if err != nil {
			return nil, err
		}
		key, joined := t.decodeKey(), false
		for _, u := range unions {
			if u.key == key && u.add(t, schemas) {
				joined = true
				break
			}
		}
		if !joined {
			u := &union{key: key, places: map[string]int{}}
			u.add(t, schemas)
			unions = append(unions, u)
		}
	}
	var groups []*group
	for _, u := range unions {
		g, err := u.group(ctx)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// union gathers the columns of tables.
type union struct {
	key     string
	tables  []*tableState
	schemas []rowSchemas
	fields  []iceberg.NestedField
	places  map[string]int
}

// add takes in a table unless one of its columns contradicts those that are there.
func (u *union) add(t *tableState, schemas rowSchemas) bool {
	for _, f := range schemas.decoded.Fields() {
		if i, found := u.places[f.Name]; found && !sameColumn(u.fields[i], f) {
			return false
		}
	}
	for _, f := range schemas.decoded.Fields() {
		if _, found := u.places[f.Name]; !found {
			u.places[f.Name] = len(u.fields)
			u.fields = append(u.fields, f)
		}
	}
	u.tables = append(u.tables, t)
	u.schemas = append(u.schemas, schemas)
	return true
}

// decodeKey is equal for tables whose records are read alike. A table that reacts to fields which it
// does not have cannot share: what is unknown to it may be another's column.
func (t *tableState) decodeKey() string {
	d, w := t.opts.Decode, t.opts.Writer
	alone := -1
	if d.UnknownFields != decode.UnknownIgnore || w.Schemas != nil || w.Fixed != nil {
		alone = t.index
	}
	return fmt.Sprintf("%d %s %v %t %s %v %d %d %t %v", alone, d.Format, d.Columns, d.StrictNumbers,
		d.DuplicateKeys, d.CSV, d.DepthMax, d.RecordBytesMax, t.readsKeys(), d.Envelope)
}

// readsKeys says whether records without a value are read by their keys, as if they were rows.
func (t *tableState) readsKeys() bool {
	return t.opts.Keyed != nil && t.opts.Keyed.Tombstones && len(t.opts.Decode.Envelope.After) == 0
}

// compile makes the table's plan for schema.
func (t *tableState) compile(ctx context.Context, schema *iceberg.Schema) (*decode.Plan, error) {
	if t.opts.Writer.Schemas == nil && t.opts.Writer.Fixed == nil {
		return decode.NewPlan(schema, t.opts.Decode)
	}
	writer := t.opts.Writer
	writer.Refused = maps.Clone(t.refusedIDs)
	maps.Copy(writer.Refused, t.opts.Writer.Refused)
	return decode.NewWriterPlan(ctx, schema, t.opts.Decode, writer)
}

func (u *union) group(ctx context.Context) (*group, error) {
	first := u.tables[0]
	schema := u.schemas[0].decoded
	if len(u.tables) > 1 {
		next := 0
		schema = iceberg.NewSchema(0, renumber(u.fields, &next)...)
	}
	plan, err := first.compile(ctx, schema)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", first, err)
	}
	g := &group{key: u.key, plan: plan, rowBytes: plan.RowBytes(), keys: first.readsKeys()}
	for i, t := range u.tables {
		s, err := u.shape(t, u.schemas[i], schema)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
		g.shapes = append(g.shapes, s)
		t.shape = s
	}
	return g, nil
}

func (u *union) shape(t *tableState, schemas rowSchemas, whole *iceberg.Schema) (*shape, error) {
	schema := schemas.table
	arrowSchema, err := table.ArrowSchema(schema)
	if err != nil {
		return nil, err
	}
	s := &shape{
		table: t, version: t.version, schema: schema, arrow: arrowSchema, fields: map[int]string{},
	}
	for _, f := range schema.Fields() {
		place := u.places[f.Name]
		s.columns = append(s.columns, place)
		s.fields[whole.Field(place).ID] = f.Name
	}
	if t.opts.Keyed != nil {
		idOf := func(i int) int { return whole.Field(s.columns[i]).ID }
		if s.keyed, err = newKeyedShape(t.opts.Keyed, s, idOf); err != nil {
			return nil, err
		}
	}
	if schemas.transform != nil {
		wholeArrow, err := table.ArrowSchema(whole)
		if err != nil {
			return nil, err
		}
		idOf := func(place int) int { return whole.Field(place).ID }
		s.transform = u.newShapeTransform(s, schemas.transform, wholeArrow, idOf)
	}
	if t.opts.Filter != nil {
		if s.filter, err = filter.Bind(t.opts.Filter, schema); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// columnName is the table's column with a field id of the group's schema; "" for the whole record.
func (s *shape) columnName(fieldID int) string { return s.fields[fieldID] }

// sameColumn says whether two columns of one name hold the same, whatever their field ids.
func sameColumn(a, b iceberg.NestedField) bool {
	return a.Required == b.Required && sameType(a.Type, b.Type)
}

func sameType(a, b iceberg.Type) bool {
	as, nested := a.(iceberg.NestedType)
	bs, alsoNested := b.(iceberg.NestedType)
	if !nested || !alsoNested {
		return nested == alsoNested && a.Equals(b)
	}
	if a.Type() != b.Type() || len(as.Fields()) != len(bs.Fields()) {
		return false
	}
	for i, f := range as.Fields() {
		if f.Name != bs.Fields()[i].Name || !sameColumn(f, bs.Fields()[i]) {
			return false
		}
	}
	return true
}

// renumber gives fields and all below them fresh ids.
func renumber(fields []iceberg.NestedField, next *int) []iceberg.NestedField {
	out := make([]iceberg.NestedField, len(fields))
	for i, f := range fields {
		*next++
		f.ID = *next
		f.Type = renumberType(f.Type, next)
		out[i] = f
	}
	return out
}

func renumberType(t iceberg.Type, next *int) iceberg.Type {
	id := func() int { *next++; return *next }
	switch t := t.(type) {
	case *iceberg.StructType:
		return &iceberg.StructType{FieldList: renumber(t.FieldList, next)}
	case *iceberg.ListType:
		return &iceberg.ListType{
			ElementID: id(), Element: renumberType(t.Element, next), ElementRequired: t.ElementRequired,
		}
	case *iceberg.MapType:
		return &iceberg.MapType{
			KeyID: id(), KeyType: renumberType(t.KeyType, next),
			ValueID: id(), ValueType: renumberType(t.ValueType, next), ValueRequired: t.ValueRequired,
		}
	}
	return t
}
