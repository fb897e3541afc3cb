package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
)

// Log recounts what a log still has. It decodes and filters as ingest does. Its methods may be called
// from several goroutines.
type Log interface {
	// Earliest returns the first offset that is still there, and false when the log has another
	// incarnation of the topic or none.
	Earliest(ctx context.Context, tp commit.TopicPartition) (commit.Offset, bool, error)
	// Recount reads a stretch again and returns what became of it.
	Recount(ctx context.Context, again Again) (commit.Range, error)
}

// Again is a stretch of a log that is to be read again.
type Again struct {
	TopicPartition commit.TopicPartition
	From, Next     commit.Offset
	// SchemaID is the table's schema that it is decoded with.
	SchemaID int
	// Resolved are offsets of dead letters that replays have dealt with; nil is none. They count as dead letters,
	// whatever the spec makes of them by now: that it makes something else may be why they were replayed.
	Resolved *roaring64.Bitmap
}

// stretch is what the log still has of one range, or the retained end of it.
type stretch struct {
	tp         commit.TopicPartition
	snapshotID int64
	from, next commit.Offset
	// schemas are the ids of those that the records may have been decoded with, likely ones first.
	schemas []int
	// want is what the ledger says of the whole stretch; nil when it is the end of a range, whose
	// rows are held against those in files.
	want    *commit.Range
	segment *segment
	// keyed says that records are versions of rows: what became of each depends on those before it.
	keyed bool
}

// askLog finds what the log still has. It marks in found where retained ends of ranges begin, so it is
// called before files are read.
func (c *check) askLog(ctx context.Context, found *tallied) ([]stretch, error) {
	if c.opts.Log == nil {
		return nil, nil
	}
	var spans []stretch
	for _, tp := range sorted(c.totals) {
		if _, replays := commit.ReplayedBy(tp); replays {
			continue // its records are those of the topic, which counts them as dead letters
		}
		if _, own := commit.BackfillID(tp); own {
			c.note("%s: %d rows of files, which are not read again", tp, c.totals[tp].Counts.Inserted)
			continue
		}
		first, ok, err := c.opts.Log.Earliest(ctx, tp)
		if err != nil {
			if err := c.logTrouble(ctx, tp, err); err != nil {
				return nil, err
			}
			continue
		}
		if !ok {
			c.note("%s: not compared with the log: no source reads it, or the topic is another one now", tp)
			continue
		}
		spans = c.span(spans, stretch{tp: tp, schemas: c.schemasBefore()}, c.expired[tp], first, found)
		for i, s := range c.steps {
			if r, moved := s.ranges[tp]; moved {
				spans = c.span(spans, stretch{tp: tp, snapshotID: s.snapshotID, schemas: c.schemasOf(i)},
					r, first, found)
			}
		}
	}
	return spans, nil
}

// logTrouble notes that the log could not be read, or returns it as an error where it has to be.
func (c *check) logTrouble(ctx context.Context, tp commit.TopicPartition, err error) error {
	if ctx.Err() != nil || c.opts.LogRequired {
		return fmt.Errorf("read %s from the log: %w", tp, err)
	}
	c.note("%s: the log could not be read: %v", tp, err)
	return nil
}

// span adds what the log still has of a range.
func (c *check) span(
	spans []stretch, s stretch, r commit.Range, first commit.Offset, found *tallied,
) []stretch {
	s.from, s.next = max(r.From, first), r.Next
	if s.next <= s.from || r.Validate() != nil {
		return spans
	}
	if r.Counts.Lost > 0 || r.Counts.SampledOut > 0 {
		c.note("%s: offsets %d to %d are not compared with the log: some were lost or sampled out",
			s.tp, r.From, r.Next-1)
		return spans
	}
	if s.from == r.From {
		s.want = &r
		return append(spans, s)
	}
	if c.keyed() {
		return spans // which of its rows are still there depends on all that follow
	}
	here := found.places[place{s.tp.Topic, s.tp.Partition}]
	if !c.placed() || here == nil || !here.mark(s.from) {
		return spans // nothing in files can be told apart for it
	}
	s.segment = here.find(s.from)
	return append(spans, s)
}

// schemasOf are the schemas that the records of step i may have been decoded with: that of its snapshot,
// or the one before, when the schema changed while the checkpoint was filled.
func (c *check) schemasOf(i int) []int {
	schemas := []int{c.steps[i].schemaID}
	if i > 0 && c.steps[i-1].schemaID != schemas[0] {
		schemas = append(schemas, c.steps[i-1].schemaID)
	} else if i == 0 {
		schemas = append(schemas, c.schemasBefore()...)
	}
	return slices.Compact(schemas)
}

// schemasBefore are those of expired ranges, of which nothing is known but that they are no newer than
// the oldest snapshot's. More than a few are not tried.
func (c *check) schemasBefore() []int {
	newest := c.meta.CurrentSchema().ID
	if len(c.steps) > 0 {
		newest = c.steps[0].schemaID
	}
	schemas := []int{newest}
	for _, s := range c.meta.Schemas() {
		if s.ID < newest && len(schemas) < schemasMax {
			schemas = append(schemas, s.ID)
		}
	}
	return schemas
}

const schemasMax = 3

// compareLog decodes what the log still has and compares it with the ledger, or with the rows in files.
func (c *check) compareLog(ctx context.Context, spans []stretch) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Parallel)
	verdicts := make([]verdict, len(spans))
	for i, s := range spans {
		s.keyed = c.keyed()
		if s.segment != nil && c.report.RemovedByOthers+c.replaced() > 0 {
			verdicts[i].skip = true
			c.note("%s: offsets %d to %d are not compared with the log: rows of them were removed",
				s.tp, s.from, s.next-1)
			continue
		}
		group.Go(func() error {
			verdicts[i], verdicts[i].err = c.recount(running, s)
			return running.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, s := range spans {
		if err := c.tellLog(ctx, s, verdicts[i]); err != nil {
			return err
		}
	}
	return nil
}

// verdict is what the log says of a stretch.
type verdict struct {
	err   error // the log could not be read
	skip  bool
	equal bool
	gone  int64 // offsets that had a record and have none now
	again commit.Range
}

// recount tries the schemas until one gives what was committed; the first is the one to report.
func (c *check) recount(ctx context.Context, s stretch) (verdict, error) {
	var first verdict
	stretch := Again{TopicPartition: s.tp, From: s.from, Next: s.next}
	if _, replayed := c.totals[commit.ReplaysOf(s.tp)]; replayed {
		stretch.Resolved = c.replays.marks[place{s.tp.Topic, s.tp.Partition}]
	}
	for i, schema := range s.schemas {
		stretch.SchemaID = schema
		again, err := c.opts.Log.Recount(ctx, stretch)
		if err != nil {
			return first, err
		}
		v := s.judge(again)
		if v.equal || v.gone > 0 {
			return v, nil
		}
		if i == 0 {
			first = v
		}
	}
	return first, nil
}

func (s *stretch) judge(again commit.Range) verdict {
	v := verdict{again: again}
	if s.want != nil {
		v.gone = max(0, again.Counts.Absent-s.want.Counts.Absent)
		if s.keyed {
			v.equal = versionsOf(again.Counts) == versionsOf(s.want.Counts)
			return v
		}
		v.equal = again.Counts == s.want.Counts && again.Checksum == s.want.Checksum
		return v
	}
	rows := again.Counts.Inserted + again.Counts.Updated
	v.equal = rows == s.segment.tail.rows && again.Checksum == s.segment.tail.checksum
	if rows < s.segment.tail.rows {
		v.gone = min(s.segment.tail.rows-rows, again.Counts.Absent)
	}
	return v
}

// versionsOf counts what is decided against the rows of before together: compareKeys looks at what it came to.
func versionsOf(counts commit.Counts) commit.Counts {
	counts.Inserted += counts.Updated + counts.Deleted + counts.Superseded + counts.Tombstones
	counts.Updated, counts.Deleted, counts.Superseded, counts.Tombstones = 0, 0, 0, 0
	return counts
}

func (c *check) tellLog(ctx context.Context, s stretch, v verdict) error {
	switch {
	case v.skip:
	case v.err != nil:
		return c.logTrouble(ctx, s.tp, v.err)
	case v.equal:
		for i := range c.report.Partitions {
			if p := &c.report.Partitions[i]; p.tp == s.tp {
				p.Retained += int64(s.next - s.from)
			}
		}
	case v.gone > 0:
		c.note("%s: offsets %d to %d are not compared with the log: "+
			"%d of their records are gone from it, as by compaction",
			s.tp, s.from, s.next-1, v.gone)
	default:
		f := at(s.tp, FaultLog, s.from, s.next)
		f.SnapshotID = s.snapshotID
		f.Text = s.difference(v.again) + "; when the spec's filter, format or policies changed since, this is" +
			" what they make of old records"
		c.report.fault(f)
	}
	return nil
}

func (s *stretch) difference(again commit.Range) string {
	rows := again.Counts.Inserted + again.Counts.Updated
	if s.want == nil {
		return fmt.Sprintf("the log's records give %d rows with checksum %x, files hold %d with %x",
			rows, again.Checksum, s.segment.tail.rows, s.segment.tail.checksum)
	}
	if again.Counts != s.want.Counts {
		return fmt.Sprintf("the log's records give %s, the ledger says %s", again.Counts, s.want.Counts)
	}
	return fmt.Sprintf("the log's records give %d rows with checksum %x, the ledger says %x",
		rows, again.Checksum, s.want.Checksum)
}
