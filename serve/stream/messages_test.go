package stream

import (
	"context"
	"io"
	"testing"

	arrowflight "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// wire is between a stream and a client of Flight.
type wire struct {
	messages chan Message
	ended    chan error
}

// Recv is the client's end.
func (w *wire) Recv() (*arrowflight.FlightData, error) {
	select {
	case m := <-w.messages:
		return &arrowflight.FlightData{DataHeader: m.Header, DataBody: m.Body, AppMetadata: []byte(m.Token)}, nil
	case err := <-w.ended:
		if w.ended <- err; err == nil {
			err = io.EOF
		}
		return nil, err
	}
}

// byFlight opens a stream as a client of Flight reads it, until the test ends.
func byFlight(t testing.TB, streams *Streams, ident table.Ident, asked Asked) *arrowflight.Reader {
	t.Helper()
	request, err := asked.Request()
	require.NoError(t, err)
	sub, err := streams.Open(t.Context(), ident, request)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	between, done := &wire{messages: make(chan Message), ended: make(chan error, 1)}, make(chan struct{})
	go func() {
		defer close(done)
		defer sub.Close()
		between.ended <- sub.Send(ctx, func(m Message) error {
			select {
			case between.messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	reader, err := arrowflight.NewRecordReader(between)
	require.NoError(t, err)
	return reader
}

func TestFlightSendsTheBytesOfArrowOverHTTP(t *testing.T) {
	w := one(t, 0, 6000)
	overHTTP, _ := sent(t, w.subscription(Request{}), &arrowStream{})
	counted := &countedFormat{format: &messages{}}
	byFlight, rows := sent(t, w.subscription(Request{}), counted)
	require.Equal(t, 6000, rows)
	require.Equal(t, overHTTP, byFlight)
	require.Zero(t, counted.encoded, "they were made for the stream over HTTP")
}
