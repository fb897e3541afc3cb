package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/catalog"
)

// The roles of a process.
const (
	roleCatalog = "catalog"
	roleIngest  = "ingest"
)

func (p *program) runCommand() *cobra.Command {
	var roles []string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service: Iceberg REST catalog and ingest",
		Long: "Runs the roles of this process until it is told to stop. It refuses to start when a spec does not\n" +
			"match its table: 'firth plan' shows how, 'firth apply' makes it so. While it runs it takes new and\n" +
			"changed specs as soon as they are applied, without losing or repeating a record.\n\n" +
			"The admin listener answers /healthz, /readyz, /metrics, /tables, and POST /apply." +
			exitCodes("stopped as asked", "stopped by a fault", "could not start"),
		Example: example("firth run", "firth run -c /etc/firth/firth.yaml", "firth run --roles catalog"),
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.runService(cmd.Context(), roles) },
	}
	cmd.Flags().StringSliceVar(&roles, "roles", []string{roleCatalog, roleIngest}, "roles of this process")
	return cmd
}

// runService starts the roles and waits for them.
func (p *program) runService(ctx context.Context, roles []string) error {
	for _, role := range roles {
		if role != roleCatalog && role != roleIngest {
			return couldNot(fmt.Errorf("there is no role %q", role), "write catalog, ingest, or both")
		}
	}
	log, err := p.logger(slog.LevelInfo)
	if err != nil {
		return err
	}
	c, err := p.loadConfig()
	if err != nil {
		return err
	}
	log.Info("configuration", "effective", c)
	debug.SetMemoryLimit(int64(c.Limits.Memory))
	l, err := p.open(ctx, c)
	if err != nil {
		return err
	}
	defer l.close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f, err := p.newFeeder(l, log, registry)
	if err != nil {
		return err
	}
	defer f.close()
	s := newService(f, slices.Contains(roles, roleIngest))
	if s.ingests {
		// The first generation is opened before anything is served, so that a start that cannot
		// succeed fails at once.
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	var servers []*server
	if slices.Contains(roles, roleCatalog) && l.embedded != nil && c.Listen.Catalog != "" {
		handler, err := l.catalogHandler(p, log)
		if err != nil {
			return err
		}
		each, err := listen(ctx, c.Listen.Catalog, handler)
		if err != nil {
			return err
		}
		log.Info("catalog listens", "url", each.url())
		servers = append(servers, each)
	}
	if c.Listen.Admin != "" {
		each, err := listen(ctx, c.Listen.Admin, s.adminHandler(registry))
		if err != nil {
			return err
		}
		log.Info("admin listens", "url", each.url())
		servers = append(servers, each)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, each := range servers {
		group.Go(func() error { return each.serve(ctx) })
	}
	if s.ingests {
		group.Go(func() error { return s.run(ctx) })
	}
	group.Go(func() error { <-ctx.Done(); return nil })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fallsShort(err, remedyOf(err))
	}
	log.Info("stopped")
	return nil
}

// catalogHandler serves the embedded catalog as warehouse main.
func (l *lake) catalogHandler(p *program, log *slog.Logger) (*catalog.Handler, error) {
	return catalog.NewHandler(catalog.HandlerOptions{
		Warehouses: []catalog.Warehouse{{Name: "main", Reads: l.embedded, Writes: l.embedded}},
		ReadToken:  string(l.config.Tokens.Read), WriteToken: string(l.config.Tokens.Write),
		Now: p.now, Logger: log,
	})
}
