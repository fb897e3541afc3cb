package orphans

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// objectBytesMax bounds a manifest or manifest list that is read.
const objectBytesMax = 256 << 20

// needed is what versions of a table need: all snapshots, those of branches and tags with them, the metadata files
// in the log, statistics, and dead letters that wait for their publication.
type needed struct {
	store    objstore.Store
	parallel int
	root     string // plain, with a slash

	// sorted are the keys of what snapshots of the first version need, seen says which of them were listed.
	sorted []uint64
	seen   []bool
	read   map[string]bool // manifests and their lists

	mu      sync.Mutex // guards what follows while manifests are read
	collect []uint64
	// other are the keys of what may be absent or lies elsewhere, and of what later versions need.
	other map[uint64]bool
}

func newNeeded(store objstore.Store, parallel int, root string) *needed {
	return &needed{store: store, parallel: parallel, root: plain(root) + "/", other: map[uint64]bool{},
		read: map[string]bool{}}
}

// add notes a location that a snapshot needs.
func (n *needed) add(location string) {
	text := plain(location)
	if k := xxhash.Sum64String(text); strings.HasPrefix(text, n.root) {
		n.collect = append(n.collect, k)
	} else {
		n.other[k] = true
	}
}

// begin takes in the first version.
func (n *needed) begin(ctx context.Context, t *table.Table, feeder *table.Table) error {
	if err := n.version(ctx, t); err != nil {
		return err
	}
	slices.Sort(n.collect)
	n.sorted = slices.Compact(n.collect)
	n.seen, n.collect = make([]bool, len(n.sorted)), nil
	return n.letters(ctx, feeder)
}

// extend takes in a later version. What an earlier one needed stays needed.
func (n *needed) extend(ctx context.Context, t *table.Table, feeder *table.Table) error {
	if err := n.version(ctx, t); err != nil {
		return err
	}
	for _, k := range n.collect {
		n.other[k] = true
	}
	n.collect = nil
	return n.letters(ctx, feeder)
}

// version collects the keys of one version; manifests that were read for another are not read again.
func (n *needed) version(ctx context.Context, t *table.Table) error {
	meta := t.Metadata()
	n.other[key(t.MetadataLocation())] = true
	for entry := range meta.PreviousFiles() {
		n.other[key(entry.MetadataFile)] = true
	}
	for s := range meta.Statistics() {
		n.other[key(s.StatisticsPath)] = true
	}
	for s := range meta.PartitionStatistics() {
		n.other[key(s.StatisticsPath)] = true
	}
	var fresh []iceberg.ManifestFile
	for _, s := range meta.Snapshots() {
		if s.Summary != nil {
			n.other[key(s.Summary.Properties[commit.SummaryRangesBlob])] = true
		}
		if n.read[s.ManifestList] {
			continue
		}
		manifests, err := n.list(ctx, &s)
		if err != nil {
			return err
		}
		n.read[s.ManifestList] = true
		n.add(s.ManifestList)
		for _, m := range manifests {
			if !n.read[m.FilePath()] {
				n.read[m.FilePath()] = true
				n.add(m.FilePath())
				fresh = append(fresh, m)
			}
		}
	}
	return n.manifests(ctx, fresh)
}

func (n *needed) list(ctx context.Context, s *icetable.Snapshot) ([]iceberg.ManifestFile, error) {
	body, err := n.object(ctx, s.ManifestList)
	if err != nil {
		return nil, fmt.Errorf("read manifest list of snapshot %d: %w", s.SnapshotID, err)
	}
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read manifest list %s: %w", s.ManifestList, err)
	}
	return manifests, nil
}

// manifests collects the files that manifests hold, several manifests at a time.
func (n *needed) manifests(ctx context.Context, some []iceberg.ManifestFile) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(n.parallel, 1))
	for _, m := range some {
		group.Go(func() error {
			body, err := n.object(ctx, m.FilePath())
			if err != nil {
				return fmt.Errorf("read manifest: %w", err)
			}
			entries, err := iceberg.ReadManifest(m, bytes.NewReader(body), true)
			if err != nil {
				return fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, e := range entries {
				n.add(e.DataFile().FilePath())
			}
			return nil
		})
	}
	return group.Wait()
}

func (n *needed) object(ctx context.Context, location string) ([]byte, error) {
	body, err := n.store.Get(ctx, location, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(body, objectBytesMax+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", location, err)
	}
	if len(data) > objectBytesMax {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", location, objectBytesMax)
	}
	return data, nil
}

// letters takes in what the main table has decided on and its dead-letter table does not show yet. It may be
// published meanwhile, and its manifest gone with a snapshot.
func (n *needed) letters(ctx context.Context, feeder *table.Table) error {
	if feeder == nil {
		return nil
	}
	ledger, err := commit.ReadLedger(feeder.Metadata())
	if err != nil {
		return fmt.Errorf("read dead letters that wait in %s: %w", feeder, err)
	}
	for _, p := range ledger.Pending {
		for _, m := range p.Manifests {
			n.other[key(m.Location)] = true
			file := iceberg.NewManifestFile(m.Version, m.Location, m.Bytes, m.SpecID, p.SnapshotID).
				AddedFiles(m.Files).AddedRows(m.Rows).Build()
			if err := n.manifests(ctx, []iceberg.ManifestFile{file}); err != nil &&
				!errors.Is(err, objstore.ErrNotFound) {
				return fmt.Errorf("dead letters that wait in %s: %w", feeder, err)
			}
		}
	}
	for _, k := range n.collect {
		n.other[k] = true
	}
	n.collect = nil
	return nil
}

// holds says whether an object is needed, and notes that it was listed.
func (n *needed) holds(location string) bool {
	k := key(location)
	at, found := slices.BinarySearch(n.sorted, k)
	if found {
		n.seen[at] = true
	}
	return found || n.other[k]
}

// missing is how many objects under the root that snapshots of the first version need were not listed.
func (n *needed) missing() (count int) {
	for _, seen := range n.seen {
		if !seen {
			count++
		}
	}
	return count
}

// feederOf is the table whose dead letters a table is for, by their names.
func feederOf(ident table.Ident) (table.Ident, bool) {
	suffix := commit.DeadLettersIdent(table.Ident{""})[0]
	name, found := strings.CutSuffix(ident[len(ident)-1], suffix)
	if !found || name == "" {
		return nil, false
	}
	return append(slices.Clone(ident[:len(ident)-1]), name), true
}
