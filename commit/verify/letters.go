package verify

import (
	"context"
	"fmt"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
)

// deadLettersAddUp compares the dead letters counted with those published and pending.
func (c *check) deadLettersAddUp(ctx context.Context) error {
	d := DeadLetters{Counted: c.report.Counts.DeadLetters}
	applied := int64(0)
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
		applied = sequences[c.meta.TableUUID()]
		foreign = c.foreignLetters(dead.Metadata(), d.Rows)
	}
	for _, p := range c.ledger.Pending {
		if p.Sequence > applied {
			d.Pending += p.Rows()
		}
	}
	c.report.DeadLetters = d
	want := d.Counted - d.Pending + foreign.AddedRecords - foreign.RemovedRecords
	if foreign.AddedRecords+foreign.RemovedRecords > 0 {
		c.note("%s: others added %d rows and removed %d", d.Table, foreign.AddedRecords, foreign.RemovedRecords)
	}
	if listed && d.Rows != want {
		c.report.faultf(FaultDeadLetters,
			"%d dead letters are counted, %d are in %s, %d pending, %d added and %d removed by others",
			d.Counted, d.Rows, orNoTable(d.Table), d.Pending, foreign.AddedRecords, foreign.RemovedRecords)
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

// deepLetters reads the dead-letter table and looks that each letter is there once.
func (c *check) deepLetters(ctx context.Context) error {
	if c.opts.DeadLetters == nil || len(c.letters) == 0 {
		return nil
	}
	letters := func(n commit.Counts) int64 { return n.DeadLetters }
	found := &tallied{names: letterCoordinates, places: c.segments(letters), astray: map[string]int64{}}
	if err := c.readTable(ctx, c.opts.DeadLetters, c.letters, found); err != nil {
		return err
	}
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
	return nil
}
