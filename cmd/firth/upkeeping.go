package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction/orphans"
	"github.com/firthlake/firth/compaction/upkeep"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// upkeep makes what expires rows and snapshots and removes orphans of the tables of the specs, beside compaction.
func (c *compacting) upkeep(registry prometheus.Registerer) (func(context.Context) error, error) {
	f := c.service.feeder
	u, err := upkeep.New(upkeep.Options{
		Tables: c.policies, Catalog: f.lake.catalog, Store: f.lake.objects, Now: f.program.now,
		NewID: uuid.New, Sleep: sleep,
		Others: func(ctx context.Context, t *table.Table) ([]orphans.Place, error) {
			return otherPlaces(ctx, f.lake.catalog, t)
		},
		Log: f.log, Metrics: upkeep.NewMetrics(registry),
	})
	if err != nil {
		return nil, err
	}
	return u.Run, nil
}

// policies are the tables that are looked after, with what their specs keep.
func (c *compacting) policies(ctx context.Context) ([]upkeep.Table, error) {
	specs, err := readSpecs(c.service.feeder.lake.config.Tables, nil)
	if err != nil {
		return nil, err
	}
	committers, err := c.committers(ctx)
	if err != nil {
		return nil, err
	}
	var out []upkeep.Table
	for _, s := range withChangelogs(specs) {
		if committer := committers[s.Name]; committer != nil {
			out = append(out, policyOf(s, committer))
		}
	}
	return out, nil
}

// policyOf is what a spec keeps of its table.
func policyOf(s *spec.Spec, c upkeep.Committer) upkeep.Table {
	e := commit.DefaultExpiry(c.Table().Metadata().Properties())
	e.Keep = s.Retention.Snapshots
	return upkeep.Table{Committer: c, Expiry: e, Rows: s.Retention.Rows.Age(),
		Grace: time.Duration(s.Retention.Orphans)}
}
