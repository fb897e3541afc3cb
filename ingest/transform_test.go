package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// shouting makes "CITY-suffix" of city and an input column suffix. The city "boom" has no answer, and "nil" is null.
type shouting struct{ computes string }

func (s shouting) Bind(schema *iceberg.Schema) (BoundTransform, error) {
	text := iceberg.PrimitiveTypes.String
	city, _ := schema.FindFieldByName("city")
	suffix := iceberg.NestedField{ID: 100, Name: "suffix", Type: text}
	out, _ := schema.FindFieldByName(s.computes)
	arrowOut, err := table.ArrowSchema(iceberg.NewSchema(0, out))
	return BoundTransform{Input: []iceberg.NestedField{suffix}, Reads: []iceberg.NestedField{city, suffix},
		Computes: []string{s.computes},
		Open:     func() (Evaluator, error) { return shouter{arrowOut, s.computes}, nil }}, err
}

type shouter struct {
	out      *arrow.Schema
	computes string
}

func (s shouter) Evaluate(_ context.Context, rows arrow.RecordBatch, fault func(row int, column, message string),
) (arrow.RecordBatch, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, s.out)
	defer b.Release()
	city, suffix := rows.Column(0).(*array.String), rows.Column(1).(*array.String)
	for row := range city.Len() {
		switch {
		case city.Value(row) == "boom":
			fault(row, s.computes, "it went off")
			b.Field(0).AppendNull()
		case city.IsNull(row) || city.Value(row) == "nil":
			b.Field(0).AppendNull()
		default:
			b.Field(0).(*array.StringBuilder).Append(strings.ToUpper(city.Value(row)) + suffix.Value(row))
		}
	}
	return b.NewRecordBatch(), nil
}

func (shouter) Close() {}

func transformedSchema() *iceberg.Schema {
	p := iceberg.PrimitiveTypes
	return iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: p.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "city", Type: p.String},
		iceberg.NestedField{ID: 3, Name: "loud", Type: p.String, Required: true},
		iceberg.NestedField{ID: 4, Name: "n", Type: p.Int32})
}

// trialOf is a trial of a table with a transform.
func trialOf(t *testing.T, computes string, keyed *KeyedOptions) *Trial {
	t.Helper()
	keep, err := filter.Parse("loud <> 'BERN!' or loud is null")
	require.NoError(t, err)
	trial, err := NewTrial(t.Context(), TableOptions{Ident: table.Ident{"db", "t"}, Filter: keep, Keyed: keyed,
		Transform: shouting{computes}, Decode: decode.Options{Format: decode.FormatJSON}}, transformedSchema(),
		evolve.Policy{}, 2)
	require.NoError(t, err)
	t.Cleanup(trial.Close)
	return trial
}

// loud is what the row has of the transform.
func loud(t *testing.T, tried Tried) string {
	t.Helper()
	require.Nil(t, tried.Failure)
	require.EqualValues(t, 4, tried.Rows.NumCols(), "input is not stored")
	return tried.Rows.Column(2).(*array.String).Value(0)
}

func TestATransformComputesColumnsBeforeTheFilter(t *testing.T) {
	for name, keyed := range map[string]*KeyedOptions{"append": nil, "keyed": {}} {
		t.Run(name, func(t *testing.T) {
			trial := trialOf(t, "loud", keyed)
			require.Equal(t, "BERN?", loud(t, take(t, trial, `{"id": 1, "city": "bern", "suffix": "?"}`)))
			require.True(t, take(t, trial, `{"id": 1, "city": "Bern", "suffix": "!"}`).Filtered)
			require.Equal(t, "BERN", loud(t, take(t, trial, `{"id": 1, "city": "bern", "loud": 7}`)),
				"what the record has under the name of a computed column is of no concern")
			bad := take(t, trial, `{"id": 1, "city": "boom"}`)
			require.Equal(t, decode.ClassTransform, bad.Failure.Class)
			require.Equal(t, "loud", bad.Column)
			require.Equal(t, "loud: it went off", bad.Failure.Message)
			missing := take(t, trial, `{"id": 1, "city": "nil"}`)
			require.Equal(t, decode.ClassRequired, missing.Failure.Class)
			require.Equal(t, "loud", missing.Column)
			input := take(t, trial, `{"id": 1, "city": "x", "suffix": 7}`)
			require.Equal(t, decode.ClassType, input.Failure.Class)
			require.Equal(t, "suffix", input.Column)
			require.True(t, take(t, trial, "").Tombstone)
		})
	}
}

func TestADeleteNeedsNothingOfATransform(t *testing.T) {
	trial := trialOf(t, "loud", &KeyedOptions{Tombstones: true})
	out, err := trial.Take(t.Context(), commit.TopicPartition{Topic: "t"},
		source.Record{Key: []byte(`{"id": 7, "city": "boom"}`)})
	require.NoError(t, err)
	require.Nil(t, out.Failure)
	defer out.Rows.Release()
	require.Equal(t, []bool{true}, out.Deletes)
	require.EqualValues(t, 7, out.Rows.Column(0).(*array.Int64).Value(0))
}

func TestADeleteOfAnEnvelopeNeedsNothingOfATransform(t *testing.T) {
	envelope := decode.DebeziumEnvelope()
	envelope.Key = []string{"id"}
	trial, err := NewTrial(t.Context(), TableOptions{Ident: table.Ident{"db", "t"}, Keyed: &KeyedOptions{},
		Transform: shouting{"loud"}, Decode: decode.Options{Format: decode.FormatJSON, Envelope: envelope}},
		transformedSchema(), evolve.Policy{}, 2)
	require.NoError(t, err)
	t.Cleanup(trial.Close)
	deleted := take(t, trial, `{"op": "d", "before": {"id": 7, "city": "boom"}, "after": null}`)
	require.Nil(t, deleted.Failure, "the column is required, and a delete holds no more than the key")
	require.Equal(t, []bool{true}, deleted.Deletes)
	require.Equal(t, "ULM", loud(t, take(t, trial, `{"op": "u", "after": {"id": 7, "city": "ulm"}}`)))
	bad := take(t, trial, `{"op": "u", "after": {"id": 7, "city": "boom"}}`)
	require.Equal(t, decode.ClassTransform, bad.Failure.Class)
}

func TestWhatTellsRowsApartIsNotComputed(t *testing.T) {
	for column, keyed := range map[string]*KeyedOptions{
		"id identifies rows":           {},
		"city is the table's sequence": {Sequence: []string{"city"}},
		"city says what is deleted":    {DeleteColumn: "city"},
	} {
		name, _, _ := strings.Cut(column, " ")
		_, err := NewTrial(t.Context(), TableOptions{Ident: table.Ident{"db", "t"}, Keyed: keyed,
			Transform: shouting{name}, Decode: decode.Options{Format: decode.FormatJSON}}, transformedSchema(),
			evolve.Policy{}, 2)
		require.ErrorContains(t, err, column)
	}
}

// TestRowsDoNotDependOnWhatStandsBesideThem holds the rows, counts and letters of chunks of any size against
// those of single records.
func TestRowsDoNotDependOnWhatStandsBesideThem(t *testing.T) {
	values := []string{`{"id": 1, "city": "bern"}`, `{"id": 2, "city": "boom"}`,
		`{"id": 3, "city": "Bern", "suffix": "!"}`, `{`, `{"id": 4, "city": "nil"}`,
		`{"id": 5, "city": "ulm", "suffix": "x", "n": 4}`, `{"id": 6, "city": "x", "n": "y"}`}
	const rows = 200
	tp := commit.TopicPartition{Topic: "t", TopicID: uuid.Max}
	chunk := source.Chunk{TopicPartition: tp, Next: rows}
	for i := range rows {
		record := source.Record{Offset: commit.Offset(i), Value: []byte(values[i*i%len(values)])}
		chunk.Records = append(chunk.Records, record)
	}
	for _, keyed := range []*KeyedOptions{nil, {}} {
		trial := trialOf(t, "loud", keyed)
		gather := func(size int) (string, commit.Counts) {
			var text strings.Builder
			var counts commit.Counts
			for _, piece := range split(chunk, size) {
				require.NoError(t, trial.run.each(t.Context(), piece, func(p *portion) error {
					require.NoError(t, p.err)
					counts = counts.Add(p.part.Counts)
					for _, l := range p.letters {
						fmt.Fprintln(&text, l.record.Offset, l.failure.Class, l.failure.Message)
					}
					if p.rows != nil {
						for row := range int(p.rows.NumRows()) {
							fmt.Fprintln(&text, p.rows.Column(0).ValueStr(row), p.rows.Column(1).ValueStr(row),
								p.rows.Column(2).ValueStr(row), p.rows.Column(3).ValueStr(row))
						}
					}
					p.release()
					return nil
				}))
			}
			lines := strings.Split(text.String(), "\n") // letters of a chunk come before its rows
			slices.Sort(lines)
			return strings.Join(lines, "\n"), counts
		}
		one, counts := gather(1)
		require.Positive(t, counts.DeadLetters)
		require.Positive(t, counts.Filtered)
		for _, size := range []int{2, 7, 64, rows} {
			many, sum := gather(size)
			require.Equal(t, one, many)
			require.Equal(t, counts, sum)
		}
	}
}
