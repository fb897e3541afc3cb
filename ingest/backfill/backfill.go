package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// What a caller must tell apart.
var (
	// ErrPromoted says that the rows of the backfill are in main already.
	ErrPromoted = errors.New("promoted already")
	// ErrChanged says that the source is not any more what it was when the backfill began.
	ErrChanged = errors.New("source changed")
	// ErrCheck says that a check does not hold.
	ErrCheck = errors.New("check does not hold")
	// ErrUnfinished says that files of the source are not on the branch yet.
	ErrUnfinished = errors.New("unfinished")
)

// Options are what a Backfill works with. All but those that say otherwise must be set.
type Options struct {
	Committer *commit.Committer
	// Source holds the files that are read, Store those of the table.
	Source, Store objstore.Store
	// Parallel is how many files are read at a time, 0 is 1; RateBytes bounds the bytes of the source a second, 0 does
	// not.
	Parallel  int
	RateBytes int64
	// Columns are the spec's options of columns, for text; nil is none.
	Columns map[string]decode.ColumnOptions
	Parquet table.ParquetOptions
	// Memory is shared by all lanes; nil is the writers' own.
	Memory   *table.Budget
	SpillDir string
	Now      func() time.Time
	NewID    func() uuid.UUID
	Sleep    func(ctx context.Context, d time.Duration) error
	// Progress is told of each batch by any goroutine, one at a time; nil is told nothing.
	Progress func(Progress)
	Log      *slog.Logger
}

// The size of a round, which is committed as a whole: a kill loses less than that, and the branch gets a commit each.
const (
	roundBytes = 1 << 30
	roundFiles = 512
	// lanesMax bounds the topic partitions that a backfill takes in the ledger.
	lanesMax = 64
)

// Backfill is one process at work on a plan. Its methods are called by one goroutine.
type Backfill struct {
	opts    Options
	plan    Plan
	id      string
	branch  string
	listing Listing
	held    *Held // nil when nothing is on the branch
	meter   *meter
	// roundBytes and roundFiles are the constants, and less in tests.
	roundBytes int64
	roundFiles int
}

// Open lists the source and finds what earlier runs of the plan left. ErrPromoted says that nothing is left to do,
// ErrChanged that the source is another than that of the earlier runs.
func Open(ctx context.Context, opts Options, plan Plan) (*Backfill, error) {
	if err := opts.Committer.Refresh(ctx); err != nil {
		return nil, err
	}
	t := opts.Committer.Table()
	if err := plan.Validate(t); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Parallel = min(max(1, opts.Parallel), lanesMax)
	b := &Backfill{opts: opts, plan: plan, id: plan.ID(t), branch: plan.BranchName(t),
		roundBytes: roundBytes, roundFiles: roundFiles}
	var err error
	if b.listing, err = List(ctx, opts.Source, plan.Pattern); err != nil {
		return nil, err
	}
	if err := b.look(); err != nil {
		return nil, err
	}
	b.meter = newMeter(b)
	return b, nil
}

// OpenHeld opens a backfill that is whole on its branch, to check and promote it. Its source may be gone.
func OpenHeld(ctx context.Context, opts Options, held Held) (*Backfill, error) {
	if !held.State.Whole() {
		return nil, fmt.Errorf("backfill %s: %d of %d files are on the branch: %w", held.State.ID, held.State.FilesDone,
			held.State.Files, ErrUnfinished)
	}
	b := &Backfill{opts: opts, plan: held.State.Plan, id: held.State.ID, branch: held.Branch,
		listing: Listing{ID: held.State.Source}, held: &held}
	return b, b.refresh(ctx)
}

// ID is the backfill's, Branch its branch, Listing its source.
func (b *Backfill) ID() string { return b.id }

// Branch is the branch that it writes to.
func (b *Backfill) Branch() string { return b.branch }

// Listing is the files of its source.
func (b *Backfill) Listing() Listing { return b.listing }

// State is how far it is.
func (b *Backfill) State() State {
	if b.held == nil {
		return State{ID: b.id, Plan: b.plan, Source: b.listing.ID, Files: len(b.listing.Files), Bytes: b.listing.Bytes,
			Began: b.opts.Now().UTC()}
	}
	return b.held.State
}

// look finds what the table knows of the backfill.
func (b *Backfill) look() error {
	t := b.opts.Committer.Table()
	ledger, err := commit.ReadLedger(t.Metadata())
	if err != nil {
		return fmt.Errorf("read ledger of %s: %w", t, err)
	}
	if p, ok := PromotedIn(ledger)[b.id]; ok {
		if p.Source != b.listing.ID {
			return fmt.Errorf("backfill %s: %w, of a source that is another now: name what came since by a pattern of"+
				" its own", b.id, ErrPromoted)
		}
		return fmt.Errorf("backfill %s: %w: %s", b.id, ErrPromoted, p.Counts)
	}
	branches, err := Branches(t)
	if err != nil {
		return err
	}
	b.held = nil
	for _, h := range branches {
		switch {
		case h.Branch != b.branch:
		case h.State.ID != b.id:
			return fmt.Errorf("branch %s holds backfill %s of %s: name another one", h.Branch, h.State.ID,
				h.State.Plan.Pattern)
		case h.State.Source != b.listing.ID:
			return fmt.Errorf("backfill %s began with %d files of %d bytes, and %s names %d of %d now, or others:"+
				" put back what it was, or abandon it and begin anew: %w", b.id, h.State.Files, h.State.Bytes,
				b.plan.Pattern, len(b.listing.Files), b.listing.Bytes, ErrChanged)
		default:
			h.State.Plan.Checks = b.plan.Checks
			b.held = &h
		}
	}
	return nil
}

// Run brings all files of the source onto the branch.
func (b *Backfill) Run(ctx context.Context) error {
	for {
		if more, err := b.Step(ctx); err != nil || !more {
			return err
		}
	}
}

// Step brings one round of files onto the branch and says whether there are more. On an error the branch is what it
// was, unless it is commit.ErrStateUnknown: then the round may be on it.
func (b *Backfill) Step(ctx context.Context) (more bool, err error) {
	state := b.State()
	if b.held != nil && state.Whole() {
		return false, nil
	}
	round := b.round(state)
	change := writing{id: b.opts.NewID(), names: new(table.FileNumbers)}
	if change.opener, err = b.opener(); err != nil {
		return false, err
	}
	state.Lanes = slices.Clone(state.Lanes)
	for len(state.Lanes) < min(b.opts.Parallel, max(1, len(round))) {
		state.Lanes = append(state.Lanes, Lane{})
	}
	var lanes []*lane
	for i := range state.Lanes {
		l, err := b.newLane(i, state.Lanes[i], change)
		if err != nil {
			return false, err
		}
		lanes = append(lanes, l)
	}
	files, err := b.write(ctx, lanes, change.opener, round)
	if err == nil {
		for i, l := range lanes {
			state.Lanes[i] = l.count
		}
		for _, file := range round {
			state.FilesDone++
			state.BytesDone += file.Size
		}
		err = b.land(ctx, change.id, files, state)
	}
	if err != nil {
		if !errors.Is(err, commit.ErrStateUnknown) {
			b.giveUp(ctx, lanes)
		}
		return false, err
	}
	return !state.Whole(), nil
}

// round is the next files.
func (b *Backfill) round(state State) []objstore.Object {
	left := b.listing.Files[state.FilesDone:]
	var bytes int64
	for i, file := range left {
		if bytes += file.Size; i > 0 && (bytes > b.roundBytes || i >= b.roundFiles) {
			return left[:i]
		}
	}
	return left
}

func (b *Backfill) opener() (*opener, error) {
	o := &opener{store: b.opts.Source, schema: b.opts.Committer.Table().Metadata().CurrentSchema(),
		columns: b.opts.Columns}
	var err error
	if o.form, err = table.ArrowSchema(o.schema); err != nil {
		return nil, err
	}
	o.mapping, err = ParseMap(b.plan.Map)
	return o, err
}

// write reads files, as many at a time as there are lanes.
func (b *Backfill) write(ctx context.Context, lanes []*lane, o *opener, files []objstore.Object,
) ([]iceberg.DataFile, error) {
	// A file of a writer lives as long as the context it was opened with, so the group has none of its own.
	var group errgroup.Group
	var next atomic.Int64
	var failed atomic.Bool
	for _, l := range lanes[:min(len(lanes), b.opts.Parallel)] {
		group.Go(func() error {
			for {
				at := int(next.Add(1)) - 1
				if at >= len(files) || failed.Load() {
					return nil
				}
				if err := l.read(ctx, o, files[at]); err != nil {
					failed.Store(true)
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return finish(ctx, lanes)
}

// land puts a round onto the branch.
func (b *Backfill) land(ctx context.Context, id uuid.UUID, files []iceberg.DataFile, state State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode state of backfill %s: %w", b.id, err)
	}
	change := commit.BranchChange{Branch: b.branch, ID: id, Files: files,
		Summary: iceberg.Properties{SummaryState: string(text)}}
	if b.held != nil {
		change.After = b.held.SnapshotID
	}
	at, err := b.opts.Committer.AppendBranch(ctx, change)
	if err != nil {
		return err
	}
	b.held = &Held{Branch: b.branch, SnapshotID: at, State: state}
	b.opts.Log.Info("round is on the branch", "branch", b.branch, "files", state.FilesDone, "bytes", state.BytesDone)
	return nil
}

func (b *Backfill) giveUp(ctx context.Context, lanes []*lane) {
	for _, l := range lanes {
		if err := l.writer.Abort(ctx); err != nil {
			b.opts.Log.Warn("files of a round stay behind as orphans", "err", err)
		}
	}
}
