package columnchunk

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// dice makes random schemas and batches, the same for the same seed.
type dice struct {
	*rand.Rand
	nulls    float64 // share of nulls in optional fields
	distinct int     // values of a column come from so many; 0 for any
	longest  int     // text
}

func newDice(seed uint64) *dice {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 11))}
	d.nulls = []float64{0, 0.01, 0.3, 1}[d.IntN(4)]
	d.distinct = []int{0, 1, 5, 300}[d.IntN(4)]
	d.longest = []int{1, 8, 40, 3000}[d.IntN(4)]
	return d
}

func (d *dice) schema() *arrow.Schema {
	fields := make([]arrow.Field, 1+d.IntN(6))
	for i := range fields {
		fields[i] = d.field(fmt.Sprintf("c%d", i), 2)
	}
	return arrow.NewSchema(fields, nil)
}

func (d *dice) field(name string, depth int) arrow.Field {
	types := []arrow.DataType{
		arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Date32,
		arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Timestamp_us,
		&arrow.TimestampType{Unit: arrow.Nanosecond},
		arrow.BinaryTypes.String, arrow.BinaryTypes.String, arrow.BinaryTypes.Binary,
		&arrow.FixedSizeBinaryType{ByteWidth: 1 + d.IntN(20)}, &arrow.FixedSizeBinaryType{ByteWidth: 16},
		&arrow.Decimal128Type{Precision: int32(1 + d.IntN(9)), Scale: 1},
		&arrow.Decimal128Type{Precision: int32(10 + d.IntN(9)), Scale: 3},
		&arrow.Decimal128Type{Precision: int32(19 + d.IntN(20)), Scale: 5},
	}
	f := arrow.Field{Name: name, Nullable: d.IntN(4) > 0}
	switch n := d.IntN(len(types) + 7); {
	case n < len(types):
		f.Type = types[n]
	case depth == 0:
		f.Type = arrow.PrimitiveTypes.Int64
	case n < len(types)+2:
		f.Type = arrow.ListOfField(d.field("element", depth-1))
	case n < len(types)+4:
		key := arrow.Field{Name: "key", Type: arrow.BinaryTypes.String}
		f.Type = arrow.MapOfFields(key, d.field("value", depth-1))
	default:
		children := make([]arrow.Field, 1+d.IntN(3))
		for i := range children {
			children[i] = d.field(fmt.Sprintf("%s_%d", name, i), depth-1)
		}
		f.Type = arrow.StructOf(children...)
	}
	return f
}

// batch makes rows; they may be a slice of a longer batch.
func (d *dice) batch(mem memory.Allocator, schema *arrow.Schema, rows int) arrow.RecordBatch {
	before, after := d.IntN(20), d.IntN(20)
	builder := array.NewRecordBuilder(mem, schema)
	defer builder.Release()
	for range before + rows + after {
		for i, field := range schema.Fields() {
			d.append(builder.Field(i), field)
		}
	}
	whole := builder.NewRecordBatch()
	defer whole.Release()
	return whole.NewSlice(int64(before), int64(before+rows))
}

func (d *dice) append(b array.Builder, field arrow.Field) {
	if field.Nullable && d.Float64() < d.nulls {
		b.AppendNull()
		return
	}
	if d.distinct > 0 {
		if _, ok := b.Type().(arrow.NestedType); !ok {
			one := *d
			one.Rand = rand.New(rand.NewPCG(d.Uint64N(uint64(d.distinct)), uint64(d.longest)))
			one.value(b, field)
			return
		}
	}
	d.value(b, field)
}

func (d *dice) value(b array.Builder, field arrow.Field) {
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
		b.Append(arrow.Time64(d.Int64N(86_400_000_000)))
	case *array.TimestampBuilder:
		micros := d.integer(4_000_000_000_000_000)
		if field.Type.(*arrow.TimestampType).Unit == arrow.Nanosecond {
			micros *= 1000 // Python's times have no nanoseconds
		}
		b.Append(arrow.Timestamp(micros))
	case *array.StringBuilder:
		b.Append(d.text())
	case *array.BinaryBuilder:
		b.Append(d.bytes(d.IntN(d.longest + 1)))
	case *array.FixedSizeBinaryBuilder:
		b.Append(d.bytes(field.Type.(*arrow.FixedSizeBinaryType).ByteWidth))
	case *array.Decimal128Builder:
		b.Append(d.decimal(field.Type.(*arrow.Decimal128Type).Precision))
	case *array.StructBuilder:
		b.Append(true)
		for i, child := range field.Type.(*arrow.StructType).Fields() {
			d.append(b.FieldBuilder(i), child)
		}
	case *array.MapBuilder:
		b.Append(true)
		for i := range d.elements() {
			b.KeyBuilder().(*array.StringBuilder).Append(fmt.Sprint("k", i))
			d.append(b.ItemBuilder(), field.Type.(*arrow.MapType).ItemField())
		}
	case *array.ListBuilder:
		b.Append(true)
		for range d.elements() {
			d.append(b.ValueBuilder(), field.Type.(*arrow.ListType).ElemField())
		}
	default:
		panic(fmt.Sprintf("BUG: no random values for %T", b))
	}
}

// elements are few mostly; a list may have more than a page takes.
func (d *dice) elements() int {
	if d.IntN(50) == 0 {
		return d.IntN(60)
	}
	return d.IntN(4)
}

func (d *dice) integer(limit int64) int64 {
	switch d.IntN(8) {
	case 0:
		return limit
	case 1:
		return -limit - 1
	case 2, 3:
		return int64(d.IntN(3))
	}
	return d.Int64N(limit) >> d.IntN(40)
}

func (d *dice) float() float64 {
	switch d.IntN(9) {
	case 0:
		return math.NaN()
	case 1:
		return math.Copysign(0, -1)
	case 2:
		return 0
	case 3:
		return math.Inf(1 - 2*d.IntN(2))
	}
	return d.NormFloat64() * 1000
}

func (d *dice) decimal(precision int32) decimal128.Num {
	v := decimal128.FromU64(0)
	for range 1 + d.IntN(int(precision)) {
		v = v.Mul(decimal128.FromU64(10)).Add(decimal128.FromU64(uint64(d.IntN(10))))
	}
	if d.IntN(2) == 0 {
		v = v.Negate()
	}
	return v
}

func (d *dice) text() string {
	if d.longest == 8 { // all of one length
		return fmt.Sprintf("%08x", d.Uint32())
	}
	letters := []rune("abcdefghijXYZ0123456789 éß世界😀\U0010ffff\ud7ff\x7f")
	var b strings.Builder
	for n := d.IntN(d.longest + 1); b.Len() < n; {
		b.WriteRune(letters[d.IntN(len(letters))])
	}
	return b.String()
}

func (d *dice) bytes(n int) []byte {
	value := make([]byte, n)
	for i := range value {
		value[i] = byte(d.IntN(256))
	}
	return value
}
