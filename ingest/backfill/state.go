package backfill

import (
	"encoding/json"
	"fmt"
	"time"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// SummaryState is the key of the branch's snapshot summary that holds the State (docs/format.md).
const SummaryState = "firth.backfill"

// State is how far a backfill is. It stands on the branch.
type State struct {
	ID   string `json:"id"`
	Plan Plan   `json:"plan"`
	// Source is the ID of the listing that the backfill began with, of so many files and bytes.
	Source uuid.UUID `json:"source"`
	Files  int       `json:"files"`
	Bytes  int64     `json:"bytes"`
	// FilesDone are the first files of the listing, whose rows are on the branch, BytesDone their bytes.
	FilesDone int   `json:"files_done"`
	BytesDone int64 `json:"bytes_done"`
	// Lanes count what became of the rows that each lane read.
	Lanes []Lane    `json:"lanes"`
	Began time.Time `json:"began"`
}

// Lane is what became of the rows that one lane read; together they are the offsets from 0.
type Lane struct {
	Inserted int64  `json:"inserted"`
	Filtered int64  `json:"filtered,omitempty"`
	Checksum uint64 `json:"checksum,string"`
}

// Read is how many rows the lane read.
func (l Lane) Read() int64 { return l.Inserted + l.Filtered }

// Whole says whether all files are on the branch.
func (s State) Whole() bool { return s.FilesDone == s.Files }

// Rows are those on the branch, filtered those that the filter left out.
func (s State) Rows() (rows, filtered int64) {
	for _, l := range s.Lanes {
		rows, filtered = rows+l.Inserted, filtered+l.Filtered
	}
	return rows, filtered
}

// ranges are the offsets that the rows of the branch stand for.
func (s State) ranges() map[commit.TopicPartition]commit.Range {
	out := map[commit.TopicPartition]commit.Range{}
	for i, l := range s.Lanes {
		out[commit.BackfillOf(s.ID, s.Source, int32(i))] = commit.Range{Next: commit.Offset(l.Read()),
			Counts: commit.Counts{Inserted: l.Inserted, Filtered: l.Filtered}, Checksum: l.Checksum}
	}
	return out
}

// Held is a backfill that stands on a branch.
type Held struct {
	Branch     string
	SnapshotID int64
	State      State
}

// Promoted is a backfill whose rows are in main, as the ledger knows it.
type Promoted struct {
	ID     string
	Source uuid.UUID
	Rows   int64 // that were read: the ledger folds what became of them
	Counts commit.Counts
}

// Branches are the backfills of a table that are not promoted, by branch.
func Branches(t *table.Table) ([]Held, error) {
	var out []Held
	meta := t.Metadata()
	for name, ref := range meta.Refs() {
		s := meta.SnapshotByID(ref.SnapshotID)
		if ref.SnapshotRefType != icetable.BranchRef || s == nil || s.Summary == nil ||
			s.Summary.Properties[SummaryState] == "" {
			continue
		}
		held := Held{Branch: name, SnapshotID: s.SnapshotID}
		if err := json.Unmarshal([]byte(s.Summary.Properties[SummaryState]), &held.State); err != nil {
			return nil, fmt.Errorf("branch %s of %s: read %s: %w", name, t, SummaryState, err)
		}
		out = append(out, held)
	}
	return out, nil
}

// PromotedIn are the backfills whose rows are in main. The ledger knows them for ever.
func PromotedIn(ledger commit.Ledger) map[string]Promoted {
	out := map[string]Promoted{}
	for tp, folded := range ledger.Folded {
		id, ok := commit.BackfillID(tp)
		if !ok {
			continue
		}
		p := out[id]
		p.ID, p.Source = id, tp.TopicID
		p.Rows += int64(folded.Next - folded.From)
		p.Counts = p.Counts.Add(folded.Counts)
		out[id] = p
	}
	return out
}
