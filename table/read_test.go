package table_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

func eventsSchema() *iceberg.Schema {
	return iceberg.NewSchema(0,
		optionalField(1, "id", iceberg.PrimitiveTypes.Int32),
		optionalField(2, "name", iceberg.PrimitiveTypes.String),
		optionalField(3, "price", iceberg.PrimitiveTypes.Float32),
		optionalField(4, "amount", iceberg.DecimalTypeOf(5, 2)),
		optionalField(5, "place", &iceberg.StructType{FieldList: []iceberg.NestedField{
			optionalField(6, "x", iceberg.PrimitiveTypes.Int32),
			optionalField(7, "y", iceberg.PrimitiveTypes.Int32),
		}}),
		optionalField(8, "tags", &iceberg.ListType{ElementID: 9, Element: iceberg.PrimitiveTypes.Int32}),
		optionalField(10, "stock", &iceberg.MapType{
			KeyID: 11, KeyType: iceberg.PrimitiveTypes.String,
			ValueID: 12, ValueType: iceberg.PrimitiveTypes.Int32,
		}),
	)
}

// evolvedSchema widens, renames, moves, drops and adds, on all levels.
func evolvedSchema() *iceberg.Schema {
	return iceberg.NewSchema(1,
		optionalField(5, "spot", &iceberg.StructType{FieldList: []iceberg.NestedField{
			optionalField(13, "z", iceberg.PrimitiveTypes.Int64),
			optionalField(7, "why", iceberg.PrimitiveTypes.Int64),
		}}),
		optionalField(1, "number", iceberg.PrimitiveTypes.Int64),
		optionalField(3, "price", iceberg.PrimitiveTypes.Float64),
		optionalField(4, "amount", iceberg.DecimalTypeOf(9, 2)),
		optionalField(14, "id", iceberg.PrimitiveTypes.String),
		optionalField(8, "tags", &iceberg.ListType{ElementID: 9, Element: iceberg.PrimitiveTypes.Int64}),
		optionalField(10, "stock", &iceberg.MapType{
			KeyID: 11, KeyType: iceberg.PrimitiveTypes.String,
			ValueID: 12, ValueType: iceberg.PrimitiveTypes.Int64,
		}),
	)
}

const twoEvents = `[
	{"id": 1, "name": "a", "price": 0.5, "amount": "1.25", "place": {"x": 1, "y": 2}, "tags": [1, 2],
	 "stock": [{"key": "k", "value": 7}]},
	{"id": 2, "name": null, "price": null, "amount": null, "place": null, "tags": null,
	 "stock": null}]`

func TestReadReturnsWhatWasWritten(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	require.Empty(t, l.read(table.Scan{}))
	l.commit(l.parquet(l.meta.CurrentSchema(), twoEvents, twoEvents))
	want := []string{
		`id=1 name=a price=0.5 amount=1.25 place={"x":1,"y":2} tags=[1,2] stock=[{"key":"k","value":7}]`,
		"id=2",
	}
	require.Equal(t, append(want, want...), l.read(table.Scan{}))
}

func TestReadFollowsFieldIDsThroughEvolution(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	old := l.meta.CurrentSchema()
	first := l.commit(l.parquet(old, twoEvents))
	l.evolve(evolvedSchema())
	l.commit(l.parquet(l.meta.CurrentSchema(),
		`[{"number": 5000000000, "spot": {"z": 3, "why": 4}, "id": "new", "tags": [null]}]`))

	require.ElementsMatch(t, []string{
		`spot={"why":2,"z":null} number=1 price=0.5 amount=1.25 tags=[1,2] stock=[{"key":"k","value":7}]`,
		"number=2",
		`spot={"why":4,"z":3} number=5000000000 id=new tags=[null]`,
	}, l.read(table.Scan{}))

	require.Equal(t, []string{"number=1 price=0.5"},
		l.read(table.Scan{Filter: where(t, "number < 2"), Columns: []string{"number", "price"}}))
	require.Equal(t, []string{"number=5000000000"},
		l.read(table.Scan{Filter: where(t, "number > 4000000000"), Columns: []string{"number"}}))
	require.Equal(t, []string{"number=1"},
		l.read(table.Scan{Filter: where(t, "price >= 0.5"), Columns: []string{"number"}}))
	require.Equal(t, []string{"number=2"},
		l.read(table.Scan{Filter: where(t, "spot IS NULL"), Columns: []string{"number"}}))
	require.Equal(t, []string{"number=5000000000"},
		l.read(table.Scan{Filter: where(t, "id = 'new'"), Columns: []string{"number"}}))

	// A snapshot by id is read with its own schema.
	require.Len(t, l.read(table.Scan{SnapshotID: first}), 2)
	require.Contains(t, l.read(table.Scan{SnapshotID: first})[0], `place={"x":1,"y":2}`)
}

func TestReadProjects(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	f := l.parquet(l.meta.CurrentSchema(), twoEvents, twoEvents)
	l.commit(f)
	for want, columns := range map[string][]string{
		"name=a id=1":              {"name", "id"},
		`place={"y":2}`:            {"place.y"},
		`place={"x":1,"y":2} id=1`: {"place", "place.y", "id"},
		"tags=[1,2]":               {"tags.element"},
		fmt.Sprintf("_pos=0 _file=%s", f.FilePath()): {"_pos", "_file"},
		"id=1 _pos=0": {"id", "_pos"},
	} {
		rows := l.read(table.Scan{Columns: columns})
		require.Len(t, rows, 4)
		require.Equal(t, want, rows[0])
	}
	require.Equal(t, []string{"", "", "", ""}, l.read(table.Scan{Columns: []string{}}))
	require.Equal(t, []string{"_pos=0", "_pos=2"},
		l.read(table.Scan{Columns: []string{"_pos"}, Filter: where(t, "place.x = 1")}))
	_, err := l.tryRead(table.Scan{Columns: []string{"nope"}})
	require.ErrorContains(t, err, "unknown column nope: there are id, name, price")
	_, err = l.tryRead(table.Scan{Filter: where(t, "nope = 1")})
	require.ErrorContains(t, err, "unknown column nope")
}

func TestReadAppliesPositionDeletes(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	schema := l.meta.CurrentSchema()
	a := l.parquet(schema, idRows(0, 10), idRows(10, 10))
	b := l.parquet(schema, idRows(20, 3))
	l.commit(a, b)
	l.commit(
		l.deletes(fmt.Sprintf(`[{"file_path": %q, "pos": 0}, {"file_path": %q, "pos": 13}]`,
			a.FilePath(), a.FilePath())),
		l.deletes(fmt.Sprintf(`[{"file_path": %q, "pos": 19}, {"file_path": %q, "pos": 1}]`,
			a.FilePath(), b.FilePath())),
	)
	later := l.parquet(schema, idRows(30, 2))
	l.commit(later)
	want := []string{}
	for i := range 32 {
		if i != 0 && i != 13 && i != 19 && i != 21 && (i < 23 || i >= 30) {
			want = append(want, fmt.Sprintf("id=%d", i))
		}
	}
	require.ElementsMatch(t, want, l.read(table.Scan{Columns: []string{"id"}}))
	require.ElementsMatch(t, []string{"id=12 _pos=12", "id=14 _pos=14"}, l.read(table.Scan{
		Columns: []string{"id", "_pos"}, Filter: where(t, "id BETWEEN 12 AND 14")}))

	tasks, err := table.Plan(t.Context(), l.table(), l.store, table.Scan{})
	require.NoError(t, err)
	for _, task := range tasks {
		want := map[string]int{a.FilePath(): 2, b.FilePath(): 2, later.FilePath(): 0}
		require.Len(t, task.Deletes, want[task.File.FilePath()])
	}
}

func TestReadAppliesDeletionVectors(t *testing.T) {
	l := newLake(t, "3", eventsSchema(), *iceberg.UnpartitionedSpec)
	f := l.parquet(l.meta.CurrentSchema(), idRows(0, 10), idRows(10, 10))
	l.commit(f)
	writer := dv.NewDVWriter(table.FileIO(t.Context(), l.store),
		func(int32) *iceberg.PartitionSpec { return iceberg.UnpartitionedSpec })
	require.NoError(t, writer.Add(f.FilePath(), []int64{0, 1, 2, 3, 11, 19}, 0, nil))
	vectors, err := writer.Flush(t.Context(), lakeRoot+"/data/dv.puffin")
	require.NoError(t, err)
	l.commit(vectors...)
	rows := l.read(table.Scan{Columns: []string{"_pos", "_row_id", "_last_updated_sequence_number"}})
	require.Len(t, rows, 14)
	require.Equal(t, "_pos=4 _row_id=4 _last_updated_sequence_number=1", rows[0])
	require.Equal(t, "_pos=18 _row_id=18 _last_updated_sequence_number=1", rows[13])
}

func TestInitialDefaultsFillOldFiles(t *testing.T) {
	l := newLake(t, "3", iceberg.NewSchema(0, optionalField(1, "id", iceberg.PrimitiveTypes.Int32)),
		*iceberg.UnpartitionedSpec)
	l.commit(l.parquet(l.meta.CurrentSchema(), idRows(1, 1)))
	withDefault := func(id int, name string, typ iceberg.Type, value any) iceberg.NestedField {
		return iceberg.NestedField{
			ID: id, Name: name, Type: typ, Required: true, InitialDefault: value, WriteDefault: value,
		}
	}
	l.evolve(iceberg.NewSchema(1,
		optionalField(1, "id", iceberg.PrimitiveTypes.Int64),
		withDefault(2, "s", iceberg.PrimitiveTypes.String, "x"),
		withDefault(3, "l", iceberg.PrimitiveTypes.Int64, int64(5)),
		withDefault(4, "b", iceberg.PrimitiveTypes.Bool, true),
		withDefault(5, "f", iceberg.PrimitiveTypes.Float64, 1.5),
		withDefault(6, "d", iceberg.PrimitiveTypes.Date, iceberg.Date(1)),
	))
	require.Equal(t, []string{"id=1 s=x l=5 b=true f=1.5 d=1970-01-02"}, l.read(table.Scan{}))
	require.Len(t, l.read(table.Scan{Filter: where(t, "s = 'x' AND l > 4")}), 1)
	require.Empty(t, l.read(table.Scan{Filter: where(t, "s = 'y'")}))
}

func TestFilesWithoutFieldIDsNeedANameMapping(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	plain := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "place", Nullable: true, Type: arrow.StructOf(
			arrow.Field{Name: "y", Type: arrow.PrimitiveTypes.Int32, Nullable: true})},
		{Name: "name", Type: arrow.BinaryTypes.LargeString, Nullable: true},
		{Name: "tags", Type: arrow.LargeListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
	}, nil)
	l.commit(l.parquetOf(l.meta.CurrentSchema(), plain, nil,
		`[{"id": 1, "place": {"y": 2}, "name": "a", "tags": [1]},
		{"id": 2, "name": "b", "tags": [2, 3]}]`))
	_, err := l.tryRead(table.Scan{})
	require.ErrorContains(t, err, "schema.name-mapping.default")
	mapping := `[{"field-id": 1, "names": ["id"]}, {"field-id": 2, "names": ["name"]},
		{"field-id": 5, "names": ["place"], "fields": [{"field-id": 7, "names": ["y"]}]},
		{"field-id": 8, "names": ["tags"], "fields": [{"field-id": 9, "names": ["element"]}]}]`
	l.update(icetable.NewSetPropertiesUpdate(iceberg.Properties{
		"schema.name-mapping.default": mapping,
	}))
	require.Equal(t, []string{`id=1 name=a place={"x":null,"y":2} tags=[1]`, "id=2 name=b tags=[2,3]"},
		l.read(table.Scan{}))
}

func TestReadReportsDamage(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	f := l.parquet(l.meta.CurrentSchema(), idRows(0, 5000))
	l.commit(f)
	tasks, err := table.Plan(t.Context(), l.table(), l.store, table.Scan{})
	require.NoError(t, err)
	counted := objstore.NewFaulty(l.store, nil)
	l.store = counted
	_, err = l.readTasks(tasks)
	require.NoError(t, err)
	ops := counted.Ops()
	inner := newStoreOf(t, l)
	for n := range ops {
		for _, kind := range []objstore.FaultKind{
			objstore.ErrorBefore, objstore.TornRead, objstore.ShortRead, objstore.CrashAfter,
		} {
			l.store = objstore.NewFaulty(inner, objstore.FailAt(n, objstore.Fault{Kind: kind, Bytes: 3}))
			_, err := l.readTasks(tasks)
			require.Error(t, err, "fault %d at operation %d", kind, n)
		}
	}
	l.store = inner
	require.NoError(t, inner.Remove(t.Context(), f.FilePath()))
	_, err = l.readTasks(tasks)
	require.ErrorIs(t, err, objstore.ErrNotFound)
	require.ErrorContains(t, err, f.FilePath())
}

func TestReadStopsWhenTheConsumerDoes(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	l.commit(l.parquet(l.meta.CurrentSchema(), idRows(0, 100)))
	tasks, err := table.Plan(t.Context(), l.table(), l.store, table.Scan{})
	require.NoError(t, err)
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	opts := table.ReadOptions{Allocator: mem, BatchRows: 10}
	for _, err := range table.ReadWith(t.Context(), l.store, tasks[0], opts) {
		require.NoError(t, err)
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	batches := 0
	for _, err := range table.ReadWith(ctx, l.store, tasks[0], opts) {
		if err != nil {
			require.True(t, errors.Is(err, context.Canceled))
			break
		}
		batches++
		cancel()
	}
	cancel()
	require.Equal(t, 1, batches)
}

func TestRowLineageInAFileWins(t *testing.T) {
	l := newLake(t, "3", eventsSchema(), *iceberg.UnpartitionedSpec)
	rewritten := iceberg.SchemaWithRowID(l.meta.CurrentSchema())
	l.commit(l.parquet(rewritten, `[{"id": 1, "_row_id": 700}, {"id": 2}, {"id": 3, "_row_id": 5}]`))
	require.Equal(t, []string{"id=1 _row_id=700", "id=2 _row_id=1", "id=3 _row_id=5"},
		l.read(table.Scan{Columns: []string{"id", "_row_id"}}))
}

func TestReadTakesOneRequestPerRowGroup(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	dice := rand.New(rand.NewPCG(1, 1))
	groups := make([]string, 3)
	for g := range groups {
		rows := make([]string, 8000)
		for i := range rows {
			rows[i] = fmt.Sprintf(`{"id": %d, "name": "%016x%016x", "price": %d}`,
				dice.Int32(), dice.Uint64(), dice.Uint64(), i)
		}
		groups[g] = "[" + strings.Join(rows, ",") + "]"
	}
	f := l.parquet(l.meta.CurrentSchema(), groups...)
	require.Greater(t, f.FileSizeBytes(), int64(512<<10))
	l.commit(f)
	tasks, err := table.Plan(t.Context(), l.table(), l.store, table.Scan{})
	require.NoError(t, err)
	counted := objstore.NewFaulty(l.store, nil)
	rows := int64(0)
	for batch, err := range table.Read(t.Context(), counted, tasks[0]) {
		require.NoError(t, err)
		rows += batch.NumRows()
	}
	require.Equal(t, int64(24_000), rows)
	require.LessOrEqual(t, counted.Ops(), int64(1+3), "one for the footer, one for each group")
}
