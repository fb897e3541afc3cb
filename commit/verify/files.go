package verify

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// liveFile is a data or delete file that the head references.
type liveFile struct {
	name       string
	rows       int64
	bytes      int64
	snapshotID int64 // the snapshot that added it
	deletes    bool  // it is a delete file
	foreign    bool
	// broken says that it is gone, has another size or is listed a second time: it is not read.
	broken bool
}

// liveFiles lists what the head of a table references. When what lists them is damaged it reports that
// and returns false.
func (c *check) liveFiles(ctx context.Context, t *table.Table) ([]liveFile, bool, error) {
	head := t.Metadata().SnapshotByName(icetable.MainBranch)
	if head == nil {
		return nil, true, nil
	}
	var live []liveFile
	err := guard(func() error {
		for entry, err := range table.Entries(ctx, t, c.store, head.SnapshotID) {
			if err != nil {
				return err
			}
			live = append(live, liveFile{
				name: entry.File.FilePath(), rows: entry.File.Count(), bytes: entry.File.FileSizeBytes(),
				snapshotID: entry.SnapshotID,
				deletes:    entry.File.ContentType() != iceberg.EntryContentData,
			})
		}
		return nil
	})
	switch {
	case err == nil:
		return live, true, nil
	case c.store.cause() != nil:
		return nil, false, err
	case errors.Is(err, objstore.ErrNotFound):
		c.report.fault(Fault{Kind: FaultMissingFile, SnapshotID: head.SnapshotID, Text: err.Error()})
	default:
		c.report.fault(Fault{Kind: FaultChangedFile, SnapshotID: head.SnapshotID, Text: err.Error()})
	}
	return live, false, nil
}

// filesAddUp checks that each file is there once and that their rows are those the ledger counts.
func (c *check) filesAddUp(ctx context.Context) error {
	var err error
	if c.files, c.listed, err = c.liveFiles(ctx, c.table); err != nil {
		return err
	}
	for i := range c.files {
		f := &c.files[i]
		f.foreign = c.isForeign(f)
		c.tally(f)
	}
	c.report.Foreign = c.ledger.Foreign.Since(c.meta, c.report.Files.Rows)
	if n := c.report.Foreign.Unseen; n > 0 {
		c.note("others expired up to %d snapshots of their own before firth saw them: "+
			"what those added and removed is told by the number of rows", n)
	}
	if c.listed {
		c.compareRows()
	}
	return c.lookAt(ctx, c.files)
}

func (c *check) tally(f *liveFile) {
	if f.deletes {
		c.report.Files.Deletes++
		c.report.Files.DeletedRows += f.rows
		return
	}
	c.report.Files.Data++
	c.report.Files.Rows += f.rows
	c.report.Files.Bytes += f.bytes
	if f.foreign {
		c.report.Files.ForeignData++
		c.report.Files.ForeignRows += f.rows
	}
}

// isForeign says whether others added the file: by the snapshot that added it while that is there, by
// the form of its name when it has expired.
func (c *check) isForeign(f *liveFile) bool {
	if own, known := c.ownership[f.snapshotID]; known {
		return !own
	}
	return !strings.HasPrefix(path.Base(f.name), "firth-")
}

// compareRows holds the rows of files against the ledger and what others say they did: for each snapshot
// that is there, and for the table.
func (c *check) compareRows() {
	counts, foreign := c.report.Counts, c.report.Foreign
	onlyAdded := foreign.RemovedDataFiles == 0 && foreign.Compacted == 0 && foreign.RolledBack == 0 && !c.rewritten()
	if onlyAdded && c.compareSteps() {
		return
	}
	want := counts.Inserted + counts.Updated + foreign.AddedRecords - foreign.RemovedRecords - foreign.Compacted
	if have := c.report.Files.Rows; have != want {
		text := fmt.Sprintf("files hold %d rows, want %d: %d by the ledger, %d added and %d removed by others",
			have, want, counts.Inserted+counts.Updated, foreign.AddedRecords, foreign.RemovedRecords)
		if foreign.Compacted > 0 {
			text += fmt.Sprintf(", %d left out by rewrites or too old", foreign.Compacted)
		}
		c.report.fault(Fault{Kind: FaultRows, SnapshotID: c.report.SnapshotID, Text: text})
	}
	c.compareDeletes()
}

// compareDeletes holds the rows that delete files take out against the ledger. Others' deletes may hit rows that
// ours hit too, so it is of use as long as there are none.
func (c *check) compareDeletes() {
	counts, foreign := c.report.Counts, c.report.Foreign
	if foreign.Snapshots+foreign.Unseen > 0 {
		return
	}
	want := counts.Updated + counts.Deleted + foreign.Expired - foreign.Compacted
	if have := c.report.Files.DeletedRows; have != want {
		c.report.fault(Fault{Kind: FaultRows, SnapshotID: c.report.SnapshotID, Text: fmt.Sprintf(
			"delete files take out %d rows, want %d: %d updated, deleted and expired by the ledger, %d of them"+
				" left their files", have, want, want+foreign.Compacted, foreign.Compacted)})
	}
}

// rewritten says whether a snapshot that is there removed data files.
func (c *check) rewritten() bool {
	for s := range commit.Ancestry(c.meta) {
		if s.Summary != nil && s.Summary.Operation == icetable.OpReplace {
			return true
		}
	}
	return false
}

// compareSteps holds the files that each snapshot added against its ranges. It is of use as long as
// nobody removed files.
func (c *check) compareSteps() (fell bool) {
	rows := map[int64]int64{}
	for _, f := range c.files {
		if !f.deletes {
			rows[f.snapshotID] += f.rows
		}
	}
	for _, s := range c.steps {
		var want int64
		for _, r := range s.ranges {
			want += r.Counts.Inserted + r.Counts.Updated
		}
		if have := rows[s.snapshotID]; have != want {
			fell = true
			f := Fault{Kind: FaultRows, SnapshotID: s.snapshotID,
				Text: fmt.Sprintf("its files hold %d rows, its ranges count %d", have, want)}
			if len(s.ranges) == 1 {
				for tp, r := range s.ranges {
					f.Topic, f.Partition, f.From, f.Next = tp.Topic, tp.Partition, r.From, r.Next
				}
			}
			c.report.fault(f)
		}
	}
	return fell
}

// lookAt looks whether each file is listed once and there with the size that its manifest says.
func (c *check) lookAt(ctx context.Context, files []liveFile) error {
	first := make(map[string]int64, len(files))
	for i := range files {
		f := &files[i]
		// Position deletes that one delete vector file holds for several data files share its name.
		if before, twice := first[f.name]; twice {
			f.broken = true
			if !f.deletes {
				c.report.fault(Fault{Kind: FaultDoubledFile, File: f.name, SnapshotID: f.snapshotID,
					Text: fmt.Sprintf("its %d rows count twice, first by snapshot %d", f.rows, before)})
			}
			continue
		}
		first[f.name] = f.snapshotID
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Parallel)
	faults := make([]*Fault, len(files))
	for i := range files {
		if f := &files[i]; !f.broken {
			group.Go(func() (err error) {
				faults[i], err = c.stat(ctx, f)
				return err
			})
		}
	}
	err := group.Wait()
	for i, fault := range faults {
		if fault != nil {
			files[i].broken = true
			c.report.fault(*fault)
		}
	}
	return err
}

func (c *check) stat(ctx context.Context, f *liveFile) (*Fault, error) {
	object, err := c.store.Stat(ctx, f.name)
	fault := &Fault{File: f.name, SnapshotID: f.snapshotID}
	switch {
	case errors.Is(err, objstore.ErrNotFound), errors.Is(err, objstore.ErrBadLocation):
		fault.Kind, fault.Text = FaultMissingFile, fmt.Sprintf("%d rows are gone", f.rows)
		if f.deletes {
			fault.Text = fmt.Sprintf("%d deletes are gone: rows that were deleted come back", f.rows)
		}
	case err != nil:
		return nil, fmt.Errorf("stat %s: %w", f.name, err)
	case !f.deletes && object.Size != f.bytes:
		fault.Kind = FaultChangedFile
		fault.Text = fmt.Sprintf("it has %d bytes, its manifest says %d", object.Size, f.bytes)
	default:
		return nil, nil
	}
	return fault, nil
}
