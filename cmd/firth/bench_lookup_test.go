package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/cmd/firth/stage"
)

func TestLookUpsAreHeldAgainstTheTopic(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // for the service
	out := firth(t, "bench", "lookup", "--seconds", "4", "--rate", "100", "--upserts", "2000", "--keys", "500",
		"--interval", "1s", "--askers", "4", "--json")
	require.Zero(t, out.code, out.stderr+out.stdout)
	var result lookupResult
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &result), out.stdout)
	require.Zero(t, result.Mismatches+result.Regressions+result.Errors, out.stdout)
	require.Positive(t, result.Found)
	require.Less(t, result.Found, result.Lookups, "no answer was of a deleted row")
	require.Positive(t, result.LookupsPerSecond)
	require.Positive(t, result.UpsertsPerSecond)
	require.Positive(t, result.LatencyP50)
	require.GreaterOrEqual(t, result.LatencyP99, result.LatencyP50)
}

func TestALookUpThatIsNotTheNewestAtItsCutIsAMismatch(t *testing.T) {
	now := time.Now()
	log, err := newLookupLog(lookupOptions{keys: 16, distribution: stage.Uniform}, func() time.Time { return now })
	require.NoError(t, err)
	for number := range int64(16) {
		log.first(number)
	}
	log.add(7, 3) // offset 2 of topic partition 3
	log.add(-1, 3)
	answer := func(version, next int64) lookupAnswered {
		var out lookupAnswered
		out.Position = map[string]map[string]int64{lookupTopic: {"3": next}}
		if version >= 0 {
			out.Row = &struct {
				Key     string `json:"row_key"`
				Version int64  `json:"row_version"`
			}{stage.KeyText(3), stage.VersionBegin + version}
		}
		return out
	}
	for _, c := range []struct {
		version, next int64 // version -1 is no row
		exact         bool
	}{{-1, 0, true}, {0, 0, false}, {0, 1, true}, {0, 2, true}, {2, 2, false}, {2, 3, true}, {0, 3, false},
		{-1, 4, true}, {2, 4, false}} {
		findings := &lookupFindings{}
		asker := lookupAsker{log: log, findings: findings, now: func() time.Time { return now }}
		asker.note(3, answer(c.version, c.next), nil, now)
		require.Equal(t, c.exact, findings.mismatches == 0, "%+v", c)
	}
}

func TestLookUpBenchmarkRefusesWhatItCannotMeasure(t *testing.T) {
	for args, told := range map[string][]string{
		"--rate":         {"bench", "lookup", "--rate", "0"},
		"--keys 1 ":      {"bench", "lookup", "--keys", "1"},
		"--distribution": {"bench", "lookup", "--distribution", "even"},
		"--interval":     {"bench", "lookup", "--interval", "0s"},
		"--memory":       {"bench", "lookup", "--memory", "1MiB"},
		"--chunks":       {"bench", "live", "--chunks", "1001"},
	} {
		out := firth(t, told...)
		require.Equal(t, exitCouldNot, out.code, told)
		require.Contains(t, out.stderr, args)
	}
}
