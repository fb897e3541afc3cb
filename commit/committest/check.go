package committest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"strconv"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Report is what Check found in a table that is sound.
type Report struct {
	Ledger commit.Ledger
	// Covered is, per topic partition, everything from the first offset to the position.
	Covered   map[commit.TopicPartition]commit.Range
	Files     map[string]iceberg.DataFile
	Rows      int64
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
	report := Report{Files: map[string]iceberg.DataFile{}, Snapshots: len(meta.Snapshots())}
	if report.Ledger, err = commit.ReadLedger(meta); err != nil {
		return report, err
	}
	if err := checkRanges(ctx, store, meta, &report); err != nil {
		return report, err
	}
	for _, s := range meta.Snapshots() {
		if err := checkSnapshot(ctx, store, meta, &s, &report); err != nil {
			return report, fmt.Errorf("snapshot %d: %w", s.SnapshotID, err)
		}
	}
	foreign := report.Ledger.Foreign.Since(meta, report.Rows)
	var counted int64
	for _, f := range report.Covered {
		counted += f.Counts.Inserted + f.Counts.Updated
	}
	if want := counted + foreign.AddedRecords - foreign.RemovedRecords; len(report.Covered) > 0 && report.Rows != want {
		return report, fmt.Errorf("files hold %d rows, the ledger counts %d", report.Rows, want)
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

// checkSnapshot reads a snapshot's manifests; those of the head fill the report.
func checkSnapshot(ctx context.Context, store objstore.Store, meta icetable.Metadata, s *icetable.Snapshot,
	report *Report) error {
	list, err := read(ctx, store, s.ManifestList)
	if err != nil {
		return err
	}
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(list))
	if err != nil {
		return err
	}
	files := map[string]iceberg.DataFile{}
	var dataFiles, rows, size int64
	rowIDs := map[int64]string{}
	for _, m := range manifests {
		data, err := read(ctx, store, m.FilePath())
		if err != nil {
			return err
		}
		if int64(len(data)) != m.Length() {
			return fmt.Errorf("manifest %s has %d bytes, its list says %d", m.FilePath(), len(data), m.Length())
		}
		entries, err := iceberg.ReadManifest(m, bytes.NewReader(data), true)
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
			if files[f.FilePath()] != nil {
				return fmt.Errorf("file %s is referenced twice", f.FilePath())
			}
			files[f.FilePath()] = f
			size += f.FileSizeBytes()
			if f.ContentType() == iceberg.EntryContentData {
				dataFiles++
				rows += f.Count()
			}
		}
	}
	if s.Summary != nil && commit.IsFirth(s) {
		totals := map[string]int64{
			"total-data-files": dataFiles, "total-records": rows, "total-files-size": size}
		for key, want := range totals {
			if got := s.Summary.Properties[key]; got != strconv.FormatInt(want, 10) {
				return fmt.Errorf("summary says %s=%s, want %d", key, got, want)
			}
		}
	}
	if head := meta.SnapshotByName(icetable.MainBranch); head != nil && head.SnapshotID == s.SnapshotID {
		report.Files, report.Rows, report.Manifests = files, rows, len(manifests)
		for location, f := range files {
			object, err := store.Stat(ctx, location)
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
	if n := e.FileSequenceNum(); n == nil || *n != e.SequenceNum() && e.Status() == iceberg.EntryStatusADDED {
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

func read(ctx context.Context, store objstore.Store, location string) ([]byte, error) {
	body, err := store.Get(ctx, location, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close() // reading: ReadAll's error says it all
	return io.ReadAll(body)
}

// MetadataFiles returns the manifest lists, manifests and statistics that the table's snapshots need.
func MetadataFiles(ctx context.Context, store objstore.Store, meta icetable.Metadata) (map[string]bool, error) {
	needed := map[string]bool{}
	for _, s := range meta.Snapshots() {
		needed[s.ManifestList] = true
		list, err := read(ctx, store, s.ManifestList)
		if err != nil {
			return nil, err
		}
		manifests, err := iceberg.ReadManifestList(bytes.NewReader(list))
		if err != nil {
			return nil, err
		}
		for _, m := range manifests {
			needed[m.FilePath()] = true
		}
	}
	for s := range meta.Statistics() {
		needed[s.StatisticsPath] = true
	}
	return needed, nil
}
