package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table/objstore"
)

// The roles of a process.
const (
	roleCatalog    = "catalog"
	roleIngest     = "ingest"
	roleCompaction = "compaction"
)

// allRoles are what a process does when nothing else is said.
func allRoles() []string { return []string{roleCatalog, roleIngest, roleCompaction} }

// runOptions are the flags of run.
type runOptions struct {
	roles []string
	// flightAt is the address of Flight, empty for none.
	flightAt string
	// vend is where the keys come from that clients of the catalog get.
	vend string
}

func (p *program) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service: Iceberg REST catalog, ingest and compaction",
		Long: "Runs the roles of this process until it is told to stop. It refuses to start when a spec does not\n" +
			"match its table: 'firth plan' shows how, 'firth apply' makes it so. While it runs it takes new and\n" +
			"changed specs as soon as they are applied, without losing or repeating a record.\n\n" +
			"The admin listener answers /healthz, /readyz, /metrics, /tables, /doors, and POST /apply; it and the\n" +
			"catalog's answer look-ups by key under /v1/tables (docs/lookup.md)." +
			exitCodes("stopped as asked", "stopped by a fault", "could not start"),
		Example: example("firth run", "firth run -c /etc/firth/firth.yaml", "firth run --roles catalog"),
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.runService(cmd.Context(), o) },
	}
	cmd.Flags().StringSliceVar(&o.roles, "roles", allRoles(), "roles of this process")
	cmd.Flags().StringVar(&o.flightAt, "flight", "",
		"serve SQL, streams and look-ups by Arrow Flight at this address (docs/sql.md)")
	cmd.Flags().StringVar(&o.vend, "vend", vendAuto,
		"temporary keys for clients of the catalog: auto (of the store), off, or the ARN of a role (docs/catalog.md)")
	return cmd
}

// servesCatalog says whether the process has the embedded catalog listen.
func (o runOptions) servesCatalog(l *lake) bool {
	return slices.Contains(o.roles, roleCatalog) && l.embedded != nil && l.config.Listen.Catalog != ""
}

// runService starts the roles and waits for them.
func (p *program) runService(ctx context.Context, o runOptions) error {
	for _, role := range o.roles {
		if !slices.Contains(allRoles(), role) {
			return couldNot(fmt.Errorf("there is no role %q", role), "write some of "+strings.Join(allRoles(), ", "))
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
	boundMemory(c.Limits.Memory)
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
	s := newService(f)
	var parts []func(context.Context) error
	if slices.Contains(o.roles, roleIngest) {
		// The first generation is opened before anything is served, so that a start that cannot
		// succeed fails at once.
		if err := s.start(ctx); err != nil {
			return err
		}
		parts = append(parts, s.run)
	}
	if slices.Contains(o.roles, roleCompaction) {
		compact, err := (&compacting{service: s}).parts(registry)
		if err != nil {
			return err
		}
		parts = append(parts, compact...)
	}
	if s.rows, err = s.newRows(p); err != nil {
		return err
	}
	now, served, err := s.readers(p, o, registry)
	if err != nil {
		return err
	}
	servers, err := p.listeners(ctx, s, o, now, registry)
	if err != nil {
		return err
	}
	parts = append(parts, served...)
	if o.flightAt != "" {
		serve, err := p.flightServer(ctx, s, newest(now), o.flightAt)
		if err != nil {
			return err
		}
		servers = append(servers, serve)
	}
	if err := together(ctx, append(parts, servers...)); err != nil {
		return fallsShort(err, remedyOf(err))
	}
	log.Info("stopped")
	return nil
}

// readers makes what readers of tables are served by, and returns the tables as of now and what is to be run.
func (s *service) readers(p *program, o runOptions, registry *prometheus.Registry,
) (now *live.Catalog, parts []func(context.Context) error, err error) {
	if o.flightAt != "" || slices.Contains(o.roles, roleCatalog) || slices.Contains(o.roles, roleIngest) {
		if now, err = s.liveCatalog(p, registry); err != nil {
			return nil, nil, err
		}
		if s.peers, err = s.newPeers(p); err != nil {
			return nil, nil, err
		}
	}
	if now != nil {
		parts = append(parts, live.NewJanitor(now).Run)
	}
	if s.peers != nil {
		parts = append(parts, s.peers.Run)
	}
	s.doors = newDoors(s, o, now)
	registry.MustRegister(s.doors)
	if o.flightAt == "" && !o.servesCatalog(s.feeder.lake) {
		return now, parts, nil
	}
	if s.streams, err = s.newStreams(p, registry); err != nil {
		return nil, nil, err
	}
	return now, append(parts, s.streams.Run), nil
}

// together runs the parts until ctx ends or one of them fails; then all end.
func together(ctx context.Context, parts []func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	group.Go(func() error { <-ctx.Done(); return nil })
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listeners opens the addresses of the process and returns what serves them.
func (p *program) listeners(
	ctx context.Context, s *service, o runOptions, now *live.Catalog, registry *prometheus.Registry,
) ([]func(context.Context) error, error) {
	l := s.feeder.lake
	handlers := map[string]http.Handler{}
	var out []func(context.Context) error
	rows, tell := s.lookupHandler(registry), s.tellHandler()
	if l.config.Listen.Admin != "" {
		handlers["admin"] = withPeers(guarded(l.config, tell), s.adminHandler(registry, guarded(l.config, rows)))
	}
	if o.servesCatalog(l) {
		handler, err := s.catalogHandler(p, now, o.vend)
		if err != nil {
			return nil, err
		}
		handlers["catalog"] = withPeers(tell, withLookups(withStreams(s.streams, handler), rows))
	}
	addresses := map[string]string{"admin": l.config.Listen.Admin, "catalog": l.config.Listen.Catalog}
	for name, handler := range handlers {
		each, err := listen(ctx, addresses[name], handler)
		if err != nil {
			return nil, err
		}
		s.log.Info("listening", "listener", name, "url", each.url())
		if s.peers != nil && (name == "catalog" || handlers["catalog"] == nil && guarded(l.config, tell) != nil) {
			s.peers.AnswerAt(reachable(ctx, each.url(), l.config.brokers()))
		}
		out = append(out, each.serve)
	}
	return out, nil
}

// clientConfig tells engines where the bucket is; whoever reaches the catalog sees what stands here. The endpoint ends
// with a slash: ClickHouse takes the location of a file apart by it.
func (w warehouseConfig) clientConfig() map[string]string {
	if objstore.Scheme(w.Location) != "s3" {
		return nil
	}
	out := map[string]string{"s3.region": w.S3.Region, "client.region": w.S3.Region,
		"s3.path-style-access": strconv.FormatBool(w.S3.PathStyle)}
	if w.S3.Endpoint != "" {
		out["s3.endpoint"] = strings.TrimRight(w.S3.Endpoint, "/") + "/"
		out["s3.path-style-access"] = "true" // the store's own default for endpoints other than AWS
	}
	return out
}
