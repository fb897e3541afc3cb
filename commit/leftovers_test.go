package commit

import (
	"bytes"
	"log/slog"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatWaitsForRemovalIsBoundedAndTold(t *testing.T) {
	var told bytes.Buffer
	log := slog.New(slog.NewTextHandler(&told, nil))
	var waiting []string
	for i := range leftoversMax + 3 {
		waiting = append(waiting, strconv.Itoa(i))
	}
	require.Len(t, bounded(log, waiting[3:], "files"), leftoversMax)
	require.Empty(t, told.String())
	kept := bounded(log, waiting, "files")
	require.Len(t, kept, leftoversMax)
	require.Equal(t, "3", kept[0])
	require.Contains(t, told.String(), "stay as orphans\" files=3")
}
