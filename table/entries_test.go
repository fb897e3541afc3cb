package table_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

func TestEntriesListsLiveFiles(t *testing.T) {
	l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
	a := l.parquet(l.meta.CurrentSchema(), idRows(0, 2))
	first := l.commit(a)
	second := l.commit(l.deletes(fmt.Sprintf(`[{"file_path": %q, "pos": 0}]`, a.FilePath())))
	var got []string
	for entry, err := range table.Entries(t.Context(), l.table(), l.store, second) {
		require.NoError(t, err)
		require.NotEmpty(t, entry.Manifest)
		got = append(got, fmt.Sprint(entry.File.ContentType(), entry.SnapshotID == first,
			entry.SequenceNumber, entry.FileSequenceNumber, entry.Status))
	}
	require.Len(t, got, 2)
	require.Contains(t, strings.Join(got, "\n"), "true 1 1")
	require.Contains(t, strings.Join(got, "\n"), "false 2 2")
	for _, err := range table.Entries(t.Context(), l.table(), l.store, 12345) {
		require.ErrorIs(t, err, table.ErrNotFound)
	}
}
