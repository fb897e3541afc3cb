package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// lookupHandler answers look-ups in the tables that this process ingests.
func (s *service) lookupHandler(registry prometheus.Registerer) http.Handler {
	tokens := s.feeder.lake.config.Tokens
	return lookup.NewHandler(lookup.Options{Tables: ingestedTables{s}, ReadToken: string(tokens.Read),
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

// ingestedTables are the tables of the running generation; others have a schema and no rows to look up.
type ingestedTables struct{ service *service }

// Lookup finds a table.
func (t ingestedTables) Lookup(ctx context.Context, ident table.Ident) (lookup.Table, error) {
	s := t.service
	if found := s.lookups()[table.FormatIdent(ident)]; found != nil {
		s.turns.want(s.feeder.program.now())
		return ingestedTable{found}, nil
	}
	loaded, err := s.feeder.lake.catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return elsewhere{loaded}, nil
}

// ingestedTable is a keyed table that this process ingests.
type ingestedTable struct{ *ingest.Lookup }

// Get finds rows.
func (t ingestedTable) Get(ctx context.Context, keys []arrow.RecordBatch) (point.Answer, error) {
	answer, err := t.Lookup.Get(ctx, keys)
	if errors.Is(err, ingest.ErrNotIngested) {
		err = fmt.Errorf("%w: %w", lookup.ErrElsewhere, err)
	}
	return answer, err
}

// elsewhere is a table that this process does not ingest.
type elsewhere struct{ table *table.Table }

// Schema is the table's.
func (e elsewhere) Schema() (*iceberg.Schema, error) { return e.table.Metadata().CurrentSchema(), nil }

// Get refuses.
func (e elsewhere) Get(context.Context, []arrow.RecordBatch) (point.Answer, error) {
	return point.Answer{}, lookup.ErrElsewhere
}
