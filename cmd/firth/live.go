package main

import (
	"context"
	"maps"
	"time"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// liveConfig is the warehouse of tables as of now.
type liveConfig struct {
	// Interval is how often what was read is shown while somebody reads; 0 is no such warehouse.
	Interval spec.Duration `yaml:"interval"`
}

// The least interval makes ten files a second, the greatest is that of a commit.
const (
	liveIntervalMin = 100 * time.Millisecond
	liveIntervalMax = 10 * time.Second
)

func (c liveConfig) validate(fault func(key, remedy, format string, args ...any)) {
	every := time.Duration(c.Interval)
	if every != 0 && (every < liveIntervalMin || every > liveIntervalMax) {
		fault("live.interval", "write 500ms, or 0 for none", "%v is not between %v and %v", every,
			liveIntervalMin, liveIntervalMax)
	}
}

// catalogHandler serves the embedded catalog: warehouse main, and beside it live, the same tables as of
// now. The janitor of live is to be run.
func (s *service) catalogHandler(
	p *program, registry prometheus.Registerer,
) (*catalog.Handler, func(context.Context) error, error) {
	l := s.feeder.lake
	config := l.config.Warehouse.clientConfig()
	warehouses := []catalog.Warehouse{{Name: "main", Reads: l.embedded, Writes: l.embedded, ClientConfig: config}}
	janitor := func(ctx context.Context) error { <-ctx.Done(); return nil }
	if l.config.Live.Interval > 0 {
		now, err := live.New(live.Options{Committed: l.embedded, Store: l.objects, Tails: s.feeder.tails,
			Position: positionOf, Now: p.now, NewID: uuid.New, Log: s.log, Metrics: live.NewMetrics(registry)})
		if err != nil {
			return nil, nil, err
		}
		warehouses = append(warehouses, catalog.Warehouse{Name: "live", Reads: now, ClientConfig: withSlash(config)})
		janitor = live.NewJanitor(now).Run
	}
	handler, err := catalog.NewHandler(catalog.HandlerOptions{Warehouses: warehouses,
		ReadToken: string(l.config.Tokens.Read), WriteToken: string(l.config.Tokens.Write),
		Now: p.now, Logger: s.log})
	return handler, janitor, err
}

// positionOf is where a table stands in its topics.
func positionOf(meta icetable.Metadata) (table.Position, error) {
	ledger, err := commit.ReadLedger(meta)
	return ledger.Position, err
}

// withSlash ends the endpoint with a slash: ClickHouse takes the location of a file apart by it.
func withSlash(config map[string]string) map[string]string {
	if config["s3.endpoint"] == "" {
		return config
	}
	config = maps.Clone(config)
	config["s3.endpoint"] += "/"
	return config
}

// tailOf is where ingest hands over what it reads of a table; nil when nobody is to see it.
func (f *feeder) tailOf(t *table.Table) *tail.Index {
	if f.lake.config.Live.Interval == 0 {
		return nil
	}
	return f.tails.Index(t.Metadata().TableUUID(), t.Metadata().Location())
}
