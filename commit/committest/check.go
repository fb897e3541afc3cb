package committest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// Report is what Check found in a table that is sound.
type Report struct {
	Ledger commit.Ledger
	// Covered is, per topic partition, everything from the first offset to the position.
	Covered map[commit.TopicPartition]commit.Range
	Files   map[string]iceberg.DataFile
	Rows    int64 // of data files, deleted ones too
	// Deletes are the delete files by the data file they are about, Deleted the rows that they take out.
	Deletes   map[string]iceberg.DataFile
	Deleted   int64
	Snapshots int
	Manifests int
}

// Check reads a whole table back with iceberg-go and says what is wrong: ranges that do not tile up to
// the position, rows that the ledger does not count, a file twice or missing, totals or row ids that
// do not fit, a snapshot whose manifests are gone.
func Check(ctx context.Context, catalog commit.Catalog, store objstore.Store, ident table.Ident) (Report, error) {
	tbl, err := catalog.LoadTable(ctx, ident)
	if err != nil {
		return Report{}, err
	}
	meta := tbl.Metadata()
	report := Report{Deletes: map[string]iceberg.DataFile{}, Files: map[string]iceberg.DataFile{},
		Snapshots: len(meta.Snapshots())}
	if report.Ledger, err = commit.ReadLedger(meta); err != nil {
		return report, err
	}
	if err := checkRanges(ctx, store, meta, &report); err != nil {
		return report, err
	}
	c := checker{entriesOf: newEntriesOf(store), meta: meta, report: &report}
	for _, s := range meta.Snapshots() {
		if err := c.snapshot(ctx, &s); err != nil {
			return report, fmt.Errorf("snapshot %d: %w", s.SnapshotID, err)
		}
	}
	foreign := report.Ledger.Foreign.Since(meta, report.Rows)
	var added, deleted int64
	for _, f := range report.Covered {
		added += f.Counts.Inserted + f.Counts.Updated
		deleted += f.Counts.Updated + f.Counts.Deleted
	}
	if len(report.Covered) == 0 {
		return report, nil
	}
	want := added + foreign.AddedRecords - foreign.RemovedRecords - foreign.Compacted
	if report.Rows != want {
		return report, fmt.Errorf("files hold %d rows, the ledger counts %d", report.Rows, want)
	}
	deleted += foreign.Expired
	if foreign.Snapshots == 0 && report.Deleted+foreign.Compacted != deleted {
		return report, fmt.Errorf("%d rows are deleted and %d left files, the ledger counts %d",
			report.Deleted, foreign.Compacted, deleted)
	}
	return report, nil
}

// checkRanges walks main from its head and takes what each snapshot covers out of the folded totals.
func checkRanges(ctx context.Context, store objstore.Store, meta icetable.Metadata, report *Report) error {
	report.Covered = report.Ledger.Folded
	left := maps.Clone(report.Ledger.Folded)
	var oldest *icetable.Snapshot
	for s := range commit.Ancestry(meta) {
		oldest = s
	}
	for s := range commit.Standing(meta) {
		ranges, err := commit.SnapshotRanges(ctx, store, s)
		if err != nil {
			return err
		}
		for tp, r := range ranges {
			if err := r.Validate(); err != nil {
				return fmt.Errorf("snapshot %d: %s: %w", s.SnapshotID, tp, err)
			}
			if left[tp].Next != r.Next {
				return fmt.Errorf("snapshot %d: %s ends at %d, the next begins at %d",
					s.SnapshotID, tp, r.Next, left[tp].Next)
			}
			left[tp] = left[tp].Without(r)
		}
	}
	whole := oldest != nil && oldest.ParentSnapshotID == nil
	for tp, r := range left {
		if err := r.Validate(); err != nil {
			return fmt.Errorf("%s: left of the folded totals: %w", tp, err)
		}
		if whole && r != (commit.Range{From: r.From, Next: r.From}) {
			return fmt.Errorf("%s: left of the folded totals, though nothing expired: %+v", tp, r)
		}
	}
	return nil
}

// checker checks the snapshots of one table.
type checker struct {
	*entriesOf
	meta   icetable.Metadata
	report *Report
}

// snapshot reads a snapshot's manifests; those of the head fill the report.
func (c *checker) snapshot(ctx context.Context, s *icetable.Snapshot) error {
	manifests, err := readList(ctx, c.store, s)
	if err != nil {
		return err
	}
	meta, report := c.meta, c.report
	files, deletes := map[string]iceberg.DataFile{}, map[string]iceberg.DataFile{}
	var dataFiles, rows, size, deleted int64
	rowIDs := map[int64]string{}
	for _, m := range manifests {
		entries, err := c.manifest(ctx, m)
		if err != nil {
			return err
		}
		if len(entries) != int(m.AddedDataFiles()+m.ExistingDataFiles()) {
			return fmt.Errorf("manifest %s has %d live entries, its list says %d+%d", m.FilePath(),
				len(entries), m.AddedDataFiles(), m.ExistingDataFiles())
		}
		for _, e := range entries {
			f := e.DataFile()
			if err := checkEntry(meta, s, m, e, rowIDs); err != nil {
				return fmt.Errorf("file %s: %w", f.FilePath(), err)
			}
			if f.ContentType() != iceberg.EntryContentData {
				of := vector.DataFile(f)
				if of == "" || deletes[of] != nil {
					return fmt.Errorf("deletes %s: of data file %q, which has others", f.FilePath(), of)
				}
				deletes[of] = f
				deleted += f.Count()
				if size += f.FileSizeBytes(); icetable.IsDeletionVector(f) {
					size += *f.ContentSizeInBytes() - f.FileSizeBytes()
				}
				continue
			}
			if files[f.FilePath()] != nil {
				return fmt.Errorf("file %s is referenced twice", f.FilePath())
			}
			files[f.FilePath()] = f
			size += f.FileSizeBytes()
			dataFiles++
			rows += f.Count()
		}
	}
	for of, f := range deletes {
		if data := files[of]; data == nil || f.Count() > data.Count() || f.SpecID() != data.SpecID() {
			return fmt.Errorf("deletes %s take out %d rows of data file %s, which is %v",
				f.FilePath(), f.Count(), of, data)
		}
	}
	if s.Summary != nil && commit.IsFirth(s) {
		totals := map[string]int64{
			"total-data-files": dataFiles, "total-records": rows, "total-files-size": size,
			"total-delete-files": int64(len(deletes)), "total-position-deletes": deleted}
		for key, want := range totals {
			if got := s.Summary.Properties[key]; got != strconv.FormatInt(want, 10) {
				return fmt.Errorf("summary says %s=%s, want %d", key, got, want)
			}
		}
	}
	if head := meta.SnapshotByName(icetable.MainBranch); head != nil && head.SnapshotID == s.SnapshotID {
		report.Files, report.Rows, report.Manifests = files, rows, len(manifests)
		report.Deletes, report.Deleted = deletes, deleted
		for _, f := range slices.AppendSeq(slices.Collect(maps.Values(files)), maps.Values(deletes)) {
			location := f.FilePath()
			object, err := c.store.Stat(ctx, location)
			if err != nil {
				return err
			}
			if object.Size != f.FileSizeBytes() {
				return fmt.Errorf("file %s has %d bytes, manifest says %d", location, object.Size, f.FileSizeBytes())
			}
		}
	}
	return nil
}

// checkEntry checks what an entry inherits: snapshot id, sequence numbers, row ids.
func checkEntry(meta icetable.Metadata, s *icetable.Snapshot, m iceberg.ManifestFile, e iceberg.ManifestEntry,
	rowIDs map[int64]string) error {
	f := e.DataFile()
	if e.SequenceNum() <= 0 || e.SequenceNum() > s.SequenceNumber || e.SequenceNum() < m.MinSequenceNum() {
		return fmt.Errorf("data sequence number %d in a snapshot of %d (manifest from %d)",
			e.SequenceNum(), s.SequenceNumber, m.MinSequenceNum())
	}
	// Only a rewrite adds files of an older data sequence number than its own.
	rewrite := s.Summary != nil && s.Summary.Operation == icetable.OpReplace
	if n := e.FileSequenceNum(); n == nil || *n < e.SequenceNum() ||
		*n != e.SequenceNum() && e.Status() == iceberg.EntryStatusADDED && m.SnapshotID() == s.SnapshotID && !rewrite {
		return fmt.Errorf("file sequence number %v", n)
	}
	if e.SnapshotID() <= 0 {
		return fmt.Errorf("entry of no snapshot")
	}
	if meta.Version() < 3 || f.ContentType() != iceberg.EntryContentData {
		return nil
	}
	if f.FirstRowID() == nil {
		return fmt.Errorf("no first row id")
	}
	if other, taken := rowIDs[*f.FirstRowID()]; taken {
		return fmt.Errorf("row ids from %d are %s's too", *f.FirstRowID(), other)
	}
	if *f.FirstRowID()+f.Count() > meta.NextRowID() {
		return fmt.Errorf("row ids from %d reach past the table's next %d", *f.FirstRowID(), meta.NextRowID())
	}
	rowIDs[*f.FirstRowID()] = f.FilePath()
	return nil
}
