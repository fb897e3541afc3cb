package commit

import (
	"fmt"
	"strconv"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// The keys of snapshot summaries that we read or write (Iceberg spec, "Optional Snapshot Summary Fields").
const (
	summaryAddedDataFiles        = "added-data-files"
	summaryAddedRecords          = "added-records"
	summaryAddedFilesSize        = "added-files-size"
	summaryRemovedFilesSize      = "removed-files-size"
	summaryChangedPartitions     = "changed-partition-count"
	summaryDeletedDataFiles      = "deleted-data-files"
	summaryDeletedRecords        = "deleted-records"
	summaryAddedDeleteFiles      = "added-delete-files"
	summaryRemovedDeleteFiles    = "removed-delete-files"
	summaryAddedVectors          = "added-dvs"
	summaryRemovedVectors        = "removed-dvs"
	summaryAddedPositionFiles    = "added-position-delete-files"
	summaryRemovedPositionFiles  = "removed-position-delete-files"
	summaryAddedPositionDelete   = "added-position-deletes"
	summaryRemovedPositionDelete = "removed-position-deletes"
	summaryTotalDataFiles        = "total-data-files"
	summaryTotalRecords          = "total-records"
	summaryTotalFilesSize        = "total-files-size"
	summaryTotalDeleteFiles      = "total-delete-files"
	summaryTotalPositionDelete   = "total-position-deletes"
	summaryRemovedEqualityFiles  = "removed-equality-delete-files"
	summaryRemovedEqualityDelete = "removed-equality-deletes"
	summaryTotalEqualityDelete   = "total-equality-deletes"
)

// tally is what one snapshot adds and removes.
type tally struct {
	amount
	removed    amount
	partitions map[string]struct{}
}

// amount counts data files and their rows, delete files and their positions, and the bytes of both.
type amount struct {
	files, records, bytes             int64
	vectors, positionFiles, positions int64
	equalityFiles, equalities         int64 // of others: they only leave
}

func (a *amount) add(file iceberg.DataFile) {
	a.bytes += contentBytes(file)
	switch {
	case file.ContentType() == iceberg.EntryContentData:
		a.files++
		a.records += file.Count()
		return
	case file.ContentType() == iceberg.EntryContentEqDeletes:
		a.equalityFiles++
		a.equalities += file.Count()
		return
	case icetable.IsDeletionVector(file):
		a.vectors++
	default:
		a.positionFiles++
	}
	a.positions += file.Count()
}

// contentBytes is the size of a file; of a vector, which shares its file with others, its own.
func contentBytes(file iceberg.DataFile) int64 {
	if size := file.ContentSizeInBytes(); size != nil && icetable.IsDeletionVector(file) {
		return *size
	}
	return file.FileSizeBytes()
}

func (t *tally) add(file iceberg.DataFile) {
	t.amount.add(file)
	t.touch(file)
}

func (t *tally) remove(file iceberg.DataFile) {
	t.removed.add(file)
	t.touch(file)
}

// touch notes that the file's partition changes.
func (t *tally) touch(file iceberg.DataFile) {
	if t.partitions == nil {
		t.partitions = map[string]struct{}{}
	}
	// Maps print in order of their keys.
	t.partitions[fmt.Sprintf("%d %v", file.SpecID(), file.Partition())] = struct{}{}
}

// summary is the summary of a snapshot that brings t and lists manifests. Totals of files and records
// come from the manifests, which are the truth; totals that manifests do not tell go on from prev,
// and are left out when prev, made by others, left them out.
func (t *tally) summary(prev iceberg.Properties, manifests []iceberg.ManifestFile) iceberg.Properties {
	var dataFiles, deleteFiles int64
	for _, m := range manifests {
		if m.ManifestContent() == iceberg.ManifestContentDeletes {
			deleteFiles += int64(liveEntries(m))
		} else {
			dataFiles += int64(liveEntries(m))
		}
	}
	props := iceberg.Properties{}
	set := func(key string, v int64) { props[key] = strconv.FormatInt(v, 10) }
	for key, v := range t.changes() {
		if v > 0 {
			set(key, v)
		}
	}
	if t.files+t.removed.files+int64(len(t.partitions)) > 0 {
		set(summaryChangedPartitions, int64(len(t.partitions)))
	}
	set(summaryTotalDataFiles, dataFiles)
	set(summaryTotalRecords, rowsOf(manifests))
	set(summaryTotalDeleteFiles, deleteFiles)
	carry := func(key string, added int64) {
		if _, ok := prev[key]; ok || prev == nil {
			set(key, max(0, natural(prev, key)+added))
		}
	}
	carry(summaryTotalFilesSize, t.bytes-t.removed.bytes)
	carry(summaryTotalPositionDelete, t.positions-t.removed.positions)
	carry(summaryTotalEqualityDelete, -t.removed.equalities)
	return props
}

// changes are the counters of what came and went; those that are zero are not written.
func (t *tally) changes() map[string]int64 {
	changed := map[string]int64{
		summaryAddedDataFiles: t.files, summaryAddedRecords: t.records, summaryAddedFilesSize: t.bytes,
		summaryAddedDeleteFiles: t.vectors + t.positionFiles, summaryAddedVectors: t.vectors,
		summaryAddedPositionFiles: t.positionFiles, summaryAddedPositionDelete: t.positions,

		summaryDeletedDataFiles: t.removed.files, summaryDeletedRecords: t.removed.records,
		summaryRemovedFilesSize:   t.removed.bytes,
		summaryRemovedDeleteFiles: t.removed.vectors + t.removed.positionFiles + t.removed.equalityFiles,
		summaryRemovedVectors:     t.removed.vectors, summaryRemovedPositionFiles: t.removed.positionFiles,
		summaryRemovedPositionDelete: t.removed.positions,
		summaryRemovedEqualityFiles:  t.removed.equalityFiles, summaryRemovedEqualityDelete: t.removed.equalities,
	}
	return changed
}

// summary is what the summary of a snapshot says of an expiry.
func (e *RowExpiry) summary(rows int64) iceberg.Properties {
	return iceberg.Properties{SummaryExpiredRows: strconv.FormatInt(rows, 10), SummaryExpiredColumn: e.Column,
		SummaryExpiredBefore: e.Before}
}

// rowsOf is the number of rows in the data files of manifests.
func rowsOf(manifests []iceberg.ManifestFile) (rows int64) {
	for _, m := range manifests {
		if m.ManifestContent() == iceberg.ManifestContentData {
			rows += m.AddedRows() + m.ExistingRows()
		}
	}
	return rows
}
