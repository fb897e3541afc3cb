//go:build duckdb_arrow

package duckdb

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/vector"
)

// history is a random table: columns that come, go, change name and type, and rows that are deleted.
type history struct {
	rng    *rand.Rand
	table  *lakeTable
	fields []iceberg.NestedField
	nextID int
	data   []iceberg.DataFile
	// deletes of each data file, and the positions that are deleted
	deletes map[string][]iceberg.DataFile
	gone    map[string]map[int64]bool
}

func (h *history) id() int {
	h.nextID++
	return h.nextID
}

// typ draws a type; depth bounds nesting.
func (h *history) typ(depth int) iceberg.Type {
	simple := []iceberg.Type{iceberg.PrimitiveTypes.Bool, iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64,
		iceberg.PrimitiveTypes.Float32, iceberg.PrimitiveTypes.Float64, iceberg.PrimitiveTypes.Date,
		iceberg.PrimitiveTypes.Time, iceberg.PrimitiveTypes.Timestamp, iceberg.PrimitiveTypes.TimestampTz,
		iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.Binary, iceberg.PrimitiveTypes.UUID,
		iceberg.FixedTypeOf(5), iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(30, 4)}
	if h.table.meta.Version() >= 3 {
		simple = append(simple, iceberg.TimestampNsType{})
	}
	if depth == 0 || h.rng.IntN(4) > 0 {
		return simple[h.rng.IntN(len(simple))]
	}
	switch h.rng.IntN(3) {
	case 0:
		return &iceberg.ListType{ElementID: h.id(), Element: h.inner(depth - 1)}
	case 1:
		return &iceberg.MapType{KeyID: h.id(), KeyType: iceberg.PrimitiveTypes.String, ValueID: h.id(),
			ValueType: h.inner(depth - 1)}
	}
	fields := []iceberg.NestedField{{ID: h.id(), Name: "a", Type: h.inner(depth - 1)}}
	if h.rng.IntN(2) == 0 {
		fields = append(fields, iceberg.NestedField{ID: h.id(), Name: "b", Type: h.inner(depth - 1)})
	}
	return &iceberg.StructType{FieldList: fields}
}

// inner is a type inside another. Tests write uuids as such at the top only.
func (h *history) inner(depth int) iceberg.Type {
	for {
		if typ := h.typ(depth); !typ.Equals(iceberg.PrimitiveTypes.UUID) {
			return typ
		}
	}
}

// grown is a type that typ may become.
func (h *history) grown(typ iceberg.Type) iceberg.Type {
	switch t := typ.(type) {
	case iceberg.Int32Type:
		return iceberg.PrimitiveTypes.Int64
	case iceberg.Float32Type:
		return iceberg.PrimitiveTypes.Float64
	case iceberg.DecimalType:
		return iceberg.DecimalTypeOf(min(38, t.Precision()+3), t.Scale())
	case *iceberg.StructType:
		fields := slices.Clone(t.FieldList)
		at := h.rng.IntN(len(fields))
		fields[at].Type = h.grown(fields[at].Type)
		if h.rng.IntN(2) == 0 {
			fields[at].Name += "_n"
		} else {
			fields = append(fields, iceberg.NestedField{ID: h.id(), Name: fmt.Sprintf("f%d", h.nextID),
				Type: iceberg.PrimitiveTypes.Int32})
		}
		return &iceberg.StructType{FieldList: fields}
	case *iceberg.ListType:
		return &iceberg.ListType{ElementID: t.ElementID, Element: h.grown(t.Element)}
	}
	return typ
}

// names collide in case, and with what DuckDB calls things.
func (h *history) name() string {
	words := []string{"id", "Id", "file_index", "file_row_number", "d", "x", "pos", "file", "order", `quo"te`, "ä b",
		"filename"}
	return words[h.rng.IntN(len(words))]
}

func (h *history) free(name string) string {
	for slices.ContainsFunc(h.fields, func(f iceberg.NestedField) bool { return f.Name == name }) {
		name += "_"
	}
	return name
}

func (h *history) evolve() {
	h.fields = slices.Clone(h.fields)
	at := h.rng.IntN(len(h.fields))
	switch h.rng.IntN(5) {
	case 0:
		field := iceberg.NestedField{ID: h.id(), Name: h.free(h.name()), Type: h.typ(2)}
		if h.table.meta.Version() >= 3 && h.rng.IntN(2) == 0 {
			field.Type, field.InitialDefault = h.initial()
			field.WriteDefault = field.InitialDefault
		}
		h.fields = slices.Insert(h.fields, at, field)
	case 1:
		h.fields[at].Name = h.free(h.name())
	case 2:
		h.fields[at].Type = h.grown(h.fields[at].Type)
	case 3:
		if len(h.fields) > 1 {
			h.fields = slices.Delete(h.fields, at, at+1)
		}
	case 4:
		h.rng.Shuffle(len(h.fields), func(i, j int) { h.fields[i], h.fields[j] = h.fields[j], h.fields[i] })
	}
	h.table.evolve(h.fields...)
}

// initial is a type with a default.
func (h *history) initial() (iceberg.Type, any) {
	switch h.rng.IntN(5) {
	case 0:
		return iceberg.PrimitiveTypes.Int64, int64(-7)
	case 1:
		return iceberg.PrimitiveTypes.String, "it's"
	case 2:
		return iceberg.PrimitiveTypes.Bool, true
	case 3:
		return iceberg.PrimitiveTypes.Float64, 2.5
	}
	return iceberg.PrimitiveTypes.Int32, int32(11)
}

// rows draws rows of the present schema.
func (h *history) rows(count int) string {
	rows := make([]map[string]any, count)
	for i := range rows {
		rows[i] = map[string]any{}
		for _, field := range h.fields {
			rows[i][field.Name] = h.value(field.Type)
		}
	}
	text, err := json.Marshal(rows)
	require.NoError(h.table.lake.t, err)
	return string(text)
}

func (h *history) value(typ iceberg.Type) any {
	if h.rng.IntN(5) == 0 {
		return nil
	}
	n := h.rng.IntN(100)
	switch t := typ.(type) {
	case iceberg.BooleanType:
		return n%2 == 0
	case iceberg.Int32Type, iceberg.Int64Type:
		return n - 50
	case iceberg.Float32Type, iceberg.Float64Type:
		return float64(n) / 8
	case iceberg.DateType:
		return fmt.Sprintf("19%02d-02-03", n)
	case iceberg.TimeType:
		return fmt.Sprintf("10:11:%02d.123456", n%60)
	case iceberg.TimestampType:
		return fmt.Sprintf("20%02d-02-03 04:05:06.123456", n)
	case iceberg.TimestampTzType:
		return fmt.Sprintf("20%02d-02-03 04:05:06.123456Z", n)
	case iceberg.TimestampNsType:
		return fmt.Sprintf("20%02d-02-03 04:05:06.123456789", n)
	case iceberg.StringType:
		return strings.Repeat("é", n%4) + fmt.Sprint(n)
	case iceberg.BinaryType:
		return base64.StdEncoding.EncodeToString([]byte{byte(n), 0, 255}[:n%4%3])
	case iceberg.FixedType:
		return base64.StdEncoding.EncodeToString([]byte{byte(n), 0, 255, 1, 2})
	case iceberg.UUIDType:
		return uuid.NewSHA1(uuid.Nil, []byte{byte(n)}).String()
	case iceberg.DecimalType:
		return fmt.Sprintf("-%d.%0*d", n, t.Scale(), n)
	case *iceberg.ListType:
		list := []any{}
		for range n % 3 {
			list = append(list, h.value(t.Element))
		}
		return list
	case *iceberg.MapType:
		list := []any{}
		for i := range n % 3 {
			list = append(list, map[string]any{"key": fmt.Sprint(i), "value": h.value(t.ValueType)})
		}
		return list
	case *iceberg.StructType:
		object := map[string]any{}
		for _, field := range t.FieldList {
			object[field.Name] = h.value(field.Type)
		}
		return object
	}
	panic("BUG: " + typ.String())
}

// remove deletes rows of a data file by position.
func (h *history) remove() {
	file := h.data[h.rng.IntN(len(h.data))]
	path := file.FilePath()
	if h.gone[path] == nil {
		h.gone[path] = map[int64]bool{}
	}
	var positions []int64
	for position := range file.Count() {
		if h.rng.IntN(3) == 0 && !h.gone[path][position] {
			positions = append(positions, position)
			h.gone[path][position] = true
		}
	}
	if len(positions) == 0 {
		return
	}
	target := vector.Target{File: file, Positions: positions}
	files := h.table.deletes(target)
	if h.table.meta.Version() >= 3 && len(h.deletes[path]) > 0 {
		return // a second vector takes the place of the first, which these manifests cannot say
	}
	h.deletes[path] = files
	h.table.commit(files...)
}

// unsee hides other rows of a file than before.
func (h *history) unsee() {
	file, rows := h.data[h.rng.IntN(len(h.data))], roaring.New()
	for position := range uint32(file.Count()) {
		if h.rng.IntN(3) == 0 {
			rows.Add(position)
		}
	}
	h.table.lake.unseen[file.FilePath()] = rows
}

func TestRowsAreThoseOfTableRead(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := newLake(t)
			h := &history{rng: rand.New(rand.NewPCG(seed, 1)), deletes: map[string][]iceberg.DataFile{},
				gone: map[string]map[int64]bool{}}
			h.fields = []iceberg.NestedField{{ID: h.id(), Name: "id", Type: iceberg.PrimitiveTypes.Int64}}
			h.table = l.create("db.t", []string{"2", "3"}[seed%2], h.fields...)
			h.fields = append(h.fields, iceberg.NestedField{ID: h.id(), Name: "v", Type: h.typ(2)})
			h.table.evolve(h.fields...)
			e := l.engine()
			for range 8 {
				switch n := h.rng.IntN(4); {
				case n < 2 || len(h.data) == 0:
					file := h.table.parquet(h.rows(1 + h.rng.IntN(120)))
					h.data = append(h.data, file)
					h.table.commit(file)
					if h.rng.IntN(3) == 0 {
						h.table.hold(file)
					}
				case n == 2:
					h.evolve()
				default:
					h.remove()
				}
				if h.rng.IntN(3) == 0 {
					h.unsee()
				}
				got, err := ask(t.Context(), e, "SELECT * FROM db.t")
				require.NoError(t, err, h.table.meta.CurrentSchema())
				want := h.table.read(table.Scan{})
				require.Equal(t, want, got, h.table.meta.CurrentSchema())
				got, err = ask(t.Context(), e, "SELECT count(*) FROM db.t")
				require.NoError(t, err)
				require.Equal(t, []string{fmt.Sprint(len(want))}, got)
			}
		})
	}
}

func TestEqualityDeletesTakeOutRows(t *testing.T) {
	l := newLake(t)
	events := l.create("db.events", "2", idName()...)
	first := events.parquet(`[{"id": 1, "Name": "a"}, {"id": 2, "Name": "b"}, {"id": 3}, {"id": 4, "Name": "d"}]`)
	events.commit(first)
	events.commit(events.equality("id", `[{"id": 2}]`))
	events.commit(events.equality("Name", `[{"Name": null}]`),
		events.parquet(`[{"id": 2, "Name": "again"}, {"id": 5}]`))
	events.commit(events.deletes(vector.Target{File: first, Positions: []int64{3}})...)
	got, err := ask(t.Context(), l.engine(), "SELECT id, name FROM db.events")
	require.NoError(t, err)
	require.Equal(t, []string{"1 | a", "2 | again", "5 | -"}, got)
	require.Equal(t, got, events.read(table.Scan{}))
}

// TestFilesOfOthersAreReadAsTheyAreMeant has columns that Parquet says less about than DuckDB needs.
func TestFilesOfOthersAreReadAsTheyAreMeant(t *testing.T) {
	l := newLake(t)
	fields := []iceberg.NestedField{{ID: 1, Name: "text", Type: iceberg.PrimitiveTypes.String},
		{ID: 2, Name: "unit", Type: iceberg.PrimitiveTypes.UUID},
		{ID: 3, Name: "at", Type: iceberg.PrimitiveTypes.TimestampTz}}
	events := l.create("db.events", "2", fields...)
	id := func(n string) arrow.Metadata { return arrow.NewMetadata([]string{fieldIDKey}, []string{n}) }
	form := arrow.NewSchema([]arrow.Field{
		{Name: "text", Type: arrow.BinaryTypes.Binary, Metadata: id("1"), Nullable: true},
		{Name: "unit", Type: &arrow.FixedSizeBinaryType{ByteWidth: 16}, Metadata: id("2"), Nullable: true},
		{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, Metadata: id("3"),
			Nullable: true},
	}, nil)
	events.commit(events.parquetOf(events.meta.CurrentSchema(), form,
		`[{"text": "w6Q=", "unit": "AAECAwQFBgcICQoLDA0ODw==", "at": "2026-01-02 03:04:05.678Z"}]`))
	got, err := ask(t.Context(), l.engine(), "SELECT text, unit, \"at\" FROM db.events WHERE text = 'ä'")
	require.NoError(t, err)
	require.Equal(t, []string{"ä | 00010203-0405-0607-0809-0a0b0c0d0e0f | 2026-01-02T03:04:05.678Z"}, got)
	require.Equal(t, got, events.read(table.Scan{}))
}
