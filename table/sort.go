package table

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/columnchunk"
	"github.com/firthlake/firth/table/gather"
)

const (
	// sortBytesMax is how much a sorting writer holds before it turns to files or runs: enough
	// for files of full size, and far from the 2 GiB that offsets of strings reach.
	sortBytesMax = 256 << 20
	// Rows are gathered in pieces that stay in the processor's cache and pay the encoder's cost
	// per call.
	gatherRowsMax  = 8192
	gatherBytesMax = 4 << 20
	// A row range of at least this length is passed on as a slice, without a copy.
	sliceRowsMin = 1024
	// compressionGuess is Parquet's size against Arrow's, to tell which partitions fill a file.
	compressionGuess = 3
)

// sorter is the half of a Writer that puts rows in order: by partition, then by sort order.
//
//	batches ─► ordered batches, as they come ─► groups: runs of rows, a list per partition
//	groups  ─► files    at Close, or when a group fills one
//	        └► runs on disk ─► merge ─► files
//
// Rows are moved when they come, while they are in the processor's cache; later those of one
// partition lie side by side in each batch. A run on disk has its rows in order of partition ordinal
// and sort key, so merging runs yields each partition once and in order.
type sorter struct {
	w          *Writer
	partitions *partitioner // nil when there are none
	order      *sortOrder   // nil when there is none
	spill      spill
	counted    int // partitions in the gauge

	ordered int     // how many of the pending batches are in order
	places  []place // of these
	work    arrivals
}

// newSorter returns the sorter that w needs, or nil when its rows need no order.
func newSorter(w *Writer) (*sorter, error) {
	s := &sorter{w: w, spill: spill{writer: w}}
	var err error
	if w.opts.Spec.NumFields() > 0 {
		if s.partitions, err = newPartitioner(w.opts.Schema, &w.opts.Spec); err != nil {
			return nil, err
		}
	}
	if w.opts.ZOrder != nil {
		if s.order, err = w.opts.ZOrder.bind(w.opts.Schema); err != nil {
			return nil, err
		}
	} else if w.opts.Sort.Len() > 0 {
		if s.order, err = newSortOrder(w.opts.Schema, w.opts.Sort); err != nil {
			return nil, err
		}
	}
	if s.partitions == nil && s.order == nil {
		return nil, nil
	}
	return s, nil
}

// group are the pending rows of one partition: runs in the order of their coming, each in sort order.
type group struct {
	ordinal uint32
	rows    int
	runs    []gather.Run
}

// flush empties the pending batches before the end: groups that fill a file become one, the others
// go into a run.
func (s *sorter) flush(ctx context.Context) error {
	groups, rowBytes, err := s.groups()
	if err != nil {
		return err
	}
	var full, rest []group
	for _, g := range groups {
		size := int64(g.rows) * rowBytes / compressionGuess
		if size >= s.w.opts.Parquet.FileBytesTarget/2 {
			full = append(full, g)
		} else {
			rest = append(rest, g)
		}
	}
	if err := s.writeGroups(ctx, full, rowBytes); err != nil {
		return err
	}
	if len(rest) > 0 {
		if err := s.spill.add(s, rest, rowBytes); err != nil {
			return err
		}
	}
	s.forget()
	if len(s.spill.runs) < runsMax {
		return nil
	}
	return s.merge(ctx)
}

// finish writes all that is left.
func (s *sorter) finish(ctx context.Context) error {
	defer s.drop()
	groups, rowBytes, err := s.groups()
	if err != nil {
		return err
	}
	if len(s.spill.runs) == 0 {
		if err := s.writeGroups(ctx, groups, rowBytes); err != nil {
			return err
		}
		s.w.dropPending()
		return nil
	}
	if len(groups) > 0 {
		if err := s.spill.add(s, groups, rowBytes); err != nil {
			return err
		}
	}
	s.w.dropPending()
	s.forget()
	s.w.settle(0)
	return s.merge(ctx)
}

// forget follows the pending batches, which are dropped.
func (s *sorter) forget() { s.ordered, s.places = 0, s.places[:0] }

// drop removes the runs. It may be called again.
func (s *sorter) drop() {
	s.forget()
	s.spill.drop()
	s.w.opts.Metrics.partitionsOpen(-s.counted)
	s.counted = 0
}

// groups puts what is pending in order and lists it by partition, in order of ordinal. It also
// returns the average bytes of a row.
func (s *sorter) groups() ([]group, int64, error) {
	if err := s.arrange(); err != nil {
		return nil, 0, err
	}
	rows := 0
	partitions := 1
	if s.partitions != nil {
		partitions = s.partitions.count()
	}
	ends := make([]int, partitions+1) // of the runs of each partition; one further on at first
	for _, place := range s.places {
		ends[place.ordinal+1]++
		rows += int(place.run.Rows)
	}
	if rows == 0 {
		return nil, 1, nil
	}
	for ordinal := range partitions {
		ends[ordinal+1] += ends[ordinal]
	}
	runs := make([]gather.Run, len(s.places))
	for _, place := range s.places {
		runs[ends[place.ordinal]] = place.run
		ends[place.ordinal]++
	}
	var groups []group
	first := 0
	for ordinal, end := range ends[:partitions] {
		if first == end {
			continue
		}
		g := group{ordinal: uint32(ordinal), runs: runs[first:end]}
		for _, run := range g.runs {
			g.rows += int(run.Rows)
		}
		groups = append(groups, g)
		first = end
	}
	return groups, max(1, s.w.pendingBytes/int64(rows)), nil
}

// value describes the files of a partition.
func (s *sorter) value(ordinal uint32) partitionValue {
	value := s.w.unpartitioned()
	if s.partitions != nil {
		value = s.partitions.value(ordinal)
	}
	if s.order != nil {
		value.sortOrderID = s.order.id
	}
	return value
}

// writeGroups writes each group to a file of its own, or several where it fills more than one. The
// lanes share the groups in order, by rows.
func (s *sorter) writeGroups(ctx context.Context, groups []group, rowBytes int64) error {
	if len(groups) == 0 {
		return nil
	}
	total := 0
	numbers := make([]int64, len(groups)) // taken here, so that they follow from the rows alone
	for i, g := range groups {
		total += g.rows
		numbers[i] = s.w.opts.Names.take()
	}
	lanes := max(1, min(s.w.opts.Parallel, len(groups), int(int64(total)*rowBytes/laneBytes)))
	starts := make([]int, lanes+1)
	before, lane := 0, 0
	for i, g := range groups {
		for lane < lanes && before >= total*lane/lanes {
			starts[lane] = i
			lane++
		}
		before += g.rows
	}
	for ; lane <= lanes; lane++ {
		starts[lane] = len(groups)
	}
	from, err := s.newSource()
	if err != nil {
		return err
	}
	files := make([][]iceberg.DataFile, lanes)
	err = fanOut(lanes, func(lane int) error {
		out := output{w: s.w}
		pieces := piecer{room: newArena(s.w.opts.Allocator), rowsMax: pieceRows(rowBytes),
			emit: func(batch arrow.RecordBatch) error { return out.write(ctx, batch) }}
		defer pieces.room.drop()
		for i := starts[lane]; i < starts[lane+1]; i++ {
			out.begin(s.value(groups[i].ordinal), numbers[i])
			err := from.pass(groups[i], &pieces)
			if err == nil {
				err = pieces.gather(from.all)
			}
			if err == nil {
				err = out.end()
			}
			if err != nil {
				out.abort()
				return err
			}
		}
		files[lane] = out.files
		return nil
	})
	if err != nil {
		return err
	}
	for _, part := range files {
		s.w.files = append(s.w.files, part...)
	}
	return nil
}

// pieceRows is how many rows of rowBytes are gathered at a time.
func pieceRows(rowBytes int64) int {
	return int(max(1, min(gatherRowsMax, gatherBytesMax/rowBytes)))
}

// output writes the files of one partition after the other; one is open at a time.
type output struct {
	w      *Writer
	value  partitionValue
	number int64 // of the next file, negative when it must be taken
	file   *dataFile
	files  []iceberg.DataFile
	trials columnchunk.Trials
}

func (o *output) begin(value partitionValue, number int64) { o.value, o.number = value, number }

func (o *output) write(ctx context.Context, batch arrow.RecordBatch) error {
	if o.file == nil {
		if o.number < 0 {
			o.number = o.w.opts.Names.take()
		}
		file, err := o.w.create(ctx, o.number, &o.trials)
		if err != nil {
			return err
		}
		o.file, o.number = file, -1
	}
	if err := o.file.write(batch); err != nil {
		return err
	}
	if o.file.size() >= o.w.opts.Parquet.FileBytesTarget {
		return o.end()
	}
	return nil
}

func (o *output) end() error {
	if o.file == nil {
		return nil
	}
	file := o.file
	o.file = nil
	described, err := file.finish(o.value)
	if err != nil {
		return err
	}
	o.w.opts.Metrics.wroteFile(described)
	o.files = append(o.files, described)
	return nil
}

func (o *output) abort() {
	if o.file != nil {
		o.file.abort()
		o.file = nil
	}
}

// merge turns all runs into files and removes them.
func (s *sorter) merge(ctx context.Context) error {
	out := output{w: s.w}
	if err := s.mergeInto(ctx, &out); err != nil {
		out.abort()
		return fmt.Errorf("merge %d sorted runs: %w", len(s.spill.runs), err)
	}
	s.w.files = append(s.w.files, out.files...)
	s.spill.drop()
	return nil
}
