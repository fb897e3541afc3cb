package commit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// work is what one snapshot is to bring to a table.
type work struct {
	id uuid.UUID
	// snapshotID is the id that manifests lie ready for, or 0 to choose one.
	snapshotID int64
	files      []iceberg.DataFile
	deletes    []iceberg.DataFile
	ready      []iceberg.ManifestFile
	// cut is what leaves the head, or nil.
	cut *cut
	// rewriteOf is the sequence number of the snapshot whose data files a rewrite puts in another form, or 0.
	rewriteOf int64
	compacted int64
	// retreat is the way back of a rollback, or nil: then the ledger has what others did until its target, too.
	retreat *retreat
	tally   tally
	ranges  map[TopicPartition]Range
	// ledger is the head's ledger with this work done, what others did aside.
	ledger     Ledger
	summary    iceberg.Properties
	properties iceberg.Properties
}

// compose writes what a snapshot with w on top of h needs and describes the swap that adds it. When it
// returns an error it has removed what it wrote.
func (t *trunk) compose(ctx context.Context, h *head, w work) (_ *swap, err error) {
	if w.snapshotID == 0 {
		w.snapshotID = t.opts.snapshotID()
	}
	d := t.newDesk(h.meta, w.id, w.snapshotID)
	defer func() {
		if err != nil {
			t.discard(ctx, &swap{desk: d})
		}
	}()
	manifests, removed, err := t.manifests(ctx, d, h, &w)
	if err != nil {
		return nil, err
	}
	f := facts{work: w, now: t.opts.Now(), writer: t.opts.Writer, parent: h.snapshotID(),
		sequence: h.meta.LastSequenceNumber() + 1}
	if w.retreat == nil {
		f.expired = planExpiry(h.meta, t.retention(h))
	}
	f.list, f.manifests, f.nextRowID, err = d.list(ctx, f.parent, f.sequence, manifests)
	if err != nil {
		return nil, err
	}
	f.settle(h)
	if f.coded = encodeRanges(kindRanges, w.ranges); len(f.coded) > rangesInlineBytesMax {
		body, statistics, err := rangesBlob(f.coded, d.location("-ranges.puffin"), w.snapshotID, f.sequence)
		if err != nil {
			return nil, fmt.Errorf("encode ranges blob: %w", err)
		}
		if err := d.put(ctx, statistics.StatisticsPath, body); err != nil {
			return nil, err
		}
		f.blob = &statistics
	}
	s := f.describe(h)
	s.desk, s.removed = d, removed
	return s, nil
}

// settle tells in the ledger what others did, and how far it has seen.
func (f *facts) settle(h *head) {
	foreign := &f.ledger.Foreign
	if f.retreat == nil {
		*foreign = h.ledger.Foreign.Since(h.meta, rowsOf(h.manifests))
	} else {
		foreign.RolledBack = f.sequence
	}
	foreign.Compacted += f.compacted
	if f.cut != nil {
		foreign.Expired += f.cut.expired
	}
	foreign.Through, foreign.TotalRecords = f.sequence, rowsOf(f.manifests)
}

// manifests writes what is new and returns what the snapshot lists, and the files that leave with it.
func (t *trunk) manifests(ctx context.Context, d *desk, h *head, w *work,
) (manifests []iceberg.ManifestFile, removed []iceberg.DataFile, err error) {
	if w.retreat != nil {
		return t.restore(ctx, d, h, w)
	}
	var sequence *int64
	if w.rewriteOf > 0 {
		sequence = &w.rewriteOf
	}
	if manifests, err = d.added(ctx, w.files, sequence); err != nil {
		return nil, nil, err
	}
	for _, f := range slices.Concat(w.files, w.deletes) {
		w.tally.add(f)
	}
	manifests = append(manifests, w.ready...)
	current := h.manifests
	if w.cut != nil {
		var carved []iceberg.ManifestFile
		if carved, removed, err = d.carve(ctx, h.manifests, w.cut, w.deletes); err != nil {
			return nil, nil, err
		}
		for _, f := range removed {
			w.tally.remove(f)
		}
		manifests = append(manifests, carved...)
		current = slices.DeleteFunc(slices.Clone(current),
			func(m iceberg.ManifestFile) bool { return w.cut.manifests[m.FilePath()] })
	}
	return append(manifests, t.merge(ctx, d, current)...), removed, nil
}

// merge returns the manifests that the next snapshot takes over from the head, small ones merged. What
// cannot be merged is taken over as it is: merging only keeps the list short.
func (t *trunk) merge(ctx context.Context, d *desk, current []iceberg.ManifestFile) []iceberg.ManifestFile {
	kept, groups := planMerges(current)
	var merged []iceberg.ManifestFile
	for _, group := range groups {
		kind := kindOf(group[0])
		if t.unmergeable[kind] {
			kept = append(kept, group...)
			continue
		}
		m, err := d.merged(ctx, group)
		if err != nil {
			t.log.Warn("manifests stay unmerged", "manifests", len(group), "err", err)
			if ctx.Err() == nil {
				t.unmergeable[kind] = true
			}
			kept = append(kept, group...)
			continue
		}
		merged = append(merged, m)
	}
	return append(merged, kept...)
}

// facts is everything that a swap is made of: what took I/O, chance or a clock to find is in here, so
// describe is a function of values.
type facts struct {
	work
	now       time.Time
	writer    string
	parent    *int64
	sequence  int64
	list      string
	manifests []iceberg.ManifestFile // of list, as a reader finds them
	nextRowID int64
	coded     []byte // ranges
	blob      *icetable.StatisticsFile
	expired   []expired
}

// describe tells the catalog what to require and to change, and what the head is then.
func (f *facts) describe(h *head) *swap {
	snapshot := f.snapshot(h)
	properties := f.ledger.properties(h.meta.Properties())
	snapshot.Summary.Properties[SummaryState] = stateOf(properties)
	maps.Copy(properties, f.properties)
	updates := append(f.retreat.guard(snapshot.SnapshotID),
		icetable.NewAddSnapshotUpdate(snapshot),
		mainRef(h.meta, snapshot.SnapshotID),
	)
	if f.blob != nil {
		updates = append(updates, icetable.NewSetStatisticsUpdate(*f.blob))
	}
	updates = append(updates, icetable.NewSetPropertiesUpdate(properties))
	updates = append(updates, expiryUpdates(f.expired)...)
	return &swap{
		requirements: []icetable.Requirement{
			icetable.AssertTableUUID(h.meta.TableUUID()),
			icetable.AssertRefSnapshotID(icetable.MainBranch, f.parent),
		},
		updates: updates, base: h, snapshot: snapshot, manifests: f.manifests, ledger: f.ledger,
		expired: f.expired,
	}
}

func (f *facts) snapshot(h *head) *icetable.Snapshot {
	props := f.tally.summary(h.summary(), f.manifests)
	maps.Copy(props, f.summary)
	props[SummaryCommitID] = f.id.String()
	props[SummaryWriter] = f.writer
	switch {
	case f.blob != nil:
		props[SummaryRangesBlob] = f.blob.StatisticsPath
	case len(f.ranges) > 0:
		props[SummaryRanges] = toText(f.coded)
	}
	schemaID := h.meta.CurrentSchema().ID
	s := &icetable.Snapshot{
		SnapshotID: f.snapshotID, ParentSnapshotID: f.parent, SequenceNumber: f.sequence,
		TimestampMs: f.timestamp(h), ManifestList: f.list, SchemaID: &schemaID,
		Summary: &icetable.Summary{Operation: f.operation(), Properties: props},
	}
	if h.meta.Version() >= 3 {
		first := h.meta.NextRowID()
		rows := f.nextRowID - first
		s.FirstRowID, s.AddedRows = &first, &rows
	}
	return s
}

// operation says what the snapshot did, in the words of the spec.
func (f *facts) operation() icetable.Operation {
	switch {
	case f.retreat != nil:
		return icetable.OpOverwrite
	case f.rewriteOf > 0:
		return icetable.OpReplace
	case len(f.deletes) == 0 && f.cut == nil:
		return icetable.OpAppend
	case len(f.files) == 0:
		return icetable.OpDelete
	}
	return icetable.OpOverwrite
}

// timestamp is now, and later than every snapshot before it even when the clock jumped back.
func (f *facts) timestamp(h *head) int64 {
	at := max(f.now.UnixMilli(), h.meta.LastUpdatedMillis())
	if h.snapshot != nil {
		at = max(at, h.snapshot.TimestampMs+1)
	}
	return at
}

// mainRef moves main and leaves the retention that somebody gave it.
func mainRef(meta icetable.Metadata, snapshotID int64) icetable.Update {
	var refAge, snapshotAge int64
	var keep int
	for name, ref := range meta.Refs() {
		if name != icetable.MainBranch {
			continue
		}
		if ref.MaxRefAgeMs != nil {
			refAge = *ref.MaxRefAgeMs
		}
		if ref.MaxSnapshotAgeMs != nil {
			snapshotAge = *ref.MaxSnapshotAgeMs
		}
		if ref.MinSnapshotsToKeep != nil {
			keep = *ref.MinSnapshotsToKeep
		}
	}
	return icetable.NewSetSnapshotRefUpdate(icetable.MainBranch, snapshotID, icetable.BranchRef,
		refAge, snapshotAge, keep)
}

// verdictOf reads a snapshot's fate from main: it walks from the head back to where the swap began.
func verdictOf(h *head, s *swap, id uuid.UUID) verdict {
	if find(h.meta, id) != nil {
		return hasLanded
	}
	chain := slices.Collect(Ancestry(h.meta))
	base := s.base.snapshotID()
	if base == nil {
		if len(chain) == 0 || chain[len(chain)-1].ParentSnapshotID == nil {
			return notLanded
		}
		return undecided
	}
	for _, snapshot := range chain {
		if snapshot.SnapshotID == *base {
			return notLanded
		}
	}
	return undecided
}
