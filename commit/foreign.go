package commit

import (
	"strconv"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// Foreign counts what others added and removed, up to the newest firth snapshot.
type Foreign struct {
	// Through is the sequence number of that snapshot, TotalRecords the rows of all data files in it.
	Through      int64 `json:"through"`
	TotalRecords int64 `json:"total_records"`

	Snapshots          int64 `json:"snapshots"`
	AddedDataFiles     int64 `json:"added_data_files"`
	RemovedDataFiles   int64 `json:"removed_data_files"`
	AddedRecords       int64 `json:"added_records"`
	RemovedRecords     int64 `json:"removed_records"`
	AddedDeleteFiles   int64 `json:"added_delete_files"`
	RemovedDeleteFiles int64 `json:"removed_delete_files"`
	// Unseen is the number of sequence numbers whose snapshots were gone before firth saw them. The
	// rows that they added, less those that they removed, are in AddedRecords or RemovedRecords.
	Unseen int64 `json:"unseen,omitempty"`

	// Compacted is the rows that left data files with firth's own rewrites and expiries, since they were
	// deleted or too old.
	Compacted int64 `json:"compacted,omitempty"`
	// Expired is the rows that firth took out since they were too old; at most as many, when others had
	// deleted some of them by files that are about several data files.
	Expired int64 `json:"expired,omitempty"`
	// RolledBack is the sequence number of the newest rollback of main, 0 when there was none.
	RolledBack int64 `json:"rolled_back,omitempty"`
}

func (f *Foreign) fields() [8]*int64 {
	return [8]*int64{&f.Snapshots, &f.AddedDataFiles, &f.RemovedDataFiles, &f.AddedRecords,
		&f.RemovedRecords, &f.AddedDeleteFiles, &f.RemovedDeleteFiles, &f.Unseen}
}

// later are the counts that are coded as far as one of them is not 0.
func (f *Foreign) later() [3]*int64 { return [3]*int64{&f.Compacted, &f.Expired, &f.RolledBack} }

// Add returns the sum of the counts, and what else f has.
func (f Foreign) Add(o Foreign) Foreign {
	theirs := o.fields()
	for i, count := range f.fields() {
		*count += *theirs[i]
	}
	return f
}

// without undoes Add.
func (f Foreign) without(o Foreign) Foreign {
	theirs := o.fields()
	for i, count := range f.fields() {
		*count -= *theirs[i]
	}
	return f
}

// ForeignOf counts one snapshot that firth did not make, by its summary.
func ForeignOf(snapshot *icetable.Snapshot) Foreign {
	f := Foreign{Snapshots: 1}
	if snapshot.Summary == nil {
		return f
	}
	p := snapshot.Summary.Properties
	f.AddedDataFiles = natural(p, summaryAddedDataFiles)
	f.RemovedDataFiles = natural(p, summaryDeletedDataFiles)
	f.AddedRecords = natural(p, summaryAddedRecords)
	f.RemovedRecords = natural(p, summaryDeletedRecords)
	f.AddedDeleteFiles = natural(p, summaryAddedDeleteFiles)
	f.RemovedDeleteFiles = natural(p, summaryRemovedDeleteFiles)
	return f
}

// Since adds what others did behind the newest firth snapshot, up to the head of main, whose data files
// hold rows. What was done by snapshots that are gone is told by the difference in rows.
func (f Foreign) Since(meta icetable.Metadata, rows int64) Foreign {
	now := f
	var oldest *icetable.Snapshot
	for s := range Ancestry(meta) {
		if s.SequenceNumber <= f.Through {
			return now
		}
		if !IsFirth(s) {
			now = now.Add(ForeignOf(s))
		}
		oldest = s
	}
	if oldest == nil || oldest.ParentSnapshotID == nil || oldest.SequenceNumber == f.Through+1 {
		return now
	}
	now.Unseen += oldest.SequenceNumber - f.Through - 1
	seen := now.AddedRecords - f.AddedRecords - (now.RemovedRecords - f.RemovedRecords)
	unseen := rows - f.TotalRecords - seen
	now.AddedRecords += max(0, unseen)
	now.RemovedRecords += max(0, -unseen)
	return now
}

func natural(p iceberg.Properties, key string) int64 {
	n, err := strconv.ParseInt(p[key], 10, 64)
	if err != nil || n < 0 {
		return 0 // others' summaries are hints
	}
	return n
}

func encodeForeign(f Foreign) []byte {
	e := newEncoder(kindForeign)
	e.uvarint(uint64(f.Through))
	e.uvarint(uint64(f.TotalRecords))
	for _, count := range f.fields() {
		e.uvarint(uint64(*count))
	}
	last := f.later()
	for n := len(last); n > 0; n-- {
		if *last[n-1] == 0 {
			continue
		}
		for _, count := range last[:n] {
			e.uvarint(uint64(*count))
		}
		break
	}
	return e.finish()
}

func decodeForeign(coded []byte) (Foreign, error) {
	d := newDecoder(kindForeign, coded)
	f := Foreign{Through: d.natural(), TotalRecords: d.natural()}
	for _, count := range f.fields() {
		*count = d.natural()
	}
	for _, count := range f.later() {
		if d.more() {
			*count = d.natural()
		}
	}
	if err := d.end(); err != nil {
		return Foreign{}, err
	}
	return f, nil
}
