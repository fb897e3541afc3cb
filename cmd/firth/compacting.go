package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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

// apartEvery is how often compaction looks at tables that another process writes to: each look asks the catalog
// for all of them.
const apartEvery = 5 * time.Second

// compacting is the role that looks after the tables of the specs: it compacts them, and upkeep goes on beside.
type compacting struct {
	service *service

	mu sync.Mutex // guards own
	// own are committers of tables that no ingest of this process writes to, by name, one a table. The map is
	// never changed, but another may take its place.
	own map[string]*commit.Committer
}

// parts makes what runs the role.
func (c *compacting) parts(registry prometheus.Registerer) ([]func(context.Context) error, error) {
	upkeep, err := c.upkeep(registry)
	if err != nil {
		return nil, err
	}
	parts := []func(context.Context) error{upkeep}
	if c.service.feeder.lake.config.Limits.Compaction > 0 {
		compaction, err := c.compaction(registry)
		if err != nil {
			return nil, err
		}
		parts = append(parts, compaction)
	}
	return parts, nil
}

// compaction makes what rewrites files.
func (c *compacting) compaction(registry prometheus.Registerer) (func(context.Context) error, error) {
	f := c.service.feeder
	c.service.mu.Lock()
	apart := c.service.feed == nil
	c.service.mu.Unlock()
	every := compaction.EveryDefault
	if apart {
		every = apartEvery
	}
	automatic, err := compaction.NewAutomatic(compaction.AutomaticOptions{
		Tables: c.tables, Store: f.lake.objects, Share: f.lake.config.Limits.Compaction, Debt: f.debt,
		Every: every, Idle: f.idle,
		Now:   f.program.now,
		Sleep: sleep, Log: f.log, Metrics: compaction.NewMetrics(registry),
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
	return c.open(ctx)
}

// tables are the committers in order.
func (c *compacting) tables(ctx context.Context) ([]compaction.Committer, error) {
	committers, err := c.committers(ctx)
	if err != nil {
		return nil, err
	}
	lookups := c.service.lookups()
	var out []compaction.Committer
	for _, name := range slices.Sorted(maps.Keys(committers)) {
		if l := lookups[name]; l != nil {
			l.AwaitCheckpoint(ctx)
			out = append(out, l.Preparing(committers[name]))
			continue
		}
		out = append(out, committers[name])
	}
	return out, nil
}

// open opens the tables of the specs as they are now, and looks at the newest version of those that are
// open.
func (c *compacting) open(ctx context.Context) (map[string]*commit.Committer, error) {
	specs, err := readSpecs(c.service.feeder.lake.config.Tables, nil)
	if err != nil {
		return nil, err
	}
	specs = withChangelogs(specs)
	c.mu.Lock()
	before := c.own
	c.mu.Unlock()
	opened, err := atOnce(ctx, specs, func(ctx context.Context, s *spec.Spec) (*commit.Committer, error) {
		if known := before[s.Name]; known != nil {
			return known, known.Refresh(ctx)
		}
		made, err := c.service.feeder.committer(ctx, s, nil)
		if errors.Is(err, table.ErrNotFound) {
			return nil, nil // its spec is not applied yet
		}
		return made, err
	})
	if err != nil {
		return nil, fmt.Errorf("open tables to look after: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	own := map[string]*commit.Committer{}
	for i, s := range specs {
		switch {
		case opened[i] == nil:
		case c.own[s.Name] != nil: // opened by another call meanwhile
			own[s.Name] = c.own[s.Name]
		default:
			own[s.Name] = opened[i]
		}
	}
	c.own = own
	return own, nil
}
