package stream

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

// countedFormat counts how often rows are encoded.
type countedFormat struct {
	format
	encoded int
}

func (f *countedFormat) encode(batch arrow.RecordBatch, token string) ([]byte, error) {
	f.encoded++
	return f.format.encode(batch, token)
}

// sent are the bytes and the rows of all portions that a stream has for now.
func sent(t testing.TB, sub *Subscription, as format) (bodies [][]byte, rows int) {
	t.Helper()
	for p, err := range sub.portions(t.Context()) {
		require.NoError(t, err)
		if p == nil {
			break
		}
		body, _, err := p.encoded(as, sub.Token())
		require.NoError(t, err)
		bodies, rows = append(bodies, body), rows+p.end-p.start
	}
	return bodies, rows
}

func (w *world) subscription(request Request) *Subscription {
	w.Helper()
	sub, err := w.streams.Open(w.Context(), events, request)
	require.NoError(w, err)
	w.Cleanup(sub.Close)
	return sub
}

func TestRowsAreEncodedOnceForStreamsOfOneForm(t *testing.T) {
	w := one(t, 0, 6000)
	for _, made := range []format{&ndjson{}, &sentEvents{}, &arrowStream{}} {
		counted := &countedFormat{format: made}
		first, rows := sent(t, w.subscription(Request{}), counted)
		require.Equal(t, 6000, rows)
		require.Len(t, first, 2, "at most 4,096 rows have a token behind them")
		for range 3 {
			again, _ := sent(t, w.subscription(Request{}), counted)
			require.Equal(t, first, again)
		}
		require.Equal(t, 2, counted.encoded, made.kind())
		narrow, _ := sent(t, w.subscription(Request{Columns: []string{"id"}}), counted)
		require.Less(t, len(narrow[0]), len(first[0]))
		require.Equal(t, 4, counted.encoded, "with other columns they are others")
	}
}

func TestAnArrowBatchHasTheTokenOfItsOwnStream(t *testing.T) {
	w := one(t, 0, 100)
	whole := w.subscription(Request{})
	bodies, _ := sent(t, whole, &arrowStream{})
	other := w.subscription(Request{})
	for p, err := range other.portions(t.Context()) {
		require.NoError(t, err)
		other.expired, other.token = 7, ""
		body, _, err := p.encoded(&arrowStream{}, other.Token())
		require.NoError(t, err)
		require.NotEqual(t, bodies[0], body)
		break
	}
}

// The file of the chunk is gone, so who reads it anew finds nothing.
func TestAStreamWithinAChunkHasItsRowsFromTheOthers(t *testing.T) {
	w := one(t, 0, 6000)
	first := w.subscription(Request{})
	var token string
	for p, err := range first.portions(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, 4096, p.end-p.start)
		token = first.Token()
		break
	}
	for _, x := range w.tails.All() {
		require.NoError(t, objstore.RemoveAll(t.Context(), w.store, 1, x.Files()))
	}
	from, err := ParseFrom(token)
	require.NoError(t, err)
	_, rows := sent(t, w.subscription(Request{From: from}), &ndjson{})
	require.Equal(t, 1904, rows)
}

func TestStreamsThatAreBehindComeToTheSameRuns(t *testing.T) {
	w := newWorld(t, 1)
	w.streams.bounds = defaultBounds()
	keepsUp, behind := w.subscription(Request{}), w.subscription(Request{})
	id, change := partitionOf(0), uuid.New()
	for n := range table.Offset(5) {
		w.addPiece(tail.Piece{Change: change, TopicPartition: id,
			Span: tail.Span{From: 2 * n, Next: 2*n + 2, First: n == 0}},
			[]record{{id, 2 * n, "eu"}, {id, 2*n + 1, "us"}})
		keepsUp.followed.renew(nil)
		_, rows := sent(t, keepsUp, &ndjson{})
		require.Equal(t, 2, rows)
	}
	require.Len(t, keepsUp.followed.piles, 5)
	bodies, rows := sent(t, behind, &ndjson{})
	require.Equal(t, 10, rows)
	require.Len(t, bodies, 5)
	require.Len(t, keepsUp.followed.piles, 5, "nothing was made for it")
}
