package ingest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// RangeReader reads stretches of a log again; source.Reader does.
type RangeReader interface {
	// Cluster is the id of the cluster.
	Cluster() string
	// Bounds returns the first offset and the end of a topic partition, and false when the log
	// has another incarnation of the topic or none.
	Bounds(ctx context.Context, tp commit.TopicPartition) (first, end commit.Offset, found bool, err error)
	// Read yields the records of [from, next) in chunks that touch and cover all of it.
	Read(ctx context.Context, tp commit.TopicPartition, from, next commit.Offset) iter.Seq2[source.Chunk, error]
}

// Recounter decodes stretches of a log again, as the Ingester did, and says what becomes of their
// records. It writes nothing. It is a verify.Log; its methods may be called from several goroutines.
type Recounter struct {
	table   *table.Table
	sources []recountSource
	mem     memory.Allocator
}

type recountSource struct {
	log   RangeReader
	opts  TableOptions
	takes func(topic string) bool
}

// NewRecounter makes a Recounter for a table that reads no source yet. mem nil is Go's heap.
func NewRecounter(t *table.Table, mem memory.Allocator) *Recounter {
	if mem == nil {
		mem = memory.DefaultAllocator
	}
	return &Recounter{table: t, mem: mem}
}

// Add makes the Recounter read what a source of the table reads. Of opts, topics and all that decides
// what becomes of a record count; a Committer is not needed.
func (r *Recounter) Add(log RangeReader, opts TableOptions) error {
	if opts.DeadLetters.Default == "" {
		opts.DeadLetters.Default = spec.Quarantine
	}
	takes, err := opts.takes()
	if err != nil {
		return fmt.Errorf("recount %s: %w", r.table, err)
	}
	r.sources = append(r.sources, recountSource{log: log, opts: opts, takes: takes})
	return nil
}

func (r *Recounter) source(tp commit.TopicPartition) *recountSource {
	for i := range r.sources {
		if s := &r.sources[i]; s.log.Cluster() == tp.Cluster && s.takes(tp.Topic) {
			return s
		}
	}
	return nil
}

// Earliest returns the first offset that the log still has, and false when no source of the table reads
// the topic partition, or the topic is another one by now.
func (r *Recounter) Earliest(ctx context.Context, tp commit.TopicPartition) (commit.Offset, bool, error) {
	s := r.source(tp)
	if s == nil {
		return 0, false, nil
	}
	first, _, found, err := s.log.Bounds(ctx, tp)
	return first, found, err
}

// Recount reads a stretch again and returns what becomes of it.
func (r *Recounter) Recount(ctx context.Context, again verify.Again) (commit.Range, error) {
	tp, sum := again.TopicPartition, commit.Range{From: again.From, Next: again.From}
	s, schema := r.source(tp), r.schema(again.SchemaID)
	if s == nil || schema == nil {
		return sum, fmt.Errorf("recount %s: no source, or no schema %d", tp, again.SchemaID)
	}
	run, err := r.newRecount(ctx, s, schema)
	if err != nil {
		return sum, fmt.Errorf("recount %s: %w", tp, err)
	}
	defer run.worker.close()
	var resolved int64
	for chunk, err := range s.log.Read(ctx, tp, again.From, again.Next) {
		if err != nil {
			return sum, fmt.Errorf("recount %s: %w", tp, err)
		}
		others := without(chunk.Records, again.Resolved)
		resolved += int64(len(chunk.Records) - len(others))
		chunk.Records = others
		for _, piece := range split(chunk, rowsOfUnit(run.group.rowBytes)) {
			part, err := run.count(ctx, piece)
			if err != nil {
				return sum, fmt.Errorf("recount %s: %w", tp, err)
			}
			sum = sum.Join(part)
		}
	}
	sum.Counts.Absent -= resolved
	sum.Counts.DeadLetters += resolved
	return sum, nil
}

// without returns the records at offsets that are not in a set, which may be nil.
func without(records []source.Record, offsets *roaring64.Bitmap) []source.Record {
	if offsets == nil {
		return records
	}
	out := make([]source.Record, 0, len(records))
	for _, r := range records {
		if !offsets.Contains(uint64(r.Offset)) {
			out = append(out, r)
		}
	}
	return out
}

func (r *Recounter) schema(id int) *iceberg.Schema {
	for _, s := range r.table.Metadata().Schemas() {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// recount is one run over one topic partition: a table that decodes and keeps nothing.
type recount struct {
	table  *tableState
	schema *iceberg.Schema
	group  *group
	worker *worker
}

func (r *Recounter) newRecount(ctx context.Context, s *recountSource, schema *iceberg.Schema) (*recount, error) {
	run := &recount{
		schema: schema, worker: newWorker(r.mem),
		table: &tableState{opts: s.opts, name: r.table.String(), refused: map[string]bool{},
			refusedIDs: map[int32]string{}},
	}
	return run, run.compile(ctx)
}

func (r *recount) compile(ctx context.Context) (err error) {
	schemas, err := r.table.rowSchemas(r.schema)
	if err != nil {
		return err
	}
	u := &union{places: map[string]int{}}
	u.add(r.table, schemas)
	r.group, err = u.group(ctx)
	return err
}

func (r *recount) want(from commit.Offset) want {
	return want{group: r.group, shape: r.table.shape, from: from}
}

// count says what becomes of a chunk.
func (r *recount) count(ctx context.Context, chunk source.Chunk) (commit.Range, error) {
	sum := commit.Range{From: chunk.From, Next: chunk.From}
	err := r.each(ctx, chunk, func(p *portion) error {
		part, err := rangeOf(p)
		if err == nil {
			sum = sum.Join(part)
		}
		return err
	})
	return sum, err
}

// each decodes a chunk and hands out its portions, which take releases. Writers' schemas that ask for more than
// the table has were refused at the time, for a table that follows them holds what they ask for.
func (r *recount) each(ctx context.Context, chunk source.Chunk, take func(*portion) error) error {
	for range evolutionsMax {
		u := &unit{chunk: chunk, wants: []want{r.want(chunk.From)}}
		r.worker.work(ctx, u)
		p := u.portions[0]
		if p.evolution == nil {
			return take(p)
		}
		key := evolutionKey(p.evolution)
		if r.table.refused[key] {
			for one := range r.worker.oneByOne(ctx, p, r.want, r.table.refused) {
				if err := take(one); err != nil {
					return err
				}
			}
			return nil
		}
		r.table.refused[key] = true
		if id := p.evolution.SchemaID; id != 0 {
			r.table.refusedIDs[id] = refusedReason(key)
			if err := r.compile(ctx); err != nil {
				return err
			}
		}
	}
	return errors.New("writers' schemas ask for ever more")
}

// rangeOf takes the range out of a portion.
func rangeOf(p *portion) (commit.Range, error) {
	defer p.release()
	return p.part, errors.Join(p.err, p.suspend)
}
