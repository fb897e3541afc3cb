package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// portion is what a chunk gives to one table.
type portion struct {
	shape *shape
	chunk *source.Chunk
	part  commit.Range
	rows  arrow.RecordBatch // nil when there are none
	// letters are the records for the dead-letter table.
	letters []letter
	// suspend is why the table must stop before this portion.
	suspend error
	// newest is the timestamp of the last record, in milliseconds.
	newest int64
	// evolution is set when the chunk was written with a schema that is ahead of the table's.
	evolution *decode.EvolutionError
	// err is why the chunk could not be decoded now; it may be tried again.
	err error
}

func (p *portion) release() {
	if p.rows != nil {
		p.rows.Release()
		p.rows = nil
	}
}

// worker decodes units. It belongs to one goroutine and keeps decoders and checksummers of the
// groups it has seen last.
type worker struct {
	mem      memory.Allocator
	decoders map[*group]decode.Decoder
	sums     map[*shape]*table.Checksummer
	keep     []bool
	failed   []*decode.Failure
}

func newWorker(mem memory.Allocator) *worker {
	return &worker{mem: mem, decoders: map[*group]decode.Decoder{}, sums: map[*shape]*table.Checksummer{}}
}

// groupsMax bounds the decoders that a worker keeps; beyond it, those of groups that were replaced
// are dropped together with the rest.
const groupsMax = 256

func (w *worker) close() {
	for _, d := range w.decoders {
		d.Close()
	}
	clear(w.decoders)
	clear(w.sums)
}

// work fills the unit's portions.
func (w *worker) work(ctx context.Context, u *unit) {
	u.byGroup(func(g *group, wants []want) {
		u.portions = append(u.portions, w.decode(ctx, u, g, wants)...)
	})
}

func (w *worker) decode(ctx context.Context, u *unit, g *group, wants []want) []*portion {
	portions := make([]*portion, len(wants))
	for i, want := range wants {
		portions[i] = &portion{shape: want.shape, chunk: &u.chunk, part: commit.Range{From: want.from, Next: u.chunk.Next}}
	}
	decoded, err := w.decoder(g).Decode(ctx, &u.chunk)
	if err != nil {
		var evolution *decode.EvolutionError
		errors.As(err, &evolution)
		for _, p := range portions {
			p.evolution, p.err = evolution, err
		}
		return portions
	}
	defer decoded.Batch.Release()
	for _, p := range portions {
		if err := w.fill(ctx, p, decoded); err != nil {
			p.release()
			p.err = fmt.Errorf("table %s: %s: %w", p.shape.table, u.chunk.TopicPartition, err)
		}
	}
	return portions
}

func (w *worker) decoder(g *group) decode.Decoder {
	d := w.decoders[g]
	if d == nil {
		if len(w.decoders) >= groupsMax {
			w.close()
		}
		d = g.plan.NewDecoder(w.mem)
		w.decoders[g] = d
	}
	return d
}

// fill makes the table's rows, counts and letters of the decoded chunk.
func (w *worker) fill(ctx context.Context, p *portion, decoded decode.Decoded) error {
	batch := p.shape.conform(decoded.Batch)
	defer func() { batch.Release() }()
	w.keep = resized(w.keep, len(p.chunk.Records))
	if p.shape.selector != nil {
		for i := range w.keep {
			w.keep[i] = true
		}
		if err := p.shape.selector.Select(batch, w.keep); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	w.sort(p, decoded.Failures)
	if p.suspend != nil || p.part.Counts.Inserted == 0 {
		return nil
	}
	if p.part.Counts.Inserted < batch.NumRows() {
		kept, err := w.selected(ctx, batch)
		if err != nil {
			return err
		}
		batch.Release()
		batch = kept
	}
	sums := w.sums[p.shape]
	if sums == nil {
		var err error
		if sums, err = table.NewChecksummer(p.shape.schema); err != nil {
			return err
		}
		w.sums[p.shape] = sums
	}
	var err error
	if p.part.Checksum, err = sums.Sum(batch); err != nil {
		return err
	}
	batch.Retain()
	p.rows = batch
	return nil
}

// conform returns the table's columns of a group's batch, under the table's schema.
func (s *shape) conform(batch arrow.RecordBatch) arrow.RecordBatch {
	columns := make([]arrow.Array, len(s.columns))
	for i, place := range s.columns {
		columns[i] = batch.Column(place)
	}
	return array.NewRecordBatch(s.arrow, columns, batch.NumRows())
}

// sort says of every record what becomes of it, in w.keep and in the portion's counts. On entry
// w.keep is the filter's verdict, when there is a filter.
func (w *worker) sort(p *portion, failures []decode.Failure) {
	records := p.chunk.Records
	counts := &p.part.Counts
	failed := w.firstFailures(p, failures)
	filtered := p.shape.selector != nil
	for i := range records {
		r := &records[i]
		if r.Offset < p.part.From {
			w.keep[i] = false
			continue
		}
		p.newest = r.Timestamp
		selected := !filtered || w.keep[i]
		w.keep[i] = false
		switch {
		case r.Value == nil:
			counts.Tombstones++
		case failed != nil && failed[i] != nil:
			w.refuse(p, r, failed[i])
			if p.suspend != nil {
				return
			}
		case !selected:
			counts.Filtered++
		default:
			w.keep[i] = true
			counts.Inserted++
		}
	}
	counts.Absent = int64(p.part.Next-p.part.From) - counts.Sum()
}

// firstFailures returns the first failure of each row that concerns the table, or nil when there is
// none at all.
func (w *worker) firstFailures(p *portion, failures []decode.Failure) []*decode.Failure {
	any := false
	for i := range failures {
		f := &failures[i]
		if f.FieldID != 0 && p.shape.fields[f.FieldID] == "" {
			continue
		}
		if !any {
			any = true
			w.failed = resized(w.failed, len(p.chunk.Records))
			clear(w.failed)
		}
		if w.failed[f.Row] == nil {
			w.failed[f.Row] = f
		}
	}
	if !any {
		return nil
	}
	return w.failed
}

// refuse applies the table's policy to a bad record.
func (w *worker) refuse(p *portion, r *source.Record, f *decode.Failure) {
	t := p.shape.table
	policy := t.opts.DeadLetters.PolicyOf(f.Class)
	switch {
	case policy == spec.Skip:
		p.part.Counts.Skipped++
	case policy == spec.Quarantine && t.opts.DeadLetterTable != nil:
		p.part.Counts.DeadLetters++
		p.letters = append(p.letters, letter{record: r, failure: *f})
	default:
		p.suspend = &SuspendedError{
			Table: t.String(), TopicPartition: p.chunk.TopicPartition, Offset: r.Offset,
			Class: f.Class, Message: f.Message,
		}
	}
}

// selected returns the rows of batch that w.keep keeps.
func (w *worker) selected(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	builder := array.NewBooleanBuilder(w.mem)
	defer builder.Release()
	builder.AppendValues(w.keep, nil)
	mask := builder.NewArray()
	defer mask.Release()
	ctx = compute.WithAllocator(ctx, w.mem)
	kept, err := compute.FilterRecordBatch(ctx, batch, mask, compute.DefaultFilterOptions())
	if err != nil {
		return nil, fmt.Errorf("select rows: %w", err)
	}
	return kept, nil
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
