package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
)

// deadLettersAddUp compares the dead letters counted with those published and pending.
func (c *check) deadLettersAddUp(ctx context.Context) error {
	d := DeadLetters{Counted: c.report.Counts.DeadLetters}
	for tp, t := range c.totals {
		if _, replays := commit.ReplayedBy(tp); replays {
			d.Resolved += int64(t.Next)
		}
	}
	var foreign commit.Foreign
	listed := true
	if dead := c.opts.DeadLetters; dead != nil {
		d.Table = dead.String()
		var err error
		if c.letters, listed, err = c.liveFiles(ctx, dead); err != nil {
			return err
		}
		for _, f := range c.letters {
			if !f.deletes {
				d.Rows += f.rows
			}
		}
		if err := c.lookAt(ctx, c.letters); err != nil {
			return err
		}
		sequences, err := commit.ReadApplied(dead.Metadata().Properties())
		if err != nil {
			c.report.faultf(FaultDeadLetters, "%s: %v", d.Table, err)
		}
		c.applied = sequences[c.meta.TableUUID()]
		foreign = c.foreignLetters(dead.Metadata(), d.Rows)
		c.lettersAdded = foreign.AddedRecords
	}
	for _, p := range c.ledger.Pending {
		if p.Sequence > c.applied {
			d.Pending += p.Rows()
		}
	}
	c.report.DeadLetters = d
	want := d.Counted + d.Resolved - d.Pending + foreign.AddedRecords - foreign.RemovedRecords
	if foreign.AddedRecords+foreign.RemovedRecords > 0 {
		c.note("%s: others added %d rows and removed %d", d.Table, foreign.AddedRecords, foreign.RemovedRecords)
	}
	if listed && d.Rows != want {
		c.report.faultf(FaultDeadLetters,
			"%d dead letters are counted, %d as resolved, %d rows are in %s, %d pending, "+
				"%d added and %d removed by others",
			d.Counted, d.Resolved, d.Rows, orNoTable(d.Table), d.Pending, foreign.AddedRecords,
			foreign.RemovedRecords)
	}
	return nil
}

func orNoTable(name string) string {
	if name == "" {
		return "no table"
	}
	return name
}

// foreignLetters is what others did to the dead-letter table, which holds rows: who has dealt with a letter
// may remove it.
func (c *check) foreignLetters(meta icetable.Metadata, rows int64) commit.Foreign {
	ledger, err := commit.ReadLedger(meta)
	if err != nil {
		c.report.faultf(FaultDeadLetters, "%s: %v", c.opts.DeadLetters, err)
	}
	return ledger.Foreign.Since(meta, rows)
}

// readLetters reads the dead-letter table, and notes which letters are resolved.
func (c *check) readLetters(ctx context.Context) (*tallied, error) {
	letters := func(n commit.Counts) int64 { return n.DeadLetters }
	found := &tallied{names: letterCoordinates, places: c.segments(letters), astray: map[string]int64{}, letters: c}
	if len(c.letters) == 0 {
		return found, c.markPending(ctx)
	}
	if err := c.readTable(ctx, c.opts.DeadLetters, c.letters, found); err != nil {
		return nil, err
	}
	return found, c.markPending(ctx)
}

// placeLetters adds letters to their segments. t.mu is held.
func (t *tallied) placeLetters(batch arrow.RecordBatch, r runner, sums []uint64, in origin) (placed int64) {
	twice := func(key place, offset commit.Offset) {
		t.faults = append(t.faults, Fault{Kind: FaultDeadLetters, Topic: key.topic, Partition: key.partition,
			From: offset, Next: offset + 1, File: in.file, SnapshotID: in.snapshotID,
			Text: "the dead letter was resolved more than once"})
	}
	others := t.letters.replays.mark(batch, twice)
	placed = batch.NumRows() - int64(len(others))
	for _, row := range others {
		here := t.places[place{r.topic.Value(row), r.partition.Value(row)}]
		if here != nil && r.valid(row) {
			placed += here.run(commit.Offset(r.offset.Value(row)), sums[row:row+1], in)
		}
	}
	return placed
}

// compareLetters looks that each letter is there once.
func (c *check) compareLetters(found *tallied) {
	c.tellAstray(found, c.letters, FaultDeadLetters)
	for _, key := range sortedPlaces(found.places) {
		s := found.places[key]
		c.tellDoubled(key, s)
		for i := range s.list {
			seg := &s.list[i]
			if seg.found.rows > seg.wantRows {
				c.report.fault(Fault{Kind: FaultDeadLetters, Topic: key.topic, Partition: key.partition,
					From: seg.from, Next: seg.next, SnapshotID: seg.snapshotID,
					Text: fmt.Sprintf("%d dead letters found, the ledger says %d", seg.found.rows, seg.wantRows)})
			}
		}
	}
	c.compareMarks()
}

// compareMarks looks that no more letters are resolved than the ledger says. Others may mark letters too, which they
// have dealt with.
func (c *check) compareMarks() {
	var more int64
	for _, key := range slices.SortedFunc(maps.Keys(c.replays.marks), comparePlaces) {
		var want int64
		if sum := c.replays.sums[key]; sum != nil {
			want = int64(sum.next)
		}
		have := int64(c.replays.marks[key].GetCardinality())
		if more += max(0, have-want); have > want && more > c.lettersAdded {
			c.report.fault(Fault{Kind: FaultDeadLetters, Topic: key.topic, Partition: key.partition,
				Text: fmt.Sprintf("%d dead letters are marked as resolved, the ledger says %d", have, want)})
		}
	}
	if more > 0 {
		c.note("%d dead letters are marked as resolved by others", more)
	}
}
