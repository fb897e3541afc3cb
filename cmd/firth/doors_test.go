package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

func getText(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(text)
}

// doorsOf are the doors of db.events, by name.
func doorsOf(t *testing.T, admin string) map[string]doorReport {
	t.Helper()
	var tables []tableDoors
	require.NoError(t, json.Unmarshal([]byte(getText(t, admin+"/doors")), &tables))
	require.Len(t, tables, 1)
	require.Equal(t, "db.events", tables[0].Table)
	found := map[string]doorReport{}
	for _, d := range tables[0].Doors {
		found[d.Door] = d
	}
	return found
}

// records are how many a door shows.
func (d doorReport) records() (n commit.Offset) {
	for _, partitions := range d.Offsets {
		for _, next := range partitions {
			n += next
		}
	}
	return n
}

func TestReadersAreToldHowOldWhatTheySeeIs(t *testing.T) {
	f := newHourlyFolder(t, 4, byCountry)
	f.produce(t, 500)
	r := f.run(t)
	admin, url := r.url(t, "admin"), r.url(t, "catalog")
	require.Equal(t, noteUnread, doorsOf(t, admin)[doorLive].Note)
	require.Equal(t, noteUnknown, doorsOf(t, admin)[doorCommitted].Note)
	shown := func(rows int64) {
		t.Helper()
		require.Eventually(t, func() bool { return rowsIn(t, url, "live") == rows }, patience, 50*time.Millisecond)
	}
	require.Eventually(t, func() bool {
		const read = `firth_ingest_records_total{outcome="row",table="db.events"} 500`
		return strings.Contains(getText(t, admin+"/metrics"), read)
	}, patience, 50*time.Millisecond, "the first reader has committed what was read until then, and nothing else does")
	shown(500)
	require.Eventually(t, func() bool { return doorsOf(t, admin)[doorCommitted].AgeSeconds != nil }, patience,
		50*time.Millisecond, "ingest is at the end of the topic, and all is committed")
	f.produce(t, 100)
	shown(600)
	var found map[string]doorReport
	require.Eventually(t, func() bool {
		found = doorsOf(t, admin)
		committed, now := found[doorCommitted].AgeSeconds, found[doorLive].AgeSeconds
		return committed != nil && now != nil && *committed > *now+2
	}, patience, 50*time.Millisecond, "a commit an hour makes rows old that are shown as of now")
	require.EqualValues(t, 500, found[doorCommitted].records())
	for _, door := range []string{doorLive, doorStream} {
		require.EqualValues(t, 600, found[door].records(), door)
		require.NotNil(t, found[door].AgeSeconds, door)
	}
	require.NotContains(t, found, doorFlight, "nobody serves it")
	metrics := getText(t, admin+"/metrics")
	for door := range found {
		require.Contains(t, metrics, `firth_visible_age_seconds{door="`+door+`",table="db.events"}`)
	}
	f.listen(t, strings.TrimPrefix(admin, "http://"))
	out := f.firth(t, "describe", "db.events")
	require.Zero(t, out.code, out.stderr)
	require.Regexp(t, `(?m)^live_catalog +\d+\.\d s +20`, out.stdout)
	r.end(t)
	require.NotContains(t, f.firth(t, "describe", "db.events").stdout, doorLive, "nobody runs that could be asked")
}

func TestACutOfManyTopicPartitionsIsTheirNumber(t *testing.T) {
	cut := map[string]map[string]commit.Offset{"orders": {"0": 5, "1": 7}, "users": {"0": 1}}
	require.Equal(t, "orders 0:5 1:7, users 0:1", endsAt(cut))
	for i := range 20 {
		cut["orders"][string(rune('a'+i))] = 1
	}
	require.Equal(t, "23 topic partitions", endsAt(cut))
	require.Empty(t, endsAt(nil))
}
