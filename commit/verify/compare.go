package verify

import (
	"fmt"
	"math"
	"slices"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
)

// compareTotal is all that can be said of a table whose rows do not tell where they come from.
func (c *check) compareTotal(found *tallied) {
	c.note("the table has no columns _kafka_topic, _kafka_partition and _kafka_offset: " +
		"rows are compared as one sum")
	if c.report.Foreign.RemovedRecords > 0 || c.report.Foreign.Unseen > 0 || found.deleted+c.replaced() > 0 {
		c.note("rows were removed, rewritten or replaced: the sum of the rest cannot be compared")
		return
	}
	var want uint64
	for _, t := range c.totals {
		want += t.Checksum
	}
	if found.checksum != want && !c.anyBroken() {
		c.report.faultf(FaultChecksum, "rows have checksum %x, the ledger says %x", found.checksum, want)
	}
}

func (c *check) anyBroken() bool {
	return slices.ContainsFunc(c.files, func(f liveFile) bool { return f.broken })
}

// comparison is what holding files against the ledger gives, before others' removals are allowed for.
type comparison struct {
	short     []Fault
	shortRows int64
	// changed are ranges of a keyed table whose rows are there, with other values.
	changed int
}

// comparePlaces holds what was read against the ledger, range by range.
func (c *check) comparePlaces(found *tallied) {
	c.adopt(found)
	c.tellAstray(found, c.files, FaultRows)
	var all comparison
	for _, key := range sortedPlaces(found.places) {
		s := found.places[key]
		c.tellDoubled(key, s)
		c.compareReplays(key, s, &all)
	}
	if all.changed > 0 {
		c.note("rows of %d ranges have other values; others changed this table, and a wanted change is not told from "+
			"damage", all.changed)
	}
	c.tellShort(all, found)
	c.tellRows(found)
}

// adopt takes rows that no range covers for others' where firth's own rewrites may have put them: others added as
// many, and the file is of a rewrite, or of a snapshot that has expired.
func (c *check) adopt(found *tallied) {
	left := c.report.Foreign.AddedRecords
	if c.report.Foreign.Unseen > 0 {
		left = math.MaxInt64
	}
	for _, f := range c.files {
		n := found.astray[f.name]
		s := c.meta.SnapshotByID(f.snapshotID)
		rewritten := s == nil || s.Summary != nil && s.Summary.Operation == icetable.OpReplace
		if n == 0 || n > left || !rewritten {
			continue
		}
		delete(found.astray, f.name)
		found.foreign += n
		left -= n
	}
}

// tellAstray reports rows of our files that no range covers.
func (c *check) tellAstray(found *tallied, files []liveFile, kind Kind) {
	for _, f := range files {
		if n := found.astray[f.name]; n > 0 {
			delete(found.astray, f.name) // once
			c.report.fault(Fault{Kind: kind, File: f.name, SnapshotID: f.snapshotID,
				Text: fmt.Sprintf("%d rows of offsets that no range covers", n)})
		}
	}
}

func (c *check) tellDoubled(key place, s *segments) {
	for _, d := range s.doubled {
		c.report.fault(Fault{Kind: FaultDoubledRow, Topic: key.topic, Partition: key.partition,
			From: d.offset, Next: d.offset + 1, File: d.in.file, SnapshotID: d.in.snapshotID,
			Text: "the record is in the table more than once"})
	}
	if more := s.times - int64(len(s.doubled)); more > 0 {
		c.note("%s-%d: %d more records are in the table more than once", key.topic, key.partition, more)
	}
}

func (c *check) compareSegment(key place, seg *segment, all *comparison) {
	f := Fault{Topic: key.topic, Partition: key.partition, From: seg.from, Next: seg.next,
		SnapshotID: seg.snapshotID}
	switch {
	case seg.found.rows < seg.wantRows:
		f.Kind = FaultMissingRow
		f.Text = fmt.Sprintf("%d rows found, the ledger says %d", seg.found.rows, seg.wantRows)
		all.short = append(all.short, f)
		all.shortRows += seg.wantRows - seg.found.rows
	case seg.found.rows > seg.wantRows:
		f.Kind = FaultRows
		f.Text = fmt.Sprintf("%d rows found, the ledger says %d", seg.found.rows, seg.wantRows)
		c.report.fault(f)
	case seg.found.checksum == seg.wantChecksum:
	case c.keyed() && c.report.Foreign.AddedRecords+c.report.Foreign.Unseen > 0:
		all.changed++ // each row is compared by its key, and what differs is told
	default:
		f.Kind = FaultChecksum
		f.Text = fmt.Sprintf("rows have checksum %x, the ledger says %x", seg.found.checksum, seg.wantChecksum)
		if c.report.Foreign.Snapshots+c.report.Foreign.Unseen > 0 {
			f.Text += "; others changed this table, and a wanted change is not told from damage"
		}
		c.report.fault(f)
	}
}

// tellShort reports rows that are not there, unless others say that they removed as many.
func (c *check) tellShort(all comparison, found *tallied) {
	if all.shortRows == 0 {
		return
	}
	foreign := c.report.Foreign
	removed := found.deleted + foreign.Compacted +
		max(0, foreign.RemovedRecords-foreign.AddedRecords+found.foreign)
	if all.shortRows > removed {
		for _, f := range all.short {
			c.report.fault(f)
		}
		return
	}
	ours := min(all.shortRows, c.replaced())
	c.report.RemovedByOthers = all.shortRows - ours
	who := "updated or deleted by later records"
	if foreign.Expired > 0 {
		who += " or too old"
	}
	switch {
	case ours == 0:
		who = "removed by others"
	case ours < all.shortRows:
		who = fmt.Sprintf("%s, and %d removed by others", who, all.shortRows-ours)
	}
	c.note("%d rows were %s; the checksums of the %d ranges that held them cannot be compared",
		all.shortRows, who, len(all.short))
}

// replaced are the rows that the ledger says later records updated or deleted, or grew too old.
func (c *check) replaced() int64 {
	return c.report.Counts.Updated + c.report.Counts.Deleted + c.report.Foreign.Expired
}

// tellRows says of each topic partition how many of its rows were found.
func (c *check) tellRows(found *tallied) {
	for i := range c.report.Partitions {
		p := &c.report.Partitions[i]
		if of, ok := commit.ReplayedBy(p.tp); ok {
			if sum := c.replays.sums[place{of.Topic, of.Partition}]; sum.ranges == 1 {
				p.Rows = sum.found.rows
			}
			continue
		}
		s := found.places[place{p.Topic, p.Partition}]
		if s == nil {
			continue
		}
		for j := range s.list {
			seg := &s.list[j]
			if seg.ranges == 1 && seg.tp == p.tp {
				p.Rows += seg.found.rows
			}
		}
	}
}
