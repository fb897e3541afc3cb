package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/letters"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// ReplayOptions say which dead letters are replayed, and how.
type ReplayOptions struct {
	Store     objstore.Store
	Committer Committer
	// LoadLetters reads the newest version of the dead-letter table.
	LoadLetters func(ctx context.Context) (*table.Table, error)
	// Sources are those of the table's spec of today. Of each, topics and all that decides what becomes of a
	// record count.
	Sources []TableOptions
	// Query and Takes say which letters; Takes nil takes all.
	Query letters.Query
	Takes func(l *letters.Letter) bool
	// Map changes payloads before they are decoded; nil changes none.
	Map func(payload []byte) ([]byte, error)
	// DryRun decodes and writes nothing.
	DryRun bool
	// BatchLetters is how many letters one commit resolves at most; 0 is 50,000.
	BatchLetters int
	Now          func() time.Time
	NewID        func() uuid.UUID
	Allocator    memory.Allocator // nil is Go's heap
	Memory       *table.Budget
	SpillDir     string
}

// Bounds of what one commit resolves, and of how often a batch is begun anew since others resolved letters.
const (
	batchLettersDefault = 50_000
	batchBytes          = 64 << 20
	replayTriesMax      = 10
)

// ErrReplayKeyed says that the letters of a keyed table cannot be replayed.
var ErrReplayKeyed = errors.New("the table is keyed: what an old letter is to newer rows of its key is not known")

// Replay is what a replay came to.
type Replay struct {
	Letters  int64 `json:"letters"`  // that were tried
	Rows     int64 `json:"rows"`     // of them became rows
	Filtered int64 `json:"filtered"` // of them are left out by the spec's filter now
	Failed   int64 `json:"failed"`   // of them stay
	Commits  int   `json:"commits"`
	// Reasons are why letters stay, in the order in which they were met first.
	Reasons []ReplayReason `json:"reasons"`
}

// ReplayReason is why letters stay, with the first of them.
type ReplayReason struct {
	Class   string `json:"class"`
	Column  string `json:"column,omitempty"`
	Letters int64  `json:"letters"`
	letters.Place
	Offset  commit.Offset `json:"offset"`
	Message string        `json:"message"`
}

// Replayer lands dead letters in their table, once each. The main table decides: one commit adds the rows and counts
// the letters as resolved, in a log of replays that fences whoever read the letters before (commit.ReplaysOf); the
// dead-letter table is told by its outbox.
type Replayer struct {
	opts ReplayOptions
	out  Replay
	at   map[[2]string]int // reasons by class and column

	// What follows is of the newest version that was read.
	table  *table.Table
	ledger commit.Ledger
	dead   *table.Table
	box    *letters.Box
}

// NewReplayer checks the options.
func NewReplayer(opts ReplayOptions) (*Replayer, error) {
	for i := range opts.Sources {
		if opts.Sources[i].Keyed != nil {
			return nil, ErrReplayKeyed
		}
	}
	if opts.BatchLetters <= 0 {
		opts.BatchLetters = batchLettersDefault
	}
	if opts.Allocator == nil {
		opts.Allocator = memory.DefaultAllocator
	}
	return &Replayer{opts: opts, at: map[[2]string]int{}, out: Replay{Reasons: []ReplayReason{}}}, nil
}

// Run replays. What was committed before an error is in the table for good, and the next run goes on behind it.
func (r *Replayer) Run(ctx context.Context) (Replay, error) {
	err := r.run(ctx)
	if err != nil {
		err = fmt.Errorf("replay dead letters: %w", err)
	}
	return r.out, err
}

func (r *Replayer) run(ctx context.Context) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	var batch []letters.Letter
	bytes := 0
	for l, err := range r.box.Letters(ctx, r.opts.Query) {
		if err != nil {
			return err
		}
		if r.box.IsResolved(&l) || r.opts.Takes != nil && !r.opts.Takes(&l) {
			continue
		}
		batch = append(batch, l)
		bytes += len(l.Record.Value) + len(l.Record.Key)
		if len(batch) < r.opts.BatchLetters && bytes < batchBytes {
			continue
		}
		if err := r.replay(ctx, batch); err != nil {
			return err
		}
		batch, bytes = batch[:0], 0
	}
	return r.replay(ctx, batch)
}

// refresh reads both tables, the main one first: what the ledger counts as resolved is then marked in the dead-letter
// table as it is read, or the ledger has moved on and the commit is fenced.
func (r *Replayer) refresh(ctx context.Context) error {
	if err := r.opts.Committer.Refresh(ctx); err != nil {
		return err
	}
	var err error
	r.table = r.opts.Committer.Table()
	if r.ledger, err = commit.ReadLedger(r.table.Metadata()); err != nil {
		return err
	}
	if r.dead, err = r.opts.LoadLetters(ctx); err != nil {
		return err
	}
	applied, err := commit.ReadApplied(r.dead.Metadata().Properties())
	if err != nil {
		return err
	}
	for _, p := range r.ledger.Pending {
		if p.Sequence > applied[r.table.Metadata().TableUUID()] {
			return fmt.Errorf("%d rows wait to be written to %s: try again when it can be written", p.Rows(), r.dead)
		}
	}
	r.box, err = letters.Open(ctx, r.opts.Store, r.dead)
	return err
}

// replay lands a batch. When others have resolved letters meanwhile, it begins anew with those that are left.
func (r *Replayer) replay(ctx context.Context, batch []letters.Letter) error {
	var err error
	for range replayTriesMax {
		var left []letters.Letter
		for _, l := range batch {
			if !r.box.IsResolved(&l) {
				left = append(left, l)
			}
		}
		if len(left) == 0 {
			return nil
		}
		var attempt *replayBatch
		if attempt, err = r.decode(ctx, left); err == nil && !r.opts.DryRun {
			err = r.commit(ctx, attempt)
		}
		switch {
		case err == nil:
			r.tell(attempt)
			return nil
		case !errors.Is(err, commit.ErrFenced):
			return err
		}
		if err := r.refresh(ctx); err != nil {
			return err
		}
	}
	return err
}

// tell adds a batch that is done to the report.
func (r *Replayer) tell(b *replayBatch) {
	r.out.Letters += b.letters
	if !r.opts.DryRun && len(b.ranges) > 0 {
		r.out.Commits++
	}
	for tp, part := range b.ranges {
		r.out.Rows += part.Counts.Inserted
		r.out.Filtered += part.Counts.Filtered + part.Counts.Tombstones
		r.ledger.Position[tp] = part.Next
	}
	for _, f := range b.failed {
		r.out.Failed++
		key := [2]string{f.Class, f.Column}
		at, known := r.at[key]
		if !known {
			at = len(r.out.Reasons)
			r.at[key] = at
			r.out.Reasons = append(r.out.Reasons, f)
		}
		r.out.Reasons[at].Letters++
	}
}
