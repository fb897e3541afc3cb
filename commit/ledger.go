package commit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// The names of what firth writes into snapshot summaries and table properties (docs/format.md).
const (
	SummaryCommitID   = "firth.commit-id"
	SummaryWriter     = "firth.writer"
	SummaryRanges     = "firth.ranges"
	SummaryRangesBlob = "firth.ranges-blob"
	SummaryState      = "firth.state"
	SummaryTransition = "firth.transition"
	// SummaryRolledBackTo is the id of the snapshot to which a rollback brought main back.
	SummaryRolledBackTo = "firth.rolled-back-to"

	// What an expiry of rows took out: how many, and by which values of which column.
	SummaryExpiredRows   = "firth.expired-rows"
	SummaryExpiredColumn = "firth.expired-column"
	SummaryExpiredBefore = "firth.expired-before"

	PropertyPosition = "firth.position"
	PropertyFolded   = "firth.folded"
	PropertyForeign  = "firth.foreign"
	PropertyPending  = "firth.dead-letters.pending"
	PropertyApplied  = "firth.dead-letters.applied"
)

// Ledger is what a table's properties say about offsets. It is a value; its maps are not changed.
type Ledger struct {
	Position Position
	// Folded joins all that was ever committed of each topic partition. Every commit folds its own
	// ranges in, so it ends where the position stands and nothing goes with snapshots that expire.
	Folded  map[TopicPartition]Range
	Foreign Foreign
	Pending []Pending
}

// advance returns the ledger after ranges, each of which begins where the position stands.
func (l Ledger) advance(ranges map[TopicPartition]Range) Ledger {
	l.Position, l.Folded = maps.Clone(l.Position), maps.Clone(l.Folded)
	for tp, r := range ranges {
		folded, known := l.Folded[tp]
		if !known {
			folded.From, folded.Next = r.From, r.From
		}
		l.Position[tp], l.Folded[tp] = r.Next, folded.Join(r)
	}
	return l
}

// ReadLedger decodes the ledger of a table and holds it against itself, against the state that the newest
// firth snapshot of main left, and against main. Its error is ErrDamaged when a value cannot be decoded,
// when a property was edited, or when main was set back without the properties; what can be decoded comes
// with the error.
func ReadLedger(meta icetable.Metadata) (Ledger, error) {
	props := meta.Properties()
	ledger, err := decodeLedger(props)
	if err != nil {
		return ledger, err
	}
	head := meta.SnapshotByName(icetable.MainBranch)
	if head == nil {
		if props[PropertyPosition] != "" {
			err = damaged("%s is set but the table has no snapshot: it was replaced or set back;"+
				" drop the table or restore it from an older metadata file", PropertyPosition)
		}
		return ledger, err
	}
	for s := range Ancestry(meta) {
		if s.SequenceNumber > ledger.Foreign.Through {
			continue // others went on
		}
		if s.SequenceNumber < ledger.Foreign.Through {
			return ledger, damaged("main was set back to snapshot %d (sequence number %d), the ledger knows of %d;"+
				" set main to where it was", s.SnapshotID, s.SequenceNumber, ledger.Foreign.Through)
		}
		break
	}
	if newest := newestFirth(meta); newest != nil { // else nothing is committed, or others expired all of it
		if got, want := stateOf(props), newest.Summary.Properties[SummaryState]; got != want {
			return ledger, damaged("the ledger's properties do not match snapshot %d (state %s, want %s):"+
				" a firth property was changed or main was set back; restore the properties as that commit left"+
				" them, an older metadata file has them", newest.SnapshotID, got, want)
		}
	}
	return ledger, ledger.agree()
}

// agree says whether position and totals end at the same offsets.
func (l Ledger) agree() error {
	if maps.EqualFunc(l.Position, l.Folded, func(at Offset, r Range) bool { return r.Next == at }) {
		return nil
	}
	for _, tp := range sortedTopicPartitions(l.Position) {
		if folded, ok := l.Folded[tp]; !ok || folded.Next != l.Position[tp] {
			return damaged("%s says that %s stands at %d, %s ends at %d: a firth property was changed;"+
				" restore the properties from an older metadata file",
				PropertyPosition, tp, l.Position[tp], PropertyFolded, folded.Next)
		}
	}
	return damaged("%s knows %d topic partitions, %s %d: a firth property was changed;"+
		" restore the properties from an older metadata file",
		PropertyFolded, len(l.Folded), PropertyPosition, len(l.Position))
}

// decodeLedger decodes as much as it can.
func decodeLedger(props iceberg.Properties) (Ledger, error) {
	ledger := Ledger{Position: Position{}, Folded: map[TopicPartition]Range{}}
	var faults []error
	steps := []struct {
		property string
		decode   func([]byte) error
	}{
		{PropertyPosition, func(b []byte) (err error) { ledger.Position, err = decodePosition(b); return }},
		{PropertyFolded, func(b []byte) (err error) { ledger.Folded, err = decodeRanges(kindFolded, b); return }},
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
			faults = append(faults, fmt.Errorf("decode table property %s: %w", step.property, err))
		}
	}
	return ledger, errors.Join(faults...)
}

// properties codes the ledger. What the table holds already is kept, so that a set value can go back
// to nothing by an empty text.
func (l Ledger) properties(held iceberg.Properties) iceberg.Properties {
	props := iceberg.Properties{PropertyPosition: toText(encodePosition(l.Position))}
	set := func(name string, empty bool, coded func() []byte) {
		switch {
		case !empty:
			props[name] = toText(coded())
		case held[name] != "":
			props[name] = ""
		}
	}
	set(PropertyFolded, len(l.Folded) == 0, func() []byte { return encodeRanges(kindFolded, l.Folded) })
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

// Ancestry yields the snapshots of main from the head back to the oldest that is still there. It asks
// for no more of them than are taken.
func Ancestry(meta icetable.Metadata) func(yield func(*icetable.Snapshot) bool) {
	return func(yield func(*icetable.Snapshot) bool) {
		table.Ancestry(meta, meta.SnapshotByName(icetable.MainBranch))(yield)
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
