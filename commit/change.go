package commit

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Where a table stands in its topics is of the table: whoever reads it needs no commit.
type (
	// Offset is a position in the log of one topic partition.
	Offset = table.Offset
	// TopicPartition names one partition of one incarnation of a topic on one cluster.
	TopicPartition = table.TopicPartition
	// Position is a cut: the next offset of each topic partition that a table has taken in.
	Position = table.Position
)

// Counts says what became of the offsets of a range. They always add up to the length of the range.
type Counts struct {
	Inserted    int64 `json:"inserted"`     // rows added
	Updated     int64 `json:"updated"`      // rows that replaced an older version (keyed tables)
	Deleted     int64 `json:"deleted"`      // rows removed by a tombstone or a delete event (keyed tables)
	Superseded  int64 `json:"superseded"`   // versions older than the one the table holds (keyed tables)
	Filtered    int64 `json:"filtered"`     // records the spec's filter left out
	Tombstones  int64 `json:"tombstones"`   // null values that hit no row
	SampledOut  int64 `json:"sampled_out"`  // records left out by sampling under load
	DeadLetters int64 `json:"dead_letters"` // records in the dead-letter table
	Skipped     int64 `json:"skipped"`      // bad records dropped by policy "skip"
	Lost        int64 `json:"lost"`         // offsets out of retention that an operator accepted as lost
	Absent      int64 `json:"absent"`       // offsets without a record: compacted away, markers, aborted transactions
}

// String names the counts that are not zero.
func (c Counts) String() string {
	names := [...]string{"updated", "deleted", "superseded", "filtered", "tombstones", "sampled out",
		"dead letters", "skipped", "lost", "absent"}
	text := fmt.Sprintf("%d inserted", c.Inserted)
	for i, count := range c.others() {
		if *count != 0 {
			text += fmt.Sprintf(", %d %s", *count, names[i])
		}
	}
	return text
}

// Sum is the number of offsets that the counts account for.
func (c Counts) Sum() int64 {
	return c.Inserted + c.Updated + c.Deleted + c.Superseded + c.Filtered + c.Tombstones +
		c.SampledOut + c.DeadLetters + c.Skipped + c.Lost + c.Absent
}

// negative says whether any count is.
func (c Counts) negative() bool {
	for _, count := range c.others() {
		if *count < 0 {
			return true
		}
	}
	return c.Inserted < 0
}

// Add returns the field-wise sum.
func (c Counts) Add(o Counts) Counts {
	c.Inserted += o.Inserted
	theirs := o.others()
	for i, count := range c.others() {
		*count += *theirs[i]
	}
	return c
}

// Sub returns the field-wise difference.
func (c Counts) Sub(o Counts) Counts {
	c.Inserted -= o.Inserted
	theirs := o.others()
	for i, count := range c.others() {
		*count -= *theirs[i]
	}
	return c
}

// Range is the half-open interval [From, Next) of offsets of one topic partition, with what became of
// them. Checksum is the order-independent checksum (table.Checksum) of the rows it added.
type Range struct {
	From, Next Offset
	Counts     Counts
	Checksum   uint64
}

// Join returns the range that r and the one right behind it make together. It panics when they do
// not touch: callers check first.
func (r Range) Join(next Range) Range {
	if r.Next != next.From {
		panic(fmt.Sprintf("BUG: joining range ending at %d with one starting at %d", r.Next, next.From))
	}
	return Range{From: r.From, Next: next.Next, Counts: r.Counts.Add(next.Counts), Checksum: r.Checksum + next.Checksum}
}

// Without undoes Join: it returns what r held before last was joined onto it. It does not look whether
// last was: callers check that last ends where r does, and what is left.
func (r Range) Without(last Range) Range {
	return Range{From: r.From, Next: last.From, Counts: r.Counts.Sub(last.Counts),
		Checksum: r.Checksum - last.Checksum}
}

// Validate says what is wrong with r: a negative or reversed interval, or counts that do not add up.
func (r Range) Validate() error {
	switch {
	case r.From < 0 || r.Next < r.From:
		return fmt.Errorf("range [%d, %d) is not an interval", r.From, r.Next)
	case r.Counts.negative():
		return fmt.Errorf("range [%d, %d): a count is negative: %+v", r.From, r.Next, r.Counts)
	case r.Counts.Sum() != int64(r.Next-r.From):
		return fmt.Errorf("range [%d, %d): counts add up to %d, want %d", r.From, r.Next, r.Counts.Sum(), r.Next-r.From)
	}
	return nil
}

// Uncounted are rows that a change adds and takes out beyond what its ranges count, since a record that
// changes several rows counts once, and since rows that others doubled go with the rows of no record.
type Uncounted struct {
	// Added are rows of Files beyond those inserted and updated.
	Added int64
	// Taken are rows that Deletes takes out beyond those updated and deleted.
	Taken int64
}

// RowExpiry says what is too old.
type RowExpiry struct {
	// Files are data files that stay, and lose rows by the deletes that Rebase makes, one for each.
	Files []iceberg.DataFile
	// Column is the column by which rows grow old, Before what its values lie before: both are for the
	// snapshot's summary.
	Column, Before string
}

// Change is what one checkpoint wants to publish: files, and the offsets they cover. A change
// without files still moves the position, so that progress is fenced too. A rewrite is a change that removes
// data files: it covers no offsets, and no row of the table comes or goes with it. With an Expiry it takes
// rows out, which are counted.
type Change struct {
	// ID identifies the change for ever; a commit whose outcome is unknown is read back by it.
	ID uuid.UUID
	// Files are data files to add, complete and not referenced by any snapshot. Those of a rewrite take the
	// data sequence number of Base, so that equality deletes of others hold for them as they did before.
	Files []iceberg.DataFile
	// Deletes are delete files to add, complete, at most one a data file: vectors in a table of format
	// version 3, position delete files of one data file in one of version 2 (table/vector writes both). Each
	// holds every deleted position of its data file and takes the place of the delete files that are about it.
	Deletes []iceberg.DataFile
	// Removed are data files that leave, with the delete files that are about them.
	Removed []iceberg.DataFile
	// Dead are equality delete files of others that leave, since no data file is older than they are. They
	// come with a rewrite, or alone.
	Dead []iceberg.DataFile
	// Base is the snapshot from which Deletes, Dead and Removed were worked out. When deletes of one of their data
	// files came behind it, or the data file has left, the change is refused with ErrStale; see Rebase too.
	Base int64
	// BaseSequence is the sequence number of Base. With it and Rebase a rewrite lands after Base has expired.
	BaseSequence int64
	// Rebase moves a rewrite behind deletes that came after Base; nil has it refused instead.
	Rebase Rebase
	// Expiry takes rows out since they are too old, with the files in Removed that hold no other; nil is
	// no such change. It has neither Files nor Ranges, and its Deletes are what its Rebase makes.
	Expiry *RowExpiry
	// DeadLetters are data files of the dead-letter table that belong to the same ranges: a row for each dead
	// letter, and for each that a replay resolves one that says so.
	DeadLetters []iceberg.DataFile
	// Ranges are the offsets the change covers. Each From must be where the table stands; a topic
	// partition that the table does not know yet may begin anywhere.
	Ranges map[TopicPartition]Range
	// Pinned refuses the change with ErrStale unless Base is the head: what it adds was worked out from all
	// rows of the table, so that any change of others counts (a key that is new to Base may not be to the head).
	Pinned bool
	// Uncounted are rows beyond those that Ranges count.
	Uncounted Uncounted
}
