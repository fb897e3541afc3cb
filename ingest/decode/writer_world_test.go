package decode

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/messageschema"
)

// writerWorld makes random tables for the records of a random writer.
type writerWorld struct {
	world
	options Options
	writer  WriterOptions
}

func newWriterWorld(seed uint64, format Format) *writerWorld {
	w := &writerWorld{world: world{random: rand.New(rand.NewPCG(seed, 29))},
		options: Options{Format: format, Columns: map[string]ColumnOptions{}},
		writer:  WriterOptions{Former: map[string][]string{}}}
	if w.chance(2) {
		w.options.DepthMax = 3 + w.random.IntN(6)
	}
	return w
}

// table makes a table out of the columns that the writer's schema asks for: mostly these, but here
// and there of another type, under another name, in another order, left out or added.
func (w *writerWorld) table(t testing.TB, columns messageschema.Columns) *Plan {
	t.Helper()
	fields := columns.Fields
	if w.chance(4) {
		fields = w.lifted(fields)
	}
	if !w.chance(3) {
		fields = w.changed(fields, "")
	}
	if len(fields) == 0 {
		fields = w.added(nil)
	}
	schema := messageschema.Columns{Fields: fields}.Schema()
	for path := range w.options.Columns {
		if _, ok := schema.FindFieldByName(path); !ok {
			delete(w.options.Columns, path)
		}
	}
	plan, err := NewWriterPlan(t.Context(), schema, w.options, w.writer)
	if errors.Is(err, errAmbiguous) {
		t.Skip("two columns would take one field")
	}
	require.NoError(t, err)
	return plan
}

// lifted makes top-level columns of the fields of some structs, which path options lead to.
func (w *writerWorld) lifted(fields []iceberg.NestedField) []iceberg.NestedField {
	var out []iceberg.NestedField
	for _, field := range fields {
		inner, ok := field.Type.(*iceberg.StructType)
		if ok == w.chance(3) {
			out = append(out, field)
			continue
		}
		if !ok { // a path through what is no record leads nowhere
			inner = &iceberg.StructType{FieldList: w.fieldList(0)[:1]}
		}
		for _, lifted := range inner.FieldList {
			name := lifted.Name
			lifted.Name = field.Name + "_" + name
			w.options.Columns[lifted.Name] = ColumnOptions{Path: []string{field.Name, name}}
			out = append(out, lifted)
		}
	}
	return out
}

func (w *writerWorld) changed(fields []iceberg.NestedField, within string) []iceberg.NestedField {
	var out []iceberg.NestedField
	for _, field := range fields {
		if w.chance(10) {
			continue
		}
		if w.chance(12) {
			field.Required = !field.Required
		}
		name := field.Name
		if _, lifted := w.options.Columns[within+name]; !lifted && w.chance(6) {
			field.Name = []string{"old_", "new_", "path_"}[w.random.IntN(3)] + name
			switch {
			case strings.HasPrefix(field.Name, "new_"):
				w.writer.Former[within+field.Name] = []string{"x", name}
			case strings.HasPrefix(field.Name, "path_"):
				w.options.Columns[within+field.Name] = ColumnOptions{Path: []string{name}}
			}
		}
		field.Type = w.changedType(field.Type, within+field.Name)
		w.timed(field, within)
		out = append(out, field)
	}
	if w.chance(4) {
		out = w.added(out)
	}
	if w.chance(4) {
		w.random.Shuffle(len(out), func(i, k int) { out[i], out[k] = out[k], out[i] })
	}
	if len(out) == 0 {
		return w.added(nil)
	}
	return out
}

func (w *writerWorld) added(fields []iceberg.NestedField) []iceberg.NestedField {
	return append(fields, iceberg.NestedField{Name: "added", Type: w.scalarType(), Required: w.chance(4)})
}

// timed sometimes says how numbers in a column of time count.
func (w *writerWorld) timed(field iceberg.NestedField, within string) {
	if w.chance(2) {
		options := w.options.Columns[within+field.Name]
		options.Time = []TimeFormat{TimeAuto, TimeISO, TimeSeconds, TimeMillis, TimeMicros,
			TimeNanos}[w.random.IntN(6)]
		w.options.Columns[within+field.Name] = options
	}
}

func (w *writerWorld) changedType(of iceberg.Type, path string) iceberg.Type {
	switch of := of.(type) {
	case *iceberg.StructType:
		if w.chance(20) {
			break
		}
		return &iceberg.StructType{FieldList: w.changed(of.FieldList, path+".")}
	case *iceberg.ListType:
		if w.chance(20) {
			break
		}
		return &iceberg.ListType{Element: w.changedType(of.Element, path+".element"),
			ElementRequired: of.ElementRequired != w.chance(12)}
	case *iceberg.MapType:
		if w.chance(20) {
			break
		}
		key := of.KeyType
		if w.chance(12) {
			key = w.scalarType()
		}
		return &iceberg.MapType{KeyType: key, ValueType: w.changedType(of.ValueType, path+".value"),
			ValueRequired: of.ValueRequired != w.chance(12)}
	default:
		if !w.chance(4) {
			return of
		}
		if near := w.nearType(of); near != nil {
			return near
		}
	}
	return w.scalarType()
}

// nearType is a type that values of another one may go into, or nil.
func (w *writerWorld) nearType(of iceberg.Type) iceberg.Type {
	prim := iceberg.PrimitiveTypes
	families := [][]iceberg.Type{
		{prim.Int32, prim.Int64, prim.Float32, prim.Float64, iceberg.DecimalTypeOf(9, 2), prim.Date, prim.TimestampTz,
			prim.Time, prim.TimestampNs, iceberg.DecimalTypeOf(38, 20)},
		{prim.Float32, prim.Float64}, {prim.Date, prim.Int32, prim.Int64}, {prim.Time, prim.Int32, prim.Int64},
		{prim.Timestamp, prim.TimestampTz, prim.TimestampNs, prim.TimestampTzNs, prim.Int64},
		{prim.String, prim.Binary, prim.UUID}, {prim.Binary, prim.String, prim.UUID, iceberg.FixedTypeOf(3)},
	}
	if decimal, ok := of.(iceberg.DecimalType); ok {
		precision := 1 + w.random.IntN(38)
		families = append(families, []iceberg.Type{decimal, prim.Binary,
			iceberg.DecimalTypeOf(precision, min(precision, decimal.Scale())),
			iceberg.DecimalTypeOf(precision, w.random.IntN(precision+1))})
	}
	for _, family := range families {
		if slices.ContainsFunc(family, of.Equals) && w.chance(2) {
			return family[w.random.IntN(len(family))]
		}
	}
	return nil
}

// number is an integer, often a small one or one at the edge of what some column holds.
func (w *writerWorld) number() int64 {
	edges := []int64{0, -1, 1, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt64,
		math.MinInt64, 63, 64, -64, -65, 8191, 8192, 86399999, 86400000, 86400e6 - 1, 86400e6, 99999999999,
		100000000000, 1e14, 1e17, -1e11, 16777217, 9007199254740993, 9223372036854, 9223372036855, 1<<55 + 1,
		1<<56 - 1, 1 << 56, 1<<48 - 1, -1 << 55, 1<<62 + 1}
	switch w.random.IntN(4) {
	case 0:
		return edges[w.random.IntN(len(edges))]
	case 1:
		return w.random.Int64() >> w.random.IntN(64)
	case 2:
		return -(w.random.Int64() >> w.random.IntN(64))
	}
	return int64(w.random.IntN(200))
}

// text is a string; sometimes it is none.
func (w *writerWorld) text() string {
	switch w.random.IntN(6) {
	case 0:
		return w.word()
	case 1:
		return strings.Repeat("x", w.random.IntN(300)/(1+w.random.IntN(30)))
	case 2:
		return strings.Repeat("ä€x", w.random.IntN(20))
	case 3:
		if w.chance(4) {
			bad := []string{"\xff", "\xc3", "\xed\xa0\x80", "\xf0\x9f"}[w.random.IntN(4)]
			return strings.Repeat("y", w.random.IntN(20)) + bad + strings.Repeat("z", w.random.IntN(20))
		}
	}
	return strings.Repeat("k", w.random.IntN(18))
}

func (w *writerWorld) real() float64 {
	values := []float64{0, math.Copysign(0, -1), 1.5, 0.1, math.NaN(), math.Inf(1), math.MaxFloat64, 5e-324,
		math.MaxFloat32, 16777217, -1e-45}
	if w.chance(2) {
		return values[w.random.IntN(len(values))]
	}
	return float64(w.random.IntN(1000)) / 8
}

// mutate puts bytes into a value, over what is there or between.
func mutate(value, bytes []byte, at uint16) []byte {
	from := int(at>>1) % (len(value) + 1)
	to := from
	if at&1 != 0 {
		to = min(len(value), from+len(bytes))
	}
	return slices.Concat(value[:from], bytes, value[to:])
}

// damaged makes a value that is probably none of the schema.
func (w *writerWorld) damaged(value []byte) []byte {
	switch at := w.random.IntN(len(value) + 1); w.random.IntN(4) {
	case 0:
		return slices.Clone(value[:at])
	case 1:
		return append(slices.Clone(value), value[at:]...)
	case 2:
		other := append(slices.Clone(value), 0)
		other[at] ^= 1 << w.random.IntN(8)
		return other[:len(value)]
	}
	return mutate(value, []byte{byte(w.random.Uint32()), 0x80}[:1+w.random.IntN(2)], uint16(w.random.Uint32()))
}
