package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatClientsWriteIsARequest(t *testing.T) {
	plain, err := Asked{}.Request()
	require.NoError(t, err)
	require.Equal(t, Request{}, plain)
	full, err := Asked{From: "2026-01-31T12:00:00Z", Filter: "n > 3", Columns: []string{"n"},
		Rows: "committed"}.Request()
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), full.From.Time)
	require.Equal(t, "n > 3", full.Filter.String())
	require.Equal(t, []string{"n"}, full.Columns)
	require.Equal(t, RowsCommitted, full.Rows)
	for _, wrong := range []Asked{{From: "yesterday"}, {Filter: "n >"}, {Rows: "old"}} {
		_, err := wrong.Request()
		require.Equal(t, 400, StatusOf(err), "%v", err)
	}
}
