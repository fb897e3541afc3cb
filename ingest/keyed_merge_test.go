package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// mergedTable says what a table is like whose versions are merged.
type mergedTable struct {
	version               int
	partitioned, sequence bool
	aggregate             bool // or partial, with a column group
}

// fields is a row or a record by column; what is null is not there. Numbers are float64, as JSON has them.
type fields map[string]any

func (r fields) json() string {
	text, _ := json.Marshal(r)
	return string(text)
}

func (w *world) createMerged(name string, k mergedTable) table.Ident {
	ident, err := table.ParseIdent(name)
	require.NoError(w.t, err)
	long, text := iceberg.PrimitiveTypes.Int64, iceberg.PrimitiveTypes.String
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: long, Required: true},
		iceberg.NestedField{ID: 2, Name: "seq", Type: long},
		iceberg.NestedField{ID: 3, Name: "name", Type: text},
		iceberg.NestedField{ID: 4, Name: "region", Type: text},
		iceberg.NestedField{ID: 5, Name: "gone", Type: iceberg.PrimitiveTypes.Bool},
		iceberg.NestedField{ID: 6, Name: "city", Type: text},
		iceberg.NestedField{ID: 7, Name: "moved", Type: long},
		iceberg.NestedField{ID: 8, Name: "total", Type: long},
		iceberg.NestedField{ID: 9, Name: "orders", Type: long},
		iceberg.NestedField{ID: 10, Name: "best", Type: iceberg.PrimitiveTypes.Float64},
		iceberg.NestedField{ID: 11, Name: decode.ColumnTopic, Type: text},
		iceberg.NestedField{ID: 12, Name: decode.ColumnPartition, Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{ID: 13, Name: decode.ColumnOffset, Type: long})
	spec := *iceberg.UnpartitionedSpec
	if k.partitioned {
		spec = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{4}, FieldID: 1000, Name: "region",
			Transform: iceberg.IdentityTransform{}})
	}
	location := "mem://lake/" + name
	meta, err := icetable.NewMetadataWithUUID(schema, &spec, icetable.UnsortedSortOrder, location,
		iceberg.Properties{"format-version": strconv.Itoa(k.version)}, uuid.NewSHA1(uuid.Nil, []byte(location)))
	require.NoError(w.t, err)
	require.NoError(w.t, w.catalog.Create(ident, meta))
	w.createOne(commit.DeadLettersIdent(ident), DeadLetterSchema())
	return ident
}

func (w *world) mergedOptions(ident table.Ident, k mergedTable) TableOptions {
	opts := w.options(ident, "g")
	opts.Keyed = &KeyedOptions{DeleteColumn: "gone", Tombstones: true, Keys: w.keys(), Merge: &MergeOptions{
		Groups: []spec.ColumnGroup{{Columns: []string{"city"}, Sequence: []string{"moved"}}}}}
	if k.aggregate {
		opts.Keyed.Merge = &MergeOptions{Functions: map[string]spec.Function{"total": spec.FunctionSum,
			"orders": spec.FunctionCount, "best": spec.FunctionMax}}
	}
	if k.sequence {
		opts.Keyed.Sequence = []string{"seq"}
	}
	return opts
}

// merged reads the rows of a table, by key, without the coordinates of their records.
func (w *world) merged(ident table.Ident) map[int64]fields {
	w.t.Helper()
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	tasks, err := table.Plan(w.t.Context(), t, w.objects, table.Scan{})
	require.NoError(w.t, err)
	out := map[int64]fields{}
	for _, task := range tasks {
		for batch, err := range table.Read(w.t.Context(), w.objects, task) {
			require.NoError(w.t, err)
			for i := range int(batch.NumRows()) {
				row := fields{}
				for c, column := range batch.Columns() {
					if column.IsNull(i) || batch.ColumnName(c)[0] == '_' {
						continue
					}
					switch column := column.(type) {
					case *array.Int64:
						row[batch.ColumnName(c)] = float64(column.Value(i))
					case *array.Float64:
						row[batch.ColumnName(c)] = column.Value(i)
					case *array.String:
						row[batch.ColumnName(c)] = column.Value(i)
					case *array.Boolean:
						row[batch.ColumnName(c)] = column.Value(i)
					}
				}
				id := longAt(batch.Column(0), i)
				require.NotContains(w.t, out, id, "the key has two rows")
				out[id] = row
			}
		}
	}
	return out
}

func (w *world) requireMerged(ident table.Ident, rows ...fields) {
	w.t.Helper()
	want := map[int64]fields{}
	for _, row := range rows {
		want[int64(row["id"].(float64))] = row
	}
	require.Equal(w.t, want, w.merged(ident))
}

// mergedHistory knows what the records come to: a map folded over them, one after the other.
type mergedHistory struct {
	k     mergedTable
	rows  map[int64]fields
	floor map[int64]float64 // as that of model
}

func (h *mergedHistory) require(c *keyedChaos) { require.Equal(c.t, h.rows, c.merged(c.ident)) }

func (h *mergedHistory) next(c *keyedChaos) {
	id := c.random.Int64N(25)
	partition := int32(id % 3)
	r := fields{"id": float64(id), "seq": float64(c.count)}
	old := h.rows[id]
	if old != nil && c.random.IntN(4) == 0 {
		r["seq"] = max(h.floor[id], old["seq"].(float64)-float64(c.random.IntN(3)))
	}
	for column, value := range map[string]any{"name": fmt.Sprint("n", c.count), "city": fmt.Sprint("c", c.count),
		"region": fmt.Sprint("r", c.count%3), "moved": float64(c.count % 9), "total": float64(c.count%50) - 20,
		"best": float64(c.count%7) / 8} {
		if (c.count*31+int64(len(column)*int(column[0])))%5 < 3 { // the same in each run, unlike the order of maps
			r[column] = value
		}
	}
	older := h.k.sequence && old != nil && r["seq"].(float64) < old["seq"].(float64)
	last := r["seq"].(float64)
	if old != nil {
		last = max(last, old["seq"].(float64))
	}
	switch c.random.IntN(12) {
	case 0:
		c.put(partition, id, "")
		h.bury(id, last)
	case 1:
		c.put(partition, id, fields{"id": r["id"], "seq": r["seq"], "gone": true}.json())
		if !older {
			h.bury(id, last)
		}
	case 2:
		c.put(partition, id, `{"id":null}`)
		c.bad++
	default:
		c.put(partition, id, r.json())
		h.take(id, r, older)
	}
}

func (h *mergedHistory) bury(id int64, seq float64) {
	delete(h.rows, id)
	h.floor[id] = seq
}

// take folds one record.
func (h *mergedHistory) take(id int64, r fields, older bool) {
	old := h.rows[id]
	row := fields{}
	maps.Copy(row, old)
	moved := !h.k.aggregate && r["moved"] != nil && (old["moved"] == nil ||
		r["moved"].(float64) >= old["moved"].(float64))
	for column, value := range r {
		grouped := !h.k.aggregate && (column == "city" || column == "moved")
		switch {
		case grouped:
		case !h.k.aggregate || column != "total" && column != "best":
			if !older {
				row[column] = value
			}
		case column == "total" && row["total"] != nil:
			row["total"] = row["total"].(float64) + value.(float64)
		case column == "best" && row["best"] != nil:
			row["best"] = math.Max(row["best"].(float64), value.(float64))
		default:
			row[column] = value
		}
	}
	if moved {
		delete(row, "city")
		for _, column := range []string{"city", "moved"} {
			if r[column] != nil {
				row[column] = r[column]
			}
		}
	}
	if h.k.aggregate {
		orders, _ := row["orders"].(float64)
		row["orders"] = orders + 1
	}
	h.rows[id] = row
}

func newMergedChaos(w *world, random *rand.Rand, k mergedTable) *keyedChaos {
	w.log.Create("events", 3)
	c := newKeyedChaos(w, random, &mergedHistory{k: k, rows: map[int64]fields{}, floor: map[int64]float64{}})
	c.rewrites = true
	c.ident = w.createMerged("db.users", k)
	c.tableOptions = func() TableOptions { return w.mergedOptions(c.ident, k) }
	return c
}

func mergedTableOf(seed uint64) mergedTable {
	return mergedTable{version: 2 + int(seed%2), aggregate: seed/2%2 == 1, sequence: seed/4%2 == 1,
		partitioned: seed%3 == 1}
}

func TestRandomHistoriesOfMergedTablesFollowTheModel(t *testing.T) {
	for _, seed := range seeds(6) {
		k := mergedTableOf(seed)
		t.Run(fmt.Sprintf("%d %+v", seed, k), func(t *testing.T) {
			newMergedChaos(newWorld(t), rand.New(rand.NewPCG(seed, 9)), k).run(70)
		})
	}
}

func TestVerifyProvesRandomHistoriesOfMergedTables(t *testing.T) {
	for _, seed := range seeds(4) {
		k := mergedTableOf(seed)
		t.Run(fmt.Sprintf("%d %+v", seed, k), func(t *testing.T) {
			w := newWorld(t)
			c := newMergedChaos(w, rand.New(rand.NewPCG(seed, 12)), k)
			c.run(40)
			report := w.verifyKeyed(c.ident, rereader{w.log, 0}, w.mergedOptions(c.ident, k))
			require.Empty(t, report.Faults)
			require.Greater(t, report.Keys, int64(5))
		})
	}
}

func TestPartialRowsKeepWhatNewerOnesDoNotSay(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		k := mergedTable{version: version, sequence: true}
		ident := w.createMerged("db.users", k)
		g := w.ingester(w.log.Join("g", 100, "events"), w.mergedOptions(ident, k))
		put := func(r fields) { w.put(0, int64(r["id"].(float64)), r.json()) }
		put(fields{"id": 1.0, "seq": 10.0, "name": "a", "city": "x", "moved": 5.0})
		put(fields{"id": 1.0, "seq": 11.0, "region": "r"})
		put(fields{"id": 2.0, "seq": 10.0, "name": "b", "city": "without a sequence"})
		w.steps(g, 14)
		w.requireMerged(ident, fields{"id": 1.0, "seq": 11.0, "name": "a", "region": "r", "city": "x", "moved": 5.0},
			fields{"id": 2.0, "seq": 10.0, "name": "b"})
		require.Equal(t, commit.Counts{Inserted: 2, Superseded: 1}, w.counts(ident))
		// An older version changes only groups in which it is newer; a group is taken whole.
		put(fields{"id": 1.0, "seq": 9.0, "name": "late", "city": "y", "moved": 6.0})
		put(fields{"id": 2.0, "seq": 9.0, "name": "late"})
		put(fields{"id": 2.0, "seq": 12.0, "city": "z", "moved": 1.0})
		w.steps(g, 14)
		row1 := fields{"id": 1.0, "seq": 11.0, "name": "a", "region": "r", "city": "y", "moved": 6.0}
		w.requireMerged(ident, row1, fields{"id": 2.0, "seq": 12.0, "name": "b", "city": "z", "moved": 1.0})
		put(fields{"id": 2.0, "seq": 13.0, "moved": 1.0}) // as new as the one before
		put(fields{"id": 2.0, "seq": 14.0, "city": "older", "moved": 0.0})
		w.steps(g, 14)
		w.requireMerged(ident, row1, fields{"id": 2.0, "seq": 14.0, "name": "b", "moved": 1.0})
		require.Equal(t, commit.Counts{Inserted: 2, Superseded: 3, Updated: 3}, w.counts(ident))
		// A delete takes the groups with it, whatever their sequences.
		w.put(0, 1, "")
		put(fields{"id": 1.0, "seq": 20.0, "city": "new", "moved": 1.0})
		w.steps(g, 14)
		w.requireMerged(ident, fields{"id": 1.0, "seq": 20.0, "city": "new", "moved": 1.0},
			fields{"id": 2.0, "seq": 14.0, "name": "b", "moved": 1.0})
		g.Close(t.Context())
	})
}

func TestAnUnsentValueIsTheOldOne(t *testing.T) {
	const unsent = "__debezium_unavailable_value"
	for _, aggregate := range []bool{false, true} {
		w := newWorld(t)
		w.log.Create("events", 1)
		k := mergedTable{version: 3, sequence: true, aggregate: aggregate}
		ident := w.createMerged("db.users", k)
		opts := w.mergedOptions(ident, k)
		opts.Decode.Envelope = w.debezium(ident, keyedTable{sequence: true}).Decode.Envelope
		opts.Keyed.DeleteColumn = ""
		g := w.ingester(w.log.Join("g", 100, "events"), opts)
		put := func(op string, seq int, id float64, name, city string) {
			row := fields{"id": id, "name": name, "region": fmt.Sprint(seq), "city": city, "moved": seq}.json()
			w.put(0, int64(id), fmt.Sprintf(`{"op":%q,"after":%s,"source":{"lsn":%d}}`, op, row, seq))
		}
		put("c", 1, 1, "old", "a")
		w.steps(g, 14)
		put("u", 2, 1, unsent, "b")
		w.steps(g, 14)
		put("c", 3, 2, "here", "c")
		put("u", 4, 2, unsent, "d")
		put("c", 5, 3, unsent, "e") // of a row that had another key
		w.put(0, 4, `{"op":"u","before":{"id":2},"after":{"id":4,"name":"`+unsent+`"},"source":{"lsn":6}}`)
		put("u", 7, 1, "new", unsent)
		w.steps(g, 14)
		want := []fields{{"id": 1.0, "seq": 2.0, "name": "old", "region": "2", "city": "b", "moved": 2.0},
			{"id": 2.0, "seq": 4.0, "name": "here", "region": "4", "city": "d", "moved": 4.0}}
		letters := int64(3)
		if aggregate { // has no groups
			letters = 2
			maps.Copy(want[0], fields{"seq": 7.0, "name": "new", "region": "7", "moved": 7.0})
			want[0]["orders"], want[1]["orders"] = 3.0, 2.0
		}
		w.requireMerged(ident, want...)
		require.Equal(t, letters, w.counts(ident).DeadLetters)
		g.Close(t.Context())
	}
}

func TestAggregatesCountEachRecordOnce(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		k := mergedTable{version: version, aggregate: true, sequence: true}
		ident := w.createMerged("db.users", k)
		g := w.ingester(w.log.Join("g", 100, "events"), w.mergedOptions(ident, k))
		put := func(seq, total float64) {
			w.put(0, 1, fields{"id": 1.0, "seq": seq, "total": total, "best": total, "name": fmt.Sprint(seq)}.json())
		}
		put(10, 1)
		put(9, 5) // it is late and counts, but for its name
		w.steps(g, 14)
		w.requireMerged(ident, fields{"id": 1.0, "seq": 10.0, "total": 6.0, "orders": 2.0, "best": 5.0, "name": "10"})
		put(8, 3)
		put(11, -4)
		w.steps(g, 14)
		w.requireMerged(ident, fields{"id": 1.0, "seq": 11.0, "total": 5.0, "orders": 4.0, "best": 5.0, "name": "11"})
		require.Equal(t, commit.Counts{Inserted: 1, Updated: 1, Superseded: 2}, w.counts(ident))
		w.put(0, 1, "")
		put(12, 7)
		w.steps(g, 14)
		w.requireMerged(ident, fields{"id": 1.0, "seq": 12.0, "total": 7.0, "orders": 1.0, "best": 7.0, "name": "12"})
		g.Close(t.Context())
	})
}

// TestRowsThatMoveMeanwhileAreNotReadAgain lets others rewrite the table, and then change it, between the files
// of a checkpoint and its commit.
func TestRowsThatMoveMeanwhileAreNotReadAgain(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		w.log.Create("others", 1)
		k := mergedTable{version: version, aggregate: true}
		ident := w.createMerged("db.users", k)
		opts := w.mergedOptions(ident, k)
		committer := &meddler{Committer: opts.Committer}
		opts.Committer = committer
		g := w.ingester(w.log.Join("g", 100, "events"), opts)
		put := func(id, total float64) { w.put(0, int64(id), fields{"id": id, "total": total}.json()) }
		put(1, 1)
		put(2, 2)
		w.steps(g, 14)
		put(1, 10)
		put(2, 20)
		commits := 0
		for range staleMax - 1 {
			committer.meddle = append(committer.meddle, func() { commits++; w.rewrite(ident) })
		}
		w.steps(g, 14)
		require.Equal(t, staleMax-1, commits)
		require.NotContains(t, w.logs.String(), errBuffer.Error())
		w.requireMerged(ident, fields{"id": 1.0, "total": 11.0, "orders": 2.0},
			fields{"id": 2.0, "total": 22.0, "orders": 2.0})
		// A row of others is another old row.
		committer.meddle = []func(){func() { w.foreign(ident, keyedRow{id: 1, name: "others"}) }}
		put(1, 100)
		put(2, 100)
		w.steps(g, 40)
		require.Contains(t, w.logs.String(), errBuffer.Error())
		rows := w.merged(ident)
		require.Equal(t, fields{"id": 1.0, "seq": 0.0, "name": "others", "region": "", "total": 100.0, "orders": 1.0},
			rows[1])
		require.Equal(t, fields{"id": 2.0, "total": 122.0, "orders": 3.0}, rows[2])
		g.Close(t.Context())
	})
}

// TestADeletedRowOfOthersSaysWhatIsOlder lets others insert a row between the files of a checkpoint and its commit. A
// record deletes it, and what comes behind that is older than the row stays out.
func TestADeletedRowOfOthersSaysWhatIsOlder(t *testing.T) {
	for _, aggregate := range []bool{false, true} {
		w := newWorld(t)
		w.log.Create("events", 1)
		w.log.Create("others", 1)
		k := mergedTable{version: 3, aggregate: aggregate, sequence: true}
		ident := w.createMerged("db.users", k)
		opts := w.mergedOptions(ident, k)
		committer := &meddler{Committer: opts.Committer}
		opts.Committer = committer
		g := w.ingester(w.log.Join("g", 100, "events"), opts)
		put := func(r fields) { w.put(0, 1, r.json()) }
		put(fields{"id": 1.0, "seq": 1.0, "name": "first"})
		w.put(0, 1, "")
		put(fields{"id": 1.0, "seq": 5.0, "name": "older than the row of others", "total": 1.0})
		put(fields{"id": 1.0, "seq": 20.0, "region": "r", "total": 2.0})
		committer.meddle = []func(){func() { w.foreign(ident, keyedRow{id: 1, seq: 10, name: "others"}) }}
		w.steps(g, 40)
		require.Empty(t, committer.meddle)
		want := fields{"id": 1.0, "seq": 20.0, "region": "r", "total": 2.0}
		if aggregate {
			want["orders"] = 1.0
		}
		w.requireMerged(ident, want)
		g.Close(t.Context())
	}
}

// TestAnIndexBuiltAnewShowsOtherRows lets others replace a row between the files of a checkpoint and its commit, by
// an equality delete, which has the key index built anew. The row that they leave gets the place, by the
// number of its file, that the old one had before.
func TestAnIndexBuiltAnewShowsOtherRows(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.log.Create("others", 1)
	k := mergedTable{version: 2, aggregate: true}
	ident := w.createMerged("db.users", k)
	opts := w.mergedOptions(ident, k)
	committer := &meddler{Committer: opts.Committer}
	opts.Committer = committer
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	put := func(total float64) { w.put(0, 1, fields{"id": 1.0, "total": total}.json()) }
	put(1)
	w.steps(g, 14)
	w.rewrite(ident)
	put(2)
	w.steps(g, 14)
	put(10) // its old row is in the third file
	committer.meddle = []func(){func() {
		require.NoError(t, committest.DeleteEqual(t.Context(), w.catalog, w.objects, ident,
			committest.EqualityDelete{IDs: []int64{1}}))
		w.foreign(ident, keyedRow{id: 1, name: "others"})
	}}
	w.steps(g, 40)
	require.Empty(t, committer.meddle)
	w.requireMerged(ident, fields{"id": 1.0, "seq": 0.0, "name": "others", "region": "", "total": 10.0,
		"orders": 1.0})
	g.Close(t.Context())
}

func TestATableStopsBeforeASumThatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := mergedTable{version: 3, aggregate: true}
	ident := w.createMerged("db.users", k)
	g := w.ingester(w.log.Join("g", 100, "events"), w.mergedOptions(ident, k))
	w.put(0, 1, `{"id":1,"total":9223372036854775807}`)
	w.steps(g, 14)
	w.put(0, 1, `{"id":1,"total":1}`)
	w.steps(g, 14)
	progress := g.Progress().Tables[0]
	require.Equal(t, StateStopped, progress.State)
	require.Contains(t, progress.Trouble, "sum of column total does not fit its type int64")
	require.Contains(t, progress.Trouble, "filter")
	require.Equal(t, commit.Counts{Inserted: 1}, w.counts(ident))
	g.Close(t.Context())
	require.Zero(t, g.opts.Budget.Used())
}

func TestVerifyFindsWhatAMergedTableLacks(t *testing.T) {
	build := func(t *testing.T) (*world, table.Ident, TableOptions) {
		w := newWorld(t)
		w.log.Create("events", 1)
		k := mergedTable{version: 3, aggregate: true}
		ident := w.createMerged("db.users", k)
		opts := w.mergedOptions(ident, k)
		g := w.ingester(w.log.Join("g", 100, "events"), opts)
		for round := range 3 {
			for id := range int64(5) {
				w.put(0, id, fields{"id": float64(id), "total": float64(round)}.json())
			}
			w.steps(g, 14)
		}
		w.put(0, 4, "") // only this row is known whatever was before
		w.put(0, 4, `{"id":4,"total":1}`)
		w.steps(g, 14)
		g.Close(t.Context())
		return w, ident, opts
	}
	w, ident, opts := build(t)
	report := w.verifyKeyed(ident, edited{rereader{w.log, 0}, nil}, opts)
	require.Empty(t, report.Faults)
	require.EqualValues(t, 5, report.Keys)

	w, ident, opts = build(t)
	values := map[commit.Offset]string{6: `{"id":1,"total":7}`}
	report = w.verifyKeyed(ident, edited{rereader{w.log, 0}, values}, opts)
	require.Len(t, report.Faults, 1)
	require.Equal(t, verify.FaultStaleRow, report.Faults[0].Kind)

	w, ident, opts = build(t)
	report = w.verifyKeyed(ident, edited{rereader{w.log, 7}, nil}, opts) // the topic has lost its beginning
	require.Empty(t, report.Faults)
	require.EqualValues(t, 1, report.Keys)
}

func TestMergedTablesFollowTheirWriters(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := mergedTable{version: 3, aggregate: true}
	ident := w.createMerged("db.users", k)
	opts := w.mergedOptions(ident, k)
	opts.Decode.UnknownFields = decode.UnknownEvolve
	opts.Evolver = Follower{Committer: opts.Committer.(*commit.Committer), Policy: evolve.Policy{AddColumn: true}}
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	w.put(0, 1, `{"id":1,"total":1}`)
	w.steps(g, 14)
	w.put(0, 1, `{"id":1,"total":2,"color":"red"}`)
	w.put(0, 2, `{"id":2,"total":5}`)
	w.steps(g, 30)
	w.put(0, 1, `{"id":1,"total":4}`)
	w.steps(g, 14)
	w.requireMerged(ident, fields{"id": 1.0, "total": 7.0, "orders": 3.0, "color": "red"},
		fields{"id": 2.0, "total": 5.0, "orders": 1.0})
	require.Empty(t, w.verifyKeyed(ident, rereader{w.log, 0}, w.mergedOptions(ident, k)).Faults)

	others, err := w.catalog.LoadTable(t.Context(), ident)
	require.NoError(t, err)
	update, err := evolve.Plan(evolve.StateOf(others.Metadata()), []decode.Proposal{{Kind: decode.Rename,
		Path: []string{"total"}, To: "sum"}}, evolve.Policy{Rename: true})
	require.NoError(t, err)
	_, err = w.catalog.CommitTable(t.Context(), ident, nil, update.Updates)
	require.NoError(t, err)
	w.put(0, 1, `{"id":1,"total":8}`)
	w.steps(g, 30)
	progress := g.Progress().Tables[0]
	require.Equal(t, StateStopped, progress.State)
	require.Contains(t, progress.Trouble, "no column total")
	require.Contains(t, progress.Trouble, "firth plan")
	g.Close(t.Context())
}
