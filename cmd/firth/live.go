package main

import (
	"time"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/catalog/scanplan"
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

// liveCatalog has the tables as of now; nil where nobody can have them so. Its janitor is to be run.
func (s *service) liveCatalog(p *program, registry prometheus.Registerer) (*live.Catalog, error) {
	l := s.feeder.lake
	if l.embedded == nil || l.config.Live.Interval == 0 {
		return nil, nil
	}
	return live.New(live.Options{Committed: l.embedded, Store: l.objects, Tails: s.feeder.tails,
		Position: positionOf, Now: p.now, NewID: uuid.New, Log: s.log, Metrics: live.NewMetrics(registry)})
}

// catalogHandler serves the embedded catalog: warehouse main, and beside it live, the same tables as of
// now, unless now is nil. Clients get keys as --vend says.
func (s *service) catalogHandler(p *program, now *live.Catalog, vend string) (*catalog.Handler, error) {
	l := s.feeder.lake
	config := l.config.Warehouse.clientConfig()
	keys, err := s.vendor(p, vend)
	if err != nil {
		return nil, err
	}
	warehouses := []catalog.Warehouse{{Name: "main", Reads: l.embedded, Writes: l.embedded, ClientConfig: config,
		Keys: keys, Scans: scanplan.New(scanplan.Options{Tables: l.embedded, Objects: l.objects})}}
	if now != nil {
		warehouses = append(warehouses, catalog.Warehouse{Name: "live", Reads: now, ClientConfig: config,
			Keys: keys, Scans: scanplan.New(scanplan.Options{Tables: now, Objects: l.objects})})
	}
	return catalog.NewHandler(catalog.HandlerOptions{Warehouses: warehouses,
		ReadToken: string(l.config.Tokens.Read), WriteToken: string(l.config.Tokens.Write),
		Now: p.now, Logger: s.log})
}

// positionOf is where a table stands in its topics.
func positionOf(meta icetable.Metadata) (table.Position, error) {
	ledger, err := commit.ReadLedger(meta)
	return ledger.Topics(), err
}

// tailOf is where ingest hands over what it reads of a table; nil when nobody is to see it.
func (f *feeder) tailOf(t *table.Table, s *spec.Spec) *tail.Index {
	if f.lake.config.Live.Interval == 0 {
		return nil
	}
	index := f.tails.Index(t.Metadata().TableUUID(), t.Metadata().Location())
	index.Rule(rulesOf(s))
	return index
}
