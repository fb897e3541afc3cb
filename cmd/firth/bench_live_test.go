package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadersOfEachDoorAndLoadsAreTimed(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // for the service
	out := firth(t, "bench", "live", "--seconds", "4", "--rate", "2000", "--chunks", "10", "--json")
	require.Zero(t, out.code, out.stderr+out.stdout)
	var result liveResult
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
	require.Zero(t, result.Gaps+result.Duplicates+result.Regressions, out.stdout)
	require.GreaterOrEqual(t, len(result.Doors), 2)
	for name, door := range result.Doors {
		require.Positive(t, door.AgeP50, name)
		require.GreaterOrEqual(t, door.AgeP99, door.AgeP50, name)
	}
	require.GreaterOrEqual(t, result.Chunks, 9)
	require.Positive(t, result.Loads)
	require.Positive(t, result.LoadP50)
	require.GreaterOrEqual(t, result.LoadP95, result.LoadP50)
}
