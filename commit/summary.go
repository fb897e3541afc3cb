package commit

import (
	"fmt"
	"strconv"

	"github.com/apache/iceberg-go"
)

// The keys of snapshot summaries that we read or write (Iceberg spec, "Optional Snapshot Summary Fields").
const (
	summaryAddedDataFiles      = "added-data-files"
	summaryAddedRecords        = "added-records"
	summaryAddedFilesSize      = "added-files-size"
	summaryChangedPartitions   = "changed-partition-count"
	summaryDeletedDataFiles    = "deleted-data-files"
	summaryDeletedRecords      = "deleted-records"
	summaryAddedDeleteFiles    = "added-delete-files"
	summaryRemovedDeleteFiles  = "removed-delete-files"
	summaryTotalDataFiles      = "total-data-files"
	summaryTotalRecords        = "total-records"
	summaryTotalFilesSize      = "total-files-size"
	summaryTotalDeleteFiles    = "total-delete-files"
	summaryTotalPositionDelete = "total-position-deletes"
	summaryTotalEqualityDelete = "total-equality-deletes"
)

// tally is what one snapshot adds.
type tally struct {
	files, records, bytes int64
	partitions            map[string]struct{}
}

func (t *tally) add(file iceberg.DataFile) {
	t.files++
	t.records += file.Count()
	t.bytes += file.FileSizeBytes()
	if t.partitions == nil {
		t.partitions = map[string]struct{}{}
	}
	// Maps print in order of their keys.
	t.partitions[fmt.Sprintf("%d %v", file.SpecID(), file.Partition())] = struct{}{}
}

// summary is the summary of a snapshot that adds t and lists manifests. Totals of files and records
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
	if t.files > 0 {
		set(summaryAddedDataFiles, t.files)
		set(summaryAddedRecords, t.records)
		set(summaryAddedFilesSize, t.bytes)
		set(summaryChangedPartitions, int64(len(t.partitions)))
	}
	set(summaryTotalDataFiles, dataFiles)
	set(summaryTotalRecords, rowsOf(manifests))
	set(summaryTotalDeleteFiles, deleteFiles)
	carry := func(key string, added int64) {
		if _, ok := prev[key]; ok || prev == nil {
			set(key, natural(prev, key)+added)
		}
	}
	carry(summaryTotalFilesSize, t.bytes)
	carry(summaryTotalPositionDelete, 0)
	carry(summaryTotalEqualityDelete, 0)
	return props
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
