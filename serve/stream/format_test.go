package stream

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/stretchr/testify/require"
)

// readEvents reads server-sent events until there are n rows, and the id of the last.
func (y *tally) readEvents(t testing.TB, body io.Reader, n int) {
	t.Helper()
	lines := bufio.NewScanner(body)
	var waiting []int64 // of an event that is not complete
	for got := 0; lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "data":
			var row struct {
				Offset int64 `json:"_kafka_offset"`
			}
			require.NoError(t, json.Unmarshal([]byte(value), &row), value)
			waiting = append(waiting, row.Offset)
		case "id":
			y.token = value
		case "":
			y.offsets, got, waiting = append(y.offsets, waiting...), got+len(waiting), nil
			if got >= n {
				return
			}
		default:
			require.Fail(t, lines.Text())
		}
	}
	require.Fail(t, "the stream has ended")
}

// arrowReader is the client's end of a stream in Arrow.
type arrowReader interface {
	Next() bool
	RecordBatch() arrow.RecordBatch
	Schema() *arrow.Schema
	Err() error
}

// readBatches reads Arrow batches until there are n rows, and the token of the last.
func (y *tally) readBatches(t testing.TB, batches arrowReader, n int) {
	t.Helper()
	for got := 0; batches.Next(); {
		batch := batches.RecordBatch()
		offsets := batch.Column(batches.Schema().FieldIndices(columnOffset)[0]).(*array.Int64)
		y.offsets = append(y.offsets, offsets.Int64Values()...)
		y.token = TokenOf(batch)
		require.NotEmpty(t, y.token)
		if got += int(batch.NumRows()); got >= n {
			return
		}
	}
	require.Fail(t, "the stream has ended", "%v", batches.Err())
}

// overHTTP opens a stream in a format, and tells how rows of it are read.
func overHTTP(t testing.TB, server *httptest.Server, kind string, asked Asked) func(y *tally, n int) {
	parameters := url.Values{}
	if asked.From != "" {
		parameters.Set("from", asked.From)
	}
	if asked.Columns != nil {
		parameters.Set("columns", strings.Join(asked.Columns, ","))
	}
	answer := get(t, server, kind+"; q=1", parameters)
	require.Equal(t, kind, answer.Header.Get("Content-Type"))
	switch kind {
	case kindNDJSON:
		return func(y *tally, n int) { y.readLines(t, answer.Body, n) }
	case kindEvents:
		return func(y *tally, n int) { y.readEvents(t, answer.Body, n) }
	}
	batches, err := ipc.NewReader(answer.Body)
	require.NoError(t, err)
	require.Len(t, batches.Schema().Fields(), len(asked.Columns))
	return func(y *tally, n int) { y.readBatches(t, batches, n) }
}

func TestAllFormatsTellTheSame(t *testing.T) {
	w := one(t, 5000, 1000)
	server := w.serve()
	ways := map[string]func(asked Asked) func(y *tally, n int){"flight": func(asked Asked) func(*tally, int) {
		batches := byFlight(t, w.streams, events, asked)
		require.Len(t, batches.Schema().Fields(), len(asked.Columns))
		return func(y *tally, n int) {
			y.readBatches(t, batches, n)
			require.Equal(t, y.token, string(batches.LatestAppMetadata()))
		}
	}}
	for _, kind := range kinds() {
		ways[kind] = func(asked Asked) func(*tally, int) { return overHTTP(t, server, kind, asked) }
	}
	asked := Asked{Columns: []string{"id", "_kafka_offset"}}
	tallies := map[string]*tally{}
	for kind, open := range ways {
		tallies[kind] = &tally{}
		open(asked)(tallies[kind], 6000)
	}
	w.add(20)
	w.flush()
	for kind, open := range ways {
		y := tallies[kind]
		again := asked
		again.From = y.token
		open(again)(y, 20)
		require.Equal(t, upTo(0, 6020), y.offsets, kind)
	}
}

func TestAnArrowStreamEndsWhereTheColumnsChange(t *testing.T) {
	w := one(t, 10, 0)
	server := w.serve()
	answer := get(t, server, MediaTypeArrow, nil)
	byHTTP, err := ipc.NewReader(answer.Body)
	require.NoError(t, err)
	readers := []arrowReader{byHTTP, byFlight(t, w.streams, events, Asked{})}
	tallies := make([]tally, len(readers))
	for i, batches := range readers {
		tallies[i].readBatches(t, batches, 10)
	}
	w.widen()
	w.add(10)
	w.flush()
	w.cut()
	w.land()
	for i, batches := range readers {
		for batches.Next() {
			require.Zero(t, batches.RecordBatch().NumRows())
		}
		require.NoError(t, batches.Err())
		again := byFlight(t, w.streams, events, Asked{From: tallies[i].token})
		require.Len(t, again.Schema().Fields(), 6)
		tallies[i].readBatches(t, again, 10)
		require.Equal(t, upTo(0, 20), tallies[i].offsets)
	}
	_, err = answer.Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it has ended as a stream does")
}
