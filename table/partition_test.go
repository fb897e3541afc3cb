package table

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// icebergLiteral is a value as iceberg-go's own transforms take it.
func icebergLiteral(typ iceberg.Type, column arrow.Array, row int) iceberg.Optional[iceberg.Literal] {
	if column.IsNull(row) {
		return iceberg.Optional[iceberg.Literal]{}
	}
	var value iceberg.Literal
	switch a := column.(type) {
	case *array.Boolean:
		value = iceberg.BoolLiteral(a.Value(row))
	case *array.Int32:
		value = iceberg.Int32Literal(a.Value(row))
	case *array.Int64:
		value = iceberg.Int64Literal(a.Value(row))
	case *array.Float32:
		value = iceberg.Float32Literal(a.Value(row))
	case *array.Float64:
		value = iceberg.Float64Literal(a.Value(row))
	case *array.Date32:
		value = iceberg.DateLiteral(a.Value(row))
	case *array.Time64:
		value = iceberg.TimeLiteral(a.Value(row))
	case *array.Timestamp:
		if a.DataType().(*arrow.TimestampType).Unit == arrow.Nanosecond {
			value = iceberg.TimestampNsLiteral(a.Value(row))
		} else {
			value = iceberg.TimestampLiteral(a.Value(row))
		}
	case *array.String:
		value = iceberg.StringLiteral(a.Value(row))
	case *array.Binary:
		value = iceberg.BinaryLiteral(a.Value(row))
	case *array.FixedSizeBinary:
		if _, ok := typ.(iceberg.UUIDType); ok {
			value = iceberg.UUIDLiteral(uuid.UUID(a.Value(row)))
		} else {
			value = iceberg.FixedLiteral(a.Value(row))
		}
	case *array.Decimal128:
		value = iceberg.DecimalLiteral{Val: a.Value(row), Scale: typ.(iceberg.DecimalType).Scale()}
	}
	return iceberg.Optional[iceberg.Literal]{Valid: true, Val: value}
}

func everyTransform() []iceberg.Transform {
	return []iceberg.Transform{iceberg.IdentityTransform{}, iceberg.VoidTransform{},
		iceberg.BucketTransform{NumBuckets: 1}, iceberg.BucketTransform{NumBuckets: 16},
		iceberg.BucketTransform{NumBuckets: 1_000_003},
		iceberg.TruncateTransform{Width: 1}, iceberg.TruncateTransform{Width: 3},
		iceberg.TruncateTransform{Width: 1000}, iceberg.YearTransform{}, iceberg.MonthTransform{},
		iceberg.DayTransform{}, iceberg.HourTransform{}}
}

// TestTransformsAgreeWithIceberg compares every transform of every type with iceberg-go's, value by
// value, and the edges of each type besides.
func TestTransformsAgreeWithIceberg(t *testing.T) {
	for _, field := range everyType().Fields()[:18] {
		for _, transform := range everyTransform() {
			if !transform.CanTransform(field.Type) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", field.Type, transform), func(t *testing.T) {
				schema := iceberg.NewSchema(0, optional(1, "v", field.Type))
				spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
					SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: transform})
				p, err := newPartitioner(schema, &spec)
				require.NoError(t, err)
				rows := 2000
				if testing.Short() {
					rows = 300
				}
				for round, span := range []int64{0, 3, 5000} {
					d := newDice(uint64(round), memory.DefaultAllocator)
					d.span = span
					batch := d.batch(t, schema, rows)
					checkPartition(t, p, transform, field.Type, batch)
					batch.Release()
				}
				if edges := edgeValues(field.Type); edges != nil {
					checkPartition(t, p, transform, field.Type, edges(t, schema))
				}
			})
		}
	}
}

func checkPartition(
	t *testing.T, p *partitioner, transform iceberg.Transform, typ iceberg.Type, batch arrow.RecordBatch,
) {
	t.Helper()
	column := batch.Column(0)
	ordinals, err := p.ordinals(nil, batch)
	require.NoError(t, err)
	for row, ordinal := range ordinals {
		want := transform.Apply(icebergLiteral(typ, column, row))
		got := p.value(ordinal).values[1000]
		if !want.Valid {
			require.Nil(t, got)
			continue
		}
		if f, ok := got.(float64); ok && math.IsNaN(f) {
			require.True(t, math.IsNaN(want.Val.Any().(float64)))
			continue
		}
		if f, ok := got.(float32); ok && f != f {
			continue
		}
		require.Equal(t, want.Val.Any(), got, "value %s", column.ValueStr(row))
	}
}

func edgeValues(typ iceberg.Type) func(*testing.T, *iceberg.Schema) arrow.RecordBatch {
	rows := map[string][]string{
		"int":  {`2147483647`, `-2147483648`, `0`, `-1`},
		"long": {`9223372036854775807`, `-9223372036854775808`, `0`, `-1`},
		"date": {`"1970-01-01"`, `"1969-12-31"`, `"1600-02-29"`, `"0001-01-01"`, `"2000-02-29"`,
			`"2100-03-01"`, `"1969-12-01"`, `"9999-12-31"`},
		"timestamp": {`"1969-12-31 23:59:59.999999"`, `"1970-01-01 00:00:00"`,
			`"1969-12-31 22:59:59.999999"`, `"1900-03-01 00:00:00"`, `"1599-12-31 23:00:00"`},
		"timestamp_ns": {`"1969-12-31 23:59:59.999999999"`, `"1970-01-01 00:00:00.000000001"`,
			`"1700-01-01 00:00:00"`},
		"string": {`""`, `"ab"`, `"abc"`, `"äöü€"`, `"😀😀😀😀"`},
		"decimal(38, 10)": {`"-0.0000000001"`, `"0.0000000000"`, `"-9999999999999999999999999999.0000000001"`,
			`"9999999999999999999999999999.9999999999"`},
	}[typ.String()]
	if rows == nil {
		return nil
	}
	return func(t *testing.T, schema *iceberg.Schema) arrow.RecordBatch {
		for i := range rows {
			rows[i] = `{"v":` + rows[i] + `}`
		}
		return fromJSON(t, schema, rows...)
	}
}

func TestPartitionOfNestedSourceIsNullWhereTheStructIs(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, optional(1, "a", &iceberg.StructType{FieldList: []iceberg.NestedField{
		optional(2, "b", &iceberg.StructType{FieldList: []iceberg.NestedField{
			optional(3, "c", types.Int32)}})}}))
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{3}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}})
	p, err := newPartitioner(schema, &spec)
	require.NoError(t, err)
	batch := fromJSON(t, schema, `{"a":null}`, `{"a":{"b":null}}`, `{"a":{"b":{"c":null}}}`,
		`{"a":{"b":{"c":7}}}`, `{"a":{"b":{"c":0}}}`)
	slice := batch.NewSlice(1, 5)
	defer slice.Release()
	ordinals, err := p.ordinals(nil, slice)
	require.NoError(t, err)
	require.Equal(t, []uint32{0, 0, 1, 2}, ordinals)
	require.Nil(t, p.value(0).values[1000])
	require.Equal(t, int32(7), p.value(1).values[1000])
}

func TestPartitionOfThreeFields(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, optional(1, "a", types.Int32), optional(2, "b", types.String),
		optional(3, "c", types.Timestamp))
	spec := iceberg.NewPartitionSpec(
		iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "a",
			Transform: iceberg.IdentityTransform{}},
		iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1001, Name: "b",
			Transform: iceberg.TruncateTransform{Width: 1}},
		iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1002, Name: "c",
			Transform: iceberg.YearTransform{}})
	p, err := newPartitioner(schema, &spec)
	require.NoError(t, err)
	d := newDice(4, memory.DefaultAllocator)
	d.span = 2
	for range 3 {
		batch := d.batch(t, schema, 500)
		ordinals, err := p.ordinals(nil, batch)
		require.NoError(t, err)
		for row, ordinal := range ordinals {
			got := p.value(ordinal).values
			for i, field := range []int{1000, 1001, 1002} {
				want := spec.Field(i).Transform.Apply(
					icebergLiteral(schema.Field(i).Type, batch.Column(i), row))
				if !want.Valid {
					require.Nil(t, got[field])
				} else {
					require.Equal(t, want.Val.Any(), got[field])
				}
			}
		}
		batch.Release()
	}
	distinct := map[string]bool{}
	for i := range p.count() {
		distinct[fmt.Sprint(p.value(uint32(i)).values)] = true
	}
	require.Len(t, distinct, p.count(), "no partition has two ordinals")
}

// TestPartitionValuesSurviveTheManifest writes the files of an identity-partitioned table into a
// manifest and reads their values back.
func TestPartitionValuesSurviveTheManifest(t *testing.T) {
	for _, field := range everyType().Fields()[:18] {
		t.Run(field.Type.String(), func(t *testing.T) {
			schema := iceberg.NewSchema(0, optional(1, "v", field.Type))
			spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
				SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}})
			d := newDice(6, memory.DefaultAllocator)
			batch := d.batch(t, schema, 6)
			defer batch.Release()
			files := write(t, testWriter(t, newStore(), WriterOptions{Schema: schema, Spec: spec}), batch)
			var raw bytes.Buffer
			manifest, err := iceberg.WriteManifest("m.avro", &raw, 3, spec, schema, 1, entries(files))
			require.NoError(t, err)
			read, err := iceberg.ReadManifest(manifest, &raw, false)
			require.NoError(t, err)
			require.Len(t, read, len(files))
			for i, entry := range read {
				require.Equal(t, fmt.Sprint(files[i].Partition()[1000]),
					fmt.Sprint(entry.DataFile().Partition()[1000]))
				require.EqualValues(t, files[i].Count(), entry.DataFile().Count())
			}
		})
	}
}

func entries(files []iceberg.DataFile) []iceberg.ManifestEntry {
	snapshot := int64(1)
	var out []iceberg.ManifestEntry
	for _, f := range files {
		out = append(out, iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, f))
	}
	return out
}

func TestPartitionSpecsThatCannotBeAreRefused(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, optional(1, "a", types.Float64),
		optional(2, "l", &iceberg.ListType{ElementID: 3, Element: types.Int32}))
	for want, field := range map[string]iceberg.PartitionField{
		"does not take column a of type double": {SourceIDs: []int{1}, Transform: iceberg.DayTransform{}},
		"values in lists and maps":              {SourceIDs: []int{3}, Transform: iceberg.IdentityTransform{}},
		"no field with id 9":                    {SourceIDs: []int{9}, Transform: iceberg.IdentityTransform{}},
	} {
		field.FieldID, field.Name = 1000, "p"
		_, err := NewWriter(newStore(), WriterOptions{Schema: schema, Location: "mem://lake/t",
			ChangeID: testChange, Spec: iceberg.NewPartitionSpec(field)})
		require.ErrorContains(t, err, want)
	}
}
