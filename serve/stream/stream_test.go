package stream

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/recycle"
	"github.com/firthlake/firth/table/tail"
)

var events = table.Ident{"db", "events"}

// record is one of the log: id tells which, so that a row can be held against it.
type record struct {
	at     table.TopicPartition
	offset table.Offset
	region string
}

func (r record) id() int64 { return int64(r.at.Partition)<<32 | int64(r.offset) }

// checkpoint is what a process has read since its last cut.
type checkpoint struct {
	id     uuid.UUID
	spans  map[table.TopicPartition]tail.Span
	rows   []record
	rest   map[table.TopicPartition]tail.Span // in no chunk yet
	unseen []record                           // the rows of rest
}

// world is a table, the process that ingests it, and chance.
type world struct {
	testing.TB
	rng       *rand.Rand
	clock     time.Time
	seconds   int64
	store     *objstore.Memory
	catalog   *catalog.Catalog
	committer *commit.Committer
	tails     *tail.Set
	feed      *tail.Feed
	streams   *Streams
	pieces    int // that were shown

	log                 map[table.TopicPartition][]record // all that was ever produced, with gaps between offsets
	ends                table.Position                    // of the log
	read                table.Position
	filling, committing *checkpoint
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{TB: t, rng: rand.New(rand.NewPCG(seed, 1)), clock: time.Unix(1_700_000_000, 0),
		log: map[table.TopicPartition][]record{}, ends: table.Position{}}
	w.store = objstore.NewMemory(w.now)
	w.catalog = catalog.New(catalog.NewMemoryStore(), w.store, catalog.Options{Warehouse: "mem://wh/main",
		Now: w.now, NewID: uuid.New, TableProperties: catalog.DefaultTableProperties()})
	require.NoError(t, w.catalog.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	w.create(events)
	w.start()
	w.streams = w.open(tailsOf(w))
	return w
}

func (w *world) now() time.Time { return w.clock }

func (w *world) create(ident table.Ident, identifiers ...int) {
	w.Helper()
	spec := iceberg.UnpartitionedSpec
	if w.rng.IntN(2) == 0 {
		s := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "region",
			Transform: iceberg.IdentityTransform{}})
		spec = &s
	}
	_, err := w.catalog.CreateTable(w.Context(), ident, catalog.TableSpec{PartitionSpec: spec,
		Schema: iceberg.NewSchemaWithIdentifiers(0, identifiers,
			iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
			iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
			iceberg.NestedField{ID: 3, Name: columnTopic, Type: iceberg.PrimitiveTypes.String},
			iceberg.NestedField{ID: 4, Name: columnPartition, Type: iceberg.PrimitiveTypes.Int32},
			iceberg.NestedField{ID: 5, Name: columnOffset, Type: iceberg.PrimitiveTypes.Int64}),
		Properties: iceberg.Properties{"format-version": []string{"2", "3"}[w.rng.IntN(2)]}})
	require.NoError(w, err)
}

func tailsOf(w *world) *tail.Set { return w.tails }

// open makes streams with bounds so small that a few rows reach them.
func (w *world) open(tails *tail.Set) *Streams {
	w.Helper()
	streams, err := New(Options{Tables: w.catalog, Objects: w.store, Tails: tails, Now: w.now,
		Ledger: func(meta icetable.Metadata) (Ledger, error) {
			ledger, err := commit.ReadLedger(meta)
			return Ledger{Position: ledger.Position, Expired: ledger.Foreign.Expired,
				RolledBack: ledger.Foreign.RolledBack}, err
		},
		PositionAt: func(ctx context.Context, meta icetable.Metadata, id int64) (table.Position, error) {
			return commit.PositionAt(ctx, w.store, meta, id)
		}})
	require.NoError(w, err)
	streams.bounds = bounds{windowRows: 7, windowBytes: 1 << 20, batchRows: 3}
	return streams
}

// start is a process that knows of nothing but the table.
func (w *world) start() {
	w.Helper()
	opts := committest.Options(w.rng.Uint64(), "w")
	opts.SnapshotsKeep, opts.SnapshotAgeMin = 4, time.Nanosecond
	tick := opts.Now
	opts.Now = func() time.Time { w.seconds++; return tick().Add(time.Duration(w.seconds) * time.Minute) }
	var err error
	w.committer, err = commit.Open(w.Context(), w.catalog, w.store, events, opts)
	require.NoError(w, err)
	meta := w.committer.Table().Metadata()
	w.tails = tail.NewSet()
	w.feed = w.tails.Index(meta.TableUUID(), meta.Location()).Feed()
	w.feed.Ready()
	w.read, w.filling, w.committing = maps.Clone(w.committer.Position()), nil, nil
	if w.streams != nil { // as another process
		w.streams = w.open(w.tails)
	}
}

func partitionOf(n int32) table.TopicPartition {
	return table.TopicPartition{Cluster: "c", Topic: fmt.Sprintf("events-%d", n%2), TopicID: uuid.UUID{byte(n%2 + 1)},
		Partition: n}
}

// produce appends to the log: a record, or an offset that no row comes of.
func (w *world) produce(n int) {
	for range n {
		id := partitionOf(w.rng.Int32N(3))
		offset := w.ends[id]
		w.ends[id]++
		if w.rng.IntN(4) > 0 {
			w.log[id] = append(w.log[id], record{id, offset, []string{"eu", "us"}[w.rng.IntN(2)]})
		}
	}
}

// readOn reads some of what the log has of a topic partition.
func (w *world) readOn() {
	id := partitionOf(w.rng.Int32N(3))
	from, known := w.read[id]
	if from >= w.ends[id] {
		return
	}
	next := min(w.ends[id], from+1+table.Offset(w.rng.Int64N(9)))
	if w.filling == nil {
		w.filling = &checkpoint{id: uuid.New(), spans: map[table.TopicPartition]tail.Span{},
			rest: map[table.TopicPartition]tail.Span{}}
	}
	w.read[id] = next
	for _, spans := range []map[table.TopicPartition]tail.Span{w.filling.spans, w.filling.rest} {
		span, some := spans[id]
		if !some {
			span = tail.Span{From: from, First: !known}
		}
		span.Next = next
		spans[id] = span
	}
	var rows []record
	for _, r := range w.log[id] {
		if r.offset >= from && r.offset < next {
			rows = append(rows, r)
		}
	}
	w.filling.rows = append(w.filling.rows, rows...)
	w.filling.unseen = append(w.filling.unseen, rows...)
	if w.rng.IntN(8) > 0 { // else there is no room for it
		w.addPiece(tail.Piece{Change: w.filling.id, TopicPartition: id,
			Span: tail.Span{From: from, Next: next, First: !known}}, rows)
	}
}

// addPiece hands over what is in memory. Whoever looks at it once it is gone finds garbage.
func (w *world) addPiece(p tail.Piece, rows []record) {
	p.SchemaID = w.committer.Table().Metadata().CurrentSchema().ID
	if len(rows) > 0 {
		p.Rows = w.batchIn(new(recycle.Poison), rows)
		defer p.Rows.Release()
	}
	w.feed.Add(p)
}

// flush makes a chunk of what is in none, the older checkpoint first.
func (w *world) flush() {
	for _, c := range []*checkpoint{w.committing, w.filling} {
		if c == nil || len(c.rest) == 0 {
			continue
		}
		w.feed.Give(tail.Chunk{Change: c.id, Spans: c.rest, Rows: int64(len(c.unseen)),
			SchemaID: w.committer.Table().Metadata().CurrentSchema().ID,
			Files:    w.write(table.WriterOptions{Folder: tail.Folder, ChangeID: uuid.New()}, c.unseen)})
		c.rest, c.unseen = map[table.TopicPartition]tail.Span{}, nil
		return
	}
}

func (w *world) cut() {
	if w.committing == nil {
		w.committing, w.filling = w.filling, nil
	}
}

// batchOf has rows as a batch of the table.
func (w *world) batchOf(rows []record) arrow.RecordBatch {
	return w.batchIn(memory.DefaultAllocator, rows)
}

func (w *world) batchIn(mem memory.Allocator, rows []record) arrow.RecordBatch {
	form, err := table.ArrowSchema(w.committer.Table().Metadata().CurrentSchema())
	require.NoError(w, err)
	b := array.NewRecordBuilder(mem, form)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(r.id())
		b.Field(1).(*array.StringBuilder).Append(r.region)
		b.Field(2).(*array.StringBuilder).Append(r.at.Topic)
		b.Field(3).(*array.Int32Builder).Append(r.at.Partition)
		b.Field(4).(*array.Int64Builder).Append(int64(r.offset))
		for i := 5; i < form.NumFields(); i++ {
			b.Field(i).AppendNull()
		}
	}
	return b.NewRecordBatch()
}

// widen gives the table another column.
func (w *world) widen() {
	w.Helper()
	_, err := w.committer.Evolve(w.Context(), func(meta icetable.Metadata) ([]icetable.Update, error) {
		fields := meta.CurrentSchema().Fields()
		if len(fields) > 5 {
			return nil, nil
		}
		wide := iceberg.NewSchema(1, append(fields, iceberg.NestedField{ID: 6, Name: "more",
			Type: iceberg.PrimitiveTypes.String})...)
		return []icetable.Update{icetable.NewAddSchemaUpdate(wide), icetable.NewSetCurrentSchemaUpdate(1)}, nil
	})
	require.NoError(w, err)
}

func (w *world) write(opts table.WriterOptions, rows []record) []iceberg.DataFile {
	w.Helper()
	if len(rows) == 0 {
		return nil
	}
	meta := w.committer.Table().Metadata()
	opts.Schema, opts.Location = meta.CurrentSchema(), meta.Location()
	writer, err := table.NewWriter(w.store, opts)
	require.NoError(w, err)
	require.NoError(w, writer.Write(w.Context(), w.batchOf(rows)))
	files, err := writer.Close(w.Context())
	require.NoError(w, err)
	return files
}

// land commits. Rows of a checkpoint lie in its files in any order, as in tables with a sort order.
func (w *world) land() {
	w.Helper()
	c := w.committing
	if c == nil {
		return
	}
	meta := w.committer.Table().Metadata()
	ranges := map[commit.TopicPartition]commit.Range{}
	for id, span := range c.spans {
		var rows []record
		for _, r := range c.rows {
			if r.at == id {
				rows = append(rows, r)
			}
		}
		sum, err := table.Checksum(meta.CurrentSchema(), w.batchOf(rows))
		require.NoError(w, err)
		n := int64(len(rows))
		ranges[id] = commit.Range{From: span.From, Next: span.Next, Checksum: sum,
			Counts: commit.Counts{Inserted: n, Absent: int64(span.Next-span.From) - n}}
	}
	w.rng.Shuffle(len(c.rows), func(i, j int) { c.rows[i], c.rows[j] = c.rows[j], c.rows[i] })
	_, err := w.committer.Commit(w.Context(), commit.Change{ID: c.id, Ranges: ranges,
		Files: w.write(table.WriterOptions{ChangeID: c.id, Spec: meta.PartitionSpec()}, c.rows)})
	require.NoError(w, err)
	w.committing = nil
	if w.rng.IntN(3) > 0 {
		w.feed.Committed(w.committer.Position(), w.clock)
	}
}

// compact makes some files of others, with their rows in any order.
func (w *world) compact() {
	w.Helper()
	t := w.committer.Table()
	tasks, err := table.Plan(w.Context(), t, w.store, table.Scan{})
	require.NoError(w, err)
	if len(tasks) < 2 {
		return
	}
	w.rng.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	change := commit.Change{ID: uuid.New(), Base: t.Metadata().CurrentSnapshot().SnapshotID}
	var rows []record
	for _, task := range tasks[:2+w.rng.IntN(len(tasks)-1)] {
		change.Removed = append(change.Removed, task.File)
		for batch, err := range table.Read(w.Context(), w.store, task) {
			require.NoError(w, err)
			rows = append(rows, recordsOf(batch)...)
		}
	}
	w.rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	change.Files = w.write(table.WriterOptions{ChangeID: change.ID, Spec: t.Metadata().PartitionSpec()}, rows)
	_, err = w.committer.Commit(w.Context(), change)
	require.NoError(w, err)
}

// recordsOf are the records that the rows of a batch with all columns came of.
func recordsOf(batch arrow.RecordBatch) (out []record) {
	for row := range int(batch.NumRows()) {
		n := batch.Column(3).(*array.Int32).Value(row)
		out = append(out, record{partitionOf(n), table.Offset(batch.Column(4).(*array.Int64).Value(row)),
			batch.Column(1).(*array.String).Value(row)})
	}
	return out
}

// step is anything that may happen to the table.
func (w *world) step() {
	w.Helper()
	w.clock = w.clock.Add(time.Second)
	switch n := w.rng.IntN(100); {
	case n < 20:
		w.produce(1 + w.rng.IntN(20))
	case n < 55:
		w.readOn()
	case n < 72:
		w.flush()
	case n < 80:
		w.cut()
	case n < 90:
		w.land()
	case n < 93:
		w.compact()
	case n < 95: // what was read is given up and read again
		for _, c := range []*checkpoint{w.committing, w.filling} {
			if c != nil {
				w.feed.Withdraw(c.id, w.clock)
			}
		}
		w.read, w.filling, w.committing = maps.Clone(w.committer.Position()), nil, nil
	case n < 96: // the process is killed
		w.start()
	default:
		before := w.clock.Add(-10 * time.Second)
		for _, x := range w.tails.All() {
			require.NoError(w, objstore.RemoveAll(w.Context(), w.store, 1, x.Forget(before, before)))
		}
	}
}

// finish commits all there is.
func (w *world) finish() {
	w.Helper()
	for id := range w.ends {
		for w.read[id] < w.ends[id] {
			w.readOn()
		}
	}
	for range 2 {
		w.cut()
		w.land()
	}
}

func (w *world) partitions() []table.TopicPartition {
	return slices.SortedFunc(maps.Keys(w.log), table.TopicPartition.Compare)
}
