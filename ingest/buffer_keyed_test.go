package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// model is a map folded over the log.
type model struct {
	rows map[int64]keyedRow
	// floor is the least sequence of the next version of a key: the table remembers no deleted rows, so
	// none is older than a delete.
	floor map[int64]int64
}

// keyedChaos is a random history of a keyed table with members that crash, sleep and lose answers.
type keyedChaos struct {
	*chaos
	history
	count int64 // of records
	// rewrites says that others rewrite the table now and then.
	rewrites bool
}

// history makes the records of a random history and knows what they come to.
type history interface {
	// next makes a record.
	next(c *keyedChaos)
	// require holds the table against the model.
	require(c *keyedChaos)
}

// plainHistory replaces rows whole.
type plainHistory struct {
	model
	k keyedTable
}

func newKeyedChaos(w *world, random *rand.Rand, h history) *keyedChaos {
	return &keyedChaos{history: h, chaos: &chaos{world: w, random: random}}
}

// newPlainChaos is a history of a new table.
func newPlainChaos(w *world, random *rand.Rand, k keyedTable) *keyedChaos {
	w.log.Create("events", 3)
	c := newKeyedChaos(w, random, &plainHistory{k: k,
		model: model{rows: map[int64]keyedRow{}, floor: map[int64]int64{}}})
	c.ident = w.createKeyed("db.users", k)
	c.tableOptions = func() TableOptions { return w.keyedOptions(c.ident, k) }
	return c
}

func (h *plainHistory) require(c *keyedChaos) { require.Equal(c.t, h.rows, c.content(c.ident)) }

// next makes a record and folds it into the model.
func (h *plainHistory) next(c *keyedChaos) {
	m := &h.model
	count := c.count
	id := c.random.Int64N(25)
	partition := int32(id % 3)
	row := keyedRow{id, count, fmt.Sprint("n", count), fmt.Sprint("r", c.random.IntN(3))}
	old, present := m.rows[id]
	if present && c.random.IntN(4) == 0 { // as late as can be
		row.seq = max(m.floor[id], old.seq-c.random.Int64N(3))
	}
	older := h.k.sequence && present && row.seq < old.seq
	switch c.random.IntN(10) {
	case 0:
		c.put(partition, id, "")
		m.bury(id, max(old.seq, row.seq))
	case 1:
		c.put(partition, id, fmt.Sprintf(`{"id":%d,"seq":%d,"gone":true}`, id, row.seq))
		if !older {
			m.bury(id, max(old.seq, row.seq))
		}
	case 2:
		c.put(partition, id, `{"id":null}`)
		c.bad++
	default:
		c.put(partition, id, row.json())
		if !older && !(h.k.first && present) {
			m.rows[id] = row
		}
	}
}

func (m *model) bury(id, seq int64) {
	delete(m.rows, id)
	m.floor[id] = seq
}

func (c *keyedChaos) step() {
	for range c.random.IntN(20) {
		c.count++
		c.next(c)
	}
	if c.rewrites && c.random.IntN(8) == 0 {
		c.rewrite(c.ident)
	}
	if len(c.members) == 0 {
		c.join(1 + c.random.IntN(30))
		return
	}
	m := c.members[c.random.IntN(len(c.members))]
	switch n := c.random.IntN(100); {
	case n < 4:
		c.crash(m)
	case n < 6 && len(c.members) < 3:
		c.join(1 + c.random.IntN(30))
	case n < 9:
		c.log.Expire(m.reader)
	default:
		require.NoError(c.t, m.ingester.Step(c.t.Context()))
	}
	c.clock = c.clock.Add(time.Duration(c.random.IntN(3000)) * time.Millisecond)
}

func (c *keyedChaos) run(steps int) {
	for range steps {
		c.step()
	}
	c.healed = true
	for len(c.members) > 0 {
		c.crash(c.members[0])
	}
	c.join(50)
	last := c.members[0]
	for range 60 {
		require.NoError(c.t, last.ingester.Step(c.t.Context()))
		c.clock = c.clock.Add(time.Second)
	}
	c.require(c)
	var total, letters int64
	for _, covered := range c.check(c.ident).Covered {
		total += covered.Counts.Sum()
		letters += covered.Counts.DeadLetters
	}
	require.Equal(c.t, c.count, total)
	require.Equal(c.t, int64(c.bad), letters)
	last.ingester.Close(c.t.Context())
	require.Zero(c.t, last.ingester.opts.Budget.Used())
}

// seeds are those of n random histories, or few of them in the short form, in which most kinds of table occur.
func seeds(n uint64) (list []uint64) {
	step := uint64(1)
	if testing.Short() {
		n, step = min(n, 8), 3
	}
	for seed := uint64(0); seed < n; seed += step {
		list = append(list, seed)
	}
	return list
}

func TestRandomHistoriesOfKeyedTablesFollowTheModel(t *testing.T) {
	for _, seed := range seeds(16) {
		k := keyedTable{version: 2 + int(seed%2), partitioned: seed/2%2 == 1, sequence: seed/4%2 == 1,
			first: seed%8 == 3}
		t.Run(fmt.Sprintf("%d %+v", seed, k), func(t *testing.T) {
			newPlainChaos(newWorld(t), rand.New(rand.NewPCG(seed, 7)), k).run(120)
		})
	}
}

// meddler is a Committer that lets others commit before its own first commits.
type meddler struct {
	Committer
	meddle []func()
}

func (m *meddler) Commit(ctx context.Context, change commit.Change) (commit.Committed, error) {
	if len(m.meddle) > 0 {
		meddle := m.meddle[0]
		m.meddle = m.meddle[1:]
		meddle()
	}
	return m.Committer.Commit(ctx, change)
}

// rewrite makes one file of all rows, as compaction does.
func (w *world) rewrite(ident table.Ident) {
	w.t.Helper()
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	meta := t.Metadata()
	tasks, err := table.Plan(w.t.Context(), t, w.objects, table.Scan{})
	require.NoError(w.t, err)
	if len(tasks) == 0 {
		return
	}
	w.seed++
	change := commit.Change{ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "rewrite", w.seed)),
		Base: meta.CurrentSnapshot().SnapshotID}
	writer, err := table.NewWriter(w.objects, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Location: meta.Location(), ChangeID: change.ID})
	require.NoError(w.t, err)
	for _, task := range tasks {
		change.Removed = append(change.Removed, task.File)
		for batch, err := range table.Read(w.t.Context(), w.objects, task) {
			require.NoError(w.t, err)
			require.NoError(w.t, writer.Write(w.t.Context(), batch))
		}
	}
	change.Files, err = writer.Close(w.t.Context())
	require.NoError(w.t, err)
	_, err = w.options(ident, "others").Committer.Commit(w.t.Context(), change)
	require.NoError(w.t, err)
}

// foreign appends rows by a writer that knows no keys.
func (w *world) foreign(ident table.Ident, rows ...keyedRow) {
	w.t.Helper()
	opts := w.options(ident, "others")
	committer := opts.Committer
	meta := committer.Table().Metadata()
	schema, err := table.ArrowSchema(meta.CurrentSchema())
	require.NoError(w.t, err)
	b := array.NewRecordBuilder(w.mem, schema)
	defer b.Release()
	for _, row := range rows {
		b.Field(0).(*array.Int64Builder).Append(row.id)
		b.Field(1).(*array.Int64Builder).Append(row.seq)
		b.Field(2).(*array.StringBuilder).Append(row.name)
		b.Field(3).(*array.StringBuilder).Append(row.region)
		for i := 4; i < schema.NumFields(); i++ {
			b.Field(i).AppendNull()
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "foreign", w.seed))
	writer, err := table.NewWriter(w.objects, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Location: meta.Location(), ChangeID: id})
	require.NoError(w.t, err)
	require.NoError(w.t, writer.Write(w.t.Context(), batch))
	files, err := writer.Close(w.t.Context())
	require.NoError(w.t, err)
	n := commit.Offset(len(rows))
	at := committer.Position()[w.log.TopicPartition("others", 0)]
	_, err = committer.Commit(w.t.Context(), commit.Change{ID: id, Files: files,
		Ranges: map[commit.TopicPartition]commit.Range{w.log.TopicPartition("others", 0): {From: at, Next: at + n,
			Counts: commit.Counts{Inserted: int64(n)}}}})
	require.NoError(w.t, err)
}

func TestRowsThatOthersAddMeanwhileAreReplaced(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		w.log.Create("events", 1)
		w.log.Create("others", 1)
		k := keyedTable{version: version, sequence: true}
		ident := w.createKeyed("db.users", k)
		opts := w.keyedOptions(ident, k)
		committer := &meddler{Committer: opts.Committer}
		opts.Committer = committer
		g := w.ingester(w.log.Join("g", 100, "events"), opts)
		committer.meddle = []func(){
			func() { w.foreign(ident, keyedRow{1, 1, "foreign", "x"}) },
			func() { w.foreign(ident, keyedRow{2, 1, "foreign", "x"}, keyedRow{3, 1, "foreign", "x"}) },
		}
		w.put(0, 1, keyedRow{1, 5, "a", "x"}.json())
		w.put(0, 2, keyedRow{2, 5, "b", "x"}.json())
		w.steps(g, 14)
		w.requireRows(ident, keyedRow{1, 5, "a", "x"}, keyedRow{2, 5, "b", "x"}, keyedRow{3, 1, "foreign", "x"})
		require.Equal(t, commit.Counts{Updated: 2}, w.counts(ident))
		// A row of others that is newer than one that was written to a file already: all is read again.
		committer.meddle = []func(){func() { w.foreign(ident, keyedRow{4, 9, "newer", "x"}) }}
		w.put(0, 4, keyedRow{4, 5, "d", "x"}.json())
		w.put(0, 5, keyedRow{5, 5, "e", "x"}.json())
		w.steps(g, 40)
		w.requireRows(ident, keyedRow{1, 5, "a", "x"}, keyedRow{2, 5, "b", "x"}, keyedRow{3, 1, "foreign", "x"},
			keyedRow{4, 9, "newer", "x"}, keyedRow{5, 5, "e", "x"})
		require.Equal(t, commit.Counts{Updated: 2, Superseded: 1, Inserted: 1}, w.counts(ident))
		g.Close(t.Context())
	})
}
