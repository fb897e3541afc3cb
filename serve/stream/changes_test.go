package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/images/imagestest"
	"github.com/firthlake/firth/table/tail"
)

// keyedWorld is a keyed table with streams, and chance.
type keyedWorld struct {
	*imagestest.Source
	dice    *rand.Rand
	streams *Streams
	bounds  bounds
}

// LoadTable implements Tables.
func (w *keyedWorld) LoadTable(context.Context, table.Ident) (*table.Table, error) {
	return w.Table(), nil
}

func newKeyedWorld(t testing.TB, seed uint64) *keyedWorld {
	w := &keyedWorld{dice: rand.New(rand.NewPCG(seed, 7))}
	w.Source = imagestest.New(t, []string{"2", "3"}[seed%2], seed%4 > 1)
	w.bounds = bounds{windowRows: 2 + w.dice.IntN(20), windowBytes: []int64{300, 1 << 20}[w.dice.IntN(2)],
		batchRows: 1 + w.dice.IntN(4)}
	w.restart()
	return w
}

// restart is another process.
func (w *keyedWorld) restart() {
	streams, err := New(Options{Tables: w, Objects: w.Store, Tails: tail.NewSet(), Now: time.Now,
		Ledger:     func(icetable.Metadata) (Ledger, error) { panic("BUG: a keyed table is asked for its offsets") },
		PositionAt: func(context.Context, icetable.Metadata, int64) (table.Position, error) { panic("BUG: and here") }})
	require.NoError(w.T, err)
	streams.bounds = w.bounds
	w.streams = streams
}

// at is the rows that the table held at a snapshot.
func (w *keyedWorld) at(id int64) []imagestest.Item {
	s := w.Meta.SnapshotByID(id)
	require.NotNil(w.T, s)
	return w.Held[s.SequenceNumber]
}

// parent is the snapshot before another; 0 is none.
func (w *keyedWorld) parent(id int64) int64 {
	s := w.Meta.SnapshotByID(id)
	require.NotNil(w.T, s)
	if s.ParentSnapshotID == nil {
		return 0
	}
	return *s.ParentSnapshotID
}

// copyOf is a client that keeps a copy of the table by its stream.
type copyOf struct {
	w       *keyedWorld
	request Request
	sees    func(imagestest.Item) (imagestest.Item, bool) // what it sees of a row
	sub     *Subscription
	token   string
	rows    map[imagestest.Item]int
	// last is the snapshot whose changes came last.
	last    int64
	checked int
}

func (w *keyedWorld) subscribe(request Request, sees func(imagestest.Item) (imagestest.Item, bool)) *copyOf {
	c := &copyOf{w: w, request: request, sees: sees, rows: map[imagestest.Item]int{}}
	c.connect()
	if mark := c.mark(); mark.stage == stageBehind { // it begins with what the table has
		for s := range table.Ancestry(w.Meta, w.Meta.CurrentSnapshot()) {
			if s.SequenceNumber == mark.Sequence {
				c.last = s.SnapshotID
				for _, it := range w.at(s.SnapshotID) {
					c.put(it, 1)
				}
			}
		}
	}
	return c
}

func (c *copyOf) mark() Mark {
	token, err := ParseToken(c.token)
	require.NoError(c.w.T, err)
	return *token.Mark
}

func (c *copyOf) connect() {
	t := c.w.T
	t.Helper()
	request := c.request
	if c.token != "" {
		from, err := ParseFrom(c.token)
		require.NoError(t, err)
		request.From = from
	}
	var err error
	c.sub, err = c.w.streams.Open(t.Context(), c.w.Table().Ident(), request)
	require.NoError(t, err)
	c.token = c.sub.Token()
}

// put adds a row that the client sees, or takes it out.
func (c *copyOf) put(it imagestest.Item, n int) {
	if seen, some := c.sees(it); some {
		if c.rows[seen] += n; c.rows[seen] == 0 {
			delete(c.rows, seen)
		}
		require.Positive(c.w.T, c.rows[seen]+1, "%v is taken out and not there", it)
	}
}

// readOn reads some batches, or up to what there is now.
func (c *copyOf) readOn(batches int) {
	t := c.w.T
	t.Helper()
	if c.sub == nil || c.sub.streams != c.w.streams {
		c.connect()
	}
	require.NoError(t, c.w.streams.Step(t.Context()))
	for batch, err := range c.sub.Rows(t.Context()) {
		require.NoError(t, err)
		if batch != nil {
			c.apply(batch)
		}
		c.token = c.sub.Token()
		if mark := c.mark(); mark.stage == stageBehind {
			c.checkAt(mark.Sequence)
		}
		if batch == nil {
			require.Equal(t, stageBehind, c.mark().stage)
			break
		}
		if batches--; batches <= 0 {
			break
		}
		if c.w.dice.IntN(16) == 0 { // the table goes on meanwhile
			c.w.Random(c.w.dice)
		}
	}
	if c.w.dice.IntN(3) == 0 { // it breaks off
		c.sub.Close()
		c.sub = nil
	}
}

func (c *copyOf) apply(batch arrow.RecordBatch) {
	t := c.w.T
	require.Positive(t, batch.NumRows())
	ops, snapshots := batch.Column(0).(*array.String), batch.Column(3).(*array.Int64)
	before, after := batch.Column(1).(*array.Struct), batch.Column(2).(*array.Struct)
	for i := range int(batch.NumRows()) {
		id := snapshots.Value(i)
		if id != c.last {
			c.begin(id)
		}
		op := ops.Value(i)
		require.Equal(t, op != opInsert, before.IsValid(i), op)
		require.Equal(t, op != opDelete, after.IsValid(i), op)
		if before.IsValid(i) {
			c.add(itemOf(before, i), -1)
		}
		if after.IsValid(i) {
			c.add(itemOf(after, i), 1)
		}
		if op == opUpdate {
			require.Equal(t, itemOf(before, i).ID, itemOf(after, i).ID)
			require.NotEqual(t, itemOf(before, i), itemOf(after, i))
		}
	}
}

// begin holds the copy against the table before the first change of a snapshot.
func (c *copyOf) begin(id int64) {
	if c.last != 0 { // all rows come as inserts first
		c.check(c.w.parent(id))
	}
	c.last = id
}

// add counts a row as it came.
func (c *copyOf) add(it imagestest.Item, n int) {
	if c.rows[it] += n; c.rows[it] == 0 {
		delete(c.rows, it)
	}
	require.GreaterOrEqual(c.w.T, c.rows[it], 0, "%v is taken out and not there", it)
}

// check holds the copy against the table at a snapshot.
func (c *copyOf) check(id int64) {
	t := c.w.T
	t.Helper()
	want := map[imagestest.Item]int{}
	for _, it := range c.w.at(id) {
		if seen, some := c.sees(it); some {
			want[seen]++
		}
	}
	require.Equal(t, want, c.rows, "rows at snapshot %d", id)
	c.checked++
}

// checkAt is check at the snapshot of a sequence number.
func (c *copyOf) checkAt(sequence int64) {
	c.w.T.Helper()
	for _, s := range c.w.Meta.Snapshots() {
		if s.SequenceNumber == sequence {
			c.check(s.SnapshotID)
			return
		}
	}
	require.Fail(c.w.T, "no such snapshot")
}

// itemOf is an image.
func itemOf(images *array.Struct, row int) (it imagestest.Item) {
	for i, field := range images.DataType().(*arrow.StructType).Fields() {
		switch c := images.Field(i).(type) {
		case *array.Int32:
			it.ID = int64(c.Value(row))
		case *array.Int64:
			if field.Name == "id" {
				it.ID = c.Value(row)
			} else {
				it.Value = c.Value(row)
			}
		case *array.String:
			if field.Name == "region" {
				it.Region = c.Value(row)
			} else if c.IsValid(row) {
				it.Note = c.Value(row)
			}
		}
	}
	return it
}

func seesAll(it imagestest.Item) (imagestest.Item, bool) { return it, true }

func TestAStreamOfAKeyedTableFoldsToItAtEveryCommit(t *testing.T) {
	region, err := filter.Parse("region = 'r1'")
	require.NoError(t, err)
	histories := 16
	if testing.Short() {
		histories = 4
	}
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newKeyedWorld(t, seed)
			for range 1 + w.dice.IntN(6) {
				w.Random(w.dice)
			}
			w.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 77}}})
			inRegion := func(it imagestest.Item) (imagestest.Item, bool) { return it, it.Region == "r1" }
			copies := []*copyOf{
				w.subscribe(Request{}, seesAll),
				w.subscribe(Request{From: From{Oldest: true}}, seesAll),
				w.subscribe(Request{From: From{End: true}}, seesAll),
				w.subscribe(Request{From: From{SnapshotID: w.Meta.Snapshots()[0].SnapshotID}}, seesAll),
				w.subscribe(Request{Filter: region}, inRegion),
				w.subscribe(Request{Columns: []string{"region"}, Filter: region},
					func(it imagestest.Item) (imagestest.Item, bool) {
						return imagestest.Item{Region: it.Region}, it.Region == "r1"
					}),
			}
			for i := range 16 {
				w.Random(w.dice)
				if i == 8 {
					w.Evolve()
				}
				if w.dice.IntN(8) == 0 {
					w.restart()
				}
				for _, c := range copies {
					if w.dice.IntN(2) == 0 {
						c.readOn(1 + w.dice.IntN(12))
					}
				}
			}
			for _, c := range copies {
				c.readOn(1 << 20)
				require.Positive(t, c.checked)
			}
		})
	}
}

func TestAStreamOfAKeyedTableOfManyRowsIsToldInWindows(t *testing.T) {
	w := newKeyedWorld(t, 1)
	w.bounds = bounds{windowRows: 50, windowBytes: 2000, batchRows: 7}
	w.restart()
	var items []imagestest.Item
	for i := range int64(500) {
		items = append(items, imagestest.Item{ID: i, Region: fmt.Sprint("r", i%3), Value: i})
	}
	w.Commit(imagestest.Step{Add: slices.Clone(items)})
	c := w.subscribe(Request{}, seesAll)
	batches := 0
	for len(c.rows) < 500 { // each by a connection of its own
		c.readOn(1)
		c.sub = nil
		batches++
	}
	require.Greater(t, batches, 60)
	st := imagestest.Step{Remove: map[*imagestest.File][]int{}}
	for i := range 300 {
		st.Remove[w.Files[0]] = append(st.Remove[w.Files[0]], i)
		items[i].Value = -1
	}
	st.Add = items[:300]
	w.Commit(st)
	for range 50 {
		c.readOn(1)
		c.sub = nil
	}
	c.readOn(1 << 20)
	require.Equal(t, 300, func() (n int) {
		for it := range c.rows {
			if it.Value == -1 {
				n++
			}
		}
		return n
	}())
}

func TestAStreamOfAKeyedTableEndsWhereChangesAreNotLeft(t *testing.T) {
	w := newKeyedWorld(t, 0)
	w.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1}, {ID: 2}}})
	ctx, ident := t.Context(), w.Table().Ident()
	open := func(from string) error {
		parsed, err := ParseFrom(from)
		require.NoError(t, err)
		sub, err := w.streams.Open(ctx, ident, Request{From: parsed})
		if err == nil {
			sub.Close()
		}
		return err
	}
	c := w.subscribe(Request{}, seesAll)
	c.readOn(1 << 20)
	first := fmt.Sprint(w.Meta.CurrentSnapshot().SnapshotID)
	w.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 3}}})
	second := w.Meta.CurrentSnapshot().SnapshotID
	w.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 4}}})
	require.NoError(t, open(c.token))
	w.Expire(2)
	err := open(c.token)
	require.ErrorIs(t, err, ErrExpired)
	require.ErrorContains(t, err, "from=snapshot")
	require.ErrorContains(t, err, "retention.snapshots")
	require.ErrorContains(t, open(first), "the oldest that is left is")
	require.NoError(t, open(fmt.Sprint(second)))
	require.NoError(t, open(time.UnixMilli(w.Meta.SnapshotByID(second).TimestampMs).UTC().Format(time.RFC3339Nano)))

	// A process that knows the table as it was before waits.
	known := w.Meta
	w.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 5}}})
	later := w.subscribe(Request{}, seesAll)
	later.readOn(1 << 20)
	w.Meta, known = known, w.Meta
	require.NoError(t, open(later.token))
	w.Meta = known
	later.readOn(1 << 20)

	// Main is set back.
	end := w.subscribe(Request{From: From{End: true}}, seesAll)
	w.Update(icetable.NewSetSnapshotRefUpdate("main", second, icetable.BranchRef, 0, 0, 0))
	require.ErrorIs(t, open(end.token), ErrExpired)
	require.ErrorContains(t, open(end.token), "main was set back")

	// Tokens of others.
	other := newKeyedWorld(t, 0)
	other.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1}}})
	foreign := other.subscribe(Request{}, seesAll)
	require.ErrorIs(t, open(foreign.token), ErrToken)
	offsets := Token{Table: w.Meta.TableUUID(), Cut: table.Position{}}.String()
	require.ErrorIs(t, open(offsets), ErrIdentifier)
	token, err := ParseToken(end.token)
	require.NoError(t, err)
	token.Mark.Identifier++
	require.ErrorIs(t, open(token.String()), ErrIdentifier)
}

func TestAStreamOfAKeyedTableThatLosesItsFilesSaysWhy(t *testing.T) {
	w := newKeyedWorld(t, 0)
	w.bounds = bounds{windowRows: 1000, windowBytes: 1 << 20, batchRows: 5000}
	w.restart()
	var items []imagestest.Item
	for i := range int64(20_000) { // more than are read at once
		items = append(items, imagestest.Item{ID: i})
	}
	w.Commit(imagestest.Step{Add: items})
	old := w.Files[0]
	c := w.subscribe(Request{}, seesAll)
	require.NoError(t, w.streams.Step(t.Context()))
	batches := 0
	for batch, err := range c.sub.Rows(t.Context()) {
		if batches++; batches == 2 { // the rows move to another file, and the snapshot expires
			w.Commit(imagestest.Step{Operation: icetable.OpReplace, Add: items, Leave: []*imagestest.File{old}})
			w.Expire(1)
			require.NoError(t, w.Store.Remove(t.Context(), old.Location()))
			require.NoError(t, w.streams.Step(t.Context()))
		}
		if err != nil {
			require.ErrorIs(t, err, ErrExpired)
			require.Less(t, len(c.rows), 20_000)
			return
		}
		require.NotNil(t, batch)
		c.apply(batch)
	}
}

func TestAStreamEndsWhenTheIdentifierOfItsTableChanges(t *testing.T) {
	w := newKeyedWorld(t, 0)
	w.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1}}})
	c := w.subscribe(Request{}, seesAll)
	c.readOn(1 << 20)
	if c.sub == nil {
		c.connect()
	}
	fields := w.Meta.CurrentSchema().Fields()
	w.Update(icetable.NewAddSchemaUpdate(iceberg.NewSchemaWithIdentifiers(0, nil, fields...)),
		icetable.NewSetCurrentSchemaUpdate(-1))
	require.NoError(t, w.streams.Step(t.Context()))
	for _, err := range c.sub.Rows(t.Context()) {
		require.ErrorIs(t, err, ErrIdentifier)
	}
}
