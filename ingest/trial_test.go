package ingest

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// newTrial is a trial of a table of two columns, which suspends on bad records.
func newTrial(t *testing.T, policy evolve.Policy) *Trial {
	t.Helper()
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "n", Type: iceberg.PrimitiveTypes.Int32})
	keep, err := filter.Parse("n is null or n > 1")
	require.NoError(t, err)
	trial, err := NewTrial(t.Context(), TableOptions{Ident: table.Ident{"db", "t"}, Filter: keep,
		Decode:      decode.Options{Format: decode.FormatJSON, UnknownFields: decode.UnknownEvolve},
		DeadLetters: spec.DeadLetters{Default: spec.Suspend}}, schema, policy, 2)
	require.NoError(t, err)
	t.Cleanup(trial.Close)
	return trial
}

func take(t *testing.T, trial *Trial, value string) Tried {
	t.Helper()
	r := source.Record{Offset: 7}
	if value != "" {
		r.Value = []byte(value)
	}
	out, err := trial.Take(t.Context(), commit.TopicPartition{Topic: "t"}, r)
	require.NoError(t, err)
	if out.Rows != nil {
		t.Cleanup(out.Rows.Release)
	}
	return out
}

func TestATrialSaysWhatBecomesOfARecord(t *testing.T) {
	trial := newTrial(t, evolve.Policy{})
	row := take(t, trial, `{"id": 1, "n": 5}`)
	require.EqualValues(t, 1, row.Rows.NumRows())
	require.Nil(t, row.Failure)
	require.Nil(t, row.Deletes)
	require.True(t, take(t, trial, `{"id": 1, "n": 1}`).Filtered)
	require.True(t, take(t, trial, "").Tombstone)
	bad := take(t, trial, `{"id": 1, "n": "x"}`)
	require.Equal(t, decode.ClassType, bad.Failure.Class, "whatever the policy, which is for who asks")
	require.Equal(t, "n", bad.Column)
	require.Nil(t, bad.Rows)
	whole := take(t, trial, `{`)
	require.Equal(t, decode.ClassSyntax, whole.Failure.Class)
	require.Empty(t, whole.Column)
	require.Equal(t, decode.ClassSchemaChanged, take(t, trial, `{"id": 1, "city": "Bern"}`).Failure.Class)
	require.Empty(t, trial.Followed())
}

func TestATrialFollowsWritersAsTheTableWould(t *testing.T) {
	trial := newTrial(t, evolve.Policy{AddColumn: true})
	row := take(t, trial, `{"id": 1, "city": "Bern"}`)
	require.Nil(t, row.Failure)
	require.EqualValues(t, 3, row.Rows.NumCols())
	require.Len(t, trial.Followed(), 1)
	_, there := trial.Schema().FindFieldByName("city")
	require.True(t, there)
}
