package verify

import (
	"fmt"
	"slices"

	"github.com/firthlake/firth/commit"
)

// Report is what was checked and what was found.
type Report struct {
	Table      string `json:"table"`
	Proven     bool   `json:"proven"`
	Deep       bool   `json:"deep"`
	SnapshotID int64  `json:"snapshot_id"`
	Snapshots  int    `json:"snapshots"`

	Gaps     int     `json:"gaps"`
	Overlaps int     `json:"overlaps"`
	Faults   []Fault `json:"faults"`

	// Partitions are the topic partitions in order.
	Partitions []Partition `json:"partitions"`
	// Counts are the sums over all partitions and all time.
	Counts commit.Counts `json:"counts"`
	Files  Files         `json:"files"`
	// Foreign is what other writers added and removed: no breach of the proof.
	Foreign     commit.Foreign `json:"foreign"`
	DeadLetters DeadLetters    `json:"dead_letters"`
	// RemovedByOthers are rows that the ledger counts and others removed, as far as a deep check found.
	RemovedByOthers int64 `json:"removed_by_others,omitempty"`
	// Keys are those whose rows were compared with their last versions in the topics (keyed tables).
	Keys int64 `json:"keys,omitempty"`
	// Notes say what limits the proof, such as offsets that were accepted as lost.
	Notes []string `json:"notes,omitempty"`
}

// Partition is the proof of one topic partition.
type Partition struct {
	tp commit.TopicPartition

	Cluster   string        `json:"cluster"`
	Topic     string        `json:"topic"`
	TopicID   string        `json:"topic_id"`
	Partition int32         `json:"partition"`
	From      commit.Offset `json:"from"`
	Next      commit.Offset `json:"next"`
	Ranges    int           `json:"ranges"` // in snapshots that are still there
	Counts    commit.Counts `json:"counts"`
	Checksum  string        `json:"checksum"`
	// Rows and Retained are set by a deep check: rows found in files, and offsets that the log still
	// has and that give the same again.
	Rows     int64 `json:"rows"`
	Retained int64 `json:"retained"`
}

// Files counts what the head references.
type Files struct {
	Data        int   `json:"data"`
	Rows        int64 `json:"rows"`
	Bytes       int64 `json:"bytes"`
	Deletes     int   `json:"deletes"`      // delete files
	DeletedRows int64 `json:"deleted_rows"` // rows of data files that delete files take out
	ForeignData int   `json:"foreign_data"`
	ForeignRows int64 `json:"foreign_rows"`
}

// DeadLetters compares the ledger's count with the dead-letter table.
type DeadLetters struct {
	Table   string `json:"table,omitempty"`
	Counted int64  `json:"counted"`
	// Resolved are those that replays have dealt with: each has a second row in the table, that says so.
	Resolved int64 `json:"resolved"`
	Rows     int64 `json:"rows"`
	Pending  int64 `json:"pending"`
}

// Kind is the kind of a Fault; scripts match on it.
type Kind string

// The kinds of fault.
const (
	FaultLedger      Kind = "ledger"       // a ledger value is damaged or was edited
	FaultGap         Kind = "gap"          // offsets that no range covers
	FaultOverlap     Kind = "overlap"      // offsets that two ranges cover
	FaultCounts      Kind = "counts"       // counts that do not add up
	FaultRows        Kind = "rows"         // files hold more or fewer rows than the ledger says
	FaultChecksum    Kind = "checksum"     // rows that are not those of the ledger
	FaultMissingFile Kind = "missing_file" // a file that the head references is not there
	FaultChangedFile Kind = "changed_file" // a file has another size or cannot be read
	FaultDoubledFile Kind = "doubled_file" // one file is referenced twice
	FaultDoubledRow  Kind = "doubled_row"  // one record is in the table more than once
	FaultMissingRow  Kind = "missing_row"  // a record that the ledger counts is not in the table
	FaultStaleRow    Kind = "stale_row"    // a row is not the last version of its key
	FaultRevivedRow  Kind = "revived_row"  // a row of a key that was deleted, or never was
	FaultChanges     Kind = "changes"      // changes that do not make the rows of the table they are of
	FaultDeadLetters Kind = "dead_letters" // the dead-letter table has other rows than counted
	FaultLog         Kind = "log"          // the log's records are not the table's rows
)

// Fault is one place where the proof falls short.
type Fault struct {
	Kind       Kind          `json:"kind"`
	Topic      string        `json:"topic,omitempty"`
	Partition  int32         `json:"partition"` // Partition, From and Next go with Topic
	From       commit.Offset `json:"from"`
	Next       commit.Offset `json:"next"`
	SnapshotID int64         `json:"snapshot_id,omitempty"`
	File       string        `json:"file,omitempty"`
	Text       string        `json:"text"`
}

// String is the fault in one line.
func (f Fault) String() string {
	text := string(f.Kind) + ": "
	if f.Topic != "" {
		text += fmt.Sprintf("%s-%d [%d, %d): ", f.Topic, f.Partition, f.From, f.Next)
	}
	text += f.Text
	if f.File != "" {
		text += " (" + f.File + ")"
	}
	if f.SnapshotID != 0 {
		text += fmt.Sprintf(" in snapshot %d", f.SnapshotID)
	}
	return text
}

func (r *Report) fault(f Fault) {
	switch f.Kind {
	case FaultGap:
		r.Gaps++
	case FaultOverlap:
		r.Overlaps++
	}
	r.Faults = append(r.Faults, f)
}

func (r *Report) faultf(kind Kind, format string, args ...any) {
	r.fault(Fault{Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// at is a fault of one topic partition.
func at(tp commit.TopicPartition, kind Kind, from, next commit.Offset) Fault {
	return Fault{Kind: kind, Topic: tp.Topic, Partition: tp.Partition, From: from, Next: next}
}

// finish orders what was found and draws the conclusion.
func (r *Report) finish() {
	slices.Sort(r.Notes)
	r.Proven = len(r.Faults) == 0
	if r.Faults == nil {
		r.Faults = []Fault{}
	}
}
