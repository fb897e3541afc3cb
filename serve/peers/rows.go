package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// The times of look-ups.
const (
	// settleFor is how long a look-up waits for topic partitions that nobody reads: they are being handed over, mostly.
	// It asks again every settleEvery.
	settleFor   = 2 * time.Second
	settleEvery = 100 * time.Millisecond
	// unreadFor is how long topic partitions are missed where there are other processes: one reads on within a session
	// of the consumer group. After that the rows are as new as any that there are, and the answer says why.
	unreadFor = 2 * time.Minute
	// lagTries is how often the parts of an answer are asked for again because of a commit in between.
	lagTries = 8
	// knownFor is how long a table that others ingest is not loaded again: its identifier does not change.
	knownFor = time.Second
)

// Local is what this process can tell of tables itself.
type Local interface {
	// Table is a table. One that there is none of is table.ErrNotFound.
	Table(ctx context.Context, ident table.Ident) (*table.Table, error)
	// Reads says that the process ingests a table, and that it reads some topic partition of it.
	Reads(ident table.Ident) (ingests, reads bool)
	// Part finds the rows of keys behind a committed state with this number at least, or is lookup.ErrElsewhere. The
	// caller releases it.
	Part(ctx context.Context, ident table.Ident, keys []arrow.RecordBatch, number int64) (point.Part, error)
}

// RowsOptions are what Rows works with. Name, Local, Now and Log are required.
type RowsOptions struct {
	// Name is this start of this process.
	Name  string
	Local Local
	// Registry is where processes find each other; nil where this one is alone.
	Registry Registry
	// Tokens are those of which others must show one; who asks shows the first. None is everybody.
	Tokens []string
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// Rows looks up rows of keyed tables, wherever they are ingested. It may be used by many goroutines.
//
//	key ─► what is read here ─┐
//	  └──► other processes ───┴─► point.Join: the newest row at one cut
//
// A key may come in any topic partition, so that all who read one of the table's are asked. Who they are is not taken
// from a list: each says with its answer what it reads.
type Rows struct {
	opts    RowsOptions
	listing chan struct{} // taken by who asks the catalog for the processes

	mu        sync.Mutex // guards all below
	others    []catalog.Process
	listed    time.Time
	answerers map[string]*answerer // by the name of the process
	tables    map[uuid.UUID]*looked
	known     map[string]knownTable
}

// looked is what look-ups have told of a table.
type looked struct {
	// mark is how far answers went that were joined, and when one did last. Nobody changes it.
	mark   table.Position
	marked time.Time
	// unread is since when somebody was missing; zero when nobody was.
	unread time.Time
}

type knownTable struct {
	table *table.Table
	at    time.Time
}

// NewRows returns Rows. It starts nothing.
func NewRows(opts RowsOptions) (*Rows, error) {
	if opts.Name == "" || opts.Local == nil || opts.Now == nil || opts.Log == nil {
		return nil, errors.New("look-ups of several processes: Name, Local, Now and Log must be given")
	}
	if opts.Client == nil {
		opts.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: idleConnections}}
	}
	return &Rows{opts: opts, listing: make(chan struct{}, 1), answerers: map[string]*answerer{},
		tables: map[uuid.UUID]*looked{}, known: map[string]knownTable{}}, nil
}

// idleConnections are kept to each process, since look-ups come at the same time.
const idleConnections = 64

// Lookup finds a table.
func (r *Rows) Lookup(ctx context.Context, ident table.Ident) (lookup.Table, error) {
	t, err := r.table(ctx, ident)
	if err != nil {
		return nil, err
	}
	return &lookedTable{r, ident, t}, nil
}

func (r *Rows) table(ctx context.Context, ident table.Ident) (*table.Table, error) {
	if ingests, _ := r.opts.Local.Reads(ident); ingests {
		return r.opts.Local.Table(ctx, ident)
	}
	name := table.FormatIdent(ident)
	now := r.opts.Now()
	r.mu.Lock()
	known := r.known[name]
	r.mu.Unlock()
	if known.table != nil && now.Sub(known.at) < knownFor {
		return known.table, nil
	}
	t, err := r.opts.Local.Table(ctx, ident)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.known, name)
		return nil, err
	}
	r.known[name] = knownTable{t, now}
	return t, nil
}

// lookedTable is a table as look-ups find it.
type lookedTable struct {
	rows  *Rows
	ident table.Ident
	table *table.Table
}

// Schema is the table's.
func (t *lookedTable) Schema() (*iceberg.Schema, error) { return t.table.Schema(), nil }

// question is one look-up.
type question struct {
	ident table.Ident
	id    uuid.UUID // of the table
	keys  []arrow.RecordBatch
	// number is that of the committed state to begin with, at least.
	number int64
	// mark is how far answers went before it was asked.
	mark table.Position
	// all says that also those are asked who have failed, or read nothing of the table a moment ago.
	all bool
}

// found is what a question came to once.
type found struct {
	answer point.Answer
	// some says that there is an answer, alone that no other process is known, who might have one.
	some, alone bool
	// missing is why it may be older than what was read, "" when it is not.
	missing string
}

// ErrUnread says that rows might be missing that were read of a table.
var ErrUnread = errors.New("who has read it last does not answer")

// Get finds the rows of keys at one state. No answer is behind one that was given before it was asked for, but two
// minutes after the process that had read so far is gone.
func (t *lookedTable) Get(ctx context.Context, keys []arrow.RecordBatch) (point.Answer, error) {
	r := t.rows
	q := question{ident: t.ident, id: t.table.Metadata().TableUUID(), keys: keys}
	q.mark, q.all = r.mark(q.id)
	for lags := 0; ; {
		f, err := r.try(ctx, &q)
		var lag *point.LagError
		switch {
		case errors.As(err, &lag) && lags < lagTries:
			q.number = lag.Number
			lags++
			continue
		case err != nil:
			return point.Answer{}, err
		case f.missing == "":
			r.reached(q.id, &f)
			return f.answer, nil
		}
		now := r.opts.Now()
		missed := now.Sub(r.missed(q.id, now))
		if f.some && (missed >= unreadFor || f.alone && missed >= settleFor) {
			f.answer.Behind = f.missing
			return f.answer, nil
		}
		f.answer.Release()
		if missed >= settleFor {
			return point.Answer{}, fmt.Errorf("%w: %s: try again in a second; if it stays so, start a process that "+
				"ingests the table", ErrUnread, f.missing)
		}
		q.all = true
		if err := pause(ctx, settleEvery); err != nil {
			return point.Answer{}, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// try asks once. The caller releases the answer.
func (r *Rows) try(ctx context.Context, q *question) (found, error) {
	ingests, reads := r.opts.Local.Reads(q.ident)
	var parts []point.Part
	defer func() {
		for i := range parts {
			parts[i].Release()
		}
	}()
	local := func() error {
		part, err := r.opts.Local.Part(ctx, q.ident, q.keys, q.number)
		if err == nil {
			parts = append(parts, part)
		}
		return err
	}
	if reads {
		if err := local(); err != nil {
			return found{}, err
		}
		if len(parts[0].Lacks) == 0 && reaches(parts[0].Position, q.mark) {
			f, err := join(parts)
			f.alone = true
			return f, err
		}
	}
	others, err := r.list(ctx, q)
	if err != nil {
		return found{}, err
	}
	asked := r.askAll(ctx, q, others)
	parts = append(parts, asked.parts...)
	switch {
	case len(parts) > 0:
	case ingests:
		if err := local(); err != nil {
			return found{}, err
		}
	case asked.strangers == len(others):
		return found{}, lookup.ErrElsewhere
	default:
		return found{missing: "no process that reads its topics answers" + asked.because()}, nil
	}
	f, err := join(parts)
	if err != nil {
		return found{}, err
	}
	f.alone = len(others) == 0
	switch {
	case f.missing != "":
		f.missing += asked.because()
	case !reads && len(asked.parts) == 0:
		f.missing = "no process reads its topics" + asked.because()
	case !reaches(f.answer.Position, q.mark):
		f.missing = "a process that had read further is gone, and its records are being read again"
	}
	return f, nil
}

// namesMax is how many topic partitions an error names.
const namesMax = 3

// join makes one answer of parts.
func join(parts []point.Part) (found, error) {
	answer, unread, err := point.Join(parts)
	if err != nil {
		return found{}, err
	}
	f := found{answer: answer, some: true}
	if len(unread) > 0 {
		names := make([]string, min(len(unread), namesMax))
		for i := range names {
			names[i] = unread[i].String()
		}
		f.missing = "nobody who answers reads " + strings.Join(names, ", ")
		if more := len(unread) - len(names); more > 0 {
			f.missing += fmt.Sprintf(" and %d more", more)
		}
	}
	return f, nil
}

// reaches says that a position is nowhere behind another.
func reaches(position, mark table.Position) bool {
	for id, next := range mark {
		if at, known := position[id]; !known || at < next {
			return false
		}
	}
	return true
}

func (r *Rows) looked(id uuid.UUID) *looked {
	l := r.tables[id]
	if l == nil {
		l = &looked{}
		r.tables[id] = l
	}
	return l
}

// mark is how far answers of a table went, and whether somebody was missing from the last one.
func (r *Rows) mark(id uuid.UUID) (mark table.Position, missing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.looked(id)
	if r.opts.Now().Sub(l.marked) >= unreadFor {
		l.mark = nil
	}
	return l.mark, !l.unread.IsZero()
}

// reached notes how far an answer went.
func (r *Rows) reached(id uuid.UUID, f *found) {
	now := r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.looked(id)
	l.unread = time.Time{}
	if l.mark == nil && f.alone {
		return // this process reads all, and knows what it gives up
	}
	l.marked = now
	if reaches(l.mark, f.answer.Position) {
		return
	}
	mark := maps.Clone(f.answer.Position)
	for at, next := range l.mark {
		mark[at] = max(mark[at], next)
	}
	l.mark = mark
}

// missed is since when somebody is missing.
func (r *Rows) missed(id uuid.UUID, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.looked(id)
	if l.unread.IsZero() {
		l.unread = now
	}
	return l.unread
}
