package objstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func TestClockIsTheStoresAndLeavesNothing(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := objstore.NewMemory(func() time.Time { return at })
	told, err := objstore.Clock(t.Context(), store, "mem://lake/clock")
	require.NoError(t, err)
	require.True(t, at.Equal(told))
	for o, err := range store.List(t.Context(), "mem://lake/") {
		require.NoError(t, err)
		t.Errorf("%s stays", o.Location)
	}
}
