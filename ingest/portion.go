package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// portion is what a chunk gives to one table.
type portion struct {
	shape *shape
	chunk *source.Chunk
	part  commit.Range
	rows  arrow.RecordBatch // nil when there are none
	ops   []upsert.Op       // of rows, in keyed tables
	// joint are rows of several portions of the table, of which rows are those from row first on. It is nil
	// when rows are by themselves.
	joint arrow.RecordBatch
	first int64
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
	if p.joint != nil {
		p.joint.Release()
		p.joint = nil
	}
}

// failed notes why the portion could not be made, if it could not.
func (p *portion) failed(err error) {
	if err != nil {
		p.release()
		p.err = fmt.Errorf("table %s: %s: %w", p.shape.table, p.chunk.TopicPartition, err)
	}
}

// worker decodes units. It belongs to one goroutine and keeps decoders and checksummers of the
// groups it has seen last.
type worker struct {
	mem      memory.Allocator
	decoders map[*group]decode.Decoder
	sums     map[*shape]*table.Checksummer
	filters  map[*shape]*filter.Evaluator
	// evaluators are of transforms.
	evaluators map[*shape]Evaluator
	values     filter.Selection // records of the unit that are no tombstones
	keep       filter.Selection // records that become rows of one table
	chosen     chosen           // rows of several tables
	failed     []*decode.Failure
	keyed      source.Chunk // the chunk at work, with keys for values
}

func newWorker(mem memory.Allocator) *worker {
	return &worker{
		mem: mem, decoders: map[*group]decode.Decoder{},
		sums: map[*shape]*table.Checksummer{}, filters: map[*shape]*filter.Evaluator{},
		evaluators: map[*shape]Evaluator{},
	}
}

// groupsMax bounds the decoders that a worker keeps; beyond it, those of groups that were replaced
// are dropped together with the rest.
const groupsMax = 256

func (w *worker) close() {
	for _, d := range w.decoders {
		d.Close()
	}
	for _, e := range w.evaluators {
		e.Close()
	}
	clear(w.decoders)
	clear(w.evaluators)
	clear(w.sums)
	clear(w.filters)
}

// work fills the portions of units. What tables choose of them is put together.
func (w *worker) work(ctx context.Context, units ...*unit) {
	w.chosen.begin(w.mem, len(units))
	for _, u := range units {
		u.byGroup(func(g *group, wants []want) {
			u.portions = append(u.portions, w.decode(ctx, u, g, wants)...)
		})
	}
	w.share()
}

func (w *worker) decode(ctx context.Context, u *unit, g *group, wants []want) []*portion {
	portions := make([]*portion, len(wants))
	for i, want := range wants {
		part := commit.Range{From: want.from, Next: u.chunk.Next}
		portions[i] = &portion{shape: want.shape, chunk: &u.chunk, part: part}
	}
	chunk := &u.chunk
	if g.keys {
		chunk = w.withKeys(chunk)
	}
	decoded, err := w.decoder(g).Decode(ctx, chunk)
	if err != nil {
		var evolution *decode.EvolutionError
		errors.As(err, &evolution)
		for _, p := range portions {
			p.evolution, p.err = evolution, err
		}
		return portions
	}
	defer decoded.Batch.Release()
	w.findValues(u.chunk.Records)
	for _, p := range portions {
		choose := w.choose
		if p.shape.keyed != nil {
			choose = w.fillKeyed
		}
		p.failed(choose(ctx, p, decoded))
	}
	w.chosen.take(decoded.Batch)
	for _, p := range portions {
		if p.rows != nil && p.shape.keyed == nil {
			p.failed(w.sum(p))
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

// choose says which rows of the decoded chunk are the table's, and makes counts and letters of the others. If they
// are not all, share gives them to the portion.
func (w *worker) choose(ctx context.Context, p *portion, decoded decode.Decoded) error {
	batch, faults, err := w.transform(ctx, p.shape, decoded.Batch)
	if err != nil {
		return err
	}
	defer batch.Release()
	selected, err := w.filter(p.shape, batch)
	if err != nil {
		return err
	}
	w.sort(p, withFaults(decoded.Failures, faults), selected)
	switch {
	case p.suspend != nil || p.part.Counts.Inserted == 0:
	case p.part.Counts.Inserted == batch.NumRows():
		batch.Retain()
		p.rows = batch
	case p.shape.transform != nil:
		p.rows = w.keep.Apply(w.mem, batch)
	default:
		w.chosen.add(p, &w.keep)
	}
	return nil
}

// share gives portions the rows that were chosen for them.
func (w *worker) share() {
	for _, t := range w.chosen.tables {
		t.share()
		for _, p := range t.portions {
			p.failed(w.sum(p))
		}
	}
	w.chosen.end()
}

// sum makes the checksum of the portion's rows.
func (w *worker) sum(p *portion) (err error) {
	sums := w.sums[p.shape]
	if sums == nil {
		if sums, err = table.NewChecksummer(p.shape.schema); err != nil {
			return err
		}
		w.sums[p.shape] = sums
	}
	p.part.Checksum, err = sums.Sum(p.rows)
	return err
}

// filter returns the rows that the table's filter selects, or nil when there is no filter.
func (w *worker) filter(s *shape, batch arrow.RecordBatch) (*filter.Selection, error) {
	if s.filter == nil {
		return nil, nil
	}
	evaluator := w.filters[s]
	if evaluator == nil {
		evaluator = s.filter.Evaluator()
		w.filters[s] = evaluator
	}
	return evaluator.Select(batch)
}

// conform returns the table's columns of a group's batch, under the table's schema.
func (s *shape) conform(batch arrow.RecordBatch) arrow.RecordBatch {
	columns := make([]arrow.Array, len(s.columns))
	for i, place := range s.columns {
		columns[i] = batch.Column(place)
	}
	return array.NewRecordBatch(s.arrow, columns, batch.NumRows())
}

// sort says of every record what becomes of it, in w.keep and in the portion's counts.
func (w *worker) sort(p *portion, failures []decode.Failure, selected *filter.Selection) {
	records := p.chunk.Records
	first, _ := slices.BinarySearchFunc(records, p.part.From, func(r source.Record, from commit.Offset) int {
		return cmp.Compare(r.Offset, from)
	})
	w.keep.Reset(len(records))
	for i := range first {
		w.keep.Remove(i)
	}
	if failed := w.firstFailures(p, failures, nil); failed != nil {
		w.sortEach(p, first, failed, selected)
	} else {
		w.sortAll(p, first, selected)
	}
	if p.suspend == nil {
		p.part.Counts.Absent = int64(p.part.Next-p.part.From) - p.part.Counts.Sum()
	}
}

// sortAll is sort for records that have no failures, from first on.
func (w *worker) sortAll(p *portion, first int, selected *filter.Selection) {
	counts := &p.part.Counts
	if last := len(p.chunk.Records) - 1; first <= last {
		p.newest = p.chunk.Records[last].Timestamp
	}
	before := int64(w.keep.Count())
	w.keep.Intersect(&w.values)
	inserted := int64(w.keep.Count())
	counts.Tombstones = before - inserted
	if selected != nil {
		w.keep.Intersect(selected)
		inserted = int64(w.keep.Count())
	}
	counts.Filtered = before - counts.Tombstones - inserted
	counts.Inserted = inserted
}

// sortEach is sort for records of which some have failures, from first on.
func (w *worker) sortEach(
	p *portion, first int, failed []*decode.Failure, selected *filter.Selection,
) {
	counts := &p.part.Counts
	for i := first; i < len(p.chunk.Records); i++ {
		r := &p.chunk.Records[i]
		p.newest = r.Timestamp
		switch {
		case r.Value == nil:
			counts.Tombstones++
		case failed[i] != nil:
			w.refuse(p, r, failed[i])
			if p.suspend != nil {
				return
			}
		case selected != nil && !selected.Contains(i):
			counts.Filtered++
		default:
			counts.Inserted++
			continue
		}
		w.keep.Remove(i)
	}
}

// findValues marks the records that are no tombstones.
func (w *worker) findValues(records []source.Record) {
	w.values.Reset(len(records))
	for i := range records {
		if records[i].Value == nil {
			w.values.Remove(i)
		}
	}
}

// firstFailures returns the first failure of each row that concerns the table, or nil when there is
// none at all. Those that ignore tells are none; nil ignores none.
func (w *worker) firstFailures(
	p *portion, failures []decode.Failure, ignore func(*decode.Failure) bool,
) []*decode.Failure {
	any := false
	for i := range failures {
		f := &failures[i]
		if f.FieldID != 0 && p.shape.fields[f.FieldID] == "" || ignore != nil && ignore(f) {
			continue
		}
		if !any {
			any = true
			w.noFailures(p)
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

// noFailures has a place for the failure of each record, and none in it.
func (w *worker) noFailures(p *portion) []*decode.Failure {
	w.failed = resized(w.failed, len(p.chunk.Records))
	clear(w.failed)
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

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
