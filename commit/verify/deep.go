package verify

import (
	"cmp"
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

// coordinates are the names of the columns that say where a row comes from.
type coordinates struct{ topic, partition, offset string }

var (
	rowCoordinates    = coordinates{"_kafka_topic", "_kafka_partition", "_kafka_offset"}
	letterCoordinates = coordinates{"topic", "partition", "offset"}
)

// tallied is what deep reading found, guarded while files are read side by side.
type tallied struct {
	names coordinates
	// replays are told apart from other rows; of letters, those that are resolved are noted in it.
	replays replays
	letters *check // not nil while letters are read
	// changes is the topic of changes, whose ordinals place rows; "" for other tables.
	changes string

	mu       sync.Mutex // guards what follows
	places   map[place]*segments
	checksum uint64 // of all rows in our files, for tables without coordinates
	deleted  int64  // rows that delete files take out
	foreign  int64  // rows of others that are not records of ours
	astray   map[string]int64
	faults   []Fault
}

// deep reads every file and compares rows and checksums with the ledger, then with the log.
func (c *check) deep(ctx context.Context) error {
	if !c.opts.Deep {
		return nil
	}
	if !c.listed {
		c.note("files are not read, since what lists them is damaged")
		return nil
	}
	rows := func(n commit.Counts) int64 { return n.Inserted + n.Updated }
	c.replays = c.newReplays()
	letters, err := c.readLetters(ctx)
	if err != nil {
		return err
	}
	found := &tallied{names: rowCoordinates, places: c.segments(rows), astray: map[string]int64{}, replays: c.replays}
	if c.opts.ChangesOf != nil {
		found.changes = commit.ChangesOf(c.opts.ChangesOf).Topic
	}
	spans, err := c.askLog(ctx, found)
	if err != nil {
		return err
	}
	if err := c.readTable(ctx, c.table, c.files, found); err != nil {
		return err
	}
	if c.placed() {
		c.comparePlaces(found)
	} else {
		c.compareTotal(found)
	}
	if err := c.compareLog(ctx, spans); err != nil {
		return err
	}
	if err := c.compareKeys(ctx); err != nil {
		return err
	}
	if err := c.foldChanges(ctx); err != nil {
		return err
	}
	c.compareLetters(letters)
	return nil
}

// placed says whether the table has the columns that place its rows.
func (c *check) placed() bool {
	if c.opts.ChangesOf != nil {
		return true
	}
	schema := c.meta.CurrentSchema()
	for _, name := range []string{rowCoordinates.topic, rowCoordinates.partition, rowCoordinates.offset} {
		if _, ok := schema.FindFieldByName(name); !ok {
			return false
		}
	}
	return true
}

// segments makes a segment of every range; count says how many rows its counts make.
func (c *check) segments(count func(commit.Counts) int64) map[place]*segments {
	places := map[place]*segments{}
	add := func(tp commit.TopicPartition, r commit.Range, snapshotID int64) {
		if _, replays := commit.ReplayedBy(tp); replays || r.Next <= r.From {
			return
		}
		key := place{tp.Topic, tp.Partition}
		if places[key] == nil {
			places[key] = newSegments()
		}
		places[key].add(tp, r, snapshotID, count(r.Counts))
	}
	for tp, r := range c.expired {
		add(tp, r, 0)
	}
	for _, s := range c.steps {
		for tp, r := range s.ranges {
			add(tp, r, s.snapshotID)
		}
	}
	for _, s := range places {
		s.arrange()
	}
	return places
}

// readTable reads the files of a table that are whole, several side by side.
func (c *check) readTable(ctx context.Context, t *table.Table, files []liveFile, found *tallied) error {
	var tasks []table.Task
	err := guard(func() (err error) { tasks, err = table.Plan(ctx, t, c.store, table.Scan{}); return err })
	if err != nil {
		return err
	}
	whole := map[string]*liveFile{}
	for i := range files {
		if f := &files[i]; !f.broken && !f.deletes {
			whole[f.name] = f
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Parallel)
	done, total := 0, len(whole)
	for _, task := range tasks {
		file := whole[task.File.FilePath()]
		delete(whole, task.File.FilePath()) // once, however often it is listed
		if file == nil {
			continue
		}
		group.Go(func() error {
			if err := c.readFile(ctx, task, file, found); err != nil {
				return err
			}
			found.mu.Lock()
			defer found.mu.Unlock()
			if done++; c.opts.Progress != nil {
				c.opts.Progress(done, total)
			}
			return nil
		})
	}
	err = group.Wait()
	slices.SortStableFunc(found.faults, func(a, b Fault) int { return strings.Compare(a.File, b.File) })
	c.report.Faults = append(c.report.Faults, found.faults...)
	return err
}

// readFile reads one file. What its bytes do wrong is a fault; what the store does wrong is the error.
func (c *check) readFile(ctx context.Context, task table.Task, file *liveFile, found *tallied) error {
	var rows int64
	err := guard(func() error {
		sums, err := table.NewChecksummer(task.Schema)
		if err != nil {
			return err
		}
		var buffer []uint64
		for batch, err := range table.Read(ctx, c.store, task) {
			if err != nil {
				return err
			}
			rows += batch.NumRows()
			if buffer, err = sums.Rows(buffer[:0], batch); err != nil {
				return err
			}
			found.count(batch, buffer, file)
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && c.store.cause() != nil:
		return err
	case err != nil:
		found.fault(Fault{Kind: FaultChangedFile, File: file.name, SnapshotID: file.snapshotID, Text: err.Error()})
	case rows > file.rows, rows < file.rows && len(task.Deletes)+len(task.EqualityDeletes) == 0:
		found.fault(Fault{Kind: FaultChangedFile, File: file.name, SnapshotID: file.snapshotID,
			Text: fmt.Sprintf("it has %d rows, its manifest says %d", rows, file.rows)})
	default:
		found.mu.Lock()
		found.deleted += file.rows - rows
		found.mu.Unlock()
	}
	return nil
}

func (t *tallied) fault(f Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, f)
}

// count puts the rows of a batch where they belong.
func (t *tallied) count(batch arrow.RecordBatch, sums []uint64, file *liveFile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !file.foreign {
		for _, sum := range sums {
			t.checksum += sum
		}
	}
	placed := int64(0)
	topic, ok1 := column(batch, t.names.topic).(*array.String)
	partition, ok2 := column(batch, t.names.partition).(*array.Int32)
	offset, ok3 := column(batch, t.names.offset).(*array.Int64)
	switch {
	case t.letters != nil:
		placed = t.placeLetters(batch, runner{topic, partition, offset}, sums, origin{file.name, file.snapshotID})
	case t.changes != "":
		placed = t.placeChanges(batch, sums, origin{file.name, file.snapshotID})
	case ok1 && ok2 && ok3:
		placed = t.place(runner{topic, partition, offset}, sums, origin{file.name, file.snapshotID})
	}
	left := batch.NumRows() - placed
	switch {
	case left == 0:
	case file.foreign:
		t.foreign += left
	default:
		t.astray[file.name] += left
	}
}

// runner finds runs of rows of one place with consecutive offsets.
type runner struct {
	topic     *array.String
	partition *array.Int32
	offset    *array.Int64
}

// end returns where the run that begins at row i ends.
func (r runner) end(i int) int {
	j := i + 1
	for j < r.offset.Len() && r.valid(j) && r.offset.Value(j) == r.offset.Value(j-1)+1 &&
		r.partition.Value(j) == r.partition.Value(i) && r.topic.Value(j) == r.topic.Value(i) {
		j++
	}
	return j
}

func (r runner) valid(i int) bool {
	return r.topic.IsValid(i) && r.partition.IsValid(i) && r.offset.IsValid(i)
}

// place adds rows to their segments and returns how many have one.
func (t *tallied) place(r runner, sums []uint64, in origin) (placed int64) {
	for i := 0; i < len(sums); {
		if !r.valid(i) {
			i++
			continue
		}
		j := r.end(i)
		key := place{r.topic.Value(i), r.partition.Value(i)}
		if here := t.places[key]; here != nil {
			placed += t.replays.run(key, here, commit.Offset(r.offset.Value(i)), sums[i:j], in)
		}
		i = j
	}
	return placed
}

func column(batch arrow.RecordBatch, name string) arrow.Array {
	if at := batch.Schema().FieldIndices(name); len(at) == 1 {
		return batch.Column(at[0])
	}
	return nil
}

func sortedPlaces(places map[place]*segments) []place {
	return slices.SortedFunc(maps.Keys(places), comparePlaces)
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}
