package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/serve/peers"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// newRows looks up rows in the tables that this process ingests, and in those of others on its catalog.
func (s *service) newRows(p *program) (*peers.Rows, error) {
	l := s.feeder.lake
	options := peers.RowsOptions{Name: s.name, Local: localRows{s}, Tokens: l.config.tokens(), Now: p.now, Log: s.log}
	if l.embedded != nil {
		options.Registry = l.embedded
	}
	return peers.NewRows(options)
}

// lookupHandler answers look-ups.
func (s *service) lookupHandler(registry prometheus.Registerer) http.Handler {
	tokens := s.feeder.lake.config.Tokens
	return lookup.NewHandler(lookup.Options{Tables: s.rows, ReadToken: string(tokens.Read),
		WriteToken: string(tokens.Write), Metrics: lookup.NewMetrics(registry), Now: s.feeder.program.now, Log: s.log})
}

// guarded is nil where whoever reaches the admin listener from other machines could read rows without a token.
func guarded(c config, rows http.Handler) http.Handler {
	if c.Tokens.Write == "" && !isLoopback(c.Listen.Admin) {
		return nil
	}
	return rows
}

// withLookups puts look-ups before the catalog's protocol: the paths of both begin with /v1.
func withLookups(catalog, rows http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(lookup.Pattern, rows)
	mux.Handle(lookup.Pattern+"/", rows)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		catalog.ServeHTTP(w, r)
	})
}

// lookups are those of the running generation, by table.
func (s *service) lookups() map[string]*ingest.Lookup {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feed == nil {
		return nil
	}
	return s.feed.lookups
}

// localRows are the rows of the running generation's tables.
type localRows struct{ service *service }

// Table is a table, as ingest knows it or as it is loaded.
func (l localRows) Table(ctx context.Context, ident table.Ident) (*table.Table, error) {
	if found := l.service.lookups()[table.FormatIdent(ident)]; found != nil {
		if t, err := found.Table(); err == nil {
			return t, nil
		}
	}
	return l.service.feeder.lake.catalog.LoadTable(ctx, ident)
}

// Reads says whether this process ingests a table, and reads some of its topic partitions.
func (l localRows) Reads(ident table.Ident) (ingests, reads bool) {
	found := l.service.lookups()[table.FormatIdent(ident)]
	return found != nil, found != nil && found.Reads()
}

// Part finds rows.
func (l localRows) Part(ctx context.Context, ident table.Ident, keys []arrow.RecordBatch, number int64,
) (point.Part, error) {
	s := l.service
	found := s.lookups()[table.FormatIdent(ident)]
	if found == nil {
		return point.Part{}, lookup.ErrElsewhere
	}
	s.turns.want(s.feeder.program.now())
	part, err := found.Part(ctx, keys, number)
	if errors.Is(err, ingest.ErrNotIngested) {
		err = fmt.Errorf("%w: %w", lookup.ErrElsewhere, err)
	}
	return part, err
}
