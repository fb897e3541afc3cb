package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lastToken is the last place to go on from in what was printed.
func lastToken(t *testing.T, printed string) (token string) {
	t.Helper()
	for line := range strings.Lines(printed) {
		var row map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &row), line)
		if text, is := row["_token"].(string); is {
			token = text
		}
	}
	return token
}

func TestReadFollowsATable(t *testing.T) {
	f := newStreamedFolder(t)
	f.produce(t, 500)
	r := f.run(t)
	at := r.url(t, "catalog")
	require.Eventually(t, func() bool { return f.fed(at) }, patience, 20*time.Millisecond)
	follow := func(more ...string) outcome {
		t.Helper()
		return firth(t, append([]string{"read", "db.events", "--follow", "--url", at}, more...)...)
	}
	out := follow("--limit", "500", "--json")
	require.Zero(t, out.code, out.stderr)
	require.Equal(t, 500, strings.Count(out.stdout, "user_id"))
	f.produce(t, 7)
	out = follow("--from", lastToken(t, out.stdout), "--limit", "7", "--output", "csv",
		"--columns", "user_id,_kafka_offset")
	require.Zero(t, out.code, out.stderr)
	require.Equal(t, 8, strings.Count(out.stdout, "\n"), "a line of names, and those that have come")
	require.True(t, strings.HasPrefix(out.stdout, "user_id,_kafka_offset\n"))
	out = follow("--where", "user_id < 0 or _kafka_offset = 3", "--limit", "4", "--columns", "_kafka_offset")
	require.Zero(t, out.code, out.stderr)
	require.Equal(t, []string{"_kafka_offset", "3", "3", "3", "3"}, strings.Fields(out.stdout))

	for _, wrong := range []struct{ says, flags string }{
		{"beginning, end, the id of a snapshot", "--from yesterday"},
		{"unknown column none", "--columns none"},
		{"begin with --from", "--snapshot 7"},
		{"there is no output", "--output xml"},
		{"--where", "--where 1"},
	} {
		out = follow(strings.Fields(wrong.flags)...)
		require.Equal(t, 2, out.code, wrong.flags)
		require.Contains(t, out.stderr, wrong.says)
	}
	r.end(t)
	out = follow()
	require.Equal(t, 2, out.code)
	require.Contains(t, out.stderr, "nothing listens there")
}
