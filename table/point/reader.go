package point

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

const (
	// runRows is how many rows are kept together: at 150 bytes a row 600 KiB.
	runRows = 4096
	// wholeBytesMax is up to which size a file is decoded and kept whole when one of its rows is asked for. It holds
	// what a checkpoint writes; to decode it takes a quarter of a second.
	wholeBytesMax = 16 << 20
)

// Reader reads rows. It is for any goroutine.
type Reader struct {
	store    objstore.Store
	bytesMax int64

	mu      sync.Mutex // guards all below
	runs    map[runID]*list.Element
	used    list.List // of *run, the one asked for last first
	bytes   int64
	loading map[loadID]*load
}

// runID names rows that are kept: the run that has row number*runRows of a file, with the columns of a schema.
type runID struct {
	location string
	schema   int
	number   uint32
}

// run are rows of a file.
type run struct {
	id    runID
	batch arrow.RecordBatch
	bytes int64
}

// loadID names what is loaded at once: a run, or a whole file.
type loadID struct {
	runID
	whole bool
}

// load is under way until done is closed.
type load struct {
	done chan struct{}
	err  error
}

// NewReader returns a Reader that keeps up to so many bytes of rows.
func NewReader(store objstore.Store, bytesMax int64) *Reader {
	return &Reader{store: store, bytesMax: bytesMax, runs: map[runID]*list.Element{}, loading: map[loadID]*load{}}
}

// Row returns a row of a data file with the columns of the table's schema. The caller releases it. A file that is
// gone is objstore.ErrNotFound.
func (r *Reader) Row(ctx context.Context, t *table.Table, location string, row uint32) (arrow.RecordBatch, error) {
	id := runID{location, t.Metadata().CurrentSchema().ID, row / runRows}
	out, err := r.row(ctx, t, id, int64(row%runRows))
	if err != nil {
		return nil, fmt.Errorf("read row %d of %s: %w", row, location, err)
	}
	return out, nil
}

func (r *Reader) row(ctx context.Context, t *table.Table, id runID, at int64) (arrow.RecordBatch, error) {
	if out := r.kept(id, at); out != nil {
		return out, nil
	}
	object, err := r.store.Stat(ctx, id.location)
	if err != nil {
		return nil, err
	}
	load := loadID{runID: id}
	if object.Size <= wholeBytesMax {
		load = loadID{runID{id.location, id.schema, 0}, true}
	}
	// What was loaded may have been dropped for others at once: of a file that does not fit, all but its end.
	for range 3 {
		if err := r.load(ctx, t, load, object); err != nil {
			return nil, err
		}
		if out := r.kept(id, at); out != nil {
			return out, nil
		}
		load = loadID{runID: id}
	}
	return nil, fmt.Errorf("%w, or its rows do not stay in %d bytes of memory", table.ErrNoRow, r.bytesMax)
}

// kept returns a row that is in memory, or nil.
func (r *Reader) kept(id runID, at int64) arrow.RecordBatch {
	r.mu.Lock()
	defer r.mu.Unlock()
	element := r.runs[id]
	if element == nil {
		return nil
	}
	r.used.MoveToFront(element)
	batch := element.Value.(*run).batch
	if at >= batch.NumRows() {
		return nil
	}
	return batch.NewSlice(at, at+1)
}

// load loads a run or a file, once for all who ask meanwhile. What was begun goes on when its asker leaves.
func (r *Reader) load(ctx context.Context, t *table.Table, id loadID, object objstore.Object) error {
	r.mu.Lock()
	under, found := r.loading[id]
	if !found {
		under = &load{done: make(chan struct{})}
		r.loading[id] = under
	}
	r.mu.Unlock()
	if found {
		select {
		case <-under.done:
			return under.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	under.err = r.read(context.WithoutCancel(ctx), t, id, object)
	r.mu.Lock()
	delete(r.loading, id)
	r.mu.Unlock()
	close(under.done)
	return under.err
}

// read decodes rows and keeps them.
func (r *Reader) read(ctx context.Context, t *table.Table, id loadID, object objstore.Object) error {
	meta := t.Metadata()
	file, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, id.location,
		iceberg.ParquetFile, nil, nil, nil, 1, object.Size)
	if err != nil {
		return err
	}
	task := table.Task{File: file.Build(), Schema: meta.CurrentSchema(), NameMapping: meta.NameMapping()}
	opts := table.ReadOptions{BatchRows: runRows}
	if !id.whole {
		opts.Rows = rowsOf(id.number)
	}
	g := gathering{reader: r, id: id.runID}
	defer g.drop()
	for batch, err := range table.ReadWith(ctx, r.store, task, opts) {
		if errors.Is(err, table.ErrNoRow) {
			break // the last run is shorter
		}
		if err != nil {
			return err
		}
		if err := g.add(batch); err != nil {
			return err
		}
	}
	return g.flush()
}

// rowsOf are the positions of a run.
func rowsOf(number uint32) []uint32 {
	rows := make([]uint32, runRows)
	for i := range rows {
		rows[i] = number*runRows + uint32(i)
	}
	return rows
}

// keep takes over a run, and drops others for it.
func (r *Reader) keep(id runID, batch arrow.RecordBatch) {
	bytes := table.BatchBytes(batch)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[id] != nil {
		batch.Release()
		return
	}
	r.runs[id] = r.used.PushFront(&run{id, batch, bytes})
	r.bytes += bytes
	for r.bytes > r.bytesMax && r.used.Len() > 1 {
		oldest := r.used.Remove(r.used.Back()).(*run)
		delete(r.runs, oldest.id)
		r.bytes -= oldest.bytes
		oldest.batch.Release()
	}
}
