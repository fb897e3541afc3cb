package flight

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

// How long the reader of a stream may take for what it was sent: sendWait, as over HTTP, and as much again for each
// slowBytes of it, since a batch is sent whole.
const (
	sendWait  = 30 * time.Second
	slowBytes = 2 << 20
)

// stream answers with the stream of a table.
//
// A write waits for the reader, and nothing ends it but the end of the call. So another goroutine writes, while this
// one leaves when that takes too long. The server waits for it.
func (d *ticketDoor) stream(asked *ticket, ident table.Ident, to flight.FlightService_DoGetServer) error {
	sub, err := d.open(to.Context(), asked, ident)
	if err != nil {
		return err
	}
	out := &outlet{to: to, wait: d.sendWait, late: make(chan struct{}, 1)}
	done := make(chan error, 1)
	d.sending.Go(func() {
		defer sub.Close()
		done <- sub.Send(to.Context(), out.send)
	})
	select {
	case err = <-done:
	case <-out.late:
		err = status.Errorf(codes.DeadlineExceeded, "the reader took longer than %s for what it was sent: go on with "+
			"the last token", d.sendWait)
	}
	if err == nil {
		return nil // the table has other columns, with which the client goes on
	}
	if to.Context().Err() != nil {
		return status.FromContextError(to.Context().Err()).Err()
	}
	d.log.Info("a stream has ended", "table", asked.Table, "err", err)
	return faultOfStream(err)
}

// open begins the stream that a ticket asks for. The caller closes it.
func (d *ticketDoor) open(ctx context.Context, asked *ticket, ident table.Ident) (*stream.Subscription, error) {
	request, err := asked.Stream.Request()
	if err != nil {
		return nil, faultOfStream(err)
	}
	sub, err := d.streams.Open(ctx, ident, request)
	if err != nil {
		return nil, faultOfStream(err)
	}
	return sub, nil
}

// streamSchema is the columns of a stream.
func (d *ticketDoor) streamSchema(ctx context.Context, asked *ticket, ident table.Ident) (*arrow.Schema, error) {
	sub, err := d.open(ctx, asked, ident)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	schema, err := sub.Schema()
	if err != nil {
		return nil, faultOfStream(err)
	}
	return schema, nil
}

// outlet sends what comes of a stream, and tells when the reader is too slow.
type outlet struct {
	to   flight.FlightService_DoGetServer
	wait time.Duration
	last int // bytes that the reader takes while the next message waits
	late chan struct{}
}

func (o *outlet) send(m stream.Message) error {
	timer := time.AfterFunc(o.wait+o.wait*time.Duration(o.last)/slowBytes, o.tell)
	defer timer.Stop()
	o.last = len(m.Header) + len(m.Body)
	return o.to.Send(&flight.FlightData{DataHeader: m.Header, DataBody: m.Body, AppMetadata: []byte(m.Token)})
}

// tell says that the reader is too slow.
func (o *outlet) tell() {
	select {
	case o.late <- struct{}{}:
	default: // it is known
	}
}

// faultOfStream is an error of a stream as one of the protocol.
func faultOfStream(err error) error {
	if _, is := status.FromError(err); is {
		return err
	}
	return status.Error(codeOf(stream.StatusOf(err), codes.Internal), err.Error())
}
