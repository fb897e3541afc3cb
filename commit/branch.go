package commit

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// BranchChange adds files to a branch of rows that are not of main yet. Such a branch has one snapshot, without a
// parent and with no file of main: no reader of main sees it, nobody can fast-forward main to it by mistake,
// and it holds no file of main back from expiry.
type BranchChange struct {
	// Branch is its name, After the snapshot that it has, or 0 to begin it.
	Branch string
	After  int64
	// ID identifies the change for ever, as that of a Change does.
	ID uuid.UUID
	// Files are data files to add.
	Files []iceberg.DataFile
	// Summary is what the snapshot says besides.
	Summary iceberg.Properties
}

// AppendBranch adds files to a branch and returns its new snapshot, which takes the place of the one before.
// ErrBranch says that the branch does not stand at After.
func (c *Committer) AppendBranch(ctx context.Context, change BranchChange) (snapshotID int64, err error) {
	err = c.inTurn(ctx, func() error {
		in := &branchIntent{trunk: c.main, change: change}
		if err := c.main.land(ctx, in); err != nil {
			return fmt.Errorf("commit to branch %s of %s: %w", change.Branch, c.main.name(), err)
		}
		s := branchHead(c.main.head.meta, change.Branch)
		if s == nil {
			return &BranchError{Branch: change.Branch, Want: change.After} // it landed, and others dropped it since
		}
		snapshotID = s.SnapshotID
		return nil
	})
	return snapshotID, err
}

// DropBranch takes a branch away that stands at a snapshot, and that snapshot with the files that nothing else
// needs. A branch that is not there any more is no error.
func (c *Committer) DropBranch(ctx context.Context, branch string, at int64) error {
	return c.inTurn(ctx, func() error {
		if err := c.main.land(ctx, &dropIntent{branch: branchPin{branch, at}}); err != nil {
			return fmt.Errorf("drop branch %s of %s: %w", branch, c.main.name(), err)
		}
		return nil
	})
}

// branchHead is the snapshot that a branch points to, or nil.
func branchHead(meta icetable.Metadata, branch string) *icetable.Snapshot {
	for name, ref := range meta.Refs() {
		if name == branch && ref.SnapshotRefType == icetable.BranchRef {
			return meta.SnapshotByID(ref.SnapshotID)
		}
	}
	return nil
}

// branchPin is a branch at a snapshot.
type branchPin struct {
	name string
	at   int64
}

// requires pins the branch, or that there is none.
func (b branchPin) requires() icetable.Requirement {
	if b.at == 0 {
		return icetable.AssertRefSnapshotID(b.name, nil)
	}
	return icetable.AssertRefSnapshotID(b.name, &b.at)
}

// check looks that the branch stands where it is to.
func (b branchPin) check(meta icetable.Metadata) error {
	var at int64
	if s := branchHead(meta, b.name); s != nil {
		at = s.SnapshotID
	}
	if at != b.at {
		return &BranchError{Branch: b.name, Want: b.at, At: at}
	}
	return nil
}

// drop takes the branch away, with its snapshot.
func (b branchPin) drop(meta icetable.Metadata) (updates []icetable.Update, gone []expired) {
	updates = []icetable.Update{icetable.NewRemoveSnapshotRefUpdate(b.name)}
	for name, ref := range meta.Refs() {
		if name != b.name && ref.SnapshotID == b.at {
			return updates, nil // somebody holds it by another name
		}
	}
	gone = []expired{{Snapshot: meta.SnapshotByID(b.at), statistics: statisticsOf(meta)[b.at]}}
	return append(updates, expiryUpdates(gone)...), gone
}

// branchIntent lands one BranchChange.
type branchIntent struct {
	trunk  *trunk
	change BranchChange
}

func (in *branchIntent) build(ctx context.Context, h *head) (_ *swap, err error) {
	if in.landed(h, nil) == hasLanded {
		return nil, nil
	}
	if _, err := validateFiles(in.change.Files, h.meta); err != nil {
		return nil, err
	}
	pin := branchPin{in.change.Branch, in.change.After}
	if err := pin.check(h.meta); err != nil {
		return nil, err
	}
	t := in.trunk
	d := t.newDesk(h.meta, in.change.ID, t.opts.snapshotID())
	defer func() {
		if err != nil {
			t.discard(ctx, &swap{desk: d})
		}
	}()
	s := &swap{base: h, desk: d, requirements: []icetable.Requirement{
		icetable.AssertTableUUID(h.meta.TableUUID()),
		// A snapshot without parent may take any sequence number: pinning main keeps it above those of main.
		icetable.AssertRefSnapshotID(icetable.MainBranch, h.snapshotID()),
		pin.requires(),
	}}
	snapshot, err := in.snapshot(ctx, d, h)
	if err != nil {
		return nil, err
	}
	s.updates = []icetable.Update{icetable.NewAddSnapshotUpdate(snapshot),
		icetable.NewSetSnapshotRefUpdate(in.change.Branch, snapshot.SnapshotID, icetable.BranchRef, 0, 0, 0)}
	if before := h.meta.SnapshotByID(in.change.After); before != nil {
		s.expired = []expired{{Snapshot: before, statistics: statisticsOf(h.meta)[before.SnapshotID]}}
		s.updates = append(s.updates, expiryUpdates(s.expired)...)
	}
	return s, nil
}

// snapshot writes the manifests and the list of the branch's next snapshot.
func (in *branchIntent) snapshot(ctx context.Context, d *desk, h *head) (*icetable.Snapshot, error) {
	var held []iceberg.ManifestFile
	var prev iceberg.Properties
	if before := branchHead(h.meta, in.change.Branch); before != nil {
		var err error
		if held, err = readManifestList(ctx, d.store, before); err != nil {
			return nil, err
		}
		if before.Summary != nil {
			prev = before.Summary.Properties
		}
	}
	manifests, err := d.added(ctx, in.change.Files, nil)
	if err != nil {
		return nil, err
	}
	manifests = append(manifests, in.trunk.merge(ctx, d, held)...)
	w := work{id: in.change.ID, snapshotID: d.snapshot, files: in.change.Files, summary: in.change.Summary}
	for _, f := range in.change.Files {
		w.tally.add(f)
	}
	f := facts{work: w, now: in.trunk.opts.Now(), writer: in.trunk.opts.Writer,
		sequence: h.meta.LastSequenceNumber() + 1}
	if f.list, f.manifests, f.nextRowID, err = d.list(ctx, nil, f.sequence, manifests); err != nil {
		return nil, err
	}
	s := f.snapshot(h)
	props := w.tally.summary(prev, f.manifests)
	for _, name := range []string{SummaryCommitID, SummaryWriter} {
		props[name] = s.Summary.Properties[name]
	}
	for name, value := range in.change.Summary {
		props[name] = value
	}
	s.Summary.Properties = props
	return s, nil
}

// landed asks the branch itself. One that stands elsewhere was moved on, and tells nothing.
func (in *branchIntent) landed(h *head, _ *swap) verdict {
	s := branchHead(h.meta, in.change.Branch)
	switch {
	case s == nil && in.change.After == 0, s != nil && s.SnapshotID == in.change.After:
		return notLanded
	case s != nil && s.Summary != nil && s.Summary.Properties[SummaryCommitID] == in.change.ID.String():
		return hasLanded
	}
	return undecided
}

// dropIntent takes a branch away.
type dropIntent struct{ branch branchPin }

func (in *dropIntent) build(_ context.Context, h *head) (*swap, error) {
	if branchHead(h.meta, in.branch.name) == nil {
		return nil, nil
	}
	if err := in.branch.check(h.meta); err != nil {
		return nil, err
	}
	s := &swap{base: h, requirements: []icetable.Requirement{icetable.AssertTableUUID(h.meta.TableUUID()),
		in.branch.requires()}}
	s.updates, s.expired = in.branch.drop(h.meta)
	return s, nil
}

// landed needs no history: the snapshot of a branch that is gone never comes back.
func (in *dropIntent) landed(h *head, _ *swap) verdict {
	if s := branchHead(h.meta, in.branch.name); s != nil && s.SnapshotID == in.branch.at {
		return notLanded
	}
	return hasLanded
}
