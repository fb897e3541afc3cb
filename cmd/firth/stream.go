package main

import (
	"context"
	"net/http"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

// newStreams makes the streams of all tables, which are to be run.
func (s *service) newStreams(p *program, registry prometheus.Registerer) (*stream.Streams, error) {
	l := s.feeder.lake
	return stream.New(stream.Options{Tables: l.catalog, Objects: l.objects, Tails: s.feeder.tails,
		Ledger: streamLedger, Now: p.now, Log: s.log, Metrics: stream.NewMetrics(registry),
		PositionAt: func(ctx context.Context, meta icetable.Metadata, id int64) (table.Position, error) {
			return commit.PositionAt(ctx, l.objects, meta, id)
		}})
}

// withStreams puts streams of tables before the catalog's protocol: the paths of both begin with /v1.
func withStreams(streams *stream.Streams, next *catalog.Handler) http.Handler {
	guarded := next.Guard(stream.NewHandler(streams))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stream.TableOf(r.URL.Path) != nil {
			guarded.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// streamLedger is what streams need of a table's ledger.
func streamLedger(meta icetable.Metadata) (stream.Ledger, error) {
	ledger, err := commit.ReadLedger(meta)
	return stream.Ledger{Position: ledger.Topics(), Expired: ledger.Foreign.Expired,
		RolledBack: ledger.Foreign.RolledBack}, err
}
