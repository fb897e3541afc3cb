package commit

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// decide writes the manifests for dead letters and puts the decision to publish them into w's ledger.
// They are written for a snapshot of the dead-letter table that does not exist yet.
func (c *Committer) decide(ctx context.Context, w *work, files []iceberg.DataFile, sequence int64) (*desk, error) {
	t := c.deadLetters
	if t.head == nil || t.stale {
		if err := t.reload(ctx); err != nil {
			return nil, fmt.Errorf("dead letters: %w", err)
		}
	}
	if _, err := validateFiles(files, t.head.meta); err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	d := t.newDesk(t.head.meta, deadLetterCommitID(w.id), c.opts.snapshotID())
	manifests, err := d.added(ctx, files, nil)
	if err != nil {
		t.discard(ctx, &swap{desk: d})
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	p := Pending{CommitID: w.id, Sequence: sequence, SnapshotID: d.snapshot}
	for _, m := range manifests {
		p.Manifests = append(p.Manifests, PendingManifest{
			Version: m.Version(), SpecID: m.PartitionSpecID(), Location: m.FilePath(), Bytes: m.Length(),
			Files: m.AddedDataFiles(), Rows: m.AddedRows(), FileBytes: bytesOf(files, m.PartitionSpecID()),
		})
	}
	w.ledger.Pending = append(w.ledger.Pending, p)
	return d, nil
}

func bytesOf(files []iceberg.DataFile, specID int32) (sum int64) {
	for _, f := range files {
		if f.SpecID() == specID {
			sum += f.FileSizeBytes()
		}
	}
	return sum
}

// unpublished are the pending entries that are not known to be in the dead-letter table.
func (c *Committer) unpublished(ledger Ledger) []Pending {
	var out []Pending
	for _, p := range ledger.Pending {
		if p.Sequence > c.applied {
			out = append(out, p)
		}
	}
	return out
}

// publish drains what is pending as far as it can be done now. The decision stands in the main table,
// so what fails here is late and not lost.
func (c *Committer) publish(ctx context.Context) {
	if err := c.drain(ctx); err != nil {
		c.deadLetters.log.Warn("dead letters are not published yet", "err", err)
	}
}

// drain appends pending dead letters to their table, in the order of their decisions. The dead-letter
// table keeps the sequence number of the last decision it applied, so a decision is applied once
// whoever does it and however late.
func (c *Committer) drain(ctx context.Context) error {
	if c.main.head == nil || c.main.stale {
		return nil
	}
	for _, p := range c.unpublished(c.main.head.ledger) {
		in := &publishIntent{main: c.main.head.meta.TableUUID(), pending: p, trunk: c.deadLetters}
		if err := c.deadLetters.land(ctx, in); err != nil {
			if errors.Is(err, table.ErrNotFound) {
				return fmt.Errorf("dead-letter table %s is gone, create it again with apply: %w",
					c.deadLetters.name(), err)
			}
			return err
		}
		c.applied = p.Sequence
	}
	return nil
}

// publishIntent applies one decision to the dead-letter table.
type publishIntent struct {
	main    uuid.UUID
	pending Pending
	trunk   *trunk
}

func (in *publishIntent) build(ctx context.Context, h *head) (*swap, error) {
	applied, err := ReadApplied(h.meta.Properties())
	if err != nil {
		return nil, fmt.Errorf("decode table property %s of %s: %w", PropertyApplied, in.trunk.name(), err)
	}
	if applied[in.main] >= in.pending.Sequence {
		return nil, nil
	}
	applied = maps.Clone(applied)
	applied[in.main] = in.pending.Sequence
	w := work{
		id: deadLetterCommitID(in.pending.CommitID), snapshotID: in.pending.SnapshotID, ledger: h.ledger,
		properties: iceberg.Properties{PropertyApplied: toText(encodeApplied(applied))},
	}
	w.ready = in.pending.ManifestFiles()
	for _, m := range in.pending.Manifests {
		w.tally.files += int64(m.Files)
		w.tally.records += m.Rows
		w.tally.bytes += m.FileBytes
	}
	s, err := in.trunk.compose(ctx, h, w)
	return s, err
}

// landed needs no history: the table says up to where it has applied.
func (in *publishIntent) landed(h *head, _ *swap) verdict {
	applied, err := ReadApplied(h.meta.Properties())
	switch {
	case err != nil:
		return undecided
	case applied[in.main] >= in.pending.Sequence:
		return hasLanded
	}
	return notLanded
}
