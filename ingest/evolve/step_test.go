package evolve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
)

// writerSchemas is a registry in memory; the place is the id.
type writerSchemas []string

func (s writerSchemas) ByID(_ context.Context, id int32) (*registry.Schema, error) {
	return &registry.Schema{ID: id, Format: registry.Avro, Text: s[id]}, nil
}

// follower is what ingest does: it decodes, and evolves the table when a writer is ahead of it.
type follower struct {
	*fixture
	schemas writerSchemas
	refused map[int32]string
	steps   int
}

// decode returns the rows of values as JSON.
func (f *follower) decode(t *testing.T, values ...[]byte) (string, []decode.Failure) {
	t.Helper()
	for {
		former, err := FormerNames(StateOf(f.metadata))
		require.NoError(t, err)
		plan, err := decode.NewWriterPlan(t.Context(), f.metadata.CurrentSchema(),
			decode.Options{Format: decode.FormatAvro, UnknownFields: decode.UnknownEvolve},
			decode.WriterOptions{Schemas: f.schemas, Refused: f.refused, Former: former,
				Evolve: decode.Evolve{Widen: true, MakeOptional: true, Rename: true}})
		require.NoError(t, err)
		decoder := plan.NewDecoder(memory.DefaultAllocator)
		defer decoder.Close()
		chunk := &source.Chunk{}
		for _, value := range values {
			chunk.Records = append(chunk.Records, source.Record{Value: value})
		}
		decoded, err := decoder.Decode(t.Context(), chunk)
		var ahead *decode.EvolutionError
		if !errors.As(err, &ahead) {
			require.NoError(t, err)
			defer decoded.Batch.Release()
			text, err := decoded.Batch.MarshalJSON()
			require.NoError(t, err)
			return string(text), decoded.Failures
		}
		f.follow(t, ahead)
	}
}

func (f *follower) follow(t *testing.T, ahead *decode.EvolutionError) {
	t.Helper()
	f.steps++
	require.Less(t, f.steps, 3*len(f.schemas), "the table never gets where its writers are")
	result, err := Plan(StateOf(f.metadata), ahead.Proposals, everything)
	require.NoError(t, err)
	require.True(t, result.Changed || len(result.Refused) > 0, "nothing to do, and still ahead")
	require.NoError(t, f.commit(result))
	if len(result.Refused) > 0 {
		f.refused[ahead.SchemaID] = result.Refused[0].String()
	}
}

func newFollower(t *testing.T, table string, writers ...string) *follower {
	return &follower{fixture: newFixture(t, table, "2", "", ""), schemas: writers,
		refused: map[int32]string{}}
}

func avroOf(fields ...string) string {
	return `{"type":"record","name":"R","fields":[` + strings.Join(fields, ",") + `]}`
}

func TestTableFollowsItsWriters(t *testing.T) {
	v0 := avroOf(`{"name":"id","type":"int"}`, `{"name":"old","type":"string"}`)
	v1 := avroOf(`{"name":"id","type":"long"}`, `{"name":"new","aliases":["old"],"type":"string"}`,
		`{"name":"extra","type":["null",{"type":"array","items":"int"}]}`)
	v2 := avroOf(`{"name":"id","type":"long"}`,
		`{"name":"extra","type":["null",{"type":"array","items":"long"}]}`)
	f := newFollower(t, v0, v0, v1, v2)
	values := [][]byte{{0, 0, 0, 0, 0, 2, 2, 'a'}, {0, 0, 0, 0, 1, 4, 2, 'b', 2, 2, 14, 0}, {0, 0,
		0, 0, 2, 6, 0}}
	text, failures := f.decode(t, values...)
	require.Empty(t, failures)
	require.JSONEq(t,
		`[{"id":1,"new":"a","extra":null},{"id":2,"new":"b","extra":[7]},{"id":3,"new":null,"extra":null}]`, text)
	require.Empty(t, f.refused)
	before := f.steps
	f.decode(t, values...)
	require.Equal(t, before, f.steps, "old and new writers side by side change nothing more")
}

func TestRandomWritersAlwaysConverge(t *testing.T) {
	types := []string{`"int"`, `"long"`, `"float"`, `"double"`, `"string"`, `["null","int"]`,
		`["int","string"]`,
		`["null",{"type":"array","items":%s}]`, `{"type":"map","values":%s}`,
		`{"type":"record","name":"%s","fields":[{"name":"c0","type":%s},{"name":"C1","type":%s}]}`}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 11))
		names := 0
		var pick func(int) string
		pick = func(depth int) string {
			text := types[r.IntN(len(types)-3*max(0, 1-depth))]
			switch strings.Count(text, "%s") {
			case 1:
				return fmt.Sprintf(text, pick(depth-1))
			case 3:
				names++
				return fmt.Sprintf(text, fmt.Sprintf("S%d", names), pick(depth-1), pick(depth-1))
			}
			return text
		}
		schemas := make([]string, 6)
		for i := range schemas {
			var fields []string
			for c := range 5 {
				if r.IntN(4) > 0 {
					alias := ""
					if r.IntN(5) == 0 {
						alias = fmt.Sprintf(`"aliases":["c%d"],`, r.IntN(5))
					}
					fields = append(fields, fmt.Sprintf(`{"name":"c%d",%s"type":%s}`, c, alias,
						pick(2)))
				}
			}
			schemas[i] = avroOf(fields...)
		}
		f := newFollower(t, avroOf(`{"name":"c0","type":"int"}`), schemas...)
		var values [][]byte
		for id := range schemas {
			values = append(values, registry.AppendHeader(nil, int32(id)))
		}
		f.decode(t, values...)
		before := f.steps
		f.decode(t, values...)
		require.Equal(t, before, f.steps)
	}
}
