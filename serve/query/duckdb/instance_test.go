//go:build duckdb_arrow

package duckdb

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnInterruptionBetweenTwoCallsIsNotLost(t *testing.T) {
	i, err := openInstance(map[string]string{"threads": "1"})
	require.NoError(t, err)
	defer i.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	defer i.interruptWith(ctx)()
	for range 3 { // the first may be interrupted by what came before it
		err = i.exec("SELECT count(*) FROM range(100000) a, range(20000) b WHERE (a.range * b.range) % 7 = 3")
		require.ErrorIs(t, err, errInterrupted)
	}
}
