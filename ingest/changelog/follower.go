package changelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/images"
	"github.com/firthlake/firth/table/keyindex"
)

const (
	// rowsEnough and snapshotsEnough end a commit of a changelog that is behind. A commit costs milliseconds, and
	// a crash has what is in it done again.
	rowsEnough      = 1 << 20
	snapshotsEnough = 64
)

// Follower writes the changes of one table. It belongs to one goroutine.
type Follower struct {
	opts  Options
	plans table.PlanCache
	seed  keyindex.Seed
	// files are the live files of the snapshot at, when at is not 0.
	files map[string]*table.Task
	at    int64
	// pending is a change that may have landed, or that could not be committed yet; nil when there is none.
	pending *pending
	// most is entriesMax, but in tests.
	most int64
}

// pending is a change on its way into the changelog.
type pending struct {
	change commit.Change
	writer *table.Writer // nil without rows
	// unknown says that a try may have landed, so that its files stay whatever later tries say.
	unknown bool
	rows    int64
	left    int // snapshots that are not in it
}

// New makes a Follower. It starts nothing.
func New(opts Options) (*Follower, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("follow changes: %w", err)
	}
	id := opts.NewID()
	f := &Follower{opts: opts, most: entriesMax, plans: table.PlanCache{Reads: opts.Reads}}
	for i, b := range id {
		if i < 8 {
			f.seed.High = f.seed.High<<8 | uint64(b)
		} else {
			f.seed.Low = f.seed.Low<<8 | uint64(b)
		}
	}
	return f, nil
}

// Step writes the changes of some snapshots that the changelog has not read, as far as the source is known, and
// says whether there are more. After an error it may be called again: it goes on where the changelog stands.
func (f *Follower) Step(ctx context.Context) (more bool, err error) {
	source := f.opts.Source.Table()
	if more, err = f.step(ctx, source); err != nil {
		return false, fmt.Errorf("write changes of %s: %w", source, err)
	}
	return more, nil
}

func (f *Follower) step(ctx context.Context, source *table.Table) (more bool, err error) {
	if f.pending == nil {
		if f.pending, more, err = f.prepare(ctx, source); err != nil || f.pending == nil {
			return false, err
		}
	}
	p := f.pending
	_, err = f.opts.Target.Commit(ctx, p.change)
	switch {
	case err == nil:
		f.pending = nil
		f.opts.Metrics.wrote(source.String(), p)
		return more, nil
	case errors.Is(err, commit.ErrStateUnknown):
		p.unknown = true
		return false, err
	case !commit.IsFinal(err):
		return false, err
	}
	f.pending = nil
	if p.writer != nil && !p.unknown {
		err = errors.Join(err, p.writer.Abort(ctx))
	}
	return false, errors.Join(err, f.opts.Target.Refresh(ctx))
}

// prepare makes the next change of the changelog, nil when it has read all.
func (f *Follower) prepare(ctx context.Context, source *table.Table) (_ *pending, more bool, err error) {
	if err := f.belongs(source); err != nil {
		return nil, false, err
	}
	position := f.opts.Target.Position()
	next, begun := position[commit.SnapshotsOf(source)]
	w, err := images.NewWalk(source.Metadata(), int64(next), begun)
	if err != nil {
		return nil, false, err
	}
	f.opts.Metrics.behind(source.String(), w, f.opts.Now())
	if len(w.Unread) == 0 {
		return nil, false, nil
	}
	if err := f.bridge(source, &w, next); err != nil {
		return nil, false, err
	}
	if err := f.evolve(ctx, source); err != nil {
		return nil, false, err
	}
	v, err := f.newVolume(source, int64(position[commit.ChangesOf(source)]), int64(next)-1)
	if err != nil {
		return nil, false, err
	}
	files, err := f.fill(ctx, v, source, w)
	if err != nil {
		return nil, false, errors.Join(err, v.writer.Abort(ctx))
	}
	p := &pending{change: v.change(source, next, files), rows: v.next - v.first,
		left: len(w.Unread) - v.snapshots, writer: v.writer}
	return p, p.left > 0, nil
}

// belongs says whether the changelog is that of the source, and not of one that had its name before.
func (f *Follower) belongs(source *table.Table) error {
	target := f.opts.Target.Table()
	if of := target.Metadata().Properties()[commit.PropertyChangelogOf]; of != source.String() {
		return fmt.Errorf("table %s is no changelog of it (its property %s is %q): give the changelog another name",
			target, commit.PropertyChangelogOf, of)
	}
	mine := commit.SnapshotsOf(source)
	for tp := range f.opts.Target.Position() {
		if tp.Topic == mine.Topic && tp.TopicID != mine.TopicID {
			return fmt.Errorf("%w: the table was dropped and made again (uuid %s, and %s holds changes of %s): "+
				"drop or rename %s, and a new one begins", images.ErrGap, mine.TopicID, target, tp.TopicID, target)
		}
	}
	return nil
}

// bridge lets the walk begin with what is remembered when the snapshots between are gone: the changes that they
// made are told together with the next ones.
func (f *Follower) bridge(source *table.Table, w *images.Walk, next commit.Offset) error {
	if !w.Missing {
		return nil
	}
	oldest := w.Unread[0]
	if f.files == nil || f.at != int64(next)-1 {
		return fmt.Errorf("%w: snapshots of %s up to sequence number %d have expired before they were read, which "+
			"went on from %d: drop the changelog %s, and a new one begins", images.ErrGap, source,
			oldest.SequenceNumber-1, next, f.opts.Target.Table())
	}
	f.opts.Log.Warn("snapshots expired before they were read: their changes are told as one", "table",
		source.String(), "from_sequence_number", int64(next), "snapshot_id", oldest.SnapshotID)
	return nil
}

// evolve gives the changelog the columns that the source has now.
func (f *Follower) evolve(ctx context.Context, source *table.Table) error {
	_, err := f.opts.Target.Evolve(ctx, func(meta icetable.Metadata) ([]icetable.Update, error) {
		return Evolution(meta, source.Metadata().CurrentSchema())
	})
	return err
}

// Evolution are the updates that give a changelog the columns of its source; none when it has them.
func Evolution(meta icetable.Metadata, source *iceberg.Schema) ([]icetable.Update, error) {
	id := 0
	for _, s := range meta.Schemas() {
		id = max(id, s.ID)
	}
	wanted, err := changes.Schema(source, id+1)
	if err != nil {
		return nil, err
	}
	if meta.CurrentSchema().Equals(wanted) {
		return nil, nil
	}
	for _, s := range meta.Schemas() {
		if s.Equals(wanted) {
			return []icetable.Update{icetable.NewSetCurrentSchemaUpdate(s.ID)}, nil
		}
	}
	return []icetable.Update{icetable.NewAddSchemaUpdate(wanted), icetable.NewSetCurrentSchemaUpdate(-1)}, nil
}

func (f *Follower) newVolume(source *table.Table, first, read int64) (*volume, error) {
	meta := f.opts.Target.Table().Metadata()
	v := &volume{id: f.opts.NewID(), budget: f.opts.Memory, mem: f.opts.Allocator, most: f.most,
		first: first, next: first, read: read}
	var err error
	v.reader, err = images.NewReader(images.Options{Store: f.opts.Store, Source: source.Metadata().CurrentSchema(),
		Seed: f.seed, Memory: f.opts.Memory, KeepBytes: keepBytes, Allocator: v.mem, Reads: f.opts.Reads})
	if err != nil {
		return nil, err
	}
	schema := meta.CurrentSchema()
	if v.form, err = table.ArrowSchema(schema); err != nil {
		return nil, err
	}
	if v.sums, err = table.NewChecksummer(schema); err != nil {
		return nil, err
	}
	v.writer, err = table.NewWriter(f.opts.Store, table.WriterOptions{Schema: schema, Spec: meta.PartitionSpec(),
		Location: meta.Location(), ChangeID: v.id, Parquet: f.opts.Parquet, Properties: meta.Properties(),
		Memory: f.opts.Memory, SpillDir: f.opts.SpillDir, Metrics: f.opts.WriterMetrics, Allocator: v.mem})
	return v, err
}

// fill writes images until there are enough for a commit, and returns their files.
func (f *Follower) fill(
	ctx context.Context, v *volume, source *table.Table, w images.Walk,
) ([]iceberg.DataFile, error) {
	before := w.Before
	for _, s := range w.Unread {
		if !images.MovesRows(s) || before == nil {
			if err := f.snapshot(ctx, v, source, before, s); err != nil {
				return nil, fmt.Errorf("snapshot %d: %w", s.SnapshotID, err)
			}
		}
		before, v.read = s, s.SequenceNumber
		if v.snapshots++; v.snapshots == snapshotsEnough || v.next-v.first >= rowsEnough {
			break
		}
	}
	return v.writer.Close(ctx)
}

// snapshot writes the images of one snapshot, given the one before; nil is none, or one that has expired and whose
// files are remembered.
func (f *Follower) snapshot(
	ctx context.Context, v *volume, source *table.Table, before, s *icetable.Snapshot,
) error {
	old := f.files
	switch {
	case before == nil && f.at != v.read:
		old = nil
	case before != nil && (old == nil || f.at != before.SequenceNumber):
		var err error
		if old, err = images.Live(ctx, &f.plans, source, f.opts.Store, before); err != nil {
			return err
		}
	}
	f.files, f.at = nil, 0
	now, err := images.Live(ctx, &f.plans, source, f.opts.Store, s)
	if err != nil {
		return err
	}
	portions, err := v.reader.Portions(ctx, old, now)
	if err != nil {
		return err
	}
	if err := v.take(ctx, s, portions); err != nil {
		return err
	}
	f.files, f.at = now, s.SequenceNumber
	return nil
}
