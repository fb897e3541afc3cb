package commit_test

import (
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/filter"
)

func TestAgeIsOfDatesAndTimestamps(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 30, 0, 123, time.FixedZone("", 3600))
	for _, c := range []struct {
		typ iceberg.Type
		old string
	}{
		{iceberg.PrimitiveTypes.Date, `"a""t" < '2026-03-01'`},
		{iceberg.PrimitiveTypes.Timestamp, `"a""t" < '2026-03-01T11:30:00.000000123'`},
		{iceberg.PrimitiveTypes.TimestampTz, `"a""t" < '2026-03-01T11:30:00.000000123Z'`},
		{iceberg.TimestampNsType{}, `"a""t" < '2026-03-01T11:30:00.000000123'`},
	} {
		age := commit.RowAge{Column: `a"t`, After: time.Hour}
		schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: `a"t`, Type: c.typ})
		field, err := age.Field(schema)
		require.NoError(t, err)
		old, stay := age.Filters(field, at)
		require.Equal(t, c.old, old)
		for _, text := range []string{old, stay} {
			_, err := filter.ParseAndBind(text, schema)
			require.NoError(t, err, text)
		}
	}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "at", Type: iceberg.PrimitiveTypes.Int64})
	_, err := commit.RowAge{Column: "at"}.Field(schema)
	require.ErrorContains(t, err, "of type long, which has no age")
	_, err = commit.RowAge{Column: "when"}.Field(schema)
	require.ErrorContains(t, err, "no column when")
}
