package commit

import (
	"context"
	"slices"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/vector"
)

// cut is what a change takes out of the head: delete files that others take the place of, and data files
// with the delete files that are about them.
type cut struct {
	data    map[fileKey]bool
	deletes map[place]bool
	// manifests hold what is cut and are written anew.
	manifests map[string]bool
	// rows are the deleted rows that the cut delete files knew of; they are exact unless deletes overlap or
	// are about several data files.
	rows  int64
	exact bool
	// expired is how many rows an expiry takes out; at most as many when exact is false.
	expired int64
}

// plan finds what the change takes out of h. It refuses a change whose base is not what the table is any more,
// unless it can be rebased, which gives it other deletes.
func (t *trunk) plan(ctx context.Context, h *head, change *Change) (*cut, error) {
	if t.holdings == nil {
		t.holdings = newHoldings()
	}
	if err := t.holdings.sync(ctx, t.store, t.opts.Reads, h); err != nil {
		return nil, err
	}
	stale := &StaleError{Base: change.Base}
	if h.snapshot != nil {
		stale.Head = h.snapshot.SnapshotID
	}
	p := &cutting{holdings: t.holdings, stale: stale, before: map[string]int64{},
		cut: &cut{data: map[fileKey]bool{}, deletes: map[place]bool{}, manifests: map[string]bool{}, exact: true}}
	var expired bool
	if p.base, expired = begunAt(h.meta, change); p.base == 0 || p.base < h.ledger.Foreign.RolledBack {
		return nil, stale // deletes of its files may be fewer now, which no sequence number tells
	}
	p.remove(change, h.meta.Version())
	if p.moved = p.moved || expired || change.Expiry != nil; p.moved && len(stale.Files) == 0 {
		if err := p.rebase(ctx, t, h, change); err != nil {
			return nil, err
		}
	}
	if err := p.delete(change); err != nil {
		return nil, err
	}
	if len(stale.Files) > 0 {
		return nil, stale
	}
	return p.cut, p.cut.count(change)
}

// begunAt is the sequence number of the snapshot that the change was worked out from, 0 when it cannot
// be said that the head came of it. A rewrite that can be rebased does without the snapshot: where the head
// has other rows than the base had, because main was set back, its Rebase notices.
func begunAt(meta icetable.Metadata, change *Change) (sequence int64, expired bool) {
	if base := ancestor(meta, change.Base); base != nil {
		return base.SequenceNumber, false
	}
	if change.Rebase == nil || meta.SnapshotByID(change.Base) != nil ||
		change.BaseSequence > meta.LastSequenceNumber() {
		return 0, false
	}
	return change.BaseSequence, true
}

// ancestor is the snapshot of main with the id, or nil.
func ancestor(meta icetable.Metadata, id int64) *icetable.Snapshot {
	for s := range Ancestry(meta) {
		if s.SnapshotID == id {
			return s
		}
	}
	return nil
}

// cutting is a cut that is being planned.
type cutting struct {
	*holdings
	base  int64
	stale *StaleError
	cut   *cut
	// rebased says that the change is a rewrite that can be, moved that it has to be.
	rebased, moved bool
	// before are the most positions that one delete file held, by the data file whose deletes are cut.
	before map[string]int64
}

// remove cuts the data files that the change removes, with the delete files that are about them.
func (p *cutting) remove(change *Change, version int) {
	rewrites := len(change.Removed) > 0 || change.Expiry != nil
	p.rebased = change.Rebase != nil && rewrites
	for _, d := range p.loose {
		// They are in no vector and no rewritten file when they came behind the base. Position delete files
		// go on to hold beside those of version 2, and equality deletes by their sequence numbers.
		if d.content == iceberg.EntryContentPosDeletes {
			p.cut.exact = false
			if d.sequence > p.base && (version >= 3 || rewrites) {
				p.late("(position deletes of several data files)")
			}
		} else if rewrites {
			p.cut.exact = false
		}
	}
	for _, f := range change.Removed {
		number, alive := p.data[keyOf(f.FilePath())]
		if !alive {
			p.stale.Files = append(p.stale.Files, f.FilePath())
			continue
		}
		p.cut.data[keyOf(f.FilePath())] = true
		p.cut.manifests[p.manifests[number].location] = true
		p.replace(f.FilePath())
	}
	if change.Expiry != nil {
		for _, f := range change.Expiry.Files {
			if _, alive := p.data[keyOf(f.FilePath())]; !alive {
				p.stale.Files = append(p.stale.Files, f.FilePath())
				continue
			}
			p.replace(f.FilePath()) // so that Rebase is told of their deletes
		}
	}
	for _, f := range change.Dead {
		at := slices.IndexFunc(p.loose, func(d heldDelete) bool { return d.place == placeOf(f) })
		if at < 0 || p.loose[at].sequence > p.base {
			p.stale.Files = append(p.stale.Files, f.FilePath())
			continue
		}
		p.cut.deletes[p.loose[at].place] = true
		p.cut.manifests[p.manifests[p.loose[at].manifest].location] = true
	}
}

// late notes that deletes of a data file came behind the base.
func (p *cutting) late(of string) {
	if p.rebased {
		p.moved = true
	} else {
		p.stale.Files = append(p.stale.Files, of)
	}
}

// delete cuts the delete files that those of the change take the place of.
func (p *cutting) delete(change *Change) error {
	own := map[string]int32{}
	for _, f := range change.Files {
		own[f.FilePath()] = f.SpecID()
	}
	for _, d := range change.Deletes {
		of := vector.DataFile(d)
		spec, isOwn := own[of]
		if !isOwn {
			number, alive := p.data[keyOf(of)]
			if !alive {
				p.stale.Files = append(p.stale.Files, of)
				continue
			}
			spec = p.manifests[number].specID
		}
		if spec != d.SpecID() {
			return invalid("deletes %s are of partition spec %d, their data file %s is of %d", d.FilePath(), d.SpecID(),
				of, spec)
		}
		before, cut := p.before[of]
		if !cut {
			before = p.replace(of)
		}
		if before > d.Count() {
			return invalid("deletes %s hold %d positions of %s, those that they replace %d", d.FilePath(), d.Count(),
				of, before)
		}
	}
	return nil
}

// replace cuts the delete files that are about a data file and returns the most positions that one of them
// holds.
func (p *cutting) replace(of string) (count int64) {
	list := p.deletes[keyOf(of)]
	if slices.ContainsFunc(list, func(d heldDelete) bool { return d.sequence > p.base }) {
		if p.late(of); !p.rebased {
			return 0
		}
	}
	for _, d := range list {
		p.cut.deletes[d.place] = true
		p.cut.manifests[p.manifests[d.manifest].location] = true
		p.cut.rows += d.count
		count = max(count, d.count)
	}
	p.cut.exact = p.cut.exact && len(list) < 2
	p.before[of] = count
	return count
}

// count holds the rows that leave against what the change says of them.
func (c *cut) count(change *Change) error {
	deleted := countRows(change.Deletes) - c.rows
	if change.Expiry != nil {
		if len(change.Deletes) != len(change.Expiry.Files) {
			return invalid("%d files lose old rows, and %d deletes say which", len(change.Expiry.Files),
				len(change.Deletes))
		}
		c.expired = countRows(change.Removed) + deleted
		if c.expired < 0 && c.exact {
			return invalid("it brings %d rows back", -c.expired)
		}
		c.expired = max(0, c.expired)
		return nil
	}
	if len(change.Removed) > 0 {
		// A rewrite loses no row and finds none: all that is deleted was so before.
		left := countRows(change.Removed) - countRows(change.Files) + deleted
		if left != 0 && c.exact || left < 0 {
			return invalid("its files hold %d rows less their deletes, %d more than those it removes",
				countRows(change.Files)-countRows(change.Deletes), -left)
		}
		return nil
	}
	want := change.Uncounted.Taken
	for _, r := range change.Ranges {
		want += r.Counts.Updated + r.Counts.Deleted
	}
	if deleted != want && c.exact {
		return invalid("it deletes %d rows, its ranges count %d updated and deleted, and %d are beyond", deleted,
			want-change.Uncounted.Taken, change.Uncounted.Taken)
	}
	return nil
}

// compacted is how many rows a rewrite leaves out of files, since they were deleted.
func compacted(change *Change) int64 {
	if len(change.Removed) == 0 {
		return 0
	}
	return countRows(change.Removed) - countRows(change.Files)
}
