package table

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table/columnchunk"
	"github.com/firthlake/firth/table/objstore"
)

// WriterOptions say what a Writer writes and what it may use. Schema, Location and ChangeID are
// required.
type WriterOptions struct {
	// Schema is the table's schema; batches have the form that ArrowSchema gives it.
	Schema *iceberg.Schema
	// Spec is the partition spec; the zero value is unpartitioned.
	Spec iceberg.PartitionSpec
	// Sort is the order of rows inside a file; the zero value is unsorted.
	Sort icetable.SortOrder
	// ZOrder is another order of rows, in place of Sort; nil is none.
	ZOrder *ZOrder
	// Location is the table's location; files lie under <Location>/<Folder>, and no folder is data.
	Location, Folder string
	// ChangeID is the commit.Change that the files are for; it stands in their names.
	ChangeID uuid.UUID
	// Names numbers the files of the change. Writers of one change share it, so that their names
	// do not collide; nil is one of its own, from 0.
	Names *FileNumbers
	// Parquet are the choices about files.
	Parquet ParquetOptions
	// Properties are the table's: write.parquet.bloom-filter-* are followed.
	Properties iceberg.Properties
	// Memory is the budget that buffered rows are taken from; nil is 256 MiB for this writer
	// alone.
	Memory *Budget
	// SpillDir is the local folder for rows that the budget has no room for; empty is the
	// system's.
	SpillDir string
	// Parallel is how many files are encoded at once; 0 and 1 mean no goroutines.
	Parallel int
	// Metrics count what is written; nil counts nothing.
	Metrics *Metrics
	// Placed is told where rows end up; nil is told nothing.
	Placed Placed
	// Allocator makes the writer's own arrow buffers; nil is Go's heap.
	Allocator memory.Allocator
}

// FileNumbers counts the files of one change. It may be shared by many goroutines.
type FileNumbers struct{ next atomic.Int64 }

func (n *FileNumbers) take() int64 { return n.next.Add(1) - 1 }

// Count is how many files there are so far.
func (n *FileNumbers) Count() int64 { return n.next.Load() }

const (
	writerMemoryDefault = 256 << 20
	// laneBytes is how much one encoder gets at a time: enough that a goroutine pays, little
	// enough that a few hundred writers fit.
	laneBytes = 8 << 20
	// floorBytes a writer may hold without asking the budget, so that a writer whose neighbours
	// hold it all does not spill every batch by itself.
	floorBytes = 1 << 20
	// A writer shares the budget when others hold more than one part in othersShare. Then its rows
	// wait as they are, up to sharedBytesMax, and become a row group all at once: enough for pages of
	// full size. One lane and so one file does until there are sharedLaneBytes for each.
	othersShare     = 4
	sharedBytesMax  = 64 << 20
	sharedLaneBytes = 32 << 20
	abortTimeout    = 30 * time.Second
)

// Writer turns record batches into data files that nobody can see yet. It belongs to one goroutine.
//
// Rows are held in memory first. Without partitions and sort order they go to one open file per
// lane, batch by batch; else they are sorted by partition and order and written out at Close, one
// file open per lane at a time, and those that the budget has no room for wait on local disk as
// sorted runs.
//
// With Parallel above 1, Write and Close encode on that many goroutines and wait for them before
// they return; no goroutine outlives a call. With Parallel 1 there are none (an objstore.Upload of
// more than 8 MiB streams on one of its own), and files depend on the batches and on what else the
// budget holds alone.
//
// The ctx of the Write that opened a file bounds the file to its end, so all calls should get one
// that lives as long as the writer. After an error only Abort is of use.
type Writer struct {
	opts   WriterOptions
	store  objstore.Store
	layout *layout
	prefix string
	sorter *sorter       // nil when rows need neither partition nor order
	fits   *arrow.Schema // of the last batch; nil before the first

	pending      []arrow.RecordBatch
	pendingBytes int64
	charged      int64 // bytes taken from the budget
	open         []*dataFile
	files        []iceberg.DataFile
	state        writerState

	mu      sync.Mutex // guards what lanes share
	created []string   // locations that may hold an object of ours
}

type writerState int

const (
	writerOpen writerState = iota
	writerFailed
	writerClosed
	writerAborted
)

// NewWriter returns a writer of data files into store. It starts nothing and writes nothing yet.
func NewWriter(store objstore.Store, opts WriterOptions) (*Writer, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("new writer: %w", err)
	}
	layout, err := newLayout(&opts)
	if err != nil {
		return nil, fmt.Errorf("new writer: %w", err)
	}
	layout.buffers = &opts.Memory.buffers
	w := &Writer{
		opts: opts, store: store, layout: layout,
		prefix: strings.TrimSuffix(opts.Location, "/") + "/" + opts.Folder + "/firth-" + opts.ChangeID.String() + "-",
		open:   make([]*dataFile, opts.Parallel),
	}
	if w.sorter, err = newSorter(w); err != nil {
		return nil, fmt.Errorf("new writer: %w", err)
	}
	return w, nil
}

// complete fills in defaults and says what is missing or wrong.
func (o *WriterOptions) complete() error {
	switch {
	case o.Schema == nil:
		return errors.New("no schema given")
	case o.Location == "":
		return errors.New("no table location given")
	case o.ChangeID == uuid.Nil:
		return errors.New("no change id given")
	case o.Parallel < 0:
		return fmt.Errorf("parallel is %d", o.Parallel)
	}
	o.Parallel = max(o.Parallel, 1)
	if o.Folder == "" {
		o.Folder = "data"
	}
	if o.Names == nil {
		o.Names = new(FileNumbers)
	}
	if o.Memory == nil {
		o.Memory = NewBudget(writerMemoryDefault)
	}
	if o.Allocator == nil {
		o.Allocator = memory.DefaultAllocator
	}
	var err error
	o.Parquet, err = o.Parquet.withDefaults()
	return err
}

// Write takes in the rows of batch, which it retains as long as it needs it. The batch has the
// schema ArrowSchema gives; required columns hold no null.
func (w *Writer) Write(ctx context.Context, batch arrow.RecordBatch) error {
	if w.state != writerOpen {
		return errors.New("write to a writer that has ended")
	}
	if err := w.check(batch); err != nil {
		return err
	}
	if batch.NumRows() == 0 {
		return nil
	}
	if err := w.take(ctx, batch); err != nil {
		w.state = writerFailed
		return err
	}
	return nil
}

func (w *Writer) take(ctx context.Context, batch arrow.RecordBatch) error {
	bytes := batchBytes(batch)
	if !w.reserve(bytes) {
		if err := w.flush(ctx); err != nil {
			return err
		}
		if !w.reserve(bytes) {
			// Others hold the budget. The batch is there anyway: it passes through.
			w.charge(bytes)
			w.hold(batch, bytes)
			return w.flush(ctx)
		}
	}
	w.hold(batch, bytes)
	if err := w.sorter.arrive(bytes); err != nil {
		return err
	}
	if w.pendingBytes >= w.flushBytes() {
		return w.flush(ctx)
	}
	return nil
}

func (w *Writer) hold(batch arrow.RecordBatch, bytes int64) {
	batch.Retain()
	w.pending = append(w.pending, batch)
	w.pendingBytes += bytes
}

func (w *Writer) flushBytes() int64 {
	switch {
	case w.sorter != nil:
		return sortBytesMax
	case w.shares():
		return sharedBytesMax
	}
	return laneBytes * int64(w.opts.Parallel)
}

// Bytes estimates the memory that the writer holds: rows and open row groups.
func (w *Writer) Bytes() int64 { return w.charged }

// Close writes what is still held and returns the data files, complete and with statistics, in the
// order of their begin. No file is empty, so there may be none. On an error call Abort.
func (w *Writer) Close(ctx context.Context) ([]iceberg.DataFile, error) {
	if w.state != writerOpen {
		return nil, errors.New("close of a writer that has ended")
	}
	if err := w.finish(ctx); err != nil {
		w.state = writerFailed
		return nil, err
	}
	w.state = writerClosed
	w.settle(0)
	return w.files, nil
}

func (w *Writer) finish(ctx context.Context) error {
	if w.sorter != nil {
		return w.sorter.finish(ctx)
	}
	if err := w.writePending(ctx, (*dataFile).writeRowGroup); err != nil {
		return err
	}
	return w.finishFiles(0)
}

// Abort gives up: it removes what this writer wrote and nothing else. It also follows a Close whose
// change is known not to have landed; when that is not known, nothing may be removed. It may be
// called again when removing failed.
func (w *Writer) Abort(ctx context.Context) error {
	if w.state != writerAborted {
		w.state = writerAborted
		w.letGo()
	}
	if len(w.created) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := w.store.Remove(ctx, w.created...); err != nil {
		return fmt.Errorf("remove %d files of change %s: %w", len(w.created), w.opts.ChangeID, err)
	}
	w.created = nil
	return nil
}

// letGo drops all that the writer holds.
func (w *Writer) letGo() {
	for lane, file := range w.open {
		if file != nil {
			file.abort()
			w.open[lane] = nil
		}
	}
	w.dropPending()
	if w.sorter != nil {
		w.sorter.drop()
	}
	w.settle(0)
}

// flush writes the pending batches out: to the open files, or to the sorter's runs.
func (w *Writer) flush(ctx context.Context) error {
	if w.sorter == nil && w.shares() {
		return w.shrink(ctx)
	}
	return w.writePending(ctx, (*dataFile).writeAll)
}

// fileWrite is writeAll or writeRowGroup.
type fileWrite func(file *dataFile, batches []arrow.RecordBatch) error

func (w *Writer) writePending(ctx context.Context, write fileWrite) error {
	if len(w.pending) == 0 {
		return nil
	}
	if w.layout.encodings == nil {
		w.layout.chooseEncodings(w.pending)
	}
	var err error
	if w.sorter != nil {
		err = w.sorter.flush(ctx)
	} else {
		err = w.encode(ctx, write)
	}
	if err != nil {
		return err
	}
	w.dropPending()
	w.settle(w.heldByFiles())
	return nil
}

// encode spreads the pending batches over the lanes, each with its own open file, which writes them.
func (w *Writer) encode(ctx context.Context, write fileWrite) error {
	shares := w.split()
	for lane := range shares {
		if w.open[lane] != nil || len(shares[lane]) == 0 {
			continue
		}
		file, err := w.create(ctx, w.opts.Names.take(), nil)
		if err != nil {
			return err
		}
		w.open[lane] = file
	}
	err := fanOut(len(shares), func(lane int) error {
		if len(shares[lane]) == 0 {
			return nil
		}
		return write(w.open[lane], shares[lane])
	})
	if err != nil {
		return err
	}
	return w.finishFiles(w.opts.Parquet.FileBytesTarget)
}

// split cuts the pending batches into runs of about equal bytes, one per lane that has enough to
// do; beside a batch that is larger than a share, some are empty. The split depends on the batches
// alone.
func (w *Writer) split() [][]arrow.RecordBatch {
	each := int64(laneBytes)
	if w.shares() {
		each = sharedLaneBytes
	}
	lanes := min(int64(w.opts.Parallel), max(1, w.pendingBytes/each))
	shares := make([][]arrow.RecordBatch, lanes)
	var before int64
	for _, batch := range w.pending {
		lane := min(before*lanes/max(w.pendingBytes, 1), lanes-1)
		shares[lane] = append(shares[lane], batch)
		before += batchBytes(batch)
	}
	return shares
}

// finishFiles finishes the open files of at least sizeMin bytes, side by side: each waits for its last
// row group to be encoded and for the store.
func (w *Writer) finishFiles(sizeMin int64) error {
	var due []*dataFile
	for lane, file := range w.open {
		if file != nil && file.size() >= sizeMin {
			due = append(due, file)
			w.open[lane] = nil
		}
	}
	described := make([]iceberg.DataFile, len(due))
	err := fanOut(len(due), func(i int) (err error) {
		described[i], err = due[i].finish(w.unpartitioned())
		return err
	})
	if err != nil {
		return err
	}
	for _, file := range described {
		w.opts.Metrics.wroteFile(file)
	}
	w.files = append(w.files, described...)
	return nil
}

// create begins file number n of the change, with the trials of the file before, if there are any.
func (w *Writer) create(ctx context.Context, n int64, trials *columnchunk.Trials) (*dataFile, error) {
	location := w.prefix + strconv.FormatInt(n, 10) + ".parquet"
	w.mu.Lock()
	w.created = append(w.created, location)
	w.mu.Unlock()
	return createDataFile(ctx, w.store, location, fileOptions{w.layout, trials})
}

func (w *Writer) unpartitioned() partitionValue { return partitionValue{spec: &w.opts.Spec} }

func (w *Writer) dropPending() {
	for _, batch := range w.pending {
		batch.Release()
	}
	w.pending, w.pendingBytes = w.pending[:0], 0
}

// fanOut runs work for 0 to n-1 on n goroutines and waits; for one it uses none.
func fanOut(n int, work func(lane int) error) error {
	if n == 1 {
		return work(0)
	}
	var group errgroup.Group
	for lane := range n {
		group.Go(func() error { return work(lane) })
	}
	return group.Wait()
}
