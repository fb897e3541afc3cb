package verify

import (
	"context"
	"fmt"

	"github.com/firthlake/firth/commit"
)

// compareTotal is all that can be said of a table whose rows do not tell where they come from.
func (c *check) compareTotal(found *tallied) {
	var want uint64
	for _, t := range c.laid {
		want += t.Checksum
	}
	c.report.Notes = append(c.report.Notes,
		"the table has no coordinates columns: rows are compared as one sum, and not with the log")
	if found.checksum != want && c.report.Foreign.RemovedRecords == 0 {
		c.report.faultf(FaultChecksum, "rows have checksum %x, the ledger says %x", found.checksum, want)
	}
}

// comparePlaces holds what was read against the ledger, range by range.
func (c *check) comparePlaces(found *tallied) {
	if found.unplaced > 0 {
		c.report.faultf(FaultRows, "%d rows in our files have no coordinates", found.unplaced)
	}
	var short []Fault
	var shortRows int64
	for _, key := range sortedPlaces(found.places) {
		s := found.places[key]
		for _, offset := range s.doubled {
			c.report.fault(Fault{Kind: FaultDoubledRow, Topic: key.topic, Partition: key.partition, From: offset,
				Next: offset + 1, Text: "the record is in the table more than once"})
		}
		if s.astray > 0 {
			c.report.fault(Fault{Kind: FaultRows, Topic: key.topic, Partition: key.partition,
				Text: fmt.Sprintf("%d rows of offsets that no range covers", s.astray)})
		}
		for _, seg := range s.whole() {
			f := Fault{Topic: key.topic, Partition: key.partition, From: seg.from, Next: seg.next,
				SnapshotID: seg.snapshotID}
			want := seg.want.Counts.Inserted + seg.want.Counts.Updated
			switch {
			case seg.rows < want:
				f.Kind, f.Text = FaultMissingRow, fmt.Sprintf("%d rows found, the ledger says %d", seg.rows, want)
				short, shortRows = append(short, f), shortRows+want-seg.rows
			case seg.rows > want:
				f.Kind, f.Text = FaultRows, fmt.Sprintf("%d rows found, the ledger says %d", seg.rows, want)
				c.report.fault(f)
			case seg.checksum != seg.want.Checksum:
				f.Kind = FaultChecksum
				f.Text = fmt.Sprintf("rows have checksum %x, the ledger says %x", seg.checksum, seg.want.Checksum)
				c.report.fault(f)
			}
		}
	}
	if removed := c.report.Foreign.RemovedRecords; shortRows > 0 && shortRows <= removed {
		c.report.Notes = append(c.report.Notes, fmt.Sprintf("%d rows were removed by others", shortRows))
		return
	}
	for _, f := range short {
		c.report.fault(f)
	}
	c.tellRows(found)
}

func (c *check) tellRows(found *tallied) {
	for i := range c.report.Partitions {
		p := &c.report.Partitions[i]
		s := found.places[place{p.Topic, p.Partition}]
		if s == nil {
			continue
		}
		for _, seg := range s.list {
			if seg.from >= p.From && seg.next <= p.Next {
				p.Rows += seg.rows
			}
		}
	}
}

// compareLog decodes what the log still has and compares it with the rows in files.
func (c *check) compareLog(
	ctx context.Context, found *tallied, earliest map[commit.TopicPartition]commit.Offset,
) error {
	for _, tp := range sorted(earliest) {
		first, next := earliest[tp], c.laid[tp].Next
		again, err := c.opts.Log.Recount(ctx, tp, first, next)
		if err != nil {
			return fmt.Errorf("read %s from the log: %w", tp, err)
		}
		var rows int64
		var checksum uint64
		for _, seg := range found.places[place{tp.Topic, tp.Partition}].list {
			if seg.retained {
				rows, checksum = rows+seg.rows, checksum+seg.checksum
			}
		}
		want := again.Counts.Inserted + again.Counts.Updated
		if rows != want || checksum != again.Checksum {
			f := at(tp, FaultLog, first, next)
			f.Text = fmt.Sprintf("files hold %d rows with checksum %x, the log's records give %d with %x",
				rows, checksum, want, again.Checksum)
			c.report.fault(f)
		}
		for i := range c.report.Partitions {
			if p := &c.report.Partitions[i]; p.Topic == tp.Topic && p.Partition == tp.Partition {
				p.Retained = int64(next - first)
			}
		}
	}
	return nil
}
