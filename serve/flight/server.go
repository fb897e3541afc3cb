package flight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/serve/stream"
)

// Options configure a Server. All but Lookups, Streams and the tokens are required, and one of Engine and NoEngine.
type Options struct {
	// Engine runs statements. Where there is none, NoEngine is what they are answered with.
	Engine   query.Engine
	NoEngine error
	// Views lists tables.
	Views query.Views
	// Lookups finds tables whose rows can be asked for by their keys; nil is none.
	Lookups lookup.Tables
	// Streams are those of the tables, which somebody else runs; nil is none.
	Streams *stream.Streams
	// Catalog is the name under which all tables are listed.
	Catalog string
	// Version is that of the program.
	Version string
	// ReadToken and WriteToken are those of the catalog; either may query. With both empty everybody may.
	ReadToken, WriteToken string
	Logger                *slog.Logger
}

// Server serves Flight SQL, and what other tickets ask for.
type Server struct {
	door
	grpc     *grpc.Server
	tickets  *ticketDoor
	stopWait time.Duration
}

const (
	// messageBytesMax bounds a request: a statement with its parameters.
	messageBytesMax = 16 << 20
	// aliveAfter is the silence after which a client is asked whether it is there, aliveWait how long it may take to
	// answer: a statement of a client that vanished ends after both.
	aliveAfter = 30 * time.Second
	aliveWait  = 20 * time.Second
	// stopWait is what readers get for the rest of their answers when the server stops.
	stopWait = 2 * time.Second
)

// New returns a server that does not listen yet.
func New(opts Options) (*Server, error) {
	if opts.Engine == nil && opts.NoEngine != nil {
		opts.Engine = noEngine{opts.NoEngine}
	}
	if opts.Engine == nil || opts.Views == nil || opts.Catalog == "" || opts.Logger == nil {
		return nil, errors.New("flight server: an option is missing")
	}
	s := &Server{door: door{opts: opts, running: newRunning()}, stopWait: stopWait}
	if err := s.register(); err != nil {
		return nil, err
	}
	g := newGuard(opts)
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(g.admitCall), grpc.StreamInterceptor(g.admitStream),
		grpc.MaxRecvMsgSize(messageBytesMax),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: aliveAfter, Timeout: aliveWait}))
	s.tickets = &ticketDoor{FlightServer: flightsql.NewFlightServer(&s.door), lookups: opts.Lookups,
		streams: opts.Streams, log: opts.Logger, sendWait: sendWait}
	flight.RegisterFlightServiceServer(s.grpc, s.tickets)
	return s, nil
}

// Serve answers on a listener until ctx ends; then statements that run are ended. Streams end with those who run them.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	defer s.tickets.sending.Wait()
	done := make(chan error, 1)
	go func() { done <- s.grpc.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("flight server: %w", err)
	case <-ctx.Done():
	}
	s.running.cancelAll()
	// An answer that nobody reads does not end by itself.
	cut := time.AfterFunc(s.stopWait, s.grpc.Stop)
	defer cut.Stop()
	s.grpc.GracefulStop()
	// It is stopped already when ctx ended before it began.
	if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("flight server: %w", err)
	}
	return nil
}

// door is the protocol.
type door struct {
	flightsql.BaseServer
	opts    Options
	infos   map[uint32]bool // of the server that are known
	running *running
}
