package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/objstore"
)

// bounds are how many rows are held at a time.
type bounds struct {
	// windowRows and windowBytes end a window.
	windowRows  int
	windowBytes int64
	// batchRows is the length of a batch that is handed out: there is a token behind each.
	batchRows int
}

// defaultBounds have rows of 250 bytes reach both bounds of a window.
func defaultBounds() bounds {
	return bounds{windowRows: 64 << 10, windowBytes: 16 << 20, batchRows: 4096}
}

// coordinate names a topic partition as rows do.
type coordinate struct {
	topic     string
	partition int32
}

func nameOf(id table.TopicPartition) coordinate { return coordinate{id.Topic, id.Partition} }

// span is a half-open interval of offsets.
type span struct{ from, next table.Offset }

// window is the offsets of some topic partitions whose rows are handed out together.
type window struct {
	ids   []table.TopicPartition // in order
	spans []span                 // of each
	least bool                   // it cannot be smaller, so it is held however large it is
}

// index finds the topic partitions by the coordinates of rows.
func (w *window) index() map[coordinate]int {
	index := make(map[coordinate]int, len(w.ids))
	for i, id := range w.ids {
		index[nameOf(id)] = i
	}
	return index
}

// place is where a row lies among the batches of a pile.
type place struct {
	offset     table.Offset
	id         int32 // in the window
	batch, row uint32
}

// pile is the rows of a window, put in order.
type pile struct {
	window  window
	bounds  bounds
	batches []arrow.RecordBatch
	places  []place
	bytes   int64

	once     sync.Once
	gathered *gather.Batches
	shared   *sharedPile // whose rows these are, nil when they are of one stream
}

// errOverflow says that a window has more rows than are held at a time.
var errOverflow = errors.New("window is too large")

// collect reads the rows of a window out of tasks. The caller releases the pile.
func collect(ctx context.Context, store objstore.Store, tasks []table.Task, w window, b bounds,
) (*pile, error) {
	p := &pile{window: w, bounds: b}
	index := w.index()
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, store, task) {
			if err == nil {
				err = p.add(batch, index)
			}
			if err != nil {
				p.release()
				return nil, err
			}
		}
	}
	slices.SortFunc(p.places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.offset, b.offset),
			cmp.Compare(a.batch, b.batch), cmp.Compare(a.row, b.row))
	})
	return p, nil
}

// add keeps the rows of a batch that are in the window.
func (p *pile) add(batch arrow.RecordBatch, index map[coordinate]int) error {
	rows, err := p.choose(batch, index)
	if err != nil || len(rows) == 0 {
		return err
	}
	if len(rows) == int(batch.NumRows()) {
		batch.Retain()
	} else {
		batch = gather.Rows(memory.DefaultAllocator, batch, rows)
	}
	p.batches = append(p.batches, batch)
	p.bytes += table.BatchBytes(batch)
	if !p.window.least && (len(p.places) > p.bounds.windowRows || p.bytes > p.bounds.windowBytes) {
		return errOverflow
	}
	return nil
}

// choose notes the places of rows in the window, and returns which they are.
func (p *pile) choose(batch arrow.RecordBatch, index map[coordinate]int) ([]uint32, error) {
	topics, partitions, offsets, err := coordinateColumns(batch)
	if err != nil {
		return nil, err
	}
	var rows []uint32
	last, id, known := coordinate{}, 0, false
	for row := range int(batch.NumRows()) {
		if topics.IsNull(row) || partitions.IsNull(row) || offsets.IsNull(row) {
			continue // a row that others wrote: it is of no record
		}
		at := coordinate{topics.Value(row), partitions.Value(row)}
		if row == 0 || at != last {
			last = at
			id, known = index[at]
		}
		offset := table.Offset(offsets.Value(row))
		if !known || offset < p.window.spans[id].from || offset >= p.window.spans[id].next {
			continue
		}
		p.places = append(p.places, place{offset: offset, id: int32(id), batch: uint32(len(p.batches)),
			row: uint32(len(rows))})
		rows = append(rows, uint32(row))
	}
	return rows, nil
}

func coordinateColumns(batch arrow.RecordBatch) (*array.String, *array.Int32, *array.Int64, error) {
	find := func(name string) arrow.Array {
		if at := batch.Schema().FieldIndices(name); len(at) == 1 {
			return batch.Column(at[0])
		}
		return nil
	}
	topics, isTopic := find(columnTopic).(*array.String)
	partitions, isPartition := find(columnPartition).(*array.Int32)
	offsets, isOffset := find(columnOffset).(*array.Int64)
	if !isTopic || !isPartition || !isOffset {
		return nil, nil, nil, fmt.Errorf("%w: its columns %s, %s and %s are not those of a record", ErrUnsupported,
			columnTopic, columnPartition, columnOffset)
	}
	return topics, partitions, offsets, nil
}

// end is where a batch that begins at place start ends: rows of one offset stay together.
func (p *pile) end(start int) int {
	end := min(start+p.bounds.batchRows, len(p.places))
	for end < len(p.places) && p.places[end].id == p.places[end-1].id &&
		p.places[end].offset == p.places[end-1].offset {
		end++
	}
	return end
}

// behind is the pile without the rows before a cut, for a stream that stands within it.
func (p *pile) behind(cut table.Position) *pile {
	rest := &pile{window: p.window, bounds: p.bounds, batches: p.batches, bytes: p.bytes}
	for _, at := range p.places {
		if at.offset >= cut[p.window.ids[at.id]] {
			rest.places = append(rest.places, at)
		}
	}
	return rest
}

// rows are some of the pile in order, with the first columns of the batches. The caller releases them.
func (p *pile) rows(start, end, columns int) arrow.RecordBatch {
	p.once.Do(func() { p.gathered = gather.New(p.batches) })
	var runs []gather.Run
	for _, at := range p.places[start:end] {
		if n := len(runs); n > 0 && runs[n-1].Batch == at.batch && runs[n-1].Row+runs[n-1].Rows == at.row {
			runs[n-1].Rows++
			continue
		}
		runs = append(runs, gather.Run{Batch: at.batch, Row: at.row, Rows: 1})
	}
	wide := p.gathered.Runs(memory.DefaultAllocator, runs)
	if int(wide.NumCols()) == columns {
		return wide
	}
	defer wide.Release()
	schema := arrow.NewSchema(wide.Schema().Fields()[:columns], nil)
	return array.NewRecordBatch(schema, wide.Columns()[:columns], wide.NumRows())
}

// advance moves a cut behind the first rows of the pile.
func (p *pile) advance(cut table.Position, end int) {
	for i, id := range p.window.ids {
		switch {
		case end == len(p.places) || i < int(p.places[end-1].id):
			cut[id] = max(cut[id], p.window.spans[i].next)
		case i == int(p.places[end-1].id):
			cut[id] = p.places[end-1].offset + 1
		}
	}
}

func (p *pile) release() {
	for _, batch := range p.batches {
		batch.Release()
	}
	p.batches, p.places = nil, nil
}
