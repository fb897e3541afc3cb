package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// Log recounts what a log still has. It decodes and filters as ingest does.
type Log interface {
	// Earliest returns the first offset that is still there, and false when the log has another
	// incarnation of the topic or none.
	Earliest(ctx context.Context, tp commit.TopicPartition) (commit.Offset, bool, error)
	// Recount reads [from, next) again and returns what became of it.
	Recount(ctx context.Context, tp commit.TopicPartition, from, next commit.Offset) (commit.Range, error)
}

// The columns that say where a row comes from.
const (
	topicColumn     = "_kafka_topic"
	partitionColumn = "_kafka_partition"
	offsetColumn    = "_kafka_offset"
)

// tallied is what deep reading found, guarded while files are read side by side.
type tallied struct {
	mu       sync.Mutex
	places   map[place]*segments
	checksum uint64 // of all rows, for tables without coordinates
	unplaced int64  // rows whose coordinates are null or unknown
}

// deep reads every file of ours and compares rows and checksums with the ledger, then with the log.
func (c *check) deep(ctx context.Context) error {
	if !c.opts.Deep {
		return nil
	}
	found := &tallied{places: c.segments()}
	earliest, err := c.cutAtLog(ctx, found)
	if err != nil {
		return err
	}
	if err := c.readFiles(ctx, found); err != nil {
		return err
	}
	if !c.placed() {
		c.compareTotal(found)
		return nil
	}
	c.comparePlaces(found)
	return c.compareLog(ctx, found, earliest)
}

// placed says whether the table has the columns that place its rows.
func (c *check) placed() bool {
	schema := c.meta.CurrentSchema()
	for _, name := range []string{topicColumn, partitionColumn, offsetColumn} {
		if _, ok := schema.FindFieldByName(name); !ok {
			return false
		}
	}
	return true
}

func (c *check) segments() map[place]*segments {
	places := map[place]*segments{}
	of := func(tp commit.TopicPartition) *segments {
		key := place{tp.Topic, tp.Partition}
		if places[key] == nil {
			places[key] = newSegments()
		}
		return places[key]
	}
	for tp, f := range c.ledger.Folded {
		if f.Next > f.From {
			of(tp).add(f.Range, 0)
		}
	}
	for _, s := range c.steps {
		for tp, r := range s.ranges {
			if r.Next > r.From {
				of(tp).add(r, s.snapshotID)
			}
		}
	}
	for _, s := range places {
		s.sort()
	}
	return places
}

// cutAtLog marks what the log still has. A place with two incarnations is left out.
func (c *check) cutAtLog(ctx context.Context, found *tallied) (map[commit.TopicPartition]commit.Offset, error) {
	earliest := map[commit.TopicPartition]commit.Offset{}
	if c.opts.Log == nil || !c.placed() {
		return earliest, nil
	}
	for _, tp := range sorted(c.laid) {
		first, ok, err := c.opts.Log.Earliest(ctx, tp)
		if err != nil {
			return nil, fmt.Errorf("ask the log for %s: %w", tp, err)
		}
		if !ok {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("%s: the log has it no more", tp))
			continue
		}
		first = max(first, c.laid[tp].From)
		if first < c.laid[tp].Next {
			earliest[tp] = first
			found.places[place{tp.Topic, tp.Partition}].cut(first)
		}
	}
	return earliest, nil
}

// readFiles reads our files, several side by side.
func (c *check) readFiles(ctx context.Context, found *tallied) error {
	tasks, err := table.Plan(ctx, c.table, c.store, table.Scan{})
	if err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, f := range c.files {
		if !f.foreign && !f.missing && !f.deletes {
			ours[f.file.FilePath()] = true
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(c.opts.Parallel, parallelDefault))
	done := 0
	for _, task := range tasks {
		if !ours[task.File.FilePath()] {
			continue
		}
		group.Go(func() error {
			if err := c.readFile(ctx, task, found); err != nil {
				if ctx.Err() != nil {
					return err
				}
				found.mu.Lock()
				c.report.fault(Fault{Kind: FaultChangedFile, File: task.File.FilePath(), Text: err.Error()})
				found.mu.Unlock()
			}
			found.mu.Lock()
			defer found.mu.Unlock()
			if done++; c.opts.Progress != nil {
				c.opts.Progress(done, len(ours))
			}
			return nil
		})
	}
	return group.Wait()
}

func (c *check) readFile(ctx context.Context, task table.Task, found *tallied) error {
	sums, err := table.NewChecksummer(c.meta.CurrentSchema())
	if err != nil {
		return err
	}
	var rows int64
	var buffer []uint64
	for batch, err := range table.Read(ctx, c.store, task) {
		if err != nil {
			return err
		}
		rows += batch.NumRows()
		if buffer, err = sums.Rows(buffer[:0], batch); err != nil {
			return err
		}
		found.count(batch, buffer)
	}
	if rows != task.File.Count() && len(task.Deletes) == 0 {
		found.mu.Lock()
		c.report.fault(Fault{Kind: FaultChangedFile, File: task.File.FilePath(),
			Text: fmt.Sprintf("it has %d rows, its manifest says %d", rows, task.File.Count())})
		found.mu.Unlock()
	}
	return nil
}

// count puts the rows of a batch where they belong.
func (t *tallied) count(batch arrow.RecordBatch, sums []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sum := range sums {
		t.checksum += sum
	}
	topic, ok1 := column(batch, topicColumn).(*array.String)
	partition, ok2 := column(batch, partitionColumn).(*array.Int32)
	offset, ok3 := column(batch, offsetColumn).(*array.Int64)
	if !ok1 || !ok2 || !ok3 {
		t.unplaced += batch.NumRows()
		return
	}
	var key place
	var here *segments
	for i, sum := range sums {
		if topic.IsNull(i) || partition.IsNull(i) || offset.IsNull(i) {
			t.unplaced++
			continue
		}
		if here == nil || key.partition != partition.Value(i) || key.topic != topic.Value(i) {
			// The key outlives the batch, whose memory the name points into.
			key = place{strings.Clone(topic.Value(i)), partition.Value(i)}
			if here = t.places[key]; here == nil {
				here = newSegments()
				t.places[key] = here
			}
		}
		here.row(commit.Offset(offset.Value(i)), sum)
	}
}

func column(batch arrow.RecordBatch, name string) arrow.Array {
	if at := batch.Schema().FieldIndices(name); len(at) == 1 {
		return batch.Column(at[0])
	}
	return nil
}

func sortedPlaces(places map[place]*segments) []place {
	return slices.SortedFunc(maps.Keys(places), func(a, b place) int {
		if c := strings.Compare(a.topic, b.topic); c != 0 {
			return c
		}
		return int(a.partition) - int(b.partition)
	})
}
