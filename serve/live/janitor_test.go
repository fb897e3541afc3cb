package live_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

func TestFilesGoOnceNobodyCanReadThem(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	change := uuid.New()
	w.read(change, 10)
	before := w.load("live")
	w.commit(change)
	w.pass(time.Second)
	w.load("live")
	for range 5 {
		w.pass(live.Pin / 6)
		require.NoError(t, w.janitor.Step(t.Context()))
		require.Len(t, w.ids(before, table.Scan{}), 10, "it was handed out less than a pin window ago")
	}
	w.pass(2 * live.Pin)
	require.NoError(t, w.janitor.Step(t.Context()))
	left := w.objects()
	require.Len(t, left, 2, "the current version's list and metadata: %v", left)
	require.Equal(t, upTo(10), w.ids(w.load("live"), table.Scan{}))
}

func TestWhatNobodyKnowsIsSweptOnceItIsOld(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	w.read(uuid.New(), 10)
	w.load("live")
	folder := tail.FolderOf(w.committer.Table().Metadata().Location())
	put := func(name string) {
		_, err := w.store.Put(t.Context(), folder+name, strings.NewReader("x"), 1, objstore.PutOptions{})
		require.NoError(t, err)
	}
	known := w.objects()
	names := []string{"firth-" + uuid.NewString() + "-0.parquet", "deletes of somebody.parquet", "a/b/c", "ü"}
	for _, name := range names {
		put(name)
	}
	require.NoError(t, w.janitor.Step(t.Context()))
	require.Len(t, w.objects(), len(known)+len(names), "another process may be at them")
	w.pass(25 * time.Hour)
	put("young")
	require.NoError(t, w.janitor.Step(t.Context()))
	require.ElementsMatch(t, append(known, folder+"young"), w.objects())
}
