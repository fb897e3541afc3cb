package commit

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/vector"
)

// Rebase makes the deletes of a rewrite anew: head is the table that the rewrite is about to land on, and
// deletes are the position delete files and vectors in it that may be about the data files that the rewrite removes,
// and all equality delete files.
// What it returns is the Deletes of the change, for the data files that it adds. It is called while nobody
// else commits through the Committer, and again after every conflict; what it wrote for an earlier call is
// needed by nobody. An error that is ErrStale says that the rewrite does not fit the head.
type Rebase func(ctx context.Context, head *table.Table, deletes []table.Entry) ([]iceberg.DataFile, error)

// rebase moves a rewrite to h: rows of the files that it removes were deleted behind its base.
func (p *cutting) rebase(ctx context.Context, t *trunk, h *head, change *Change) error {
	entries, err := p.deletesAt(ctx, t, h)
	if err != nil {
		return err
	}
	if change.Deletes, err = change.Rebase(ctx, h.table, entries); err != nil {
		if errors.Is(err, ErrStale) {
			return p.stale
		}
		return fmt.Errorf("rebase on snapshot %d: %w", p.stale.Head, err)
	}
	return change.validateDeletes(h.meta)
}

// deletesAt reads the entries of the delete files that are cut, and of those about several data files.
func (p *cutting) deletesAt(ctx context.Context, t *trunk, h *head) ([]table.Entry, error) {
	wanted := map[string]bool{}
	for _, d := range p.loose {
		wanted[p.manifests[d.manifest].location] = true
	}
	var manifests []iceberg.ManifestFile
	for _, m := range h.manifests {
		isDeletes := m.ManifestContent() == iceberg.ManifestContentDeletes
		if isDeletes && (wanted[m.FilePath()] || p.cut.manifests[m.FilePath()]) {
			manifests = append(manifests, m)
		}
	}
	read, err := readManifests(ctx, t.store, t.opts.Reads, manifests)
	if err != nil {
		return nil, err
	}
	var entries []table.Entry
	for i, list := range read {
		for _, e := range list {
			f := e.DataFile()
			about := vector.DataFile(f) // "" is several
			if e.Status() == iceberg.EntryStatusDELETED || about != "" && !p.cut.deletes[placeOf(f)] {
				continue
			}
			entries = append(entries, table.Entry{File: f, Status: e.Status(), SnapshotID: e.SnapshotID(),
				SequenceNumber: e.SequenceNum(), Manifest: manifests[i].FilePath()})
		}
	}
	return entries, nil
}
