package flight

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	arrowflight "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/images/imagestest"
	"github.com/firthlake/firth/table/tail"
)

// items is a keyed table whose stream is served.
type items struct {
	testing.TB
	mu       sync.Mutex
	source   *imagestest.Source
	registry *prometheus.Registry
	server   *Server
	client   *flightsql.Client
	stop     func() // the server, and not the streams
}

const patience = 10 * time.Second

func newItems(t *testing.T) *items {
	t.Helper()
	w := &items{TB: t, source: imagestest.New(t, "3", false), registry: prometheus.NewRegistry()}
	streams, err := stream.New(stream.Options{Tables: w, Objects: w.source.Store, Tails: tail.NewSet(), Now: time.Now,
		Ledger: func(icetable.Metadata) (stream.Ledger, error) { return stream.Ledger{}, nil },
		PositionAt: func(context.Context, icetable.Metadata, int64) (table.Position, error) {
			return nil, table.ErrNotFound
		}, Metrics: stream.NewMetrics(w.registry)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- streams.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	w.client, w.stop = run(t, Options{Engine: &lake{}, Views: &lake{}, Streams: streams}, func(s *Server) {
		s.stopWait = 50 * time.Millisecond
		w.server = s
	})
	return w
}

// LoadTable implements stream.Tables.
func (w *items) LoadTable(_ context.Context, ident table.Ident) (*table.Table, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name := table.FormatIdent(ident); name != "db.items" {
		return nil, fmt.Errorf("table %s: %w", name, table.ErrNotFound)
	}
	return w.source.Table(), nil
}

// add commits items.
func (w *items) add(ids ...int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var step imagestest.Step
	for _, id := range ids {
		step.Add = append(step.Add, imagestest.Item{ID: id, Region: strings.Repeat("r", 100), Value: id})
	}
	w.source.Commit(step)
}

// follow asks for the stream from a place on.
func (w *items) follow(ctx context.Context, from string) *arrowflight.Reader {
	w.Helper()
	text, err := json.Marshal(ticket{Table: "db.items", Stream: &stream.Asked{From: from}})
	require.NoError(w, err)
	answer, err := w.client.Client.DoGet(ctx, &arrowflight.Ticket{Ticket: text})
	require.NoError(w, err)
	reader, err := arrowflight.NewRecordReader(answer)
	require.NoError(w, err)
	return reader
}

// refused is the code that a ticket is refused with.
func (w *items) refused(text string) codes.Code {
	w.Helper()
	answer, err := w.client.Client.DoGet(w.Context(), &arrowflight.Ticket{Ticket: []byte(text)})
	require.NoError(w, err)
	_, err = arrowflight.NewRecordReader(answer)
	require.Error(w, err, text)
	return status.Code(err)
}

// subscribers are the open streams.
func (w *items) subscribers() (n float64) {
	w.Helper()
	families, err := w.registry.Gather()
	require.NoError(w, err)
	for _, family := range families {
		if family.GetName() == "firth_stream_subscribers" {
			for _, each := range family.GetMetric() {
				n += each.GetGauge().GetValue()
			}
		}
	}
	return n
}

// read reads the ids of changes until there are n, and the token behind them.
func read(t testing.TB, reader *arrowflight.Reader, n int) (ids []int64, token string) {
	t.Helper()
	for len(ids) < n {
		require.True(t, reader.Next(), "%v", reader.Err())
		batch := reader.RecordBatch()
		text, err := batch.MarshalJSON()
		require.NoError(t, err)
		var changes []struct {
			Op    string
			After struct{ ID int64 }
		}
		require.NoError(t, json.Unmarshal(text, &changes))
		for _, change := range changes {
			require.Equal(t, "insert", change.Op)
			ids = append(ids, change.After.ID)
		}
		token = string(reader.LatestAppMetadata())
		require.Equal(t, stream.TokenOf(batch), token)
		require.NotEmpty(t, token)
	}
	return ids, token
}

func TestAStreamIsFollowedAndGoesOnBehindItsToken(t *testing.T) {
	w := newItems(t)
	w.add(1)
	reader := w.follow(t.Context(), "")
	ids, _ := read(t, reader, 1)
	require.Equal(t, []int64{1}, ids)
	w.add(2)
	ids, token := read(t, reader, 1)
	require.Equal(t, []int64{2}, ids, "in the same stream")
	w.add(3)
	ids, _ = read(t, w.follow(t.Context(), token), 1)
	require.Equal(t, []int64{3}, ids)
}

func TestAStreamEndsWithItsClient(t *testing.T) {
	w := newItems(t)
	w.add(1)
	ctx, cancel := context.WithCancel(t.Context())
	reader := w.follow(ctx, "")
	read(t, reader, 1)
	require.EqualValues(t, 1, w.subscribers())
	cancel()
	require.Eventually(t, func() bool { return w.subscribers() == 0 }, patience, time.Millisecond)
	for reader.Next() {
	}
	require.Equal(t, codes.Canceled, status.Code(reader.Err()))
}

// many are so many items that a client's window does not hold them.
func many() (ids []int64) {
	for id := range int64(20_000) {
		ids = append(ids, id)
	}
	return ids
}

func TestAReaderThatDoesNotReadIsCutOff(t *testing.T) {
	w := newItems(t)
	w.server.tickets.sendWait = 50 * time.Millisecond
	w.add(many()...)
	reader := w.follow(t.Context(), "")
	require.Eventually(t, func() bool { return w.subscribers() == 0 }, patience, time.Millisecond)
	for reader.Next() {
	}
	require.Equal(t, codes.DeadlineExceeded, status.Code(reader.Err()), "%v", reader.Err())
	require.ErrorContains(t, reader.Err(), "go on with the last token")
}

func TestTheServerStopsBesideReadersThatDoNotRead(t *testing.T) {
	w := newItems(t)
	w.add(many()...)
	w.follow(t.Context(), "")
	require.EqualValues(t, 1, w.subscribers())
	w.stop()
	require.Zero(t, w.subscribers())
}
