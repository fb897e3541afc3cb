package commit

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// manifestListBytesMax bounds a manifest list: an entry takes about 200 bytes, so this is a quarter
// of a million manifests.
const manifestListBytesMax = 64 << 20

// manifestBytesMax bounds a manifest that is read for merging or removal.
const manifestBytesMax = 256 << 20

// head is what the committer knows of main at one version. It is immutable.
type head struct {
	table     *table.Table
	meta      icetable.Metadata
	snapshot  *icetable.Snapshot // nil when main has none
	manifests []iceberg.ManifestFile
	ledger    Ledger
}

func (h *head) snapshotID() *int64 {
	if h.snapshot == nil {
		return nil
	}
	id := h.snapshot.SnapshotID
	return &id
}

// summary is the head's snapshot summary, nil when there is no snapshot.
func (h *head) summary() iceberg.Properties {
	if h.snapshot == nil {
		return nil
	}
	if h.snapshot.Summary == nil || h.snapshot.Summary.Properties == nil {
		return iceberg.Properties{}
	}
	return h.snapshot.Summary.Properties
}

// readHead reads what tbl points to. It takes the manifest list from prev when main did not move.
func readHead(ctx context.Context, store objstore.Store, tbl *table.Table, prev *head) (*head, error) {
	meta := tbl.Metadata()
	if meta.Version() < 2 {
		return nil, fmt.Errorf("table %s has format version %d: upgrade it to 2 or 3: %w",
			tbl, meta.Version(), table.ErrRefused)
	}
	ledger, err := ReadLedger(meta)
	if err != nil {
		return nil, fmt.Errorf("read ledger of table %s: %w", tbl, err)
	}
	h := &head{table: tbl, meta: meta, ledger: ledger, snapshot: meta.SnapshotByName(icetable.MainBranch)}
	switch {
	case h.snapshot == nil:
	case prev != nil && prev.snapshot != nil && prev.meta.TableUUID() == meta.TableUUID() &&
		prev.snapshot.SnapshotID == h.snapshot.SnapshotID:
		h.manifests = prev.manifests
	default:
		if h.manifests, err = readManifestList(ctx, store, h.snapshot); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func readManifestList(ctx context.Context, store objstore.Store, s *icetable.Snapshot,
) ([]iceberg.ManifestFile, error) {
	data, err := readObject(ctx, store, s.ManifestList, manifestListBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read manifest list of snapshot %d: %w", s.SnapshotID, err)
	}
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read manifest list %s: %w", s.ManifestList, err)
	}
	return manifests, nil
}

// fenced completes a FencedError with who holds the table.
func (h *head) fenced(err error) error {
	var refused *FencedError
	if !errors.As(err, &refused) {
		return err
	}
	if s := newestFirth(h.meta); s != nil {
		refused.Writer = s.Summary.Properties[SummaryWriter]
		refused.CommittedAt = timeOf(s)
	}
	return refused
}
