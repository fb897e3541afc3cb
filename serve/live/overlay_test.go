package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/metafile"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

const (
	keyedPartitions = 3
	keyedKeys       = 24
)

// keyedWorld is a keyed table, the log that feeds it and the process that does; a key is of one topic partition.
type keyedWorld struct {
	testing.TB
	rng       *rand.Rand
	version   string
	partition bool
	sequence  bool
	first     bool
	// anywhere says that a key has records in any topic partition. Then nothing tells what the log comes to.
	anywhere bool

	clock     time.Time
	store     *objstore.Memory
	committed *catalog.Catalog
	log       *sourcetest.Log
	history   [keyedPartitions][]keyedChange // by offset
	newest    map[int64]int64                // the greatest sequence of a key
	deleted   map[int64]int64                // that of its last delete
	seed      uint64
	indexDir  string
	wrap      func(ingest.KeyIndex) ingest.KeyIndex // of a process; nil leaves it as it is
	logs      strings.Builder

	process *keyedProcess
	other   *commit.Committer // of a process that compacts
	kept    []keptView
	cut     [keyedPartitions]int
	cutNow  [keyedPartitions]int // of readers in the process
	hidden  int                  // rows of the base that views hid
	exact   int                  // views that were fresher than the table
	held    int                  // views of readers in the process with rows that are in memory alone
}

type keyedChange struct {
	id, seq int64
	name    string // "" deletes
}

type keyedProcess struct {
	*ingest.Ingester
	reader    *sourcetest.Reader
	committer *commit.Committer
	live      *live.Catalog
	janitor   *live.Janitor
	keys      *ingest.Keys
	index     *tail.Index
	tails     *tail.Set
}

// keptView is a table that was loaded and is read once more later.
type keptView struct {
	table *table.Table
	rows  map[int64]string
	at    time.Time
}

func newKeyedWorld(t testing.TB, seed uint64) *keyedWorld {
	w := &keyedWorld{TB: t, rng: rand.New(rand.NewPCG(seed, 11)), clock: time.Unix(1_700_003_600, 0),
		log: sourcetest.NewLog("c"), newest: map[int64]int64{}, deleted: map[int64]int64{}, indexDir: t.TempDir()}
	w.version, w.partition = []string{"2", "3"}[seed%2], seed/2%2 == 1
	switch seed / 4 % 3 {
	case 1:
		w.sequence = true
	case 2:
		w.first = true
	}
	w.store = objstore.NewMemory(w.now)
	w.log.Create("events", keyedPartitions)
	w.committed = catalog.New(catalog.NewMemoryStore(), w.store, catalog.Options{Warehouse: "mem://wh/main",
		Now: w.now, NewID: uuid.New, TableProperties: catalog.DefaultTableProperties()})
	require.NoError(t, w.committed.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	partitions := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "name",
		Transform: iceberg.TruncateTransform{Width: 1}})
	if !w.partition {
		partitions = *iceberg.UnpartitionedSpec
	}
	for _, made := range []struct {
		ident  table.Ident
		schema *iceberg.Schema
		spec   *iceberg.PartitionSpec
	}{
		{events, iceberg.NewSchemaWithIdentifiers(0, []int{1},
			iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
			iceberg.NestedField{ID: 2, Name: "seq", Type: iceberg.PrimitiveTypes.Int64},
			iceberg.NestedField{ID: 3, Name: "name", Type: iceberg.PrimitiveTypes.String},
			iceberg.NestedField{ID: 4, Name: "gone", Type: iceberg.PrimitiveTypes.Bool}), &partitions},
		{commit.DeadLettersIdent(events), ingest.DeadLetterSchema(), iceberg.UnpartitionedSpec},
	} {
		_, err := w.committed.CreateTable(t.Context(), made.ident, catalog.TableSpec{Schema: made.schema,
			PartitionSpec: made.spec, Properties: iceberg.Properties{"format-version": w.version}})
		require.NoError(t, err)
	}
	w.other = w.open()
	return w
}

func (w *keyedWorld) now() time.Time { return w.clock }

func (w *keyedWorld) open() *commit.Committer {
	w.seed++
	o := committest.Options(w.seed, ingest.WriterName(fmt.Sprintf("process-%d", w.seed), "g"))
	o.Now = w.now
	committer, err := commit.Open(w.Context(), w.committed, w.store, events, o)
	require.NoError(w, err)
	return committer
}

// start starts the process anew. Of the one before only the index on disk is left.
func (w *keyedWorld) start() {
	dead, err := w.committed.LoadTable(w.Context(), commit.DeadLettersIdent(events))
	require.NoError(w, err)
	p := &keyedProcess{reader: w.log.Join("g", 7, "events"), committer: w.open()}
	dir := w.indexDir
	p.keys = ingest.NewKeys(func(ctx context.Context, t *table.Table) (ingest.KeyIndex, error) {
		index, err := keyed.Open(ctx, w.store, t, keyed.Options{Dir: dir, Salt: w.rng.Uint64})
		if err == nil && w.wrap != nil {
			return w.wrap(index), nil
		}
		return index, err
	})
	tails := tail.NewSet()
	meta := p.committer.Table().Metadata()
	p.tails = tails
	p.index = tails.Index(meta.TableUUID(), meta.Location())
	options := ingest.TableOptions{Ident: events, Topics: []string{"events"}, Committer: p.committer,
		DeadLetterTable: dead, Decode: decode.Options{Format: decode.FormatJSON}, Group: "g",
		Freshness: spec.Freshness{Interval: spec.Duration(6 * time.Second)},
		Tail:      p.index,
		Keyed: &ingest.KeyedOptions{First: w.first, DeleteColumn: "gone", Tombstones: true,
			Keys: p.keys}}
	if w.sequence {
		options.Keyed.Sequence = []string{"seq"}
	}
	log := slog.New(slog.NewTextHandler(&w.logs, nil))
	p.Ingester, err = ingest.New(w.Context(), ingest.Options{Source: p.reader, Store: w.store, Now: w.now, Log: log,
		Tables: []ingest.TableOptions{options}})
	require.NoError(w, err)
	p.live = w.view(tails)
	p.janitor = live.NewJanitor(p.live)
	w.process, w.cut, w.cutNow = p, [keyedPartitions]int{}, [keyedPartitions]int{}
}

// view has the tables as of now, by the tails of a process.
func (w *keyedWorld) view(tails *tail.Set) *live.Catalog {
	c, err := live.New(live.Options{Committed: moving{w.committed, w}, Store: w.store, Tails: tails, Now: w.now,
		Log: slog.New(slog.NewTextHandler(&w.logs, nil)), NewID: uuid.New,
		Position: func(meta icetable.Metadata) (table.Position, error) {
			ledger, err := commit.ReadLedger(meta)
			return ledger.Position, err
		}})
	require.NoError(w, err)
	c.SetManifestChunks(3)
	return c
}

func (w *keyedWorld) crash() {
	w.log.Crash(w.process.reader)
	w.process.Close(w.Context())
	require.NoError(w, w.process.keys.Close())
}

// moving is a catalog of tables that often move on once they were loaded.
type moving struct {
	catalog.Reads
	world *keyedWorld
}

func (m moving) TableJSON(ctx context.Context, ident table.Ident) (catalog.Loaded, error) {
	loaded, err := m.Reads.TableJSON(ctx, ident)
	switch w := m.world; w.rng.IntN(8) {
	case 0:
		w.compact(w.process.committer)
	case 1:
		w.compact(w.other)
	case 2, 3:
		w.step()
	}
	return loaded, err
}

// append appends a change of a key. What comes late is never older than the last delete of its key: how long a delete
// is remembered depends on where checkpoints end.
func (w *keyedWorld) append() {
	c := keyedChange{id: w.rng.Int64N(keyedKeys), name: fmt.Sprintf("%c%d", 'a'+w.rng.IntN(3), w.rng.IntN(1000))}
	c.seq = w.newest[c.id] + w.rng.Int64N(3)
	if w.rng.IntN(4) == 0 {
		c.seq = w.deleted[c.id] + w.rng.Int64N(w.newest[c.id]-w.deleted[c.id]+1)
	}
	if w.rng.IntN(4) == 0 {
		c.name, c.seq = "", w.newest[c.id]+1
		w.deleted[c.id] = c.seq
	}
	w.newest[c.id] = max(w.newest[c.id], c.seq)
	partition := int32(c.id % keyedPartitions)
	if w.anywhere {
		partition = w.rng.Int32N(keyedPartitions)
	}
	r := source.Record{Key: fmt.Appendf(nil, `{"id":%d}`, c.id), Timestamp: w.clock.UnixMilli()}
	switch {
	case c.name != "":
		r.Value = fmt.Appendf(nil, `{"id":%d,"seq":%d,"name":%q}`, c.id, c.seq, c.name)
	case w.sequence || w.rng.IntN(2) == 0:
		r.Value = fmt.Appendf(nil, `{"id":%d,"seq":%d,"gone":true}`, c.id, c.seq)
	}
	w.log.Append("events", partition, r)
	w.history[partition] = append(w.history[partition], c)
}

// model is what the log comes to up to a cut.
func (w *keyedWorld) model(cut [keyedPartitions]int) map[int64]string {
	rows, sequences := map[int64]string{}, map[int64]int64{}
	for partition, changes := range w.history {
		for _, c := range changes[:cut[partition]] {
			_, live := rows[c.id]
			switch {
			case w.sequence && c.seq < sequences[c.id], w.first && live && c.name != "":
				continue
			case c.name == "":
				delete(rows, c.id)
			default:
				rows[c.id] = c.name
			}
			sequences[c.id] = c.seq
		}
	}
	return rows
}

// rows are those of a table, each key once.
func (w *keyedWorld) rows(t *table.Table) map[int64]string {
	w.Helper()
	tasks, err := table.Plan(w.Context(), t, w.store, table.Scan{Columns: []string{"id", "name"}})
	require.NoError(w, err)
	return w.rowsOf(tasks)
}

// rowsOf are those that tasks read, each key once.
func (w *keyedWorld) rowsOf(tasks []table.Task) map[int64]string {
	w.Helper()
	rows := map[int64]string{}
	for _, task := range tasks {
		for batch, err := range table.Read(w.Context(), w.store, task) {
			require.NoError(w, err, w.logs.String())
			names := batch.Column(batch.Schema().FieldIndices("name")[0]).(*array.String)
			for i, id := range batch.Column(0).(*array.Int64).Int64Values() {
				before, twice := rows[id]
				require.False(w, twice, "key %d has the rows %s and %s", id, before, names)
				rows[id] = names.Value(i)
			}
		}
	}
	return rows
}

// follow says that somebody reads, and waits until all that is read from now on is shown.
func (w *keyedWorld) follow() {
	for ready := w.process.index.Follow(w.clock.Add(live.Pin)); ; w.step() {
		select {
		case <-ready:
		default:
			continue
		}
		break
	}
}

// read reads the table as of now and holds it against the model.
func (w *keyedWorld) read() {
	w.Helper()
	w.follow()
	loaded, err := w.process.live.TableJSON(w.Context(), events)
	require.NoError(w, err, w.logs.String())
	meta, err := metafile.Parse(loaded.Metadata)
	require.NoError(w, err)
	t := table.New(events, meta, loaded.MetadataLocation)
	properties := meta.CurrentSnapshot().Summary.Properties
	cuts := map[string]map[string]int{}
	require.NoError(w, json.Unmarshal([]byte(properties[live.SummaryOffsets]), &cuts))
	var cut [keyedPartitions]int
	for partition, next := range cuts["events"] {
		n, err := strconv.Atoi(partition)
		require.NoError(w, err)
		require.GreaterOrEqual(w, next, w.cut[n], "the cut of partition %d goes back", n)
		cut[n] = next
	}
	w.cut = cut
	rows := w.rows(t)
	if !w.anywhere {
		require.Equal(w, w.model(cut), rows, "at %v, %v", cut, properties)
	}
	if properties[live.SummaryRows] != "0" {
		w.exact++
	}
	hidden, err := strconv.Atoi(properties["added-position-deletes"])
	if err == nil {
		w.hidden += hidden
	}
	w.kept = append(w.kept, keptView{t, rows, w.clock})
}

// readAgain reads a view that was loaded within the pin window.
func (w *keyedWorld) readAgain() {
	w.Helper()
	for len(w.kept) > 0 && w.clock.Sub(w.kept[0].at) >= live.Pin {
		w.kept = w.kept[1:]
	}
	if len(w.kept) > 0 {
		kept := w.kept[w.rng.IntN(len(w.kept))]
		require.Equal(w, kept.rows, w.rows(kept.table), "a view is another one later")
	}
}

func (w *keyedWorld) compact(committer *commit.Committer) {
	w.Helper()
	c, err := compaction.New(committer, w.store, compaction.Options{NewID: uuid.New})
	require.NoError(w, err)
	require.NoError(w, committer.Refresh(w.Context()))
	_, err = c.Run(w.Context())
	require.NoError(w, err)
}

func (w *keyedWorld) step() {
	require.NoError(w, w.process.Step(w.Context()))
	w.clock = w.clock.Add(time.Second)
}

// Invariant: whatever ingest, compaction and crashes do in between, a reader of the live catalog sees the log folded up
// to the cut that the snapshot names, and what he has loaded stays what it is for the pin window.
func TestReadersOfAKeyedTableSeeTheLogFoldedUpToTheCut(t *testing.T) {
	seeds, steps := uint64(12), 120
	if testing.Short() {
		seeds, steps = 4, 60
	}
	hidden, exact := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newKeyedWorld(t, seed)
			w.start()
			for range steps {
				for range w.rng.IntN(12) {
					w.append()
				}
				w.step()
				switch w.rng.IntN(24) {
				case 0:
					w.crash()
					w.start()
				case 1, 2:
					w.compact(w.process.committer)
				case 3:
					w.compact(w.other)
				case 4:
					require.NoError(t, w.process.janitor.Step(t.Context()))
				case 5:
					w.clock = w.clock.Add(time.Duration(w.rng.IntN(40)) * time.Second)
				}
				if w.rng.IntN(3) > 0 {
					w.read()
				}
				if w.rng.IntN(8) == 0 {
					w.readAgain()
				}
			}
			w.crash()
			hidden, exact = hidden+w.hidden, exact+w.exact
		})
	}
	require.Greater(t, exact, int(seeds)*steps/8, "views are hardly fresher than the table")
	require.Greater(t, hidden, int(seeds)*steps, "hardly anything was hidden")
}
