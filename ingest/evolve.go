package ingest

import (
	"context"
	"fmt"
	"iter"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
)

// evolutionsMax bounds how often one chunk may make a table evolve: each schema in it once.
const evolutionsMax = 64

// follow makes the table hold what the writer of p's chunk says, and takes the chunk then. Rows
// before it are committed under the old schema first. Records of a schema that the table may not
// follow are dead letters.
func (g *Ingester) follow(ctx context.Context, t *tableState, p *portion) {
	for range evolutionsMax {
		key := evolutionKey(p.evolution)
		if t.refused[key] {
			g.refuse(ctx, t, p)
			return
		}
		if err := g.flush(ctx, []*tableState{t}); err != nil {
			t.pause(fmt.Errorf("commit before the schema changes: %w", err))
			return
		}
		if t.state != StateActive {
			return // fenced or stopped by that commit
		}
		followed, err := g.evolve(ctx, t, p.evolution)
		if err != nil {
			t.pause(fmt.Errorf("follow the writer's schema: %w", err))
			return
		}
		if !followed {
			t.log.Warn("writer's schema is refused by policy", "schema_id", p.evolution.SchemaID,
				"proposals", key)
			t.refused[key] = true
			if id := p.evolution.SchemaID; id != 0 {
				t.refusedIDs[id] = refusedReason(key)
				if err := g.regroup(ctx); err != nil {
					t.pause(err)
					return
				}
			}
		}
		p = g.decodeFor(ctx, t, p)
		if p == nil {
			return
		}
		if p.evolution == nil {
			t.take(ctx, p)
			return
		}
	}
	t.stop(ctx, fmt.Errorf("table %s: the writer's schema asks for more after %d changes", t, evolutionsMax))
}

func (g *Ingester) evolve(ctx context.Context, t *tableState, e *decode.EvolutionError) (bool, error) {
	if t.opts.Evolver == nil {
		return false, nil
	}
	followed, err := t.opts.Evolver.Evolve(ctx, e)
	if err != nil || !followed {
		return false, err
	}
	t.version++
	t.log.Info("table follows the writer's schema", "schema_id", e.SchemaID)
	return true, g.regroup(ctx)
}

// decodeAgain decodes p's chunk with the newest schema: it was decoded before the table changed.
func (g *Ingester) decodeAgain(ctx context.Context, t *tableState, p *portion) {
	if again := g.decodeFor(ctx, t, p); again != nil {
		t.take(ctx, again)
	}
}

// decodeFor decodes p's chunk for t alone.
func (g *Ingester) decodeFor(ctx context.Context, t *tableState, p *portion) *portion {
	u := &unit{chunk: *p.chunk, wants: []want{g.router.member(t, p.part.From)}}
	g.worker.work(ctx, u)
	if len(u.portions) == 0 {
		return nil
	}
	return u.portions[0]
}

func refusedReason(key string) string { return "the table may not follow: " + key }

// refuse takes a chunk of which some records are ahead of the table, one record at a time: those are
// bad records of class schema_changed, the others are as good as ever.
func (g *Ingester) refuse(ctx context.Context, t *tableState, p *portion) {
	id := p.chunk.TopicPartition
	member := func(from commit.Offset) want { return g.router.member(t, from) }
	for one := range g.worker.oneByOne(ctx, p, member, t.refused) {
		next := one.part.Next
		t.take(ctx, one)
		if t.next[id] != next {
			return // paused, stopped or dropped: the rest comes again
		}
	}
}

// oneByOne yields portions of one record each, which together are p's chunk from p's first offset on. A
// record that asks for a refused evolution is a bad record.
func (w *worker) oneByOne(
	ctx context.Context, p *portion, member func(from commit.Offset) want, refused map[string]bool,
) iter.Seq[*portion] {
	return func(yield func(*portion) bool) {
		from := p.part.From
		for i := range p.chunk.Records {
			r := &p.chunk.Records[i]
			if r.Offset < from {
				continue
			}
			piece := *p.chunk
			piece.From, piece.Next = from, r.Offset+1
			if i == len(p.chunk.Records)-1 {
				piece.Next = p.chunk.Next
			}
			piece.Records = p.chunk.Records[i : i+1]
			u := &unit{chunk: piece, wants: []want{member(from)}}
			w.work(ctx, u)
			one := u.portions[0]
			if one.evolution != nil && refused[evolutionKey(one.evolution)] {
				w.refuseRecord(one, r)
			}
			if !yield(one) {
				return
			}
			from = piece.Next
		}
	}
}

// refuseRecord turns a portion of one record that could not be decoded into a bad record.
func (w *worker) refuseRecord(p *portion, r *source.Record) {
	message := "written with a schema that the table may not follow: " + evolutionKey(p.evolution)
	failure := decode.Failure{
		Class: decode.ClassSchemaChanged, Message: message, SchemaID: p.evolution.SchemaID,
	}
	p.evolution, p.err = nil, nil
	p.part.Counts = commit.Counts{}
	w.refuse(p, r, &failure)
	p.newest = r.Timestamp
	p.part.Counts.Absent = int64(p.part.Next-p.part.From) - p.part.Counts.Sum()
}

// evolutionKey tells evolutions apart, in words.
func evolutionKey(e *decode.EvolutionError) string {
	key := ""
	for _, p := range e.Proposals {
		key += fmt.Sprintf("%s %v %v %s; ", proposalName(p.Kind), p.Path, p.Type, p.To)
	}
	return key
}

func proposalName(kind decode.ProposalKind) string {
	switch kind {
	case decode.AddColumn:
		return "add"
	case decode.Widen:
		return "widen"
	case decode.MakeOptional:
		return "relax"
	case decode.Rename:
		return "rename"
	}
	return "change"
}
