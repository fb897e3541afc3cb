package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

// Why a table or a place in it cannot be streamed. Each is wrapped with what is wrong and what to do.
var (
	// ErrUnsupported says that tables of this kind have no streams.
	ErrUnsupported = errors.New("no stream of this table")
	// ErrElsewhere says that another process has the rows that are not committed.
	ErrElsewhere = errors.New("the table is not ingested by this process")
	// ErrGone says that rows left the table before the stream came to them.
	ErrGone = errors.New("rows have left the table")
	// ErrRolledBack says that rows may come again which the stream has handed out, and be others.
	ErrRolledBack = errors.New("the table was rolled back")
	// ErrExpired says that the snapshots have expired that tell what changed in a keyed table.
	ErrExpired = errors.New("snapshots are not left")
	// ErrIdentifier says that a table has another identifier than when the stream began.
	ErrIdentifier = errors.New("the identifier columns have changed")
	// ErrReplaced says that the table is not the one that the stream began with.
	ErrReplaced = errors.New("the table was dropped and made again")
	// ErrRequest says that there is no such column, or the filter is none of the table's.
	ErrRequest = errors.New("not of this table")
	// ErrStopped says that the process ends; another goes on behind the token.
	ErrStopped = errors.New("the server stops")
	// ErrBusy says that there are too many streams.
	ErrBusy = errors.New("too many streams")
)

// Tables loads tables as they are committed.
type Tables interface {
	LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error)
}

// Ledger is what a stream needs of a table's ledger.
type Ledger struct {
	// Position is where the table stands in its topics.
	Position table.Position
	// Expired is how many rows have left because of their age.
	Expired int64
	// RolledBack is the sequence number of the newest rollback, 0 when there was none.
	RolledBack int64
}

// Options are what Streams work with. All but Log and Metrics are required.
type Options struct {
	Tables Tables
	// Objects has the tables' files.
	Objects objstore.Store
	// Tails are the tails of the tables that this process ingests.
	Tails *tail.Set
	// Ledger reads the ledger of a table, PositionAt where it stood at a snapshot. That error wraps
	// table.ErrNotFound when the snapshot is not left.
	Ledger     func(icetable.Metadata) (Ledger, error)
	PositionAt func(ctx context.Context, meta icetable.Metadata, snapshotID int64) (table.Position, error)
	Now        func() time.Time
	Log        *slog.Logger
	// Metrics count; nil counts nothing.
	Metrics *Metrics
}

// Bounds of streams.
const (
	// lookEvery is how often tables are looked at that have subscriptions.
	lookEvery = 50 * time.Millisecond
	// looksAtOnce is how many are looked at at a time.
	looksAtOnce = 8
	// wakeEvery is how often rows that have come wake streams at most: what comes meanwhile goes together. It is
	// longer with many streams, each of which costs some microseconds.
	wakeEvery       = 10 * time.Millisecond
	wakeEveryStream = 20 * time.Microsecond
	// followFor is how long ingest goes on to hand over what it reads after the last look.
	followFor = time.Minute
	// readyWait is how long a stream waits for what was read before to be committed.
	readyWait = 2 * time.Second
	// subscriptionsMax bounds those that are open; an idle one takes some 50 KB with its connection.
	subscriptionsMax = 4096
	// windowsMax is how many windows of the largest size are in memory at a time.
	windowsMax = 16
)

// Streams are the streams of the tables of a catalog. It may be used by many goroutines.
type Streams struct {
	opts    Options
	bounds  bounds
	windows *semaphore.Weighted // bytes
	woken   chan struct{}       // has something in it when rows have come

	mu       sync.Mutex
	stopped  bool
	open     int // subscriptions
	followed map[string]*followed
}

// New returns Streams. It starts nothing.
func New(opts Options) (*Streams, error) {
	if opts.Tables == nil || opts.Objects == nil || opts.Tails == nil || opts.Ledger == nil ||
		opts.PositionAt == nil || opts.Now == nil {
		return nil, errors.New("streams: Tables, Objects, Tails, Ledger, PositionAt and Now must be given")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(nil)
	}
	limits := defaultBounds()
	return &Streams{opts: opts, bounds: limits, windows: semaphore.NewWeighted(windowsMax * limits.windowBytes),
		woken: make(chan struct{}, 1), followed: map[string]*followed{}}, nil
}

// Run looks at the tables that have subscriptions, until ctx ends. Then it ends them.
func (s *Streams) Run(ctx context.Context) error {
	defer s.stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.lookOften(ctx) })
	group.Go(func() error { return s.wakeOften(ctx) })
	return group.Wait()
}

// lookOften looks at the tables and their tails.
func (s *Streams) lookOften(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.Step(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wakeOften looks at the tails alone, as soon as rows have come.
func (s *Streams) wakeOften(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-s.woken:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, f := range s.tables() {
			f.renew(nil)
		}
		pause.Reset(wakeEvery + time.Duration(s.count())*wakeEveryStream)
	}
}

// count is how many streams are open.
func (s *Streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// tables are those that have subscriptions.
func (s *Streams) tables() []*followed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.followed))
}

// Step looks once at every table that has subscriptions.
func (s *Streams) Step(ctx context.Context) error {
	group, looking := errgroup.WithContext(ctx)
	group.SetLimit(looksAtOnce)
	for _, f := range s.tables() {
		group.Go(func() error {
			s.look(looking, f)
			s.opts.Metrics.lag(f.name, f.lag())
			return nil
		})
	}
	_ = group.Wait() // what is wrong with a table is told to its subscriptions
	return ctx.Err()
}

// look takes the state of a table of this moment.
func (s *Streams) look(ctx context.Context, f *followed) {
	base, err := s.load(ctx, f.ident, f.last())
	switch {
	case err == nil:
		f.renew(base)
	case errors.Is(err, table.ErrNotFound), errors.Is(err, ErrReplaced), errors.Is(err, ErrIdentifier):
		f.fail(err)
	case ctx.Err() == nil: // the next look may do better
		s.opts.Log.Warn("rows come later: a table with streams cannot be loaded", "table", f.name, "err", err)
	}
}

// state is a table as of now. It goes on from the state before, which may be nil.
func (s *Streams) state(ctx context.Context, ident table.Ident, last *state) (*state, error) {
	base, err := s.load(ctx, ident, last)
	if err != nil {
		return nil, err
	}
	return base.renewed(), nil
}

// load loads a table, without its tail.
func (s *Streams) load(ctx context.Context, ident table.Ident, last *state) (*state, error) {
	t, err := s.opts.Tables.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	id := t.Metadata().TableUUID()
	if last != nil && last.table.Metadata().TableUUID() != id {
		return nil, fmt.Errorf("%s: %w: begin anew", t, ErrReplaced)
	}
	if last != nil && identifierOf(last.table.Schema()) != identifierOf(t.Schema()) {
		return nil, fmt.Errorf("%s: %w: begin anew", t, ErrIdentifier)
	}
	out := &state{table: t}
	if out.keyed() { // what is committed tells all
		return out, nil
	}
	if last != nil && last.table.MetadataLocation() == t.MetadataLocation() {
		*out = *last
	} else if out.Ledger, err = s.opts.Ledger(t.Metadata()); err != nil {
		return nil, fmt.Errorf("read ledger of %s: %w", t, err)
	}
	out.view = tail.View{}
	if out.index = s.opts.Tails.Find(id); out.index != nil {
		out.ready = out.index.Follow(s.opts.Now().Add(followFor))
	}
	return out, nil
}

// Open begins a stream. The caller closes it.
func (s *Streams) Open(ctx context.Context, ident table.Ident, request Request) (*Subscription, error) {
	first, err := s.state(ctx, ident, nil)
	if err != nil {
		return nil, err
	}
	if err := streamable(first); err != nil {
		return nil, err
	}
	if first.keyed() {
		return s.openChanges(ident, first, request)
	}
	if request.Rows == RowsFresh {
		if first.index == nil || !first.index.Fed() {
			return nil, fmt.Errorf("%s: %w: ask the one that does, or for rows=committed", first.table, ErrElsewhere)
		}
		if first, err = s.waitReady(ctx, first); err != nil {
			return nil, err
		}
	}
	sub := &Subscription{streams: s, request: request, rolledBack: first.RolledBack}
	if sub.cut, sub.expired, err = s.begin(ctx, first, request); err != nil {
		return nil, err
	}
	if _, err := sub.scan(first); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return sub, s.join(ident, first, sub)
}

// waitReady waits until all that was read is in the tail or committed, but not for long.
func (s *Streams) waitReady(ctx context.Context, first *state) (*state, error) {
	timer := time.NewTimer(readyWait)
	defer timer.Stop()
	select {
	case <-first.ready:
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.state(ctx, first.table.Ident(), first)
}

// streamable says what stands in the way of streams of a table.
func streamable(first *state) error {
	schema := first.table.Metadata().CurrentSchema()
	if first.keyed() {
		if _, err := keyindex.NewHasher(schema, keyindex.Seed{}); err != nil {
			return fmt.Errorf("%s: %w: %w", first.table, ErrUnsupported, err)
		}
		return nil
	}
	if _, err := coordinatesOf(schema); err != nil {
		return fmt.Errorf("%s: %w", first.table, err)
	}
	names := map[coordinate]table.TopicPartition{}
	for id := range first.Position {
		other, twice := names[nameOf(id)]
		if twice {
			return fmt.Errorf("%s: %w: its rows are of two topics of one name, %s and %s, so their offsets do not tell"+
				" which came first", first.table, ErrUnsupported, id.TopicID, other.TopicID)
		}
		names[nameOf(id)] = id
	}
	return nil
}

// begin is the cut at which a stream begins.
func (s *Streams) begin(ctx context.Context, first *state, request Request) (table.Position, int64, error) {
	meta, from := first.table.Metadata(), request.From
	switch {
	case from.Token != nil:
		if from.Token.Table != meta.TableUUID() {
			return nil, 0, fmt.Errorf("%w: it is of another table than %s: begin anew", ErrToken, first.table)
		}
		if from.Token.Mark != nil {
			return nil, 0, fmt.Errorf("%s: %w: begin anew", first.table, ErrIdentifier)
		}
		if from.Token.RolledBack < first.RolledBack {
			return nil, 0, rolledBack(first)
		}
		return from.Token.Cut, from.Token.Expired, nil
	case from.End && request.Rows == RowsFresh:
		return first.view.Cut, first.Expired, nil
	case from.End:
		return first.Position, first.Expired, nil
	case from.SnapshotID == 0 && from.Time.IsZero():
		return table.Position{}, first.Expired, nil
	}
	snapshot, _, err := table.Scan{SnapshotID: from.SnapshotID, AsOf: from.Time}.Snapshot(first.table)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w%s", first.table, err, oldest(meta))
	}
	position, err := s.opts.PositionAt(ctx, meta, snapshot.SnapshotID)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w%s", first.table, err, oldest(meta))
	}
	return position, first.Expired, nil
}

// oldest names the oldest snapshot that is left.
func oldest(meta icetable.Metadata) string {
	var found *icetable.Snapshot
	for _, s := range meta.Snapshots() {
		if found == nil || s.SequenceNumber < found.SequenceNumber {
			found = &s
		}
	}
	if found == nil {
		return "; the table has none: begin at the beginning"
	}
	at := time.UnixMilli(found.TimestampMs).UTC().Format(time.RFC3339)
	return fmt.Sprintf("; the oldest that is left is %d of %s, and rows of before are read from the beginning",
		found.SnapshotID, at)
}

// columns with the coordinates of rows.
const (
	columnTopic     = "_kafka_topic"
	columnPartition = "_kafka_partition"
	columnOffset    = "_kafka_offset"
)

// coordinatesOf are the ids of the columns that say which record a row came of.
func coordinatesOf(schema *iceberg.Schema) (ids [3]int, err error) {
	for i, name := range []string{columnTopic, columnPartition, columnOffset} {
		field, some := schema.FindFieldByName(name)
		if !some {
			return ids, fmt.Errorf("%w: it has no column %s: set metadata_columns.%s in its spec", ErrUnsupported, name,
				name[len("_kafka_"):])
		}
		ids[i] = field.ID
	}
	return ids, nil
}
