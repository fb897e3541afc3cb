package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// followed is what a client has of a stream.
type followed struct {
	next  map[int]int64 // offsets of each partition
	rows  int64
	token string
}

// read reads a stream until the client has all rows, and the token behind them.
func (c *followed) read(t *testing.T, address string, rows int64) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		address+"/v1/tables/db/events/stream?from="+url.QueryEscape(c.token), nil)
	require.NoError(t, err)
	answer, err := (&http.Client{Timeout: patience}).Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		var line struct {
			Token     string `json:"_token"`
			Partition int    `json:"_kafka_partition"`
			Offset    int64  `json:"_kafka_offset"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
		switch {
		case line.Token == "":
			require.Equal(t, c.next[line.Partition], line.Offset, "partition %d", line.Partition)
			c.next[line.Partition]++
			c.rows++
		default:
			if c.token = line.Token; c.rows == rows {
				return
			}
		}
	}
	require.Fail(t, "the stream ended", "%v with %d rows", lines.Err(), c.rows)
}

// readFlight is read by Flight.
func (c *followed) readFlight(t *testing.T, address string, rows int64) {
	t.Helper()
	client, err := flight.NewClientWithMiddleware(strings.TrimPrefix(address, "grpc://"), nil, nil,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	text, err := json.Marshal(map[string]any{"table": "db.events", "stream": map[string]any{"from": c.token}})
	require.NoError(t, err)
	answer, err := client.DoGet(ctx, &flight.Ticket{Ticket: text})
	require.NoError(t, err)
	reader, err := flight.NewRecordReader(answer)
	require.NoError(t, err)
	find := func(name string) arrow.Array {
		return reader.RecordBatch().Column(reader.Schema().FieldIndices(name)[0])
	}
	for reader.Next() {
		partitions, offsets := find("_kafka_partition").(*array.Int32), find("_kafka_offset").(*array.Int64)
		for i := range partitions.Len() {
			partition := int(partitions.Value(i))
			require.Equal(t, c.next[partition], offsets.Value(i), "partition %d", partition)
			c.next[partition]++
			c.rows++
		}
		if c.token = string(reader.LatestAppMetadata()); c.rows == rows {
			return
		}
	}
	require.Fail(t, "the stream ended", "%v with %d rows", reader.Err(), c.rows)
}

// newStreamedFolder is a folder whose table is committed once an hour. Nothing runs.
func newStreamedFolder(t *testing.T) *lakeFolder {
	t.Helper()
	f := newLakeFolder(t)
	write(t, f.dir, "tables/events.yaml", `
name: db.events
schema: {columns: [{name: user_id, type: long}, {name: country, type: string}]}
sources: [{topics: [events]}]
freshness: {interval: 1h}
`)
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	return f
}

func TestAStreamGoesOnBehindItsTokenInAnotherProcess(t *testing.T) {
	f := newStreamedFolder(t)
	byHTTP, byFlight := &followed{next: map[int]int64{}}, &followed{next: map[int]int64{}}
	for process := range 3 {
		f.produce(t, 500)
		r := f.run(t, "--flight", "127.0.0.1:0")
		at := r.url(t, "catalog")
		require.Eventually(t, func() bool { return f.fed(at) }, patience, 20*time.Millisecond)
		read := func() {
			byHTTP.read(t, at, f.produced)
			byFlight.readFlight(t, r.url(t, "flight"), f.produced)
		}
		for range 3 {
			read()
			f.produce(t, 100)
			read()
		}
		r.end(t)
		require.Equal(t, int64((process+1)*800), byHTTP.rows)
		require.Equal(t, byHTTP.rows, byFlight.rows)
	}
	require.True(t, f.report(t).Proven)
}

// fed says that the process ingests the table, as it does a moment after its start.
func (f *lakeFolder) fed(address string) bool {
	answer, err := http.Get(fmt.Sprintf("%s/v1/tables/db/events/stream?from=end", address))
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// keyedCopy is what a client makes of the changes of a keyed table.
type keyedCopy struct {
	rows  map[any]map[string]any
	token string
}

// read applies changes until the copy has the rows that it should have, in connections of a few lines each.
func (c *keyedCopy) read(t *testing.T, address string, want map[any]map[string]any) {
	t.Helper()
	require.Eventually(t, func() bool {
		answer, err := http.Get(address + "/v1/tables/db/events/stream?from=" + url.QueryEscape(c.token))
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, http.StatusOK, answer.StatusCode)
		lines := bufio.NewScanner(answer.Body)
		for tokens := 0; tokens < 3 && lines.Scan(); {
			var line struct {
				Token         string `json:"_token"`
				Op            string `json:"op"`
				Before, After map[string]any
			}
			require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
			if line.Op == "" {
				c.token = line.Token
				tokens++
				if assert.ObjectsAreEqual(want, c.rows) {
					return true
				}
				continue
			}
			c.apply(t, line.Before, line.After)
		}
		return false
	}, patience, time.Millisecond)
}

func (c *keyedCopy) apply(t *testing.T, before, after map[string]any) {
	t.Helper()
	id := after["user_id"]
	if before != nil {
		id = before["user_id"]
	}
	require.Equal(t, before, c.rows[id])
	if delete(c.rows, id); after != nil {
		c.rows[id] = after
	}
}

func TestAStreamOfAKeyedTableMakesItsRows(t *testing.T) {
	f := newLakeFolder(t)
	f.keyedSpec(t, "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	c := &keyedCopy{rows: map[any]map[string]any{}}
	for range 2 {
		r := f.run(t)
		for range 4 {
			f.produce(t, 300)
			f.committed(t, f.produced)
			want := map[any]map[string]any{}
			for _, row := range f.rowsOf(t, "db.events") {
				want[row["user_id"]] = row
			}
			c.read(t, r.url(t, "catalog"), want)
		}
		require.Eventually(t, func() bool {
			return int64(doorsOf(t, r.url(t, "admin"))[doorStream].records()) == f.produced
		}, patience, 10*time.Millisecond, "it is told how old changes are")
		for _, output := range []string{"ndjson", "table"} {
			out := f.firth(t, "read", "db.events", "--follow", "--url", r.url(t, "catalog"), "--limit", "3",
				"--columns", "user_id", "--output", output)
			require.Zero(t, out.code, out.stderr)
			require.Equal(t, 3, strings.Count(out.stdout, "insert"), out.stdout)
			require.Contains(t, out.stdout, `{"user_id":`)
		}
		r.end(t)
	}
	require.True(t, f.report(t).Proven)
}
