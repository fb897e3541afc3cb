package verify

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// liveFile is a data file that the head references.
type liveFile struct {
	file       iceberg.DataFile
	snapshotID int64 // the snapshot that added it
	deletes    bool  // it is a delete file
	foreign    bool
	missing    bool
}

// liveFiles lists what the head of a table references.
func liveFiles(ctx context.Context, t *table.Table, store objstore.Store) ([]liveFile, error) {
	head := t.Metadata().SnapshotByName(icetable.MainBranch)
	if head == nil {
		return nil, nil
	}
	files := table.FileIO(ctx, store)
	manifests, err := head.Manifests(files)
	if err != nil {
		return nil, fmt.Errorf("read the manifest list of snapshot %d: %w", head.SnapshotID, err)
	}
	var live []liveFile
	for _, m := range manifests {
		for entry, err := range m.Entries(files, true) {
			if err != nil {
				return nil, fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
			}
			live = append(live, liveFile{
				file: entry.DataFile(), snapshotID: entry.SnapshotID(),
				deletes: m.ManifestContent() == iceberg.ManifestContentDeletes,
			})
		}
	}
	return live, nil
}

// filesAddUp checks that each file is there once and that their rows are those the ledger counts.
func (c *check) filesAddUp(ctx context.Context) error {
	files, err := liveFiles(ctx, c.table, c.store)
	if errors.Is(err, objstore.ErrNotFound) {
		c.report.faultf(FaultMissingFile, "%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	c.files = files
	seen := make(map[string]int64, len(files))
	for i := range c.files {
		f := &c.files[i]
		name := f.file.FilePath()
		if first, doubled := seen[name]; doubled && !f.deletes {
			c.report.fault(Fault{Kind: FaultDoubledFile, File: name, SnapshotID: f.snapshotID,
				Text: fmt.Sprintf("its %d rows count twice, first by snapshot %d", f.file.Count(), first)})
		}
		seen[name] = f.snapshotID
		f.foreign = c.isForeign(f)
		c.tally(f)
	}
	c.compareRows()
	return c.statFiles(ctx)
}

func (c *check) tally(f *liveFile) {
	if f.deletes {
		return
	}
	c.report.Files.Data++
	c.report.Files.Rows += f.file.Count()
	c.report.Files.Bytes += f.file.FileSizeBytes()
	if f.foreign {
		c.report.Files.ForeignData++
		c.report.Files.ForeignRows += f.file.Count()
	}
}

// isForeign says whether others added the file: by the snapshot that added it while that is there, by
// the form of its name when it has expired.
func (c *check) isForeign(f *liveFile) bool {
	switch {
	case c.own[f.snapshotID]:
		return false
	case c.foreign[f.snapshotID]:
		return true
	}
	return !strings.HasPrefix(path.Base(f.file.FilePath()), "firth-")
}

// compareRows holds the rows of all files against the ledger and what others say they did.
func (c *check) compareRows() {
	counts, foreign := c.report.Counts, c.report.Foreign
	for _, t := range c.laid {
		if t.missing > 0 {
			return // the counts of some offsets are gone; Notes tells
		}
	}
	want := counts.Inserted + counts.Updated + foreign.AddedRecords - foreign.RemovedRecords
	if have := c.report.Files.Rows; have != want {
		c.report.faultf(FaultRows,
			"files hold %d rows, want %d: %d by the ledger, %d added and %d removed by others",
			have, want, counts.Inserted+counts.Updated, foreign.AddedRecords, foreign.RemovedRecords)
	}
}

// statFiles looks whether each file is there with the size that its manifest says.
func (c *check) statFiles(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Parallel)
	var mu sync.Mutex // guards the report and the missing marks
	for i := range c.files {
		f := &c.files[i]
		group.Go(func() error {
			object, err := c.store.Stat(ctx, f.file.FilePath())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, objstore.ErrNotFound):
				f.missing = true
				c.report.fault(Fault{Kind: FaultMissingFile, File: f.file.FilePath(), SnapshotID: f.snapshotID,
					Text: fmt.Sprintf("%d rows are gone", f.file.Count())})
			case err != nil:
				return fmt.Errorf("stat %s: %w", f.file.FilePath(), err)
			case object.Size != f.file.FileSizeBytes():
				c.report.fault(Fault{Kind: FaultChangedFile, File: f.file.FilePath(), SnapshotID: f.snapshotID,
					Text: fmt.Sprintf("it has %d bytes, its manifest says %d", object.Size, f.file.FileSizeBytes())})
			}
			return nil
		})
	}
	return group.Wait()
}
