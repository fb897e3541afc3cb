package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// watchedStore is the catalog's database, whose swaps of keyed tables are looked at as they land.
type watchedStore struct {
	catalog.Store
	world *world
}

// Apply implements catalog.Store.
func (s watchedStore) Apply(ctx context.Context, ops ...catalog.Op) error {
	if err := s.Store.Apply(ctx, ops...); err != nil {
		return err
	}
	for _, op := range ops {
		swap, is := op.(catalog.SwapEntry)
		if !is {
			continue
		}
		for _, f := range s.world.feeds {
			if f.keyed && slices.Equal(swap.Ident, f.ident) {
				s.world.fault = errors.Join(s.world.fault, s.world.observe(context.WithoutCancel(ctx), f))
			}
		}
	}
	return nil
}

// tally counts the snapshots of keyed tables that were held against the model, by what made them, and what else
// there was.
type tally [tallies]int64

const (
	total = iota
	checkpoints
	byOthers
	rewrites
	rebased
	expiries
	kills
	imagesFolded
	tallies
)

func (t *tally) add(other tally) {
	for i, n := range other {
		t[i] += n
	}
}

func (t tally) String() string {
	return fmt.Sprintf("%d snapshots as the model: %d checkpoints, %d of others, %d rewrites (%d rebased), "+
		"%d expiries of rows; %d kills, %d changes folded", t[total], t[checkpoints], t[byOthers], t[rewrites],
		t[rebased], t[expiries], t[kills], t[imagesFolded])
}

// observed is what the world knows of a keyed table, snapshot by snapshot.
type observed struct {
	head     int64 // snapshot
	contents contents
	// intended is what the commit of others that lands next leaves, nil when none is to land.
	intended *contents
	// overwritten says that others changed rows and left them the places of their records.
	overwritten bool
	// loose says that others deleted rows by files that are about several data files.
	loose bool
	// past are the rows at the snapshots before, by sequence number.
	past  map[int64]past
	last  int64 // sequence number
	plans table.PlanCache
	// files are the rows of data files by name, deleted the deleted positions that delete files tell.
	files   map[string][]version
	deleted map[string]*dv.RoaringPositionBitmap
}

// past is what a snapshot had.
type past struct {
	id       int64
	contents contents
}

func newObserved() *observed {
	return &observed{contents: newContents(), past: map[int64]past{}, plans: table.PlanCache{Reads: 1},
		files: map[string][]version{}, deleted: map[string]*dv.RoaringPositionBitmap{}}
}

// observe holds the newest snapshot of a table against the model.
func (w *world) observe(ctx context.Context, f *feed) error {
	t, err := w.healthy.LoadTable(ctx, f.ident)
	if err != nil {
		return err
	}
	s := t.Metadata().CurrentSnapshot()
	if s == nil || s.SnapshotID == f.seen.head {
		return nil
	}
	if parent := s.ParentSnapshotID; f.seen.head != 0 && (parent == nil || *parent != f.seen.head) {
		return fmt.Errorf("snapshot %d of %s does not follow %d", s.SnapshotID, t, f.seen.head)
	}
	found, err := w.contentsOf(ctx, f, t)
	if err == nil {
		err = w.foresee(ctx, f, s, found)
	}
	if err == nil {
		err = f.seen.contents.compare(found)
	}
	if err != nil {
		return fmt.Errorf("snapshot %d of %s (%s, sequence number %d, %+v, %+v): %w", s.SnapshotID, t,
			s.Summary.Operation, s.SequenceNumber, f.engine, w.keeping, err)
	}
	f.seen.contents.order(found)
	f.seen.head = s.SnapshotID
	f.seen.last, f.seen.past[s.SequenceNumber] = s.SequenceNumber, past{s.SnapshotID, f.seen.contents}
	w.tally[total]++
	return nil
}

// foresee works out from the model what a snapshot should hold.
func (w *world) foresee(ctx context.Context, f *feed, s *icetable.Snapshot, found map[int64][]version) error {
	if !commit.IsFirth(s) {
		if f.seen.intended == nil {
			return errors.New("nobody made it")
		}
		f.seen.contents, f.seen.intended = *f.seen.intended, nil
		w.tally[byOthers]++
		return nil
	}
	next := f.seen.contents.clone()
	f.seen.contents = next
	if s.Summary.Operation == icetable.OpReplace {
		w.tally[rewrites]++
		return nil
	}
	if before := s.Summary.Properties[commit.SummaryExpiredBefore]; before != "" {
		w.tally[expiries]++
		return next.age(s.Summary.Properties, found, f.seen.loose)
	}
	ranges, err := commit.SnapshotRanges(ctx, w.objects, s)
	if err != nil {
		return err
	}
	if records := w.arrivals(f, ranges); len(records) > 0 {
		w.tally[checkpoints]++
		w.tracef("snapshot %d takes %v", s.SnapshotID, records)
		next.take(&f.engine, records)
	}
	return nil
}

// age takes out the rows that firth took out since they were too old. Rows that came while it looked stay. When
// others had deleted some by files that are about several data files, its summary may tell of more.
func (c contents) age(summary iceberg.Properties, found map[int64][]version, loose bool) error {
	before, err := time.Parse(time.RFC3339Nano, summary[commit.SummaryExpiredBefore])
	if err != nil {
		return err
	}
	told, err := strconv.Atoi(summary[commit.SummaryExpiredRows])
	if err != nil {
		return err
	}
	gone := 0
	for id, rows := range c.rows {
		left := slices.DeleteFunc(slices.Clone(rows), func(r version) bool {
			born := r.cells[colBorn]
			return born.set && born.value < before.UnixMicro() && !slices.Contains(found[id], r)
		})
		gone += len(rows) - len(left)
		c.rows[id] = left
		c.settle(id)
	}
	if gone > told || gone < told && !loose {
		return fmt.Errorf("%d rows are too old and gone, its summary says %d", gone, told)
	}
	return nil
}

// contentsOf reads the rows of the newest snapshot, those of a key by age: by the sequence numbers of their files,
// then by the names of the files, then as they lie there.
func (w *world) contentsOf(ctx context.Context, f *feed, t *table.Table) (map[int64][]version, error) {
	tasks, err := f.seen.plans.Plan(ctx, t, w.objects, table.Scan{})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tasks, func(a, b table.Task) int {
		return cmp.Or(cmp.Compare(a.SequenceNumber, b.SequenceNumber),
			cmp.Compare(a.File.FilePath(), b.File.FilePath()))
	})
	found := map[int64][]version{}
	for _, task := range tasks {
		placed, err := w.rowsIn(ctx, f, task)
		if err != nil {
			return nil, err
		}
		for _, row := range placed {
			found[row.id] = append(found[row.id], row.version)
		}
	}
	return found, nil
}

// placed is a row and its position in its file.
type placed struct {
	version
	pos int64
}

// rowsIn are the live rows of a file. Files do not change, so each is read once; where equality deletes apply
// the reader says what they leave, and positions are not known.
func (w *world) rowsIn(ctx context.Context, f *feed, task table.Task) ([]placed, error) {
	path := task.File.FilePath()
	if len(task.EqualityDeletes) > 0 {
		rows, err := w.versionsIn(ctx, task)
		return slices.Collect(func(yield func(placed) bool) {
			for _, row := range rows {
				if !yield(placed{row, -1}) {
					return
				}
			}
		}), err
	}
	rows, known := f.seen.files[path]
	if !known {
		whole := task
		whole.Deletes = nil
		var err error
		if rows, err = w.versionsIn(ctx, whole); err != nil {
			return nil, err
		}
		f.seen.files[path] = rows
	}
	deleted, err := w.deletedIn(ctx, f, task)
	if err != nil {
		return nil, err
	}
	var out []placed
	for pos, row := range rows {
		if deleted == nil || !deleted.Contains(uint64(pos)) {
			out = append(out, placed{row, int64(pos)})
		}
	}
	return out, nil
}

// deletedIn are the deleted positions of a file, nil for none.
func (w *world) deletedIn(ctx context.Context, f *feed, task table.Task) (*dv.RoaringPositionBitmap, error) {
	if len(task.Deletes) == 0 {
		return nil, nil
	}
	name := task.File.FilePath()
	for _, d := range task.Deletes {
		name += " " + d.FilePath()
		if at := d.ContentOffset(); at != nil {
			name += fmt.Sprint(" ", *at)
		}
	}
	deleted, known := f.seen.deleted[name]
	if known {
		return deleted, nil
	}
	deleted, err := table.ReadDeletes(ctx, w.objects, task.File.FilePath(), task.Deletes)
	if err == nil {
		f.seen.deleted[name] = deleted
	}
	return deleted, err
}

// versionsIn reads the rows of a file.
func (w *world) versionsIn(ctx context.Context, task table.Task) (rows []version, err error) {
	for batch, err := range table.Read(ctx, w.objects, task) {
		if err != nil {
			return nil, err
		}
		rows = appendVersions(rows, batch)
	}
	return rows, nil
}

// appendVersions adds the rows of a batch.
func appendVersions(rows []version, batch arrow.RecordBatch) []version {
	ids := columnOf(batch, "id").(*array.Int64)
	partitions := columnOf(batch, "_kafka_partition").(*array.Int32)
	offsets := columnOf(batch, "_kafka_offset").(*array.Int64)
	var columns [columnCount]arrow.Array
	for i, name := range columnNames {
		columns[i] = columnOf(batch, name)
	}
	for i := range int(batch.NumRows()) {
		row := version{id: ids.Value(i), at: nowhere}
		if offsets.IsValid(i) {
			row.at = where{partitions.Value(i), offsets.Value(i)}
		}
		for c, values := range columns {
			if values != nil && values.IsValid(i) {
				row.cells[c] = cellOf(valueOf(values, i))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// valueOf is the number that stands for a value in the model.
func valueOf(values arrow.Array, i int) int64 {
	switch a := values.(type) {
	case *array.Int64:
		return a.Value(i)
	case *array.Timestamp:
		return int64(a.Value(i))
	case *array.Boolean:
		if a.Value(i) {
			return 1
		}
		return 0
	case *array.String:
		if a.Value(i) == "signal" {
			return signalKind
		}
		n, err := strconv.ParseInt(a.Value(i)[1:], 10, 64) // r0, r1, ...
		if err != nil {
			panic(fmt.Sprintf("BUG: region %q", a.Value(i)))
		}
		return n
	}
	panic(fmt.Sprintf("BUG: a column of type %s", values.DataType()))
}

// signalKind is the cell of records of the kind that the table keeps.
const signalKind = 1
