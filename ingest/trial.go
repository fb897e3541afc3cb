package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
)

// Trial says what a table would make of records, one by one, by the same code as the Ingester. It writes
// nothing and needs no table. It belongs to one goroutine.
type Trial struct {
	run     recount
	policy  evolve.Policy
	version int
	decided []decode.Proposal
}

// Tried is what becomes of a record.
type Tried struct {
	// Rows are the rows that it makes, nil for none; who gets them releases them. Deletes says of each,
	// in keyed tables, that it deletes.
	Rows    arrow.RecordBatch
	Deletes []bool
	// Filtered and Tombstone say why there are no rows; so does Failure, of Column unless that is empty.
	Filtered, Tombstone bool
	Failure             *decode.Failure
	Column              string
}

// NewTrial prepares a trial of a table of schema. Of opts, all counts that decides what becomes of a
// record, but no policy for bad ones: who gets a failure applies it. Tables follow writers' schemas as far
// as policy lets them; version is the table's format version.
func NewTrial(ctx context.Context, opts TableOptions, schema *iceberg.Schema, policy evolve.Policy, version int,
) (*Trial, error) {
	opts.DeadLetters = spec.DeadLetters{Default: spec.Quarantine}
	opts.DeadLetterTable = &table.Table{} // letters are kept, and go nowhere
	t := &Trial{policy: policy, version: version, run: recount{
		schema: schema, worker: newWorker(memory.DefaultAllocator),
		table: &tableState{opts: opts, name: table.FormatIdent(opts.Ident), refused: map[string]bool{},
			refusedIDs: map[int32]string{}},
	}}
	return t, t.run.compile(ctx)
}

// Close gives back what the trial holds.
func (t *Trial) Close() { t.run.worker.close() }

// Schema is the table's schema by now, and Followed are the steps of its writers that brought it there.
func (t *Trial) Schema() *iceberg.Schema { return t.run.schema }

// Followed are the steps by which the table followed its writers.
func (t *Trial) Followed() []decode.Proposal { return t.decided }

// Take says what becomes of a record of a topic partition.
func (t *Trial) Take(ctx context.Context, tp commit.TopicPartition, r source.Record) (Tried, error) {
	chunk := source.Chunk{TopicPartition: tp, From: r.Offset, Next: r.Offset + 1, Records: []source.Record{r}}
	if err := t.follow(ctx, chunk); err != nil {
		return Tried{}, err
	}
	var out Tried
	err := t.run.each(ctx, chunk, func(p *portion) error {
		if p.err != nil {
			return p.err
		}
		out = tried(p)
		return nil
	})
	return out, err
}

// follow lets the schema follow that of the chunk's writer, as the table would. What the policy refuses
// stays, and each tells the record's failure.
func (t *Trial) follow(ctx context.Context, chunk source.Chunk) error {
	for range evolutionsMax {
		u := &unit{chunk: chunk, wants: []want{t.run.want(chunk.From)}}
		t.run.worker.work(ctx, u)
		asked := u.portions[0].evolution
		u.portions[0].release()
		if asked == nil {
			return nil
		}
		result, err := evolve.Plan(evolve.State{Schema: t.run.schema, Schemas: []*iceberg.Schema{t.run.schema},
			LastColumnID: t.run.schema.HighestFieldID(), FormatVersion: t.version}, asked.Proposals, t.policy)
		if err != nil {
			return fmt.Errorf("follow the writer's schema: %w", err)
		}
		if len(result.Refused) > 0 || !result.Changed {
			return nil
		}
		t.run.schema = result.Schema
		t.decided = append(t.decided, result.Applied...)
		if err := t.run.compile(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tried takes the outcome of one record out of a portion.
func tried(p *portion) Tried {
	out := Tried{Rows: p.rows, Filtered: p.part.Counts.Filtered > 0, Tombstone: p.part.Counts.Tombstones > 0}
	p.rows = nil
	for _, op := range p.ops {
		out.Deletes = append(out.Deletes, op&upsert.Delete != 0)
	}
	if len(p.letters) > 0 {
		failure := p.letters[0].failure
		out.Failure, out.Column = &failure, p.shape.columnName(failure.FieldID)
	}
	out.Deletes = slices.Clip(out.Deletes)
	return out
}
