package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/firthlake/firth/serve/flight"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/serve/query/duckdb"
)

// Bounds of the SQL engine that nobody has wanted different yet.
const (
	// sqlFilesMax bounds local copies of data files, sqlSpillMax what one statement puts on disk besides.
	sqlFilesMax = 20 << 30
	sqlSpillMax = 10 << 30
	// sqlStatements share sqlMemory, which comes on top of limits.memory; more wait for their turn.
	sqlStatements = 4
	sqlMemory     = 512 << 20
	// sqlTimeMax ends statements whose answer nobody reads, too.
	sqlTimeMax = 10 * time.Minute
	// sqlCatalog is the name under which the engine and Flight SQL have all tables.
	sqlCatalog = "firth"
)

// sqlEngine is the engine in this process, with the folder that it works in.
type sqlEngine struct {
	query.Engine
	views   *query.Catalog
	scratch *scratch
}

// openSQL opens the engine over the tables of a lake, whose newest states now tells; nil is the committed ones. Its
// files lie in folder.
func (p *program) openSQL(l *lake, now query.Newest, folder string) (*sqlEngine, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of the sql engine: %w", err)
	}
	scratch, err := newScratch(folder, p.now())
	if err != nil {
		return nil, err
	}
	views := query.NewCatalog(l.catalog, now, l.objects)
	engine, err := duckdb.Open(duckdb.Options{Dir: scratch.dir, Objects: l.objects, FileBytesMax: sqlFilesMax,
		SpillBytesMax: sqlSpillMax, MemoryMax: sqlMemory, StatementsMax: sqlStatements,
		Threads: runtime.GOMAXPROCS(0), TimeMax: sqlTimeMax}, views)
	if err != nil {
		return nil, errors.Join(err, scratch.close())
	}
	return &sqlEngine{Engine: engine, views: views, scratch: scratch}, nil
}

// newest are the tables as of now, or as they are committed where nobody can have them so.
func newest(now *live.Catalog) query.Newest {
	if now == nil {
		return nil
	}
	return now
}

// Close ends all statements and removes the folder.
func (e *sqlEngine) Close() error { return errors.Join(e.Engine.Close(), e.scratch.close()) }

// hasSQL says whether the build has the SQL engine.
func hasSQL() bool {
	_, err := duckdb.Open(duckdb.Options{}, nil)
	return !errors.Is(err, duckdb.ErrMissing)
}

// flightServer opens an address and returns what serves Flight there: streams and look-ups in any build, SQL in one
// that has the engine.
func (p *program) flightServer(ctx context.Context, s *service, now query.Newest, address string,
) (func(context.Context) error, error) {
	l, log := s.feeder.lake, s.log
	if l.config.Tokens.Write == "" && !isLoopback(address) {
		return nil, couldNot(fmt.Errorf("--flight %s can be reached from other machines and asks for no token",
			address), "set tokens.write, or listen on 127.0.0.1")
	}
	opts := flight.Options{Catalog: sqlCatalog, Lookups: s.rows, Streams: s.streams,
		Version: version().Version, ReadToken: string(l.config.Tokens.Read),
		WriteToken: string(l.config.Tokens.Write), Logger: log}
	engine, err := p.openSQL(l, now, l.config.State)
	end := func() error { return nil }
	switch {
	case errors.Is(err, duckdb.ErrMissing):
		log.Info("serving streams and look-ups by Flight, and no SQL", "err", err)
		opts.NoEngine, opts.Views = err, query.NewCatalog(l.catalog, now, l.objects)
	case err != nil:
		return nil, couldNot(err, remedyOf(err))
	default:
		opts.Engine, opts.Views, end = engine, engine.views, engine.Close
	}
	server, err := flight.New(opts)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", address, err), end())
	}
	log.Info("listening", "listener", "flight", "url", "grpc://"+listener.Addr().String())
	return func(ctx context.Context) error {
		err := server.Serve(ctx, listener)
		return errors.Join(err, end())
	}, nil
}
