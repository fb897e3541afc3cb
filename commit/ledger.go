package commit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// The names of what firth writes into snapshot summaries and table properties (docs/format.md).
const (
	SummaryCommitID   = "firth.commit-id"
	SummaryWriter     = "firth.writer"
	SummaryRanges     = "firth.ranges"
	SummaryRangesBlob = "firth.ranges-blob"
	SummaryState      = "firth.state"
	SummaryTransition = "firth.transition"

	PropertyPosition = "firth.position"
	PropertyFolded   = "firth.folded"
	PropertyForeign  = "firth.foreign"
	PropertyPending  = "firth.dead-letters.pending"
	PropertyApplied  = "firth.dead-letters.applied"
)

// Folded is what the expired snapshots of a table held for one topic partition.
type Folded struct {
	Range
	// Missing are offsets whose ranges are gone because somebody else expired the snapshots that
	// held them. Counts and Missing together add up to the length of the range.
	Missing int64
}

// fold joins r onto f. Offsets between them are missing; what f holds already is not added again.
func (f Folded) fold(r Range) (Folded, error) {
	if r.Next <= f.Next {
		return f, nil
	}
	if r.From < f.Next {
		return f, damaged("range [%d, %d) overlaps what is folded up to %d", r.From, r.Next, f.Next)
	}
	f.Missing += int64(r.From - f.Next)
	f.Next = r.From
	f.Range = f.Join(r)
	return f, nil
}

// Foreign counts what others added and removed in expired snapshots.
type Foreign struct {
	// Through is the sequence number of the newest snapshot that is folded, firth's or not. A
	// snapshot up to it that a tag keeps alive is counted here and in Folded, not where it is found.
	Through int64 `json:"through"`

	Snapshots          int64 `json:"snapshots"`
	AddedDataFiles     int64 `json:"added_data_files"`
	RemovedDataFiles   int64 `json:"removed_data_files"`
	AddedRecords       int64 `json:"added_records"`
	RemovedRecords     int64 `json:"removed_records"`
	AddedDeleteFiles   int64 `json:"added_delete_files"`
	RemovedDeleteFiles int64 `json:"removed_delete_files"`
}

func (f *Foreign) fields() [7]*int64 {
	return [7]*int64{&f.Snapshots, &f.AddedDataFiles, &f.RemovedDataFiles, &f.AddedRecords,
		&f.RemovedRecords, &f.AddedDeleteFiles, &f.RemovedDeleteFiles}
}

// Add returns the sum of the counts, and f's Through.
func (f Foreign) Add(o Foreign) Foreign {
	theirs := o.fields()
	for i, count := range f.fields() {
		*count += *theirs[i]
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

func natural(p iceberg.Properties, key string) int64 {
	n, err := strconv.ParseInt(p[key], 10, 64)
	if err != nil || n < 0 {
		return 0 // others' summaries are hints
	}
	return n
}

// Ledger is what a table's properties say about offsets. It is a value; its maps are not changed.
type Ledger struct {
	Position Position
	Folded   map[TopicPartition]Folded
	Foreign  Foreign
	Pending  []Pending
}

// ReadLedger decodes the ledger of a table and holds it against the state that the newest firth
// snapshot of main left. Its error is ErrDamaged when a value cannot be decoded, when a property was
// edited, or when main was set back without the properties; in the last two cases the ledger as it
// stands comes with the error.
func ReadLedger(meta icetable.Metadata) (Ledger, error) {
	props := meta.Properties()
	ledger, err := decodeLedger(props)
	if err != nil {
		return Ledger{}, err
	}
	head := meta.SnapshotByName(icetable.MainBranch)
	newest := newestFirth(meta)
	switch {
	case head == nil && props[PropertyPosition] != "":
		return ledger, damaged("%s is set but the table has no snapshot: it was replaced or set back;"+
			" drop the table or restore it from an older metadata file", PropertyPosition)
	case newest == nil:
		return ledger, nil // nothing committed yet, or all of it expired by others
	}
	if got, want := stateOf(props), newest.Summary.Properties[SummaryState]; got != want {
		return ledger, damaged("the ledger's properties do not match snapshot %d (state %s, want %s):"+
			" a firth property was changed or main was set back; restore the properties as that commit left"+
			" them, an older metadata file has them", newest.SnapshotID, got, want)
	}
	return ledger, nil
}

func decodeLedger(props iceberg.Properties) (Ledger, error) {
	ledger := Ledger{Position: Position{}, Folded: map[TopicPartition]Folded{}}
	steps := []struct {
		property string
		decode   func([]byte) error
	}{
		{PropertyPosition, func(b []byte) (err error) { ledger.Position, err = DecodePosition(b); return }},
		{PropertyFolded, func(b []byte) (err error) { ledger.Folded, err = DecodeFolded(b); return }},
		{PropertyForeign, func(b []byte) (err error) { ledger.Foreign, err = decodeForeign(b); return }},
		{PropertyPending, func(b []byte) (err error) { ledger.Pending, err = decodePending(b); return }},
	}
	for _, step := range steps {
		text := props[step.property]
		if text == "" {
			continue
		}
		coded, err := fromText(text)
		if err == nil {
			err = step.decode(coded)
		}
		if err != nil {
			return Ledger{}, fmt.Errorf("decode table property %s: %w", step.property, err)
		}
	}
	return ledger, nil
}

// properties codes the ledger. What the table holds already is kept, so that a set value can go back
// to nothing by an empty text.
func (l Ledger) properties(held iceberg.Properties) iceberg.Properties {
	props := iceberg.Properties{PropertyPosition: toText(EncodePosition(l.Position))}
	set := func(name string, empty bool, coded func() []byte) {
		switch {
		case !empty:
			props[name] = toText(coded())
		case held[name] != "":
			props[name] = ""
		}
	}
	set(PropertyFolded, len(l.Folded) == 0, func() []byte { return EncodeFolded(l.Folded) })
	set(PropertyForeign, l.Foreign == Foreign{}, func() []byte { return encodeForeign(l.Foreign) })
	set(PropertyPending, len(l.Pending) == 0, func() []byte { return encodePending(l.Pending) })
	return props
}

// stateOf is the checksum of the ledger's properties as they stand.
func stateOf(props iceberg.Properties) string {
	h := sha256.New()
	for _, name := range []string{PropertyPosition, PropertyFolded, PropertyForeign, PropertyPending} {
		fmt.Fprintf(h, "%s=%s\n", name, props[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// IsFirth says whether firth made the snapshot.
func IsFirth(snapshot *icetable.Snapshot) bool {
	return snapshot.Summary != nil && snapshot.Summary.Properties[SummaryCommitID] != ""
}

// newestFirth is the newest snapshot of main that moved the ledger, or nil.
func newestFirth(meta icetable.Metadata) *icetable.Snapshot {
	for s := range Ancestry(meta) {
		if IsFirth(s) && s.Summary.Properties[SummaryState] != "" {
			return s
		}
	}
	return nil
}

// Ancestry yields the snapshots of main from the head back to the oldest that is still there.
func Ancestry(meta icetable.Metadata) func(yield func(*icetable.Snapshot) bool) {
	return func(yield func(*icetable.Snapshot) bool) {
		// A chain longer than the list of snapshots is a circle.
		for s, left := meta.SnapshotByName(icetable.MainBranch), len(meta.Snapshots()); s != nil && left > 0; left-- {
			if !yield(s) || s.ParentSnapshotID == nil {
				return
			}
			s = meta.SnapshotByID(*s.ParentSnapshotID)
		}
	}
}

// find returns the snapshot of main that carries the commit id, or nil.
func find(meta icetable.Metadata, id uuid.UUID) *icetable.Snapshot {
	for s := range Ancestry(meta) {
		if IsFirth(s) && s.Summary.Properties[SummaryCommitID] == id.String() {
			return s
		}
	}
	return nil
}

// advance returns the position after ranges.
func (p Position) advance(ranges map[TopicPartition]Range) Position {
	next := maps.Clone(p)
	if next == nil {
		next = Position{}
	}
	for tp, r := range ranges {
		next[tp] = r.Next
	}
	return next
}

func encodeForeign(f Foreign) []byte {
	e := newEncoder(kindForeign)
	e.uvarint(uint64(f.Through))
	for _, count := range f.fields() {
		e.uvarint(uint64(*count))
	}
	return e.finish()
}

func decodeForeign(coded []byte) (Foreign, error) {
	d := newDecoder(kindForeign, coded)
	f := Foreign{Through: d.natural()}
	for _, count := range f.fields() {
		*count = d.natural()
	}
	if err := d.end(); err != nil {
		return Foreign{}, err
	}
	return f, nil
}
