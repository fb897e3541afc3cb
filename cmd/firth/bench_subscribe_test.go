package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestManySubscribersGetEachRowOnce(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // for the service
	for _, format := range subscribeFormats() {
		out := firth(t, "bench", "subscribe", "--seconds", "3", "--rate", "2000", "--subscribers", "10",
			"--resumes", "20", "--checkpoint", "1s", "--format", format, "--columns", "user_id", "--json")
		require.Zero(t, out.code, out.stderr+out.stdout)
		var result subscribeResult
		require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
		require.Positive(t, result.Produced)
		require.Equal(t, 10*result.Produced, result.Rows)
		require.Zero(t, result.Gaps+result.Duplicates+result.Breaks, out.stdout)
		require.EqualValues(t, 20, result.Resumes)
		require.EqualValues(t, 20, result.ResumesExact)
		require.Positive(t, result.LagP50)
		require.GreaterOrEqual(t, result.LagP99Worst, result.LagP50)
		require.Positive(t, result.CPUSeconds)
		require.Positive(t, result.RSSBytesMax)
	}
}
