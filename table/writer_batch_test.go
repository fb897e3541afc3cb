package table

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

// optional and required make fields of test schemas.
func optional(id int, name string, typ iceberg.Type) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: typ}
}

func required(id int, name string, typ iceberg.Type) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: typ, Required: true}
}

// everyType is a schema with every type that firth writes, nested ones included.
func everyType() *iceberg.Schema {
	types := iceberg.PrimitiveTypes
	return iceberg.NewSchema(7,
		required(1, "id", types.Int64),
		optional(2, "flag", types.Bool),
		optional(3, "small", types.Int32),
		optional(4, "single", types.Float32),
		optional(5, "double", types.Float64),
		optional(6, "day", types.Date),
		optional(7, "time", types.Time),
		optional(8, "local", types.Timestamp),
		optional(9, "instant", types.TimestampTz),
		optional(10, "local_ns", types.TimestampNs),
		optional(11, "instant_ns", types.TimestampTzNs),
		optional(12, "text", types.String),
		optional(13, "bytes", types.Binary),
		optional(14, "uuid", types.UUID),
		optional(15, "fixed", iceberg.FixedTypeOf(5)),
		optional(16, "dec9", iceberg.DecimalTypeOf(9, 2)),
		optional(17, "dec18", iceberg.DecimalTypeOf(18, 4)),
		optional(18, "dec38", iceberg.DecimalTypeOf(38, 10)),
		optional(19, "place", &iceberg.StructType{FieldList: []iceberg.NestedField{
			required(20, "city", types.String),
			optional(21, "lat", types.Float64),
			optional(22, "inner", &iceberg.StructType{FieldList: []iceberg.NestedField{
				optional(23, "at", types.TimestampTz), optional(24, "owner", types.UUID),
			}}),
		}}),
		optional(25, "tags", &iceberg.ListType{ElementID: 26, Element: types.String}),
		optional(27, "lines", &iceberg.ListType{ElementID: 28, ElementRequired: true,
			Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
				optional(29, "sku", types.String), optional(30, "price", iceberg.DecimalTypeOf(12, 2)),
			}}}),
		optional(31, "attributes", &iceberg.MapType{
			KeyID: 32, KeyType: types.String, ValueID: 33, ValueType: types.Int32}),
	)
}

// dice makes random batches, the same for the same seed.
type dice struct {
	*rand.Rand
	mem   memory.Allocator
	nulls float64 // share of nulls in optional fields
	span  int64   // integers are in [-span, span), 0 for all
}

func newDice(seed uint64, mem memory.Allocator) *dice {
	return &dice{Rand: rand.New(rand.NewPCG(seed, 7)), mem: mem, nulls: 0.2}
}

func (d *dice) batch(t testing.TB, schema *iceberg.Schema, rows int) arrow.RecordBatch {
	t.Helper()
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	builder := array.NewRecordBuilder(d.mem, arrowSchema)
	defer builder.Release()
	for range rows {
		for i, field := range arrowSchema.Fields() {
			d.append(builder.Field(i), field)
		}
	}
	return builder.NewRecordBatch()
}

func (d *dice) append(b array.Builder, field arrow.Field) {
	if field.Nullable && d.Float64() < d.nulls {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(d.IntN(2) == 1)
	case *array.Int32Builder:
		b.Append(int32(d.integer(math.MaxInt32)))
	case *array.Int64Builder:
		b.Append(d.integer(math.MaxInt64))
	case *array.Float32Builder:
		b.Append(float32(d.float()))
	case *array.Float64Builder:
		b.Append(d.float())
	case *array.Date32Builder:
		b.Append(arrow.Date32(d.integer(100_000)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(d.Int64N(microsPerDay)))
	case *array.TimestampBuilder:
		limit := int64(4_000_000_000_000_000)
		if b.Type().(*arrow.TimestampType).Unit == arrow.Nanosecond {
			limit *= 1000
		}
		b.Append(arrow.Timestamp(d.integer(limit)))
	case *array.StringBuilder:
		b.Append(d.text())
	case *array.BinaryBuilder:
		b.Append([]byte(d.text()))
	case *array.FixedSizeBinaryBuilder:
		value := make([]byte, b.Type().(*arrow.FixedSizeBinaryType).ByteWidth)
		for i := range value {
			value[i] = byte(d.IntN(256))
		}
		b.Append(value)
	case *array.Decimal128Builder:
		b.Append(d.decimal(b.Type().(*arrow.Decimal128Type).Precision))
	case *array.StructBuilder:
		b.Append(true)
		for i, child := range field.Type.(*arrow.StructType).Fields() {
			d.append(b.FieldBuilder(i), child)
		}
	case *array.MapBuilder:
		b.Append(true)
		for i := range d.IntN(4) {
			b.KeyBuilder().(*array.StringBuilder).Append(fmt.Sprintf("k%d%s", i, d.text()))
			d.append(b.ItemBuilder(), field.Type.(*arrow.MapType).ItemField())
		}
	case *array.ListBuilder:
		b.Append(true)
		for range d.IntN(4) {
			d.append(b.ValueBuilder(), field.Type.(*arrow.ListType).ElemField())
		}
	default:
		panic(fmt.Sprintf("BUG: no random values for %T", b))
	}
}

func (d *dice) integer(limit int64) int64 {
	if d.span > 0 {
		limit = min(limit, d.span)
	}
	v := d.Int64N(limit)
	if d.IntN(2) == 0 {
		v = -v - 1
	}
	return v
}

func (d *dice) float() float64 {
	switch d.IntN(12) {
	case 0:
		return math.NaN()
	case 1:
		return math.Copysign(0, -1)
	case 2:
		return 0
	case 3:
		return math.Inf(1)
	}
	return d.NormFloat64() * 1000
}

func (d *dice) decimal(precision int32) decimal128.Num {
	digits := 1 + d.IntN(int(precision))
	v := decimal128.FromU64(0)
	for range digits {
		v = v.Mul(decimal128.FromU64(10)).Add(decimal128.FromU64(uint64(d.IntN(10))))
	}
	if d.IntN(2) == 0 {
		v = v.Negate()
	}
	return v
}

func (d *dice) text() string {
	letters := []rune("abcdefghijXYZ0123456789 éß世界😀")
	out := make([]rune, d.IntN(24))
	for i := range out {
		out[i] = letters[d.IntN(len(letters))]
	}
	return string(out)
}

func TestBatchOfAnotherSchemaIsRefused(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	w := testWriter(t, newStore(), WriterOptions{Schema: iceberg.NewSchema(0,
		required(1, "id", iceberg.PrimitiveTypes.Int64),
		optional(2, "text", iceberg.PrimitiveTypes.String))})
	refuse := func(schema *iceberg.Schema, want string) {
		batch := newDice(1, mem).batch(t, schema, 50)
		defer batch.Release()
		require.ErrorContains(t, w.Write(t.Context(), batch), want)
	}
	refuse(iceberg.NewSchema(0, required(1, "id", iceberg.PrimitiveTypes.Int64)),
		"batch has 1 columns, the table's schema 2")
	refuse(iceberg.NewSchema(0, required(1, "id", iceberg.PrimitiveTypes.Int32),
		optional(2, "text", iceberg.PrimitiveTypes.String)), "column id: batch holds int32")
	refuse(iceberg.NewSchema(0, optional(1, "id", iceberg.PrimitiveTypes.Int64),
		optional(2, "text", iceberg.PrimitiveTypes.String)), "column id is required")
	refuse(iceberg.NewSchema(0, required(1, "id", iceberg.PrimitiveTypes.Int64),
		optional(3, "text", iceberg.PrimitiveTypes.String)), "field id 3 in the batch, 2 in the table")
	require.NoError(t, w.Abort(t.Context()))
}
