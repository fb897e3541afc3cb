package stream

import (
	"bufio"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

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

// readBatches reads Arrow batches until there are n rows, and the token of the last.
func (y *tally) readBatches(t testing.TB, batches *ipc.Reader, n int) {
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

func TestAllFormatsTellTheSame(t *testing.T) {
	w := one(t, 5000, 1000)
	server := w.serve()
	parameters := func(y tally) url.Values {
		return url.Values{"from": {y.token}, "columns": {"id,_kafka_offset"}}
	}
	read := map[string]func(body io.Reader) func(y *tally, n int){
		kindNDJSON: func(body io.Reader) func(*tally, int) {
			return func(y *tally, n int) { y.readLines(t, body, n) }
		},
		kindEvents: func(body io.Reader) func(*tally, int) {
			return func(y *tally, n int) { y.readEvents(t, body, n) }
		},
		MediaTypeArrow: func(body io.Reader) func(*tally, int) {
			batches, err := ipc.NewReader(body)
			require.NoError(t, err)
			require.Len(t, batches.Schema().Fields(), 2)
			return func(y *tally, n int) { y.readBatches(t, batches, n) }
		},
	}
	tallies := map[string]*tally{}
	for kind, open := range read {
		y := &tally{}
		tallies[kind] = y
		answer := get(t, server, kind+"; q=1", parameters(*y))
		require.Equal(t, kind, answer.Header.Get("Content-Type"))
		open(answer.Body)(y, 6000)
		require.NoError(t, answer.Body.Close())
	}
	w.add(20)
	w.flush()
	for kind, open := range read {
		y := tallies[kind]
		open(get(t, server, kind, parameters(*y)).Body)(y, 20)
		require.Equal(t, upTo(0, 6020), y.offsets, kind)
	}
}

func TestAnArrowStreamEndsWhereTheColumnsChange(t *testing.T) {
	w := one(t, 10, 0)
	server := w.serve()
	answer := get(t, server, MediaTypeArrow, nil)
	batches, err := ipc.NewReader(answer.Body)
	require.NoError(t, err)
	var y tally
	y.readBatches(t, batches, 10)
	w.widen()
	w.add(10)
	w.flush()
	w.cut()
	w.land()
	for batches.Next() {
		require.Zero(t, batches.RecordBatch().NumRows())
	}
	require.NoError(t, batches.Err())
	_, err = answer.Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it has ended as a stream does")
	answer = get(t, server, MediaTypeArrow, url.Values{"from": {y.token}})
	batches, err = ipc.NewReader(answer.Body)
	require.NoError(t, err)
	require.Len(t, batches.Schema().Fields(), 6)
	y.readBatches(t, batches, 10)
	require.Equal(t, upTo(0, 20), y.offsets)
}
