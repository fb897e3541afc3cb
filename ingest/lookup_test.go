package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/point"
)

// lookedUp is a history of which each state of each key is remembered, so that any answer can be held against its
// own cut.
type lookedUp struct {
	plainHistory
	// written counts the records of topic partitions; states are those of keys.
	written map[int32]int64
	states  map[int64][]keyState
	lookups map[*member]*Lookup
	answers map[string]int
}

// keyState is what a key is from an offset of its topic partition on.
type keyState struct {
	from int64
	row  *keyedRow
}

func newLookedUp(w *world, random *rand.Rand, k keyedTable) *keyedChaos {
	c := newPlainChaos(w, random, k)
	c.history = &lookedUp{plainHistory: *c.history.(*plainHistory), written: map[int32]int64{},
		states: map[int64][]keyState{}, lookups: map[*member]*Lookup{}, answers: map[string]int{}}
	return c
}

// next makes a record and remembers what it makes of its key.
func (h *lookedUp) next(c *keyedChaos) {
	before := h.logEnds(c)
	h.plainHistory.next(c)
	for partition, end := range h.logEnds(c) {
		if end == before[partition] {
			continue
		}
		for id := int64(partition); id < 25; id += 3 {
			state := keyState{from: end}
			if row, present := h.rows[id]; present {
				state.row = &row
			}
			h.states[id] = append(h.states[id], state)
		}
	}
}

// logEnds are the next offsets of the topic partitions.
func (h *lookedUp) logEnds(c *keyedChaos) map[int32]int64 {
	out := map[int32]int64{}
	for partition := range int32(3) {
		out[partition] = int64(c.log.End("events", partition))
	}
	return out
}

// at is the newest row of a key before an offset.
func (h *lookedUp) at(id int64, next commit.Offset) *keyedRow {
	var row *keyedRow
	for _, state := range h.states[id] {
		if state.from <= int64(next) {
			row = state.row
		}
	}
	return row
}

// look asks a member for some keys and holds the answer against the model at the answer's cut.
func (h *lookedUp) look(c *keyedChaos, m *member) {
	l := h.lookups[m]
	keys := m.ingester.tables[0].opts.Keyed.Keys
	if l == nil {
		l = keys.Lookup(point.NewReader(m.ingester.opts.Store, c.t.TempDir(), 1<<20), c.now)
		h.lookups[m] = l
	}
	schema, err := l.Schema()
	require.NoError(c.t, err)
	var batches []arrow.RecordBatch
	var ids []int64
	for range 1 + c.random.IntN(4) {
		id := c.random.Int64N(25)
		batch, err := point.ParseKey(schema, fmt.Sprint(id))
		require.NoError(c.t, err)
		batches, ids = append(batches, batch), append(ids, id)
	}
	answer, err := l.Get(c.t.Context(), batches)
	if err != nil {
		h.answers["error"]++
		require.False(c.t, c.healed, "%v", err)
		require.False(c.t, strings.Contains(err.Error(), "BUG"), "%v", err)
		require.False(c.t, errors.Is(err, point.ErrKey), "%v", err)
		return
	}
	defer answer.Release()
	for i, id := range ids {
		next := answer.Position[c.log.TopicPartition("events", int32(id%3))]
		want := h.at(id, next)
		var got *keyedRow
		if row := answer.Rows[i]; row != nil {
			got = &keyedRow{longAt(row.Column(0), 0), longAt(row.Column(1), 0), textAt(row.Column(2), 0),
				textAt(row.Column(3), 0)}
		}
		require.Equal(c.t, want, got, "key %d at offset %d of %v, snapshot %d, behind %q", id, next,
			answer.Position, answer.SnapshotID, answer.Behind)
		h.answers[fmt.Sprint("present ", got != nil)]++
		if answer.Behind != "" {
			h.answers["behind"]++
		}
		if next > m.ingester.tables[0].opts.Committer.Position()[c.log.TopicPartition("events", int32(id%3))] {
			h.answers["fresh"]++
		}
	}
}

func TestEachLookUpIsTheNewestRowAtItsCut(t *testing.T) {
	total := map[string]int{}
	for _, seed := range seeds(16) {
		k := keyedTable{version: 2 + int(seed%2), partitioned: seed/2%2 == 1, sequence: seed/4%2 == 1,
			first: seed%8 == 3}
		t.Run(fmt.Sprintf("%d %+v", seed, k), func(t *testing.T) {
			c := newLookedUp(newWorld(t), rand.New(rand.NewPCG(seed, 9)), k)
			c.rewrites = seed%3 > 0
			h := c.history.(*lookedUp)
			for range 150 {
				c.step()
				for _, m := range c.members {
					h.look(c, m)
				}
			}
			for kind, n := range h.answers {
				total[kind] += n
			}
			c.run(0)
		})
	}
	t.Log(total)
	for _, kind := range []string{"present true", "present false", "fresh"} {
		require.Greater(t, total[kind], 100, "%v", total)
	}
	require.Less(t, 10*total["error"], total["fresh"], "%v", total)
}

// sighting is an answer that is held against the model later.
type sighting struct {
	id   int64
	next commit.Offset
	row  *keyedRow
}

// TestLookUpsAreExactWhileIngestRuns looks up from other goroutines while records are taken in, committed and
// rewritten. Within each the cut never goes back.
func TestLookUpsAreExactWhileIngestRuns(t *testing.T) {
	w := newWorld(t)
	c := newLookedUp(w, rand.New(rand.NewPCG(3, 9)), keyedTable{version: 3, sequence: true})
	c.healed = true // no faults
	h := c.history.(*lookedUp)
	c.join(50)
	m := c.members[0]
	var clock atomic.Int64
	clock.Store(w.clock.UnixNano())
	l := m.ingester.tables[0].opts.Keyed.Keys.Lookup(point.NewReader(w.objects, t.TempDir(), 1<<20),
		func() time.Time { return time.Unix(0, clock.Load()) })
	schema, err := l.Schema()
	require.NoError(t, err)
	var done atomic.Bool
	var lookers sync.WaitGroup
	seen := make([][]sighting, 2)
	for i := range seen {
		random := rand.New(rand.NewPCG(uint64(i), 5))
		lookers.Go(func() {
			cut := commit.Position{}
			for !done.Load() {
				s := sighting{id: random.Int64N(25)}
				key, err := point.ParseKey(schema, fmt.Sprint(s.id))
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := l.Get(t.Context(), []arrow.RecordBatch{key})
				key.Release()
				if err != nil {
					t.Error(err)
					return
				}
				for id, next := range answer.Position {
					if next < cut[id] {
						t.Errorf("the cut of %s went back from %d to %d", id, cut[id], next)
					}
					cut[id] = next
				}
				s.next = answer.Position[w.log.TopicPartition("events", int32(s.id%3))]
				if row := answer.Rows[0]; row != nil {
					s.row = &keyedRow{longAt(row.Column(0), 0), longAt(row.Column(1), 0),
						strings.Clone(textAt(row.Column(2), 0)), strings.Clone(textAt(row.Column(3), 0))}
				}
				answer.Release()
				seen[i] = append(seen[i], s)
			}
		})
	}
	for round := range 400 {
		for range 10 {
			c.count++
			c.next(c)
		}
		if round%37 == 0 {
			c.rewrite(c.ident)
		}
		require.NoError(t, m.ingester.Step(t.Context()))
		w.clock = w.clock.Add(300 * time.Millisecond)
		clock.Store(w.clock.UnixNano())
	}
	done.Store(true)
	lookers.Wait()
	for _, sightings := range seen {
		require.Greater(t, len(sightings), 20)
		for _, s := range sightings {
			require.Equal(t, h.at(s.id, s.next), s.row, "key %d at offset %d", s.id, s.next)
		}
	}
	m.ingester.Close(t.Context())
}

// lookedUp is a table with a row of key 1 that was looked up, its ingester and its look-ups.
func (w *world) lookedUp(k keyedTable) (table.Ident, TableOptions, *Ingester, *Lookup) {
	w.log.Create("events", 1)
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	l := opts.Keyed.Keys.Lookup(point.NewReader(w.objects, w.t.TempDir(), 1<<20), w.now)
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.steps(g, 14)
	requireName(w.t, l, 1, "a")
	return ident, opts, g, l
}

// TestLookUpsWaitForNoNewFile takes data files away from the store as soon as the index has rows in them.
func TestLookUpsWaitForNoNewFile(t *testing.T) {
	forms(t, func(t *testing.T, w *world, version int) {
		ident, _, g, l := w.lookedUp(keyedTable{version: version})
		w.put(0, 2, keyedRow{2, 1, "b", "x"}.json())
		w.steps(g, 14) // committed here
		require.NotZero(t, w.counts(ident).Inserted)
		w.removeDataFiles(ident)
		requireName(t, l, 2, "b")
		g.Close(t.Context())
	})
}

func TestLookUpsWaitForNoRewrittenFile(t *testing.T) {
	w := newWorld(t)
	ident, _, g, l := w.lookedUp(keyedTable{version: 3})
	w.rewrite(ident)
	w.put(0, 2, keyedRow{2, 1, "b", "x"}.json())
	w.steps(g, 14)
	w.removeDataFiles(ident)
	requireName(t, l, 1, "a")
	g.Close(t.Context())
}

// refusing is a committer that commits nothing.
type refusing struct{ Committer }

func (refusing) Commit(context.Context, commit.Change) (commit.Committed, error) {
	return commit.Committed{}, commit.ErrConflict
}

func TestFilesArePreparedBeforeTheyAreCommitted(t *testing.T) {
	w := newWorld(t)
	ident, opts, g, l := w.lookedUp(keyedTable{version: 3})
	l.reader = point.NewReader(w.objects, t.TempDir(), 1<<20) // which knows of no file
	tasks, err := table.Plan(t.Context(), opts.Committer.Table(), w.objects, table.Scan{})
	require.NoError(t, err)
	require.Len(t, tasks, 1)
	_, err = l.Preparing(refusing{opts.Committer}).Commit(t.Context(), commit.Change{ID: uuid.New(),
		Files: []iceberg.DataFile{tasks[0].File}})
	require.ErrorIs(t, err, commit.ErrConflict)
	w.removeDataFiles(ident)
	requireName(t, l, 1, "a")
	g.Close(t.Context())
}

// slowRefresh is a committer that takes its time to load the table once it is armed.
type slowRefresh struct {
	Committer
	armed     atomic.Bool
	refreshes atomic.Int64
	release   chan struct{}
}

func (c *slowRefresh) Refresh(ctx context.Context) error {
	if c.armed.Load() {
		c.refreshes.Add(1)
		<-c.release
	}
	return c.Committer.Refresh(ctx)
}

func TestOneLookUpLoadsTheTableForAll(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3}
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	slow := &slowRefresh{Committer: opts.Committer, release: make(chan struct{})}
	opts.Committer = slow
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	l := opts.Keyed.Keys.Lookup(point.NewReader(w.objects, t.TempDir(), 1<<20), w.now)
	w.put(0, 1, keyedRow{1, 1, "a", "x"}.json())
	w.steps(g, 14)
	schema, err := l.Schema()
	require.NoError(t, err)
	key, err := point.ParseKey(schema, "1")
	require.NoError(t, err)
	defer key.Release()
	slow.armed.Store(true)
	var lookers sync.WaitGroup
	for range 8 {
		lookers.Go(func() {
			answer, err := l.Get(t.Context(), []arrow.RecordBatch{key})
			if err != nil || answer.Rows[0] == nil {
				t.Errorf("no row: %v", err)
			}
			answer.Release()
		})
	}
	time.AfterFunc(50*time.Millisecond, func() { close(slow.release) })
	lookers.Wait()
	require.Equal(t, int64(1), slow.refreshes.Load())
	g.Close(t.Context())
}

// requireName looks a key up.
func requireName(t testing.TB, l *Lookup, id int64, name string) {
	t.Helper()
	schema, err := l.Schema()
	require.NoError(t, err)
	key, err := point.ParseKey(schema, fmt.Sprint(id))
	require.NoError(t, err)
	defer key.Release()
	answer, err := l.Get(t.Context(), []arrow.RecordBatch{key})
	require.NoError(t, err)
	defer answer.Release()
	require.NotNil(t, answer.Rows[0])
	require.Equal(t, name, textAt(answer.Rows[0].Column(2), 0))
}

// removeDataFiles takes the live data files of a table away.
func (w *world) removeDataFiles(ident table.Ident) {
	w.t.Helper()
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	tasks, err := table.Plan(w.t.Context(), t, w.objects, table.Scan{})
	require.NoError(w.t, err)
	for _, task := range tasks {
		require.NoError(w.t, w.objects.Remove(w.t.Context(), task.File.FilePath()))
	}
}

// slowLanding is an index that tells when it has taken in a commit, before anybody else knows.
type slowLanding struct {
	KeyIndex
	landed func()
}

func (s slowLanding) Landed(ctx context.Context, t *table.Table, l keyed.Landing) error {
	err := s.KeyIndex.Landed(ctx, t, l)
	s.landed()
	return err
}

// To take in the same versions again changes what they come to when a delete and a version older than what it deleted
// are among them: behind the delete it stays out, and of a key without a row it comes in.
func TestALookUpDuringALandingIsOfItsCut(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	k := keyedTable{version: 3, sequence: true}
	ident := w.createKeyed("db.users", k)
	opts := w.keyedOptions(ident, k)
	landed := func() {}
	dir := t.TempDir()
	opts.Keyed.Keys = NewKeys(func(ctx context.Context, t *table.Table) (KeyIndex, error) {
		index, err := keyed.Open(ctx, w.objects, t, keyed.Options{Dir: dir, Salt: func() uint64 { return 7 }})
		return slowLanding{index, func() { landed() }}, err
	})
	t.Cleanup(func() { require.NoError(t, opts.Keyed.Keys.Close()) })
	g := w.ingester(w.log.Join("g", 100, "events"), opts)
	asked := w.clock
	l := opts.Keyed.Keys.Lookup(point.NewReader(w.objects, t.TempDir(), 1<<20), func() time.Time { return asked })
	w.put(0, 1, keyedRow{1, 10, "a", "x"}.json())
	w.steps(g, 14)
	requireName(t, l, 1, "a")
	w.put(0, 1, "")
	w.put(0, 1, keyedRow{1, 9, "older than what is deleted", "x"}.json())
	schema, err := l.Schema()
	require.NoError(t, err)
	key, err := point.ParseKey(schema, "1")
	require.NoError(t, err)
	defer key.Release()
	answered := make(chan error, 1)
	landings := 0
	landed = func() {
		landings++
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			answer, err := l.Get(t.Context(), []arrow.RecordBatch{key})
			if err == nil && answer.Rows[0] != nil {
				err = fmt.Errorf("there is a row: %v", answer.Rows[0])
			}
			answer.Release()
			answered <- err
		}()
		select {
		case <-finished:
		case <-time.After(50 * time.Millisecond): // it waits for the landing
		}
	}
	w.steps(g, 14)
	require.Equal(t, 1, landings)
	require.NoError(t, <-answered)
	g.Close(t.Context())
}
