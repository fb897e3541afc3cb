package stage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func TestUploadRemovesItsFiles(t *testing.T) {
	store := objstore.NewMemory(time.Now)
	o := UploadOptions{Options: options(t, Feed{"events10", "json"}, 2_000), Store: store,
		Location: "mem://lake/bench"}
	result, err := Upload(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, int64(2_000), result.Rows)
	require.Equal(t, int64(1), result.Files)
	for range store.List(t.Context(), "mem://lake/") {
		t.Fatal("a file is left")
	}
}

func TestUploadRemovesAFileWhoseAnswerWasLost(t *testing.T) {
	store := objstore.NewMemory(time.Now)
	lost := objstore.NewFaulty(store, objstore.FailAt(0, objstore.Fault{Kind: objstore.AnswerLost}))
	_, err := Upload(t.Context(), UploadOptions{Store: lost, Location: "mem://lake/bench",
		Options: Options{Feed: Feed{"events10", "json"}, Rows: 10, Now: time.Now}})
	require.ErrorIs(t, err, objstore.ErrInjected)
	for range store.List(t.Context(), "mem://lake/") {
		t.Fatal("a file is left")
	}
}
