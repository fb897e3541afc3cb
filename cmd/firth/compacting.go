package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// compactionMemoryShare is the part of limits.memory for rows that compaction decodes; what has no room in it
// waits on local disk.
const compactionMemoryShare = 16

// compacting is the role that compacts the tables of the specs.
type compacting struct {
	service *service
	// own are committers of tables that no ingest of this process writes to, by name.
	own map[string]*commit.Committer
}

// compaction makes what runs the role.
func (s *service) compaction(registry prometheus.Registerer) (func(context.Context) error, error) {
	f := s.feeder
	c := &compacting{service: s, own: map[string]*commit.Committer{}}
	automatic, err := compaction.NewAutomatic(compaction.AutomaticOptions{
		Tables: c.tables, Store: f.lake.objects, Share: f.lake.config.Limits.Compaction, Now: f.program.now,
		Sleep: sleep, Log: s.log, Metrics: compaction.NewMetrics(registry),
		Compaction: compaction.Options{NewID: uuid.New, SpillDir: f.spillDir,
			Memory: table.NewBudget(int64(f.lake.config.Limits.Memory) / compactionMemoryShare)},
	})
	if err != nil {
		return nil, err
	}
	return automatic.Run, nil
}

// committers are those of the running generation of ingest, or of the specs when there is none, by table.
func (c *compacting) committers(ctx context.Context) (map[string]*commit.Committer, error) {
	c.service.mu.Lock()
	feed := c.service.feed
	c.service.mu.Unlock()
	if feed != nil {
		return feed.committers, nil
	}
	err := c.open(ctx)
	return c.own, err
}

// tables are the committers in order.
func (c *compacting) tables(ctx context.Context) ([]compaction.Committer, error) {
	committers, err := c.committers(ctx)
	if err != nil {
		return nil, err
	}
	var out []compaction.Committer
	for _, name := range slices.Sorted(maps.Keys(committers)) {
		out = append(out, committers[name])
	}
	return out, nil
}

// open opens the tables of the specs as they are now, and looks at the newest version of those that are
// open.
func (c *compacting) open(ctx context.Context) error {
	specs, err := readSpecs(c.service.feeder.lake.config.Tables, nil)
	if err != nil {
		return err
	}
	opened, err := atOnce(ctx, specs, func(ctx context.Context, s *spec.Spec) (*commit.Committer, error) {
		if known := c.own[s.Name]; known != nil {
			return known, known.Refresh(ctx)
		}
		made, err := c.service.feeder.committer(ctx, s, nil)
		if errors.Is(err, table.ErrNotFound) {
			return nil, nil // its spec is not applied yet
		}
		return made, err
	})
	if err != nil {
		return fmt.Errorf("open tables to compact: %w", err)
	}
	c.own = map[string]*commit.Committer{}
	for i, s := range specs {
		if opened[i] != nil {
			c.own[s.Name] = opened[i]
		}
	}
	return nil
}
