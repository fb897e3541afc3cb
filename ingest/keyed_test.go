package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/objstore"
)

// keyedTable says what a keyed table of these tests is like.
type keyedTable struct {
	version     int
	partitioned bool // by region
	sequence    bool
	first       bool
}

// keyedRow is a row of such a table.
type keyedRow struct {
	id, seq      int64
	name, region string
}

func (w *world) createKeyed(name string, k keyedTable) table.Ident {
	ident, err := table.ParseIdent(name)
	require.NoError(w.t, err)
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "seq", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 3, Name: "name", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: 4, Name: "region", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 5, Name: "gone", Type: iceberg.PrimitiveTypes.Bool},
		iceberg.NestedField{ID: 6, Name: decode.ColumnOffset, Type: iceberg.PrimitiveTypes.Int64})
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

// keyedOptions are those of a process of its own, with an index of its own.
func (w *world) keyedOptions(ident table.Ident, k keyedTable) TableOptions {
	opts := w.options(ident, "g")
	opts.Keyed = &KeyedOptions{First: k.first, DeleteColumn: "gone", Tombstones: true, Keys: w.keys()}
	if k.sequence {
		opts.Keyed.Sequence = []string{"seq"}
	}
	return opts
}

func (w *world) keys() *Keys {
	dir, random := w.t.TempDir(), rand.New(rand.NewPCG(w.seed, 2))
	var keys *Keys
	keys = NewKeys(func(ctx context.Context, t *table.Table) (KeyIndex, error) {
		return keyed.Open(ctx, w.objects, t, keyed.Options{Dir: dir, Salt: random.Uint64,
			Arriving: func(ctx context.Context, t *table.Table, files []iceberg.DataFile) {
				keys.Prepare(ctx, t, files)
			}})
	})
	w.t.Cleanup(func() { require.NoError(w.t, keys.Close()) })
	return keys
}

// put appends a record with the key {"id": id}; value "" is a tombstone.
func (w *world) put(partition int32, id int64, value string) {
	r := source.Record{Value: []byte(value), Key: fmt.Appendf(nil, `{"id":%d}`, id), Timestamp: w.clock.UnixMilli()}
	if value == "" {
		r.Value = nil
	}
	w.log.Append("events", partition, r)
}

func (r keyedRow) json() string {
	return fmt.Sprintf(`{"id":%d,"seq":%d,"name":%q,"region":%q}`, r.id, r.seq, r.name, r.region)
}

// content reads the live rows of a keyed table by key.
func (w *world) content(ident table.Ident) map[int64]keyedRow {
	w.t.Helper()
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	tasks, err := table.Plan(w.t.Context(), t, w.objects, table.Scan{})
	require.NoError(w.t, err)
	out := map[int64]keyedRow{}
	for _, task := range tasks {
		for batch, err := range table.Read(w.t.Context(), w.objects, task) {
			require.NoError(w.t, err)
			for i := range int(batch.NumRows()) {
				row := keyedRow{longAt(batch.Column(0), i), longAt(batch.Column(1), i), textAt(batch.Column(2), i),
					textAt(batch.Column(3), i)}
				_, twice := out[row.id]
				require.False(w.t, twice, "key %d has two rows", row.id)
				out[row.id] = row
			}
		}
	}
	return out
}

// requireRows holds the table against rows, by key.
func (w *world) requireRows(ident table.Ident, rows ...keyedRow) {
	w.t.Helper()
	want := map[int64]keyedRow{}
	for _, row := range rows {
		want[row.id] = row
	}
	require.Equal(w.t, want, w.content(ident))
}

// counts are those of topic partition 0.
func (w *world) counts(ident table.Ident) commit.Counts {
	w.t.Helper()
	return w.check(ident).Covered[w.log.TopicPartition("events", 0)].Counts
}

func forms(t *testing.T, run func(t *testing.T, w *world, version int)) {
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) { run(t, newWorld(t), version) })
	}
}

func TestTheLastVersionOfAKeyStays(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		k := keyedTable{version: version}
		ident := w.createKeyed("db.users", k)
		g := w.ingester(w.log.Join("g", 100, "events"), w.keyedOptions(ident, k))
		a1, a2 := keyedRow{1, 1, "a", "x"}, keyedRow{1, 2, "A", "y"}
		b1, b2 := keyedRow{2, 1, "b", "x"}, keyedRow{2, 2, "B", "x"}
		w.put(0, 1, a1.json())
		w.put(0, 2, b1.json())
		w.steps(g, 14)
		w.requireRows(ident, a1, b1)
		require.Equal(t, commit.Counts{Inserted: 2}, w.counts(ident))
		w.put(0, 1, a2.json()) // replaces a committed row
		w.put(0, 3, keyedRow{3, 1, "c", "x"}.json())
		w.put(0, 3, "")
		w.put(0, 2, b2.json())
		w.put(0, 2, "")
		w.put(0, 9, "")
		w.steps(g, 14)
		w.requireRows(ident, a2)
		// Of the six: a replaced; c came and went, with a tombstone that hits no row of the table; b was
		// replaced and deleted; 9 is unknown.
		require.Equal(t, commit.Counts{Inserted: 2, Updated: 1, Superseded: 2, Deleted: 1, Tombstones: 2},
			w.counts(ident))
		w.put(0, 2, b2.json())
		w.steps(g, 14)
		w.requireRows(ident, a2, b2)
		progress := g.Progress().Tables[0]
		require.Equal(t, int64(3), progress.Committed.Inserted)
		require.Empty(t, progress.Trouble)
		g.Close(t.Context())
	})
}

func TestSequenceDecidesAgainstTheCommittedRow(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		k := keyedTable{version: version, sequence: true}
		ident := w.createKeyed("db.users", k)
		g := w.ingester(w.log.Join("g", 100, "events"), w.keyedOptions(ident, k))
		w.put(0, 1, keyedRow{1, 10, "a", "x"}.json())
		w.put(0, 2, keyedRow{2, 10, "b", "x"}.json())
		w.put(0, 3, keyedRow{3, 10, "c", "x"}.json())
		w.put(0, 3, keyedRow{3, 9, "late in one checkpoint", "x"}.json())
		w.put(0, 4, keyedRow{4, 10, "d", "x"}.json())
		w.steps(g, 14)
		w.put(0, 1, keyedRow{1, 9, "late", "x"}.json())
		w.put(0, 2, keyedRow{2, 10, "tie", "x"}.json())
		w.put(0, 3, keyedRow{3, 11, "newer", "x"}.json())
		w.put(0, 4, `{"id":4,"seq":9,"gone":true}`) // a late delete
		w.steps(g, 14)
		w.requireRows(ident, keyedRow{1, 10, "a", "x"}, keyedRow{2, 10, "tie", "x"}, keyedRow{3, 11, "newer", "x"},
			keyedRow{4, 10, "d", "x"})
		require.Equal(t, commit.Counts{Inserted: 4, Superseded: 3, Updated: 2}, w.counts(ident))
		// A tombstone has no sequence and counts by its arrival; what comes behind it in the checkpoint and is
		// older than the row that it deleted stays out.
		w.put(0, 1, "")
		w.put(0, 1, keyedRow{1, 9, "older than what is deleted", "x"}.json())
		w.put(0, 4, `{"id":4,"seq":12,"gone":true}`)
		w.put(0, 4, keyedRow{4, 11, "older than the delete", "x"}.json())
		w.steps(g, 14)
		w.requireRows(ident, keyedRow{2, 10, "tie", "x"}, keyedRow{3, 11, "newer", "x"})
		g.Close(t.Context())
	})
}

func TestTheFirstVersionStaysWhereTheSpecSaysSo(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3, first: true}
	ident := w.createKeyed("db.users", k)
	g := w.ingester(w.log.Join("g", 100, "events"), w.keyedOptions(ident, k))
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.put(0, 1, keyedRow{1, 2, "b", "x"}.json())
	w.steps(g, 14)
	w.put(0, 1, keyedRow{1, 3, "c", "x"}.json())
	w.steps(g, 14)
	w.requireRows(ident, keyedRow{1, 1, "a", "x"})
	require.Equal(t, commit.Counts{Inserted: 1, Superseded: 2}, w.counts(ident))
	w.put(0, 1, "")
	w.put(0, 1, keyedRow{1, 4, "d", "x"}.json())
	w.steps(g, 14)
	w.requireRows(ident, keyedRow{1, 4, "d", "x"})
	g.Close(t.Context())
}

func TestRowsMoveBetweenPartitions(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		k := keyedTable{version: version, partitioned: true, sequence: true}
		ident := w.createKeyed("db.users", k)
		g := w.ingester(w.log.Join("g", 100, "events"), w.keyedOptions(ident, k))
		for round := range int64(4) {
			var want []keyedRow
			for id := range int64(10) {
				row := keyedRow{id, round, "n", fmt.Sprint("region", (id+round)%3)}
				w.put(0, id, row.json())
				want = append(want, row)
			}
			w.steps(g, 14)
			w.requireRows(ident, want...)
		}
		require.Equal(t, commit.Counts{Inserted: 10, Updated: 30}, w.counts(ident))
		g.Close(t.Context())
	})
}

func TestRecordsThatNameNoRowAreDeadLetters(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3, sequence: true}
	ident := w.createKeyed("db.users", k)
	g := w.ingester(w.log.Join("g", 100, "events"), w.keyedOptions(ident, k))
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.put(0, 1, `{"id":null,"seq":2,"name":"key is null"}`)
	w.put(0, 1, `{"seq":2,"name":"no key"}`)
	w.put(0, 1, `{"id":"NaN","seq":2,"name":"key is no number"}`)
	w.put(0, 1, `{"id":1,"name":"no sequence"}`)
	w.put(0, 1, `{"id":1,"seq":2}`)               // no name, which is required
	w.put(0, 1, `{"id":1,"seq":"x","gone":true}`) // a delete at no time
	w.put(0, 1, `{"seq":2,"gone":true}`)          // a delete of nothing
	w.append(0, "")                               // a tombstone whose key "k" is not JSON
	w.log.Append("events", 0, source.Record{})    // a tombstone without a key
	w.log.Append("events", 0, source.Record{Key: []byte(`{"other":1}`)})
	w.put(0, 7, `{"id":7,"gone":true}`) // a delete without sequence of a row that is not there
	w.put(0, 2, keyedRow{2, 1, "b", "x"}.json())
	w.steps(g, 14)
	w.requireRows(ident, keyedRow{1, 1, "a", "x"}, keyedRow{2, 1, "b", "x"})
	require.Equal(t, commit.Counts{Inserted: 2, DeadLetters: 9, Tombstones: 2}, w.counts(ident))
	require.ElementsMatch(t, []string{"required", "required", "type", "required", "required", "type", "required",
		"syntax", "required"}, rows(w, commit.DeadLettersIdent(ident), "error_class", textAt))
	g.Close(t.Context())
}

func TestTombstonesAreCountedWhereTheyDeleteNothing(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3}
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	opts.Keyed.Tombstones = false
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.put(0, 1, "")
	w.steps(g, 14)
	w.requireRows(ident, keyedRow{1, 1, "a", "x"})
	require.Equal(t, commit.Counts{Inserted: 1, Tombstones: 1}, w.counts(ident))
	g.Close(t.Context())
}

// debezium makes options of the table for change events; the sequence lies in the source's block.
func (w *world) debezium(ident table.Ident, k keyedTable) TableOptions {
	opts := w.keyedOptions(ident, k)
	opts.Decode.Envelope = decode.DebeziumEnvelope()
	opts.Decode.Envelope.Key, opts.Decode.Envelope.RecordKey = []string{"id"}, true
	opts.Decode.Envelope.Columns = map[string][]string{"seq": {"source", "lsn"}}
	opts.Keyed.DeleteColumn = ""
	return opts
}

func TestChangeEventsOfDebeziumBecomeRows(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		k := keyedTable{version: version, sequence: true}
		ident := w.createKeyed("db.users", k)
		g := w.ingester(w.log.Join("g", 100, "events"), w.debezium(ident, k))
		row := func(id int, name string) string { return fmt.Sprintf(`{"id":%d,"name":%q,"region":"x"}`, id, name) }
		event := func(op, before, after string, lsn int) string {
			return fmt.Sprintf(`{"before":%s,"after":%s,"op":%q,"source":{"lsn":%d}}`, before, after, op, lsn)
		}
		w.put(0, 1, event("r", "null", row(1, "snapshot"), 1))
		w.put(0, 2, event("r", "null", row(2, "snapshot"), 1))
		w.put(0, 3, event("d", row(3, "never seen"), "null", 2)) // a delete before its insert
		w.put(0, 4, event("u", "null", row(4, "update of a row never seen"), 3))
		w.put(0, 5, event("c", "null", row(5, "both"), 3))
		w.steps(g, 14)
		require.Equal(t, commit.Counts{Inserted: 4, Tombstones: 1}, w.counts(ident))
		u := event("u", row(1, "snapshot"), row(1, "updated"), 5)
		w.put(0, 1, u)
		w.put(0, 1, u) // the same event twice
		w.put(0, 2, event("u", row(2, "snapshot"), row(20, "key changed"), 6))
		w.put(0, 4, event("d", row(4, "x"), "null", 7))
		w.put(0, 4, "") // the tombstone behind a delete
		w.put(0, 5, event("x", "null", row(5, "unknown operation"), 8))
		w.put(0, 5, event("t", "null", "null", 8))
		w.put(0, 6, event("c", "null", `{"id":null,"name":"no key"}`, 9))
		w.put(0, 6, `{"before":null,"after":`+row(6, "no sequence")+`,"op":"c","source":{}}`)
		w.steps(g, 14)
		content := map[int64]keyedRow{1: {1, 5, "updated", "x"}, 20: {20, 6, "key changed", "x"},
			5: {5, 3, "both", "x"}}
		require.Equal(t, content, w.content(ident))
		require.Equal(t, commit.Counts{Inserted: 4, Updated: 2, Superseded: 1, Deleted: 1, Tombstones: 2,
			DeadLetters: 4}, w.counts(ident))
		// The snapshot again, over a filled table: older than what is there, or the same.
		w.put(0, 1, event("r", "null", row(1, "snapshot"), 4))
		w.put(0, 20, event("r", "null", row(20, "key changed"), 6))
		w.put(0, 5, event("r", "null", row(5, "both"), 3))
		w.steps(g, 14)
		require.Equal(t, content, w.content(ident))
		g.Close(t.Context())
	})
}

func TestAChangedKeyTakesThePlaceOfAnotherRow(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3, sequence: true}
	ident := w.createKeyed("db.users", k)
	g := w.ingester(w.log.Join("g", 100, "events"), w.debezium(ident, k))
	event := func(before, after int64, lsn int) string {
		return fmt.Sprintf(`{"before":{"id":%d,"name":"n"},"after":{"id":%d,"name":"n","region":"x"},"op":"u",`+
			`"source":{"lsn":%d}}`, before, after, lsn)
	}
	for id := range int64(3) {
		w.put(0, id, event(id, id, 1))
	}
	w.steps(g, 14)
	w.put(0, 0, event(0, 1, 2)) // takes two rows out and writes one
	w.steps(g, 14)
	require.Equal(t, map[int64]keyedRow{1: {1, 2, "n", "x"}, 2: {2, 1, "n", "x"}}, w.content(ident))
	progress := g.Progress().Tables[0]
	require.Equal(t, commit.Counts{Inserted: 3, Deleted: 1}, progress.Committed)
	g.Close(t.Context())
}

func TestAnIndexThatIsLostIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3}
	ident := w.createKeyed("db.users", k)
	var want []keyedRow
	for round := range int64(5) {
		reader := w.log.Join("g", 100, "events")
		g := w.ingester(reader, w.keyedOptions(ident, k)) // with an index in an empty folder
		want = want[:0]
		for id := range 5 + round {
			want = append(want, keyedRow{id, round, "n", "x"})
			w.put(0, id, want[id].json())
		}
		w.steps(g, 14)
		w.requireRows(ident, want...)
		w.log.Crash(reader)
		g.Close(t.Context())
	}
}

func TestFiltersLeaveOutVersionsAndNeverDelete(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3}
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	var err error
	opts.Filter, err = filter.Parse("seq < 100")
	require.NoError(t, err)
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.put(0, 2, keyedRow{2, 1, "b", "x"}.json())
	w.steps(g, 14)
	w.put(0, 1, keyedRow{1, 100, "left out", "x"}.json())
	w.put(0, 2, "") // has no sequence to select it by
	w.steps(g, 14)
	w.requireRows(ident, keyedRow{1, 1, "a", "x"})
	require.Equal(t, commit.Counts{Inserted: 2, Filtered: 1, Deleted: 1}, w.counts(ident))
	g.Close(t.Context())
}

func TestAKeyedTableFollowsItsWriters(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		k := keyedTable{version: version, sequence: true}
		ident := w.createKeyed("db.users", k)
		opts := w.keyedOptions(ident, k)
		opts.Decode.UnknownFields = decode.UnknownEvolve
		opts.Evolver = Follower{Committer: opts.Committer.(*commit.Committer), Policy: evolve.Policy{AddColumn: true}}
		g := w.ingester(w.log.Join("g", 100, "events"), opts)
		w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
		w.put(0, 2, keyedRow{2, 1, "b", "x"}.json())
		w.steps(g, 3) // buffered, and committed before the schema changes
		w.put(0, 1, `{"id":1,"seq":2,"name":"a","region":"x","color":"red"}`)
		w.put(0, 2, "")
		w.steps(g, 30)
		w.requireRows(ident, keyedRow{1, 2, "a", "x"})
		require.Equal(t, commit.Counts{Inserted: 2, Updated: 1, Deleted: 1}, w.counts(ident))
		_, found := opts.Committer.Table().Metadata().CurrentSchema().FindFieldByName("color")
		require.True(t, found)
		require.Equal(t, []int{1}, opts.Committer.Table().Metadata().CurrentSchema().IdentifierFieldIDs)
		g.Close(t.Context())
	})
}

func TestSourcesOfOneTableShareItsIndex(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.log.Create("more", 1)
	k := keyedTable{version: 3, sequence: true}
	ident := w.createKeyed("db.users", k)
	one := w.keyedOptions(ident, k)
	two := one
	two.Topics = []string{"more"}
	g := w.ingester(w.log.Join("g", 100, "events", "more"), one, two)
	put := func(topic string, row keyedRow) {
		w.log.Append(topic, 0, source.Record{Key: []byte("k"), Value: []byte(row.json())})
	}
	for seq := range int64(6) {
		put([]string{"events", "more"}[seq%2], keyedRow{1, seq, "n", "x"})
		put([]string{"more", "events"}[seq%2], keyedRow{2, seq, "n", "x"})
		w.steps(g, 14)
	}
	w.requireRows(ident, keyedRow{1, 5, "n", "x"}, keyedRow{2, 5, "n", "x"})
	g.Close(t.Context())
}

func TestAGrowingSequenceIsNotReadFromTheTable(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3, sequence: true}
	ident := w.createKeyed("db.users", k)
	g := w.ingester(w.log.Join("g", 100, "events"), w.keyedOptions(ident, k))
	reads := 0
	g.opts.Store = objstore.NewFaulty(w.objects, func(op objstore.Op) objstore.Fault {
		if op.Kind == objstore.OpGet {
			reads++
		}
		return objstore.Fault{}
	})
	for seq := range int64(3) {
		for id := range int64(5) {
			w.put(0, id, keyedRow{id, 10 * (seq + 1), "n", "x"}.json())
		}
		w.steps(g, 14)
	}
	require.Equal(t, commit.Counts{Inserted: 5, Updated: 10}, w.counts(ident))
	require.Zero(t, reads)
	w.put(0, 1, keyedRow{1, 29, "late", "x"}.json())
	w.steps(g, 14)
	require.Positive(t, reads)
	require.Equal(t, commit.Counts{Inserted: 5, Updated: 10, Superseded: 1}, w.counts(ident))
	g.Close(t.Context())
}

// lame is an index that cannot follow its table for some time.
type lame struct {
	KeyIndex
	failures *int
}

func (l lame) Follow(ctx context.Context, t *table.Table) error {
	if *l.failures > 0 {
		*l.failures--
		return objstore.ErrInjected
	}
	return l.KeyIndex.Follow(ctx, t)
}

func TestAnIndexThatCannotFollowIsOpenedAnew(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3}
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	failures, opened := followTriesMax, 0
	open := opts.Keyed.Keys.open
	opts.Keyed.Keys.open = func(ctx context.Context, t *table.Table) (KeyIndex, error) {
		opened++
		index, err := open(ctx, t)
		return lame{index, &failures}, err
	}
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.steps(g, 40)
	w.requireRows(ident, keyedRow{1, 1, "a", "x"})
	require.Equal(t, 2, opened)
	g.Close(t.Context())
}
