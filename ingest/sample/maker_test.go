package sample

import (
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
)

// columns is a schema of a column of every type.
func columns() *iceberg.Schema {
	id := 0
	next := func() int { id++; return id }
	var fields []iceberg.NestedField
	add := func(name string, t iceberg.Type) {
		field := iceberg.NestedField{ID: next(), Name: name, Type: t, Required: len(fields) == 0}
		fields = append(fields, field)
	}
	p := iceberg.PrimitiveTypes
	for i, t := range []iceberg.Type{p.Int64, p.Bool, p.Int32, p.Float32, p.Float64, p.Date, p.Time, p.Timestamp,
		p.TimestampTz, iceberg.TimestampNsType{}, iceberg.TimestampTzNsType{}, p.String, p.UUID, p.Binary,
		iceberg.FixedTypeOf(5), iceberg.DecimalTypeOf(38, 2), iceberg.DecimalTypeOf(3, 3),
		iceberg.DecimalTypeOf(9, 0)} {
		add(fmt.Sprintf("c%d", i), t)
	}
	inner := []iceberg.NestedField{{ID: next(), Name: "name", Type: p.String, Required: true},
		{ID: next(), Name: "n", Type: p.Int64}}
	add("s", &iceberg.StructType{FieldList: inner})
	add("l", &iceberg.ListType{ElementID: next(), Element: p.Float64, ElementRequired: true})
	add("m", &iceberg.MapType{KeyID: next(), KeyType: p.String, ValueID: next(), ValueType: p.Int32})
	return iceberg.NewSchema(0, fields...)
}

// flat is a schema without nested columns, which CSV can hold.
func flat() *iceberg.Schema {
	return iceberg.NewSchema(0, slices.DeleteFunc(slices.Clone(columns().Fields()),
		func(f iceberg.NestedField) bool { _, nested := f.Type.(iceberg.NestedType); return nested })...)
}

func few() *iceberg.Schema {
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "city", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "at", Type: iceberg.PrimitiveTypes.TimestampTz},
		iceberg.NestedField{ID: 4, Name: "lsn", Type: iceberg.PrimitiveTypes.Int64})
}

const avroText = `{"type": "record", "name": "R", "fields": [
  {"name": "id", "type": "long"}, {"name": "city", "type": ["null", "string"]},
  {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "lsn", "type": "int"},
  {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}},
  {"name": "tags", "type": {"type": "array", "items": "string"}},
  {"name": "more", "type": {"type": "map", "values": "double"}},
  {"name": "next", "type": ["null", "R"]},
  {"name": "hash", "type": {"type": "fixed", "name": "H", "size": 4}}]}`

const protoText = `syntax = "proto3";
import "google/protobuf/timestamp.proto";
message R {
  int64 id = 1; optional string city = 2; google.protobuf.Timestamp at = 3; int64 lsn = 4;
  repeated string tags = 5; map<string, R> more = 6; R next = 7; bytes raw = 8; double x = 9;
}`

func cases() map[string]Options {
	debezium := decode.DebeziumEnvelope()
	debezium.Key, debezium.RecordKey = []string{"id"}, true
	debezium.Columns = map[string][]string{"lsn": {"source", "lsn"}}
	maxwell, canal := decode.MaxwellEnvelope(), decode.CanalEnvelope()
	maxwell.Key, canal.Key = []string{"id"}, []string{"id"}
	places := decode.CSVOptions{Columns: []string{"lsn", "", "id", "city"}, Delimiter: ';', Null: "-"}
	generic := decode.Envelope{After: []string{"row"}, Key: []string{"id"}}
	moved := map[string]decode.ColumnOptions{"id": {Path: []string{"a", "id"}},
		"city": {Path: []string{"a"}, JSONText: true}, "at": {Time: decode.TimeMicros}}
	return map[string]Options{
		"json":       {Schema: columns(), Decode: decode.Options{Format: decode.FormatJSON}},
		"paths":      {Schema: few(), Decode: decode.Options{Format: decode.FormatJSON, Columns: moved}},
		"strict":     {Schema: columns(), Decode: decode.Options{Format: decode.FormatJSON, StrictNumbers: true}},
		"csv":        {Schema: flat(), Decode: decode.Options{Format: decode.FormatCSV}},
		"csv places": {Schema: few(), Decode: decode.Options{Format: decode.FormatCSV, CSV: places}},
		"debezium":   {Schema: few(), Decode: decode.Options{Format: decode.FormatJSON, Envelope: debezium}},
		"maxwell":    {Schema: few(), Decode: decode.Options{Format: decode.FormatJSON, Envelope: maxwell}},
		"canal":      {Schema: few(), Decode: decode.Options{Format: decode.FormatJSON, Envelope: canal}},
		"generic":    {Schema: few(), Decode: decode.Options{Format: decode.FormatJSON, Envelope: generic}},
		"avro": {Schema: few(), Decode: decode.Options{Format: decode.FormatAvro},
			Writer: &registry.Schema{ID: 1, Format: registry.Avro, Text: avroText}},
		"protobuf": {Schema: few(), Decode: decode.Options{Format: decode.FormatProtobuf},
			Writer: &registry.Schema{ID: 1, Format: registry.Protobuf, Text: protoText}},
	}
}

// decoded decodes one record.
func decoded(t *testing.T, o Options, r source.Record) decode.Decoded {
	t.Helper()
	plan, err := decode.NewPlan(o.Schema, o.Decode)
	if o.Writer != nil {
		plan, err = decode.NewWriterPlan(t.Context(), o.Schema, o.Decode, decode.WriterOptions{Fixed: o.Writer})
	}
	require.NoError(t, err)
	d := plan.NewDecoder(memory.DefaultAllocator)
	defer d.Close()
	chunk := source.Chunk{TopicPartition: commit.TopicPartition{Topic: "t", TopicID: uuid.Max}, From: r.Offset,
		Next: r.Offset + 1, Records: []source.Record{r}}
	out, err := d.Decode(t.Context(), &chunk)
	require.NoError(t, err)
	return out
}

func TestEveryRecordIsARow(t *testing.T) {
	for name, o := range cases() {
		t.Run(name, func(t *testing.T) {
			m, err := New(t.Context(), o)
			require.NoError(t, err)
			filled := map[string]bool{}
			for n := range int64(60) {
				r := m.Record(n)
				out := decoded(t, o, r)
				require.Empty(t, out.Failures, "%s", r.Value)
				require.EqualValues(t, 1, out.Batch.NumRows())
				for i, f := range out.Batch.Schema().Fields() {
					filled[f.Name] = filled[f.Name] || out.Batch.Column(i).IsValid(0)
				}
				out.Batch.Release()
			}
			for _, f := range o.Schema.Fields() {
				csvLacks := name == "csv places" && f.Name == "at"
				require.True(t, filled[f.Name] || csvLacks, f.Name)
			}
		})
	}
}

func TestEventsInsertUpdateAndDelete(t *testing.T) {
	for _, name := range []string{"debezium", "maxwell", "canal"} {
		o := cases()[name]
		m, err := New(t.Context(), o)
		require.NoError(t, err)
		seen := map[decode.Op]int{}
		for n := range int64(10) {
			out := decoded(t, o, m.Record(n))
			for _, change := range out.Changes.Rows {
				seen[change.Op]++
			}
			out.Batch.Release()
		}
		require.Equal(t, map[decode.Op]int{decode.OpInsert: 6, decode.OpUpdate: 2, decode.OpDelete: 2}, seen, name)
	}
}

func TestSpoiltRecordsAreNoRows(t *testing.T) {
	for _, name := range []string{"json", "paths", "debezium", "avro", "strict"} {
		o := cases()[name]
		m, err := New(t.Context(), o)
		require.NoError(t, err)
		for n := range int64(20) {
			r := m.Record(n)
			m.Spoil(&r)
			out := decoded(t, o, r)
			require.NotEmpty(t, out.Failures, "%s: %s", name, r.Value)
			out.Batch.Release()
		}
	}
}

func TestARecordDependsOnSeedAndNumberAlone(t *testing.T) {
	for name, o := range cases() {
		one, err := New(t.Context(), o)
		require.NoError(t, err)
		two, err := New(t.Context(), o)
		require.NoError(t, err)
		for _, n := range []int64{4, 0, 9} {
			two.Record(n + 1)
			require.Equal(t, one.Record(n), two.Record(n), name)
		}
		o.Seed = 7
		other, err := New(t.Context(), o)
		require.NoError(t, err)
		require.NotEqual(t, one.Record(0).Value, other.Record(0).Value, name)
	}
}

func TestTextsOfTheFilterAreMet(t *testing.T) {
	o := cases()["csv places"]
	o.Texts = map[string][]string{"city": {"Atlantis"}}
	m, err := New(t.Context(), o)
	require.NoError(t, err)
	met := 0
	for n := range int64(100) {
		if out := string(m.Record(n).Value); out[len(out)-len("Atlantis"):] == "Atlantis" {
			met++
		}
	}
	require.Greater(t, met, 5)
	require.Less(t, met, 60)
}

func TestWhatCannotBeMadeIsRefused(t *testing.T) {
	o := cases()["avro"]
	o.Writer = nil
	_, err := New(t.Context(), o)
	require.ErrorContains(t, err, "schema of their writer")
	o = cases()["avro"]
	o.Decode.Envelope = decode.DebeziumEnvelope()
	_, err = New(t.Context(), o)
	require.ErrorContains(t, err, "no change events")
	o.Decode.Format = "xml"
	_, err = New(t.Context(), o)
	require.ErrorContains(t, err, `"xml"`)
}
