package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/images/imagestest"
)

// serve serves the world's streams until the test ends.
func (w *world) serve() *httptest.Server {
	w.Helper()
	w.streams.opts.Now = time.Now // deadlines of connections
	server := httptest.NewServer(NewHandler(w.streams))
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- w.streams.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		<-done
		server.Close()
	})
	return server
}

// get asks for a stream of db.events.
func get(t testing.TB, server *httptest.Server, accept string, parameters url.Values) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		server.URL+"/v1/tables/db/events/stream?"+parameters.Encode(), nil)
	require.NoError(t, err)
	request.Header.Set("Accept", accept)
	answer, err := server.Client().Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// tally is what a stream of records 0, 1, 2, … of one topic partition has brought.
type tally struct {
	offsets []int64
	token   string
}

// readLines reads rows of NDJSON until there are n, and the token behind them.
func (y *tally) readLines(t testing.TB, body io.Reader, n int) {
	t.Helper()
	lines := bufio.NewScanner(body)
	for got := 0; lines.Scan(); {
		var line struct {
			Token  string `json:"_token"`
			Error  string `json:"_error"`
			Offset *int64 `json:"_kafka_offset"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		require.Empty(t, line.Error)
		if line.Offset != nil {
			y.offsets = append(y.offsets, *line.Offset)
			got++
		} else if y.token = line.Token; got >= n {
			return
		}
	}
	require.NoError(t, lines.Err())
	require.Fail(t, "the stream has ended")
}

// one is a world whose log has one topic partition, of which some records are committed and some are not.
func one(t testing.TB, committed, more int) *world {
	w := newWorld(t, 1)
	w.streams.bounds = defaultBounds()
	w.add(committed)
	w.flush()
	w.cut()
	w.land()
	w.add(more)
	w.flush()
	return w
}

// add has the world produce and read records.
func (w *world) add(n int) {
	id := partitionOf(0)
	for range n {
		w.log[id] = append(w.log[id], record{id, w.ends[id], "eu"})
		w.ends[id]++
	}
	for w.read[id] < w.ends[id] {
		w.readOn()
	}
}

func upTo(from, to int64) (out []int64) {
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

func TestAStreamIsReadAsLinesOfJSON(t *testing.T) {
	w := one(t, 5000, 1000)
	server := w.serve()
	var y tally
	answer := get(t, server, "", url.Values{"columns": {"id,_kafka_offset"}})
	require.Equal(t, kindNDJSON, answer.Header.Get("Content-Type"))
	y.readLines(t, answer.Body, 6000)
	require.NoError(t, answer.Body.Close())
	w.add(10)
	w.flush()
	w.cut()
	w.land()
	w.add(10)
	w.flush()
	answer = get(t, server, kindNDJSON, url.Values{"from": {y.token}})
	y.readLines(t, answer.Body, 20)
	require.Equal(t, upTo(0, 6020), y.offsets)
	w.add(5)
	w.flush()
	y.readLines(t, answer.Body, 5)
	require.Equal(t, upTo(0, 6025), y.offsets, "in the same stream")

	y = tally{}
	answer = get(t, server, kindNDJSON, url.Values{"filter": {"_kafka_offset >= 5990 and region = 'eu'"}})
	y.readLines(t, answer.Body, 35)
	require.Equal(t, upTo(5990, 6025), y.offsets)
}

func TestARequestThatCannotBeServedSaysWhy(t *testing.T) {
	w := one(t, 10, 10)
	w.create(table.Ident{"db", "keyed"}, 1)
	spec := catalog.TableSpec{Schema: iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})}
	_, err := w.catalog.CreateTable(t.Context(), table.Ident{"db", "plain"}, spec)
	require.NoError(t, err)
	w.create(table.Ident{"db", "elsewhere"})
	server := w.serve()
	foreign := sampleOf(w).String()
	for _, each := range []struct {
		path   string
		status int
		says   string
	}{
		{"db/events/stream?from=yesterday", 400, "snapshot, beginning, end, the id of a snapshot"},
		{"db/events/stream?from=" + foreign, 400, "of another table"},
		{"db/events/stream?from=77", 404, "the oldest that is left is"},
		{"db/events/stream?from=2001-01-01T00:00:00Z", 404, "the oldest that is left is"},
		{"db/events/stream?filter=region", 400, "filter"},
		{"db/events/stream?filter=none+%3D+1", 400, "none"},
		{"db/events/stream?columns=none", 400, "unknown column none"},
		{"db/events/stream?rows=old", 400, "neither fresh nor committed"},
		{"db/events/stream?form=end", 400, "there are from, filter, columns, rows"},
		{"db/none/stream", 404, "does not exist"},
		{"db/keyed/stream?filter=none+%3D+1", 400, "none"},
		{"db/keyed/stream?columns=_file", 400, "tells of a file"},
		{"db/keyed/stream?from=77", 404, "no snapshot 77"},
		{"db/keyed/stream?from=" + foreign, 400, "of another table"},
		{"db/plain/stream", 400, "set metadata_columns.topic"},
		{"db/elsewhere/stream", 421, "rows=committed"},
	} {
		answer, err := server.Client().Get(server.URL + "/v1/tables/" + each.path)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Equal(t, each.status, answer.StatusCode, "%s: %s", each.path, body)
		require.Contains(t, string(body), each.says, each.path)
	}
	answer := get(t, server, "text/csv", nil)
	require.Equal(t, http.StatusNotAcceptable, answer.StatusCode)
}

// sampleOf is a token of another table.
func sampleOf(w *world) Token { return Token{Cut: w.committer.Position()} }

func TestStreamsEndWithTheServer(t *testing.T) {
	w := one(t, 10, 0)
	w.streams.opts.Now = time.Now
	server := httptest.NewServer(NewHandler(w.streams))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.streams.Run(ctx) }()
	answer := get(t, server, "", nil)
	var y tally
	y.readLines(t, answer.Body, 10)
	batches := get(t, server, MediaTypeArrow, nil)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	rest, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Contains(t, string(rest), ErrStopped.Error())
	_, err = io.ReadAll(batches.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "nobody takes it for the end")
	answer = get(t, server, "", nil)
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
}

func TestChangesAreReadAsLinesOfJSON(t *testing.T) {
	w := newKeyedWorld(t, 0)
	w.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1, Region: "a", Value: 5}}})
	server := httptest.NewServer(NewHandler(w.streams))
	defer server.Close()
	read := func(accept, from string, until string) (lines []string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			server.URL+"/v1/tables/db/items/stream?from="+from, nil)
		require.NoError(t, err)
		request.Header.Set("Accept", accept)
		answer, err := server.Client().Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, http.StatusOK, answer.StatusCode)
		if accept == MediaTypeArrow { // it has no lines
			batches, err := ipc.NewReader(answer.Body)
			require.NoError(t, err)
			for batches.Next() {
				text := fmt.Sprint(batches.RecordBatch())
				if lines = append(lines, text); strings.Contains(text, until) {
					return lines
				}
			}
		}
		for text := bufio.NewScanner(answer.Body); text.Scan(); {
			if lines = append(lines, text.Text()); strings.Contains(text.Text(), until) {
				return lines
			}
		}
		require.Fail(t, "the stream has ended")
		return nil
	}
	first := w.Meta.CurrentSnapshot()
	at := func(s *icetable.Snapshot) string {
		return fmt.Sprintf(`"snapshot_id":%d,"committed_at":"%s"}`, s.SnapshotID,
			time.UnixMilli(s.TimestampMs).UTC().Format("2006-01-02T15:04:05.999999Z07:00"))
	}
	lines := read(kindNDJSON, "", `"op"`)
	require.Equal(t, `{"op":"insert","before":null,"after":{"id":1,"region":"a","value":5},`+at(first),
		lines[len(lines)-1])
	w.Commit(imagestest.Step{Remove: map[*imagestest.File][]int{w.Files[0]: {0}},
		Add: []imagestest.Item{{ID: 1, Region: "b", Value: 6}}})
	want := `{"op":"update","before":{"id":1,"region":"a","value":5},"after":{"id":1,"region":"b","value":6},` +
		at(w.Meta.CurrentSnapshot())
	from := fmt.Sprint(first.SnapshotID)
	lines = read(kindNDJSON, from, `"op"`)
	require.Equal(t, want, lines[len(lines)-1])
	lines = read(kindEvents, from, `"op"`)
	require.Equal(t, "data: "+want, lines[len(lines)-1])
}

func TestChangesAreReadAsArrow(t *testing.T) {
	w := newKeyedWorld(t, 1)
	w.bounds = bounds{windowRows: 1000, windowBytes: 1 << 20, batchRows: 3}
	w.restart()
	var items []imagestest.Item
	for i := range int64(20) {
		items = append(items, imagestest.Item{ID: i, Region: "a", Value: i})
	}
	w.Commit(imagestest.Step{Add: items})
	byHTTP, byMessages := w.subscribe(Request{}, seesAll), w.subscribe(Request{}, seesAll)
	st := imagestest.Step{Remove: map[*imagestest.File][]int{w.Files[0]: {3, 4, 5, 6, 7, 8, 9}}}
	for i := range int64(12) {
		st.Add = append(st.Add, imagestest.Item{ID: i + 6, Region: "b", Value: -i})
	}
	w.Commit(st)
	require.NoError(t, w.streams.Step(t.Context()))
	server := httptest.NewServer(NewHandler(w.streams))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		server.URL+"/v1/tables/db/items/stream?from="+byHTTP.token, nil)
	require.NoError(t, err)
	request.Header.Set("Accept", MediaTypeArrow)
	answer, err := server.Client().Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	batches, err := ipc.NewReader(answer.Body)
	require.NoError(t, err)
	defer batches.Release()
	byHTTP.readArrow(batches)
	byMessages.readArrow(byFlight(t, w.streams, w.Table().Ident(), Asked{From: byMessages.token}))
}

// readArrow reads changes up to the newest snapshot.
func (c *copyOf) readArrow(batches arrowReader) {
	c.w.T.Helper()
	for head := c.w.Meta.CurrentSnapshot().SequenceNumber; batches.Next(); {
		batch := batches.RecordBatch()
		if batch.NumRows() > 0 {
			c.apply(batch)
		}
		if c.token = TokenOf(batch); c.mark().Sequence == head && c.mark().stage == stageBehind {
			c.checkAt(head)
			return
		}
	}
	require.Fail(c.w.T, "the stream has ended", "%v", batches.Err())
}

func TestThePathOfAStreamNamesItsTable(t *testing.T) {
	require.Equal(t, table.Ident{"db", "events"}, TableOf("/v1/tables/db/events/stream"))
	require.Equal(t, table.Ident{"a", "b", "t"}, TableOf("/v1/tables/a.b/t/stream"))
	for _, path := range []string{"/v1/tables/rename", "/v1/main/namespaces/db/tables/events", "/v1/tables/a/b/rows",
		"/"} {
		require.Nil(t, TableOf(path), path)
	}
}
