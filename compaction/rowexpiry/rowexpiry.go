package rowexpiry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Committer is what the expiry of rows needs of commit.Committer.
type Committer interface {
	Refresh(ctx context.Context) error
	Table() *table.Table
	Commit(ctx context.Context, change commit.Change) (commit.Committed, error)
}

// Options are how an Expirer works. Now and NewID are required.
type Options struct {
	// Steps is in how many steps of its age a row may leave: with 30 days and 30 steps, files that lie across
	// the cut-off are read once a day and rows stay up to a day longer. 0 is at once.
	Steps int
	// DryRun tells what would leave, and writes nothing.
	DryRun bool
	Now    func() time.Time
	NewID  func() uuid.UUID
	Log    *slog.Logger
}

// Report says what left, or would.
type Report struct {
	// Before is the cut-off.
	Before time.Time `json:"before"`
	// Rows left, with Files as a whole and by deletes of Touched others.
	Rows    int64 `json:"rows"`
	Files   int   `json:"files"`
	Touched int   `json:"files_touched"`
	// Commits took them out.
	Commits int `json:"commits"`
}

const (
	// roundsMax is how often in a row files are looked for again since others rewrote some of them meanwhile, or
	// replaced their deletes and let those before expire, and nothing could be done before.
	roundsMax = 8
	// filesAtOnce and rowsAtOnce bound what one commit takes out in parts: 8 bytes a row in memory.
	filesAtOnce = 256
	rowsAtOnce  = 4 << 20
)

// Expirer takes old rows out of one table. It belongs to one goroutine.
type Expirer struct {
	committer Committer
	store     objstore.Store
	opts      Options
	// looked are the files across the cut-off that hold no more old rows. It is of one cut-off.
	looked map[string]bool
	before time.Time
	column string
}

// New returns an Expirer of the committer's table, whose files are in store.
func New(committer Committer, store objstore.Store, opts Options) (*Expirer, error) {
	if opts.Now == nil || opts.NewID == nil {
		return nil, errors.New("new expiry of rows: Now and NewID must be set")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Expirer{committer: committer, store: store, opts: opts, looked: map[string]bool{}}, nil
}

// Run takes out the rows that are too old now. On an error the report tells what left before.
func (e *Expirer) Run(ctx context.Context, age commit.RowAge) (report Report, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("expire rows of %s: %w", e.committer.Table(), err)
		}
	}()
	if err = e.committer.Refresh(ctx); err != nil {
		return report, err
	}
	old, stay, err := e.begin(ctx, age, &report)
	if err != nil {
		return report, err
	}
	for idle := 0; idle < roundsMax; idle++ {
		done := report.Commits + len(e.looked)
		err = e.round(ctx, old, stay, &report)
		if errors.Is(err, objstore.ErrNotFound) { // others rewrote the file, and the snapshot has expired
			err = fmt.Errorf("%w: %w", commit.ErrStale, err)
		}
		if !errors.Is(err, commit.ErrStale) {
			return report, err
		}
		if report.Commits+len(e.looked) > done {
			idle = -1
		}
		if refused := e.committer.Refresh(ctx); refused != nil {
			return report, refused
		}
	}
	return report, err
}

// begin works out the cut-off, and returns what is true of old rows and of those that stay.
func (e *Expirer) begin(ctx context.Context, age commit.RowAge, report *Report) (old, stay string, err error) {
	t := e.committer.Table()
	now, err := e.now(ctx, t)
	if err != nil {
		return "", "", err
	}
	field, err := age.Field(t.Metadata().CurrentSchema())
	if err != nil {
		return "", "", err
	}
	if age.After <= 0 {
		return "", "", fmt.Errorf("rows cannot leave at an age of %v", age.After)
	}
	report.Before = now.Add(-age.After)
	if e.opts.Steps > 0 {
		report.Before = report.Before.Truncate(age.After / time.Duration(e.opts.Steps))
	}
	if !e.before.Equal(report.Before) || e.column != age.Column {
		e.before, e.column = report.Before, age.Column
		clear(e.looked)
	}
	old, stay = age.Filters(field, e.before)
	return old, stay, nil
}

// round looks for old rows in the newest version of the table and takes them out.
func (e *Expirer) round(ctx context.Context, old, stay string, report *Report) error {
	t := e.committer.Table()
	found, err := find(ctx, t, e.store, old, stay)
	if err != nil {
		return err
	}
	found.parts = slices.DeleteFunc(found.parts, func(p part) bool { return e.looked[p.task.File.FilePath()] })
	for len(found.whole)+len(found.parts) > 0 {
		b, err := e.take(ctx, t, &found)
		if err != nil {
			return err
		}
		if err := e.land(ctx, b, report); err != nil {
			return err
		}
	}
	return nil
}

// take reads the next files and makes a batch of them.
func (e *Expirer) take(ctx context.Context, t *table.Table, found *found) (*batch, error) {
	head := t.Metadata().CurrentSnapshot()
	n := min(len(found.whole), filesAtOnce)
	b := &batch{store: e.store, newID: e.opts.NewID, whole: found.whole[:n], change: commit.Change{
		ID: e.opts.NewID(), Base: head.SnapshotID, BaseSequence: head.SequenceNumber,
		Expiry: &commit.RowExpiry{Column: e.column, Before: e.before.UTC().Format(time.RFC3339Nano)}}}
	found.whole = found.whole[n:]
	rows := 0
	for len(found.parts) > 0 && n < filesAtOnce && rows < rowsAtOnce {
		p := found.parts[0]
		var err error
		p.positions, err = p.read(ctx, e.store)
		if errors.Is(err, objstore.ErrNotFound) && n > 0 { // the next round finds it as it is then
			break
		}
		if err != nil {
			return nil, err
		}
		found.parts = found.parts[1:]
		if len(p.positions) == 0 {
			e.looked[p.task.File.FilePath()] = true
			continue
		}
		rows += len(p.positions)
		n++
		b.parts = append(b.parts, p)
	}
	return b, nil
}

// land commits a batch, or only counts it.
func (e *Expirer) land(ctx context.Context, b *batch, report *Report) error {
	if len(b.whole)+len(b.parts) == 0 {
		return nil
	}
	rows := b.rows()
	if !e.opts.DryRun {
		landed, err := b.commit(ctx, e.committer)
		if err != nil {
			return err
		}
		if left := table.Discard(ctx, b.store, b.lost()); left != nil {
			e.opts.Log.Warn("deletes of a lost commit stay behind", "err", left)
		}
		if s := landed.Table.Metadata().SnapshotByID(landed.SnapshotID); s != nil {
			if told, err := strconv.ParseInt(s.Summary.Properties[commit.SummaryExpiredRows], 10, 64); err == nil {
				rows = told
			}
		}
		report.Commits++
		e.opts.Log.Info("rows expired", "table", e.committer.Table().String(), "snapshot_id", landed.SnapshotID,
			"rows", rows, "files", len(b.whole), "files_touched", len(b.parts), "before", utc(e.before))
	}
	for _, p := range b.parts {
		e.looked[p.task.File.FilePath()] = true
	}
	report.Rows += rows
	report.Files += len(b.whole)
	report.Touched += len(b.parts)
	return nil
}
