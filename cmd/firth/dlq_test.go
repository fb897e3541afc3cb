package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/letters"
	"github.com/firthlake/firth/ingest/source"
)

// newLettersFolder is a folder whose table has 1,000 rows and as many dead letters, and whose service runs.
func newLettersFolder(t *testing.T) (*lakeFolder, *running) {
	t.Helper()
	f := newLakeFolder(t)
	f.spec(t, ", {name: note, type: string}", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	f.produce(t, 1000)
	err := gen.ProduceRecords(t.Context(), f.broker.Connection(), "events", gen.Run{Rows: 1000},
		func(n int64) gen.Record {
			return gen.Record{Partition: int32(n % 4), Value: fmt.Appendf(nil,
				`{"uid":%d,"amount":{"text":" %d.25 "},"note":"bad %d"}`, n, n, n)}
		})
	require.NoError(t, err)
	r := f.run(t)
	f.committed(t, 2000)
	require.Eventually(t, func() bool { // letters are published one swap behind their commit
		open, _ := f.lettersListed(t)
		return open == 1000
	}, patience, 100*time.Millisecond)
	return f, r
}

func (f *lakeFolder) lettersListed(t *testing.T, flags ...string) (open, resolved int64) {
	t.Helper()
	out := f.firth(t, append([]string{"dlq", "list", "db.events", "--json"}, flags...)...)
	require.Zero(t, out.code, out.stderr)
	var counts []letterCount
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &counts))
	for _, c := range counts {
		require.Equal(t, "events", c.Topic)
		require.False(t, c.Last.Before(c.First))
		open, resolved = open+c.Open, resolved+c.Resolved
	}
	return open, resolved
}

func (f *lakeFolder) replayed(t *testing.T, code int, flags ...string) replayReport {
	t.Helper()
	out := f.firth(t, append([]string{"dlq", "replay", "db.events", "--json"}, flags...)...)
	require.Equal(t, code, out.code, out.stderr)
	var report replayReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	return report
}

// TestDeadLettersAreListedShownAndReplayedBesideRun lists and shows 1,000 letters, fixes and replays them while the
// service goes on, twice, and has the table proven against the topic.
func TestDeadLettersAreListedShownAndReplayedBesideRun(t *testing.T) {
	f, r := newLettersFolder(t)
	open, resolved := f.lettersListed(t)
	require.EqualValues(t, []int64{1000, 0}, []int64{open, resolved})
	open, _ = f.lettersListed(t, "--where", "error_class = 'syntax'")
	require.Zero(t, open)
	open, _ = f.lettersListed(t, "--since", "2999-01-01T00:00:00Z")
	require.Zero(t, open)
	out := f.firth(t, "dlq", "list", "db.events")
	require.Contains(t, out.stdout, "CLASS  TOPIC   OPEN   RESOLVED")
	require.Contains(t, out.stdout, "type   events  1,000  0")
	out = f.firth(t, "dlq", "show", "db.events", "--limit", "2")
	require.Equal(t, 2, strings.Count(out.stdout, "  payload {\"uid\":"), out.stdout)
	require.Contains(t, out.stdout, "error   type, column amount: ")
	require.Contains(t, out.stdout, "hint    give the column amount another type")

	require.EqualValues(t, 1000, f.replayed(t, exitFallsShort).Failed)
	maps := []string{"--map", "amount = cast(amount.text as double)", "--map", "user_id = uid"}
	require.EqualValues(t, 1000, f.replayed(t, exitOK, append(maps, "--dry-run")...).Rows)
	require.EqualValues(t, 1000, f.replayed(t, exitOK, maps...).Rows)
	require.Zero(t, f.replayed(t, exitOK, maps...).Letters)
	open, resolved = f.lettersListed(t)
	require.EqualValues(t, []int64{0, 1000}, []int64{open, resolved})

	f.produce(t, 500) // the service goes on
	f.committed(t, 2500)
	r.end(t)
	report := f.report(t, "--require-log")
	require.True(t, report.Proven, report.Faults)
	require.Empty(t, report.Notes)
	require.EqualValues(t, 1000, report.DeadLetters.Resolved)
	require.EqualValues(t, 1000, report.Counts.DeadLetters)
	out = f.firth(t, "read", "db.events", "--where", "note = 'bad 7'", "--columns", "user_id,amount", "--output", "csv")
	require.Equal(t, "user_id,amount\n7,7.25\n", out.stdout)
	require.NotContains(t, f.firth(t, "describe", "db.events", "--json").stdout,
		commit.ReplaysOf(commit.TopicPartition{Topic: "events"}).Topic)
}

func TestDlqSaysWhatIsWrong(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	for args, want := range map[string]string{
		"list db.none":                              "there is no table db.none",
		"replay db.events --map amount":             "want '='",
		"replay db.events --map a=cast(b,as,money)": "want 'as'",
		"list db.events --where topic=":             "--where",
		"list db.events --since soon":               "neither a span nor a time",
	} {
		out := f.firth(t, append([]string{"dlq"}, strings.Fields(args)...)...)
		require.Equal(t, exitCouldNot, out.code, args)
		require.Contains(t, out.stderr, want, args)
	}
}

func TestLettersAreShownOnLinesOfTheirOwn(t *testing.T) {
	l := letters.Letter{Place: letters.Place{Topic: "events", Partition: 3}, Class: "type", Column: "amount",
		Message: "a text", SchemaID: 7,
		Record: source.Record{Offset: 5, Key: []byte("k\xff"), Value: []byte("\"a\"\nb"),
			Headers: []source.Header{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte("2")}}}}
	var out bytes.Buffer
	require.NoError(t, writeLetters(&out, "db.events", []shownLetter{showLetter(&l)}))
	require.Equal(t, `events-3 offset 5  1970-01-01T00:00:00Z
  error   type, column amount, schema 7: a text
  hint    give the column amount another type and 'firth apply', or have the producer send the right one
  key     base64:a/8=
  header  h: 1
  header  h: 2
  payload "a"\nb
`, out.String())
	l.Record.Value = []byte{0xff, 0}
	require.Equal(t, []byte{0xff, 0}, showLetter(&l).PayloadBase64)
	out.Reset()
	writeField(&out, "payload", strings.Repeat("ä", showBytesMax))
	require.Equal(t, "  payload "+strings.Repeat("ä", showBytesMax/2)+"… (--json has all)\n", out.String())
}
