package verify

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// replays are the rows that replays of dead letters brought. They have the coordinates of their records, in
// ranges that count these as dead letters, so they are told apart by the dead-letter table: it says which letters
// are resolved.
type replays struct {
	// marks are the offsets of resolved letters.
	marks map[place]*roaring64.Bitmap
	// sums are, for each place, what the ledger says of its replays and what files hold.
	sums map[place]*segment
}

// newReplays takes what the ledger says.
func (c *check) newReplays() replays {
	r := replays{marks: map[place]*roaring64.Bitmap{}, sums: map[place]*segment{}}
	for _, tp := range sorted(c.totals) {
		of, ok := commit.ReplayedBy(tp)
		if !ok {
			continue
		}
		t, key := c.totals[tp], place{of.Topic, of.Partition}
		sum := r.sums[key]
		if sum == nil {
			sum = &segment{tp: tp}
			r.sums[key] = sum
		}
		sum.ranges++
		sum.next += t.Next - t.From
		sum.wantRows += t.Counts.Inserted
		sum.wantChecksum += t.Checksum
		if d := c.totals[of].Counts.DeadLetters; d < int64(t.Next) {
			f := at(tp, FaultDeadLetters, t.From, t.Next)
			f.Text = fmt.Sprintf("%d dead letters are resolved, and %d were counted", t.Next, d)
			c.report.fault(f)
		}
	}
	return r
}

// isMarked says of a place whether the dead-letter table tells of each letter that was resolved.
func (r replays) isMarked(key place) bool {
	sum := r.sums[key]
	return sum == nil || r.marks[key] != nil && r.marks[key].GetCardinality() >= uint64(sum.next)
}

// mark notes the letters of a batch that are resolved, and returns the other rows of it.
func (r replays) mark(batch arrow.RecordBatch, twice func(place, commit.Offset)) (others []int) {
	class, ok1 := column(batch, "error_class").(*array.String)
	topic, ok2 := column(batch, letterCoordinates.topic).(*array.String)
	partition, ok3 := column(batch, letterCoordinates.partition).(*array.Int32)
	offset, ok4 := column(batch, letterCoordinates.offset).(*array.Int64)
	for row := range int(batch.NumRows()) {
		if !ok1 || !ok2 || !ok3 || !ok4 || class.Value(row) != commit.ClassResolved {
			others = append(others, row)
			continue
		}
		key := place{topic.Value(row), partition.Value(row)}
		if r.marks[key] == nil {
			r.marks[key] = roaring64.New()
		}
		if !r.marks[key].CheckedAdd(uint64(offset.Value(row))) {
			twice(key, commit.Offset(offset.Value(row)))
		}
	}
	return others
}

// run counts rows with consecutive offsets from first on: those of resolved letters here, the others in their
// segments. It returns how many have a place.
func (r replays) run(key place, here *segments, first commit.Offset, sums []uint64, in origin) (placed int64) {
	marks, sum := r.marks[key], r.sums[key]
	if marks == nil || sum == nil {
		return here.run(first, sums, in)
	}
	for i := 0; i < len(sums); {
		j, marked := i, marks.Contains(uint64(first)+uint64(i))
		for j < len(sums) && marks.Contains(uint64(first)+uint64(j)) == marked {
			j++
		}
		if marked {
			sum.take(0, sums[i:j])
			here.seeEach(first+commit.Offset(i), commit.Offset(j-i), in)
			placed += int64(j - i)
		} else {
			placed += here.run(first+commit.Offset(i), sums[i:j], in)
		}
		i = j
	}
	return placed
}

// markPending reads the dead letters that are decided and that their table does not show yet.
func (c *check) markPending(ctx context.Context) error {
	for _, p := range c.ledger.Pending {
		if p.Sequence <= c.applied || c.opts.DeadLetters == nil {
			continue
		}
		err := guard(func() error { return c.markManifests(ctx, p) })
		switch {
		case err == nil:
		case c.store.cause() != nil:
			return fmt.Errorf("read dead letters that are not published: %w", err)
		default:
			c.report.faultf(FaultDeadLetters, "dead letters that are not published: %v", err)
		}
	}
	return nil
}

func (c *check) markManifests(ctx context.Context, p commit.Pending) error {
	for _, m := range p.ManifestFiles() {
		entries, err := table.ManifestEntries(ctx, c.store, m)
		if err != nil {
			return err
		}
		for _, e := range entries {
			task := table.Task{File: e.DataFile(), Schema: c.opts.DeadLetters.Metadata().CurrentSchema()}
			for batch, err := range table.Read(ctx, c.store, task) {
				if err != nil {
					return err
				}
				c.replays.mark(batch, c.markedTwice)
			}
		}
	}
	return nil
}

func (c *check) markedTwice(key place, offset commit.Offset) {
	c.report.fault(Fault{Kind: FaultDeadLetters, Topic: key.topic, Partition: key.partition, From: offset,
		Next: offset + 1, Text: "the dead letter was resolved more than once"})
}

// compareReplays holds the rows of replays against the ledger. Where others removed what tells them apart, all rows of
// the place are one sum.
func (c *check) compareReplays(key place, s *segments, all *comparison) {
	sum := c.replays.sums[key]
	if c.replays.isMarked(key) {
		for i := range s.list {
			c.compareSegment(key, &s.list[i], all)
		}
		if sum != nil {
			c.compareSegment(place{sum.tp.Topic, key.partition}, sum, all)
		}
		return
	}
	whole := *sum
	for _, seg := range s.list {
		whole.next = max(whole.next, seg.next)
		whole.wantRows += seg.wantRows
		whole.wantChecksum += seg.wantChecksum
		whole.found.rows += seg.found.rows
		whole.found.checksum += seg.found.checksum
	}
	c.note("%s-%d: others removed dead letters that were resolved: all its rows are compared as one sum", key.topic,
		key.partition)
	c.compareSegment(key, &whole, all)
}
