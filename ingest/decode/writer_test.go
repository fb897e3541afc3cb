package decode

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
)

// schemaMap is a registry in memory.
type schemaMap map[int32]*registry.Schema

func (m schemaMap) ByID(_ context.Context, id int32) (*registry.Schema, error) {
	if schema, ok := m[id]; ok {
		return schema, nil
	}
	return nil, fmt.Errorf("read schema %d: %w", id, registry.ErrUnknownID)
}

func avroSchemas(texts ...string) schemaMap {
	m := schemaMap{}
	for i, text := range texts {
		m[int32(i+1)] = &registry.Schema{ID: int32(i + 1), Format: registry.Avro, Text: text}
	}
	return m
}

// framed is a value of schema id.
func framed(id int32, payload ...byte) []byte {
	return append(registry.AppendHeader(nil, id), payload...)
}

func chunkOf(values ...[]byte) *source.Chunk {
	chunk := &source.Chunk{Next: 1000}
	for i, value := range values {
		chunk.Records = append(chunk.Records, source.Record{Value: value, Offset: 0,
			Timestamp: int64(i)})
	}
	return chunk
}

// writerFixture decodes with a plan whose columns are those of a schema.
type writerFixture struct {
	columns *iceberg.Schema
	options Options
	writer  WriterOptions
}

// decode returns the rows as JSON, one a line, with the failures of each behind it.
func (f writerFixture) decode(t testing.TB, values ...[]byte) (string, error) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	plan, err := NewWriterPlan(t.Context(), f.columns, f.options, f.writer)
	if err != nil {
		return "", err
	}
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decoded, err := decoder.Decode(t.Context(), chunkOf(values...))
	if err != nil {
		return "", err
	}
	defer decoded.Batch.Release()
	var out strings.Builder
	for i := range int(decoded.Batch.NumRows()) {
		row := decoded.Batch.NewSlice(int64(i), int64(i+1))
		text, err := row.MarshalJSON()
		row.Release()
		require.NoError(t, err)
		out.WriteString(strings.TrimSpace(strings.Trim(strings.TrimSpace(string(text)), "[]")))
		for _, failure := range decoded.Failures {
			if failure.Row == i {
				fmt.Fprintf(&out, " !%d %s %s", failure.FieldID, failure.Class, failure.Message)
			}
		}
		out.WriteString("\n")
	}
	return out.String(), nil
}

// decoder returns a decoder that ends with the test.
func (f writerFixture) decoder(t testing.TB) Decoder {
	plan, err := NewWriterPlan(t.Context(), f.columns, f.options, f.writer)
	require.NoError(t, err)
	decoder := plan.NewDecoder(memory.DefaultAllocator)
	t.Cleanup(decoder.Close)
	return decoder
}

func TestSeveralWritersInOneChunk(t *testing.T) {
	f := avroFixture(t, avroRecordText("a long", `b ["null","string"]`),
		avroRecordText("a int"), avroRecordText(`b ["null","string"]`, "a long"))
	got, err := f.decode(t, framed(1, 2), framed(2, 2, 2, 'x', 4), framed(1, 6))
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"b":null}`+"\n"+`{"a":2,"b":"x"}`+"\n"+`{"a":3,"b":null}`+"\n", got)
}

func TestRegistryDownEndsTheCall(t *testing.T) {
	f := avroFixture(t, avroRecordText("a int"))
	f.writer.Schemas = schemasFunc(func() (*registry.Schema, error) {
		return nil, fmt.Errorf("read schema 1: %w", registry.ErrUnavailable)
	})
	_, err := f.decode(t, framed(1, 2))
	require.ErrorIs(t, err, ErrRegistry)
}

type schemasFunc func() (*registry.Schema, error)

func (f schemasFunc) ByID(context.Context, int32) (*registry.Schema, error) { return f() }

func TestUnusableSchemaFailsItsRecords(t *testing.T) {
	f := avroFixture(t, avroRecordText("a int"), `{"type":`)
	f.writer.Schemas.(schemaMap)[2] = &registry.Schema{ID: 2, Format: registry.Protobuf}
	got, err := f.decode(t, framed(1, 2), framed(2, 2))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(got, "!0 schema_id"), got)
}

func TestFixedSchemaNeedsNoFrame(t *testing.T) {
	f := avroFixture(t, avroRecordText("a int"))
	f.writer = WriterOptions{Fixed: &registry.Schema{Format: registry.Avro,
		Text: avroRecordText("a int")}}
	got, err := f.decode(t, []byte{4})
	require.NoError(t, err)
	require.Equal(t, `{"a":2}`+"\n", got)
	f.writer.Fixed.Text = "{"
	_, err = f.decode(t, []byte{4})
	require.ErrorContains(t, err, "parse Avro schema")
}

func TestWriterAheadOfTheTableIsProposed(t *testing.T) {
	table := avroRecordText("a int", "f float",
		`d {"type":"bytes","logicalType":"decimal","precision":5,"scale":2}`,
		"gone string", "old string",
		`s {"type":"record","name":"S","fields":[{"name":"x","type":"int"}]}`,
		`l {"type":"array","items":{"type":"record","name":"L","fields":[{"name":"x","type":"int"}]}}`)
	writer := `{"type":"record","name":"R","fields":[
		{"name":"a","type":"long"},{"name":"f","type":"double"},
		{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
		{"name":"new","type":"string","aliases":["old"]},
		{"name":"s","type":["null",{"type":"record","name":"S","fields":[
			{"name":"x","type":"long"},{"name":"y","type":"int","doc":"why"}]}]},
		{"name":"l","type":{"type":"array","items":{"type":"record","name":"L","fields":[
			{"name":"x","type":"int"},{"name":"z","type":"string"}]}}},
		{"name":"r","type":["null","R"]}]}`
	f := avroFixture(t, table, writer)
	f.options.UnknownFields = UnknownEvolve
	f.writer.Evolve = Evolve{Widen: true, MakeOptional: true, Rename: true}
	_, err := f.decode(t, framed(1, 0))
	var ahead *EvolutionError
	require.True(t, errors.As(err, &ahead), "%v", err)
	require.EqualValues(t, 1, ahead.SchemaID)
	var got []string
	for _, p := range ahead.Proposals {
		got = append(got, fmt.Sprintf("%d%v%v%s%s", p.Kind, p.Path, p.Type, p.Doc, p.To))
	}
	require.Equal(t, []string{
		"1[a]long", "1[f]double", "1[d]decimal(9, 2)", "3[old]<nil>new",
		"2[s]<nil>", "1[s x]long", "0[s y]intwhy", "0[l element z]string", "2[gone]<nil>",
	}, got)

	f.writer.Refused = map[int32]string{1: "column a is a partition source"}
	rows, err := f.decode(t, framed(1, 0))
	require.NoError(t, err)
	require.Contains(t, rows, "!0 schema_changed column a is a partition source")

	f.writer.Refused, f.options.UnknownFields, f.writer.Evolve = nil, UnknownDeadLetter, Evolve{}
	rows, err = f.decode(t, framed(1, 0))
	require.NoError(t, err)
	require.Contains(t, rows, "!0 unknown_field s.y: no column takes this field")
}

func TestFormerNamesFindTheColumn(t *testing.T) {
	f := avroFixture(t, avroRecordText("b int"), avroRecordText("a int"))
	f.writer.Former = map[string][]string{"b": {"a"}}
	got, err := f.decode(t, framed(1, 4))
	require.NoError(t, err)
	require.Equal(t, `{"b":2}`+"\n", got)
}
