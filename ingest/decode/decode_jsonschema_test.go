package decode

import (
	"errors"
	"fmt"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
)

const jsonSchemaText = `{"type":"object","required":["id"],"properties":{
	"id":{"type":"integer"},"name":{"type":"string"},
	"user":{"type":"object","properties":{"n":{"type":"integer"}}}}}`

func jsonSchemaFixture(t *testing.T, table, writer string) writerFixture {
	columns, err := messageschema.JSONSchemaColumns(table, nil)
	require.NoError(t, err)
	return writerFixture{columns: columns.Schema(), options: Options{Format: FormatJSONSchema},
		writer: WriterOptions{Schemas: schemaMap{
			1: {ID: 1, Format: registry.JSONSchema, Text: writer}, 2: {ID: 2, Format: registry.Avro},
		}}}
}

func TestJSONSchemaRecordsAreJSONBehindTheFrame(t *testing.T) {
	f := jsonSchemaFixture(t, jsonSchemaText, jsonSchemaText)
	got, err := f.decode(t, framed(1, []byte(`{"name":"x","id":3,"user":{"n":4}}`)...),
		[]byte(`{"id":3}`), framed(9, '{', '}'), framed(1, '{'), framed(2, '{', '}'))
	require.NoError(t, err)
	for _, want := range []string{`{"id":3,"name":"x","user":{"n":4}}` + "\n",
		"!0 syntax no schema id", "!0 schema_id schema 9", "!0 syntax", "!0 schema_id schema 2"} {
		require.Contains(t, got, want)
	}
}

func TestJSONSchemaAheadOfTheTableIsProposed(t *testing.T) {
	f := jsonSchemaFixture(t, jsonSchemaText, `{"type":"object","properties":{
		"id":{"type":"integer"},"new":{"type":"array","items":{"type":"string"}},
		"user":{"type":"object","properties":{"n":{"type":"integer"},"m":{"type":"string","format":"date"}}}}}`)
	f.options.UnknownFields, f.writer.Evolve = UnknownEvolve, Evolve{MakeOptional: true}
	_, err := f.decode(t, framed(1, []byte(`{"id":3}`)...))
	var ahead *EvolutionError
	require.True(t, errors.As(err, &ahead), "%v", err)
	require.Equal(t, []Proposal{
		{Kind: MakeOptional, Path: []string{"id"}},
		{Kind: AddColumn, Path: []string{"new"}, Type: &iceberg.ListType{
			Element: iceberg.PrimitiveTypes.String, ElementRequired: true}},
		{Kind: AddColumn, Path: []string{"user", "m"}, Type: iceberg.PrimitiveTypes.Date},
	}, ahead.Proposals, fmt.Sprint(ahead.Proposals))
}
