package decode

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
)

// Plan says how the records of a source become rows of one schema. It is compiled once, immutable
// and shared by the decoders made from it.
type Plan struct {
	schema      *iceberg.Schema
	arrowSchema *arrow.Schema
	options     Options
	// columns are the schema's top-level fields; metadata tells which of them the chunk fills.
	columns  []*node
	metadata []metadataColumn // "" for a column that the record's value fills
	csv      []int            // FormatCSV: the column at each place of a line, or skipColumn
	object   *jsonObject      // FormatJSON: the record's object
	objects  int              // FormatJSON: the number of objects in it and in the columns
	raw      int              // FormatRaw: the column that takes the value
	writers  *writers         // FormatAvro, FormatProtobuf, FormatJSONSchema
	envelope *envelopePlan    // nil: a record is a row
	events   *eventObjects    // what events consist of, with an envelope
}

// skipColumn stands where no column takes a field.
const skipColumn = -1

// NewPlan compiles a plan. An error names the column or option at fault.
func NewPlan(schema *iceberg.Schema, options Options) (*Plan, error) {
	plan, err := newPlan(schema, options)
	if err != nil {
		return nil, err
	}
	switch options.Format {
	case FormatJSON:
		err = plan.compileJSON()
	case FormatCSV:
		plan.csv, err = csvColumns(plan)
	case FormatRaw:
		plan.raw, err = rawColumn(plan)
	default:
		err = fmt.Errorf("format %q is unknown: write json, csv or raw", options.Format)
	}
	if err == nil && plan.envelope != nil && plan.events == nil {
		err = fmt.Errorf("format %s holds no change events: they are read in JSON and Avro", options.Format)
	}
	if err != nil {
		return nil, err
	}
	return plan, nil
}

// newPlan compiles what all formats share: the nodes of the schema and the metadata columns.
func newPlan(schema *iceberg.Schema, options Options) (*Plan, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	arrowSchema, err := table.ArrowSchema(schema)
	if err != nil {
		return nil, err
	}
	plan := &Plan{schema: schema, arrowSchema: arrowSchema, options: options}
	unused := maps.Clone(options.Columns)
	for i, field := range schema.Fields() {
		kind, err := metadataOf(field)
		if err != nil {
			return nil, err
		}
		column, err := newNode(nodeSource{field: field, names: []string{field.Name}, unused: unused,
			options: options.Columns, written: options.written, dataType: arrowSchema.Field(i).Type})
		if err != nil {
			return nil, err
		}
		plan.columns = append(plan.columns, column)
		plan.metadata = append(plan.metadata, kind)
	}
	if len(unused) > 0 {
		name := slices.Sorted(maps.Keys(unused))[0]
		return nil, fmt.Errorf("options name column %s, which the schema does not have", name)
	}
	if plan.options.Envelope.present() {
		if plan.envelope, err = newEnvelopePlan(plan); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// Schema is the schema of the rows.
func (p *Plan) Schema() *iceberg.Schema { return p.schema }

// ArrowSchema is the schema of the batches.
func (p *Plan) ArrowSchema() *arrow.Schema { return p.arrowSchema }

// RowBytes is the memory that a row takes in a batch at the least: one in which every column is null.
func (p *Plan) RowBytes() int { return rowBytes(p.columns) }

func rowBytes(nodes []*node) int {
	bytes := 0
	for _, n := range nodes {
		switch n.kind.layout() {
		case layoutBool:
			bytes++
		case layout32, layoutBytes, layoutList: // of the last two, the offset
			bytes += 4
		case layout64:
			bytes += 8
		case layoutFixed:
			bytes += n.width
		case layoutStruct:
			bytes += rowBytes(n.children)
		case layoutNull:
		}
	}
	return bytes
}

// NewDecoder returns a decoder for one goroutine, which takes the memory of its batches from mem.
func (p *Plan) NewDecoder(mem memory.Allocator) Decoder {
	rows := newRows(p, mem)
	if p.envelope != nil {
		return p.newEnvelopeDecoder(rows)
	}
	if p.writers != nil {
		return newChunkDecoder(rows, newWriterDecoder(p, rows))
	}
	switch p.options.Format {
	case FormatJSON:
		return newChunkDecoder(rows, newJSONDecoder(p, rows))
	case FormatCSV:
		return newChunkDecoder(rows, newCSVDecoder(p))
	case FormatRaw:
		return newChunkDecoder(rows, rawDecoder{column: p.raw})
	}
	panic("BUG: plan of format " + string(p.options.Format))
}

// node is one compiled field of the schema. Its column in a decoder has the same shape.
type node struct {
	name     string
	names    []string // from the top-level column down
	path     string   // names, dotted
	id       int
	required bool
	kind     kind
	dataType arrow.DataType
	typeName string // for messages
	width    int    // bytes: fixed, uuid, decimal
	// precision and scale are a decimal's.
	precision, scale int32
	options          ColumnOptions
	// children are the fields of a struct, the element of a list, the key and value of a map.
	children []*node
	// fields finds a child of a struct by its name in a record.
	fields fieldTable

	// FormatJSON: how plain values are read, whether numbers may not be strings, what fits a decimal
	// of 64 bits, and the index of a struct among the objects of the plan.
	straight      straight
	strictNumbers bool
	unscaledMax   uint64
	object        int
	written       writtenAs
}

// kind is what a field holds.
type kind uint8

const (
	kindUnknown kind = iota // always null
	kindBool
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindDecimal
	kindDate
	kindTime
	kindTimestamp   // microseconds, with or without zone
	kindTimestampNs // nanoseconds, with or without zone
	kindString
	kindBinary
	kindUUID
	kindFixed
	kindStruct
	kindList
	kindMap
)

func (k kind) layout() layout {
	switch k {
	case kindBool:
		return layoutBool
	case kindInt, kindFloat, kindDate:
		return layout32
	case kindLong, kindDouble, kindTime, kindTimestamp, kindTimestampNs:
		return layout64
	case kindDecimal, kindUUID, kindFixed:
		return layoutFixed
	case kindString, kindBinary:
		return layoutBytes
	case kindStruct:
		return layoutStruct
	case kindList, kindMap:
		return layoutList
	case kindUnknown:
	}
	return layoutNull
}

// nodeSource is what a node is compiled from.
type nodeSource struct {
	field    iceberg.NestedField
	names    []string // from the top down
	dataType arrow.DataType
	options  map[string]ColumnOptions
	written  map[string]writtenAs
	// inherited are the options of the column that the field lies in.
	inherited ColumnOptions
	unused    map[string]ColumnOptions // of options, those that no field has taken yet
}

func newNode(src nodeSource) (*node, error) {
	path := strings.Join(src.names, ".")
	n := &node{name: src.field.Name, names: src.names, path: path, id: src.field.ID,
		required: src.field.Required, dataType: src.dataType, typeName: typeName(src.field.Type),
		written: src.written[path]}
	var own bool
	if n.options, own = src.options[path]; !own {
		n.options = ColumnOptions{Time: src.inherited.Time, JSONText: src.inherited.JSONText}
	}
	delete(src.unused, path)
	if len(src.names) > 1 && len(n.options.Path) > 1 {
		return nil, fmt.Errorf("column %s: a field within a column can only be renamed, not moved", path)
	}
	var err error
	if n.kind, err = kindOf(src.field.Type); err != nil {
		return nil, fmt.Errorf("column %s: %w", path, err)
	}
	switch t := src.field.Type.(type) {
	case iceberg.FixedType:
		n.width = t.Len()
	case iceberg.UUIDType:
		n.width = 16
	case iceberg.DecimalType:
		n.width, n.precision, n.scale = 16, int32(t.Precision()), int32(t.Scale())
	}
	for i, child := range childFields(src.field.Type) {
		compiled, err := newNode(nodeSource{field: child, names: append(slices.Clip(src.names), child.Name),
			options: src.options, written: src.written, inherited: n.options, unused: src.unused,
			dataType: childType(src.dataType, i)})
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, compiled)
	}
	if n.kind == kindStruct {
		n.fields, err = newFieldTable(sourceNames(n.children))
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", path, err)
		}
	}
	return n, nil
}

// sourceName is the name under which a record holds the field.
func (n *node) sourceName() string {
	if len(n.options.Path) > 0 {
		return n.options.Path[len(n.options.Path)-1]
	}
	return n.name
}

func sourceNames(nodes []*node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.sourceName()
	}
	return names
}

func kindOf(t iceberg.Type) (kind, error) {
	switch t.(type) {
	case iceberg.UnknownType:
		return kindUnknown, nil
	case iceberg.BooleanType:
		return kindBool, nil
	case iceberg.Int32Type:
		return kindInt, nil
	case iceberg.Int64Type:
		return kindLong, nil
	case iceberg.Float32Type:
		return kindFloat, nil
	case iceberg.Float64Type:
		return kindDouble, nil
	case iceberg.DecimalType:
		return kindDecimal, nil
	case iceberg.DateType:
		return kindDate, nil
	case iceberg.TimeType:
		return kindTime, nil
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return kindTimestamp, nil
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return kindTimestampNs, nil
	case iceberg.StringType:
		return kindString, nil
	case iceberg.BinaryType:
		return kindBinary, nil
	case iceberg.UUIDType:
		return kindUUID, nil
	case iceberg.FixedType:
		return kindFixed, nil
	case *iceberg.StructType:
		return kindStruct, nil
	case *iceberg.ListType:
		return kindList, nil
	case *iceberg.MapType:
		return kindMap, nil
	}
	return kindUnknown, fmt.Errorf("type %s cannot be decoded into", t)
}

func childFields(t iceberg.Type) []iceberg.NestedField {
	if nested, ok := t.(iceberg.NestedType); ok {
		return nested.Fields()
	}
	return nil
}

func childType(t arrow.DataType, i int) arrow.DataType {
	switch t := t.(type) {
	case *arrow.StructType:
		return t.Field(i).Type
	case *arrow.MapType:
		return t.Elem().(*arrow.StructType).Field(i).Type
	case arrow.ListLikeType:
		return t.Elem()
	}
	panic("BUG: " + t.String() + " has no children")
}

// errAmbiguous says that two columns would take one field.
var errAmbiguous = errors.New("two columns of one name")
