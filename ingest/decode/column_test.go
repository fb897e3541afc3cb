package decode

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// fields gives ascending ids to the fields of a test schema.
func testSchema(fields ...iceberg.NestedField) *iceberg.Schema {
	for i := range fields {
		if fields[i].ID == 0 {
			fields[i].ID = i + 1
		}
	}
	return iceberg.NewSchema(0, fields...)
}

func structOf(fields ...iceberg.NestedField) *iceberg.StructType {
	return &iceberg.StructType{FieldList: fields}
}

func testColumn(t *testing.T, typ iceberg.Type, mem memory.Allocator) *Column {
	t.Helper()
	plan, err := newPlan(testSchema(iceberg.NestedField{Name: "c", Type: typ}), Options{})
	require.NoError(t, err)
	return newColumn(plan.columns[0], mem)
}

// appendAny appends a random value of the column's type, or null, and returns how Arrow prints it.
func appendAny(c *Column, n *node, random *rand.Rand) {
	if random.IntN(4) == 0 && !n.required {
		c.AppendNull()
		return
	}
	v := random.Uint32()
	switch n.kind {
	case kindUnknown:
		c.AppendNull()
	case kindBool:
		c.AppendBool(v%2 == 0)
	case kindInt, kindDate:
		c.AppendInt32(int32(v))
	case kindLong, kindTime, kindTimestamp, kindTimestampNs:
		c.AppendInt64(int64(v))
	case kindFloat:
		c.AppendFloat32(float32(v) / 4)
	case kindDouble:
		c.AppendFloat64(float64(v) / 4)
	case kindDecimal:
		c.AppendDecimal(decimal128.FromI64(int64(v)))
	case kindUUID, kindFixed:
		copy(c.AppendFixed(), fmt.Sprintf("%032d", v))
	case kindString, kindBinary:
		c.AppendString(fmt.Sprint(v)[:v%6])
	case kindStruct:
		for i, child := range n.children {
			appendAny(c.Child(i), child, random)
		}
		c.AppendStruct()
	case kindList, kindMap:
		for range v % 4 {
			for i, child := range n.children {
				appendAny(c.Child(i), child, random)
			}
		}
		c.AppendList()
	}
}

func everyType() []iceberg.NestedField {
	prim := iceberg.PrimitiveTypes
	inner := structOf(iceberg.NestedField{ID: 101, Name: "a", Type: prim.Int64},
		iceberg.NestedField{ID: 102, Name: "b", Type: &iceberg.ListType{ElementID: 103, Element: prim.String}})
	return []iceberg.NestedField{
		{Name: "bool", Type: prim.Bool}, {Name: "int", Type: prim.Int32}, {Name: "long", Type: prim.Int64},
		{Name: "float", Type: prim.Float32}, {Name: "double", Type: prim.Float64},
		{Name: "dec", Type: iceberg.DecimalTypeOf(20, 4)}, {Name: "date", Type: prim.Date},
		{Name: "time", Type: prim.Time}, {Name: "ts", Type: prim.Timestamp},
		{Name: "tstz", Type: prim.TimestampTz}, {Name: "tsns", Type: prim.TimestampNs},
		{Name: "string", Type: prim.String}, {Name: "binary", Type: prim.Binary},
		{Name: "uuid", Type: prim.UUID}, {Name: "fixed", Type: iceberg.FixedTypeOf(5)},
		{Name: "struct", Type: inner},
		{Name: "list", Type: &iceberg.ListType{ElementID: 110, Element: structOf(
			iceberg.NestedField{ID: 111, Name: "x", Type: prim.Float64},
			iceberg.NestedField{ID: 112, Name: "y", Type: prim.Bool})}},
		{Name: "map", Type: &iceberg.MapType{KeyID: 120, KeyType: prim.String, ValueID: 121,
			ValueType: &iceberg.ListType{ElementID: 122, Element: prim.Int32}}},
	}
}

// TestColumnTruncateLeavesNoTrace appends values with false starts in between and expects the array
// that the kept values alone make.
func TestColumnTruncateLeavesNoTrace(t *testing.T) {
	for _, field := range everyType() {
		t.Run(field.Name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			plan, err := newPlan(testSchema(field), Options{})
			require.NoError(t, err)
			n := plan.columns[0]
			plain, dirty := newColumn(n, mem), newColumn(n, mem)
			for range 3 {
				for row := range 500 {
					seed := uint64(row)
					appendAny(plain, n, rand.New(rand.NewPCG(seed, 1)))
					appendAny(dirty, n, rand.New(rand.NewPCG(seed, 2)))
					for _, child := range dirty.children { // a value that is never closed
						appendAny(child, n.children[0], rand.New(rand.NewPCG(seed, 3)))
						break
					}
					dirty.Truncate(row)
					appendAny(dirty, n, rand.New(rand.NewPCG(seed, 1)))
				}
				want, got := plain.Finish(), dirty.Finish()
				require.True(t, array.Equal(want, got), "want %s\ngot %s", want, got)
				require.Equal(t, 500, got.Len())
				want.Release()
				got.Release()
			}
			appendAny(dirty, n, rand.New(rand.NewPCG(1, 1)))
			dirty.Release()
		})
	}
}

func TestColumnValuesRead(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	prim := iceberg.PrimitiveTypes
	column := testColumn(t, &iceberg.MapType{KeyID: 5, KeyType: prim.String, ValueID: 6, ValueType: prim.Bool}, mem)
	column.Child(0).AppendString("a")
	column.Child(1).AppendBool(true)
	column.Child(0).AppendString("b")
	column.Child(1).AppendNull()
	column.AppendList()
	column.AppendNull()
	column.AppendList()
	got := column.Finish()
	defer got.Release()
	require.JSONEq(t, `[[{"key":"a","value":true},{"key":"b","value":null}],null,[]]`, jsonOf(t, got))
}

func TestMetadataColumnsComeFromTheChunk(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	id := 1
	fields := []iceberg.NestedField{{ID: 1, Name: "value", Type: iceberg.PrimitiveTypes.String}}
	for _, name := range append(DefaultMetadataColumns(), ColumnKey, ColumnHeaders) {
		field, err := MetadataField(name, func() int { id++; return id })
		require.NoError(t, err)
		fields = append(fields, field)
	}
	plan, err := NewPlan(testSchema(fields...), Options{Format: FormatRaw})
	require.NoError(t, err)
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), &source.Chunk{
		TopicPartition: commit.TopicPartition{Topic: "events", Partition: 3},
		Records: []source.Record{
			{Value: []byte("x"), Key: []byte("k"), Offset: 7, Timestamp: 1_700_000_000_123,
				Headers: []source.Header{{Key: "h", Value: []byte("1")}, {Key: "h"}}},
			{Value: nil, Offset: 9, Timestamp: -1},
			{Value: []byte("\xff"), Offset: 10, Key: []byte{}},
		}})
	require.NoError(t, err)
	defer decoded.Batch.Release()
	require.JSONEq(t, `[
	 {"value":"x","_kafka_topic":"events","_kafka_partition":3,"_kafka_offset":7,
	  "_kafka_timestamp":"2023-11-14T22:13:20.123Z","_kafka_key":"aw==",
	  "_kafka_headers":[{"key":"h","value":"MQ=="},{"key":"h","value":null}]},
	 {"value":null,"_kafka_topic":"events","_kafka_partition":3,"_kafka_offset":9,
	  "_kafka_timestamp":null,"_kafka_key":null,"_kafka_headers":[]},
	 {"value":null,"_kafka_topic":"events","_kafka_partition":3,"_kafka_offset":10,
	  "_kafka_timestamp":"1970-01-01T00:00:00Z","_kafka_key":"","_kafka_headers":[]}]`, jsonOf(t, decoded.Batch))
	require.Equal(t, []Failure{{Row: 2, FieldID: 1, Class: ClassUTF8, Message: `value: not UTF-8: "\xff"`}},
		decoded.Failures)
}

func TestPlanRefusesWhatItCannotFill(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	tests := []struct {
		schema  *iceberg.Schema
		options Options
		message string
	}{
		{testSchema(iceberg.NestedField{Name: "a", Type: prim.Int32}), Options{Format: FormatRaw}, "needs a string"},
		{testSchema(iceberg.NestedField{Name: "a", Type: prim.String}), Options{Format: "xml"}, `format "xml"`},
		{testSchema(iceberg.NestedField{Name: ColumnOffset, Type: prim.Int32}), Options{Format: FormatRaw},
			"must be long"},
		{testSchema(iceberg.NestedField{Name: "_kafka_lag", Type: prim.Int32}), Options{Format: FormatRaw},
			"reserved"},
		{testSchema(iceberg.NestedField{Name: "a", Type: prim.String}), Options{Format: FormatRaw,
			Columns: map[string]ColumnOptions{"b": {}}}, "column b, which the schema does not have"},
		{testSchema(iceberg.NestedField{Name: "a", Type: prim.String}), Options{Format: FormatRaw, DepthMax: -1},
			"depth limit -1"},
	}
	for _, test := range tests {
		_, err := NewPlan(test.schema, test.options)
		require.ErrorContains(t, err, test.message)
	}
}

func TestParsePathKeepsEscapedDots(t *testing.T) {
	path, err := ParsePath(`a.b\.c.d`)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b.c", "d"}, path)
	_, err = ParsePath("a..b")
	require.ErrorContains(t, err, "empty name")
}

// jsonOf is the JSON form that Arrow gives an array or a batch.
func jsonOf(t *testing.T, v interface{ MarshalJSON() ([]byte, error) }) string {
	t.Helper()
	text, err := v.MarshalJSON()
	require.NoError(t, err)
	return string(text)
}
