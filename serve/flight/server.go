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
)

// Options configure a Server. All but Lookups and the tokens are required, and one of Engine and NoEngine.
type Options struct {
	// Engine runs statements. Where there is none, NoEngine is what they are answered with.
	Engine   query.Engine
	NoEngine error
	// Views lists tables.
	Views query.Views
	// Lookups finds tables whose rows can be asked for by their keys; nil is none.
	Lookups lookup.Tables
	// Catalog is the name under which all tables are listed.
	Catalog string
	// Version is that of the program.
	Version string
	// ReadToken and WriteToken are those of the catalog; either may query. With both empty everybody may.
	ReadToken, WriteToken string
	Logger                *slog.Logger
}

// Server serves Flight SQL.
type Server struct {
	door
	grpc flight.Server
}

const (
	// messageBytesMax bounds a request: a statement with its parameters.
	messageBytesMax = 16 << 20
	// aliveAfter is the silence after which a client is asked whether it is there, aliveWait how long it may take to
	// answer: a statement of a client that vanished ends after both.
	aliveAfter = 30 * time.Second
	aliveWait  = 20 * time.Second
)

// New returns a server that does not listen yet.
func New(opts Options) (*Server, error) {
	if opts.Engine == nil && opts.NoEngine != nil {
		opts.Engine = noEngine{opts.NoEngine}
	}
	if opts.Engine == nil || opts.Views == nil || opts.Catalog == "" || opts.Logger == nil {
		return nil, errors.New("flight server: an option is missing")
	}
	s := &Server{door: door{opts: opts, running: newRunning()}}
	if err := s.register(); err != nil {
		return nil, err
	}
	s.grpc = flight.NewServerWithMiddleware([]flight.ServerMiddleware{newGuard(opts).middleware()},
		grpc.MaxRecvMsgSize(messageBytesMax),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: aliveAfter, Timeout: aliveWait}))
	s.grpc.RegisterFlightService(rowsDoor{flightsql.NewFlightServer(&s.door), opts.Lookups})
	return s, nil
}

// Serve answers on a listener until ctx ends; then statements that run are ended.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.grpc.InitListener(listener)
	done := make(chan error, 1)
	go func() { done <- s.grpc.Serve() }()
	select {
	case err := <-done:
		return fmt.Errorf("flight server: %w", err)
	case <-ctx.Done():
	}
	s.running.cancelAll() // Shutdown waits for what runs
	s.grpc.Shutdown()
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
