package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// tableCatalog is what the commands need of a catalog, embedded or external.
type tableCatalog interface {
	commit.Catalog
	CreateNamespace(ctx context.Context, name catalog.Namespace, properties map[string]string) error
	ListNamespaces(ctx context.Context, parent catalog.Namespace, page catalog.Page) ([]catalog.Namespace,
		error)
	CreateTable(ctx context.Context, ident table.Ident, spec catalog.TableSpec) (*table.Table, error)
	ListTables(ctx context.Context, namespace catalog.Namespace, page catalog.Page) ([]table.Ident, error)
}

// lake is the opened configuration: where bytes lie and what tables there are.
type lake struct {
	config   config
	objects  objstore.Store
	catalog  tableCatalog
	embedded *catalog.Catalog // nil with an external catalog
	close    func()
}

// externalCatalog is a catalog over HTTP. It lists all pages at once.
type externalCatalog struct{ *catalog.Remote }

// ListNamespaces lists the namespaces right below parent.
func (c externalCatalog) ListNamespaces(
	ctx context.Context, parent catalog.Namespace, _ catalog.Page,
) ([]catalog.Namespace, error) {
	return c.Remote.ListNamespaces(ctx, parent)
}

// ListTables lists the tables of a namespace.
func (c externalCatalog) ListTables(
	ctx context.Context, namespace catalog.Namespace, _ catalog.Page,
) ([]table.Ident, error) {
	return c.Remote.ListTables(ctx, namespace)
}

// openLake opens what --dir or --config names. The caller closes it.
func (p *program) openLake(ctx context.Context, dir string) (*lake, error) {
	if dir == "" {
		c, err := p.loadConfig()
		if err != nil {
			return nil, err
		}
		return p.open(ctx, c)
	}
	if p.configPath != "" {
		return nil, couldNot(errors.New("both --dir and --config are given"), "give one of them")
	}
	c := folderConfig(dir)
	if _, err := os.Stat(c.Catalog.Store); err != nil {
		return nil, couldNot(fmt.Errorf("folder %s holds no catalog: %w", dir, err),
			"make one with 'firth demo --dir "+dir+"'")
	}
	return p.open(ctx, c)
}

// folderConfig is the configuration of the folder that a demo makes.
func folderConfig(dir string) config {
	c := defaultConfig()
	c.resolvePaths(dir)
	return c
}

// open opens stores and catalog of a configuration.
func (p *program) open(ctx context.Context, c config) (*lake, error) {
	objects, err := objstore.Open(objstore.Config{S3: c.Warehouse.S3})
	if err != nil {
		return nil, fmt.Errorf("open warehouse %s: %w", c.Warehouse.Location, err)
	}
	l := &lake{config: c, objects: objects, close: func() {}}
	if c.Catalog.URI != "" {
		remote, err := catalog.DialRemote(ctx, catalog.RemoteConfig{URI: c.Catalog.URI,
			Warehouse: c.Catalog.Warehouse, Token: string(c.Catalog.Token)}, http.DefaultClient)
		if err != nil {
			return nil, fmt.Errorf("open catalog: %w", err)
		}
		l.catalog = externalCatalog{remote}
		return l, nil
	}
	store, err := openCatalogStore(ctx, c.Catalog.Store)
	if err != nil {
		return nil, err // it names the catalog
	}
	options := catalog.Options{Warehouse: c.Warehouse.Location, Now: p.now, NewID: uuid.New,
		AllowedLocations: c.allowedLocations(), MakeNamespaces: true,
		TableProperties: catalog.DefaultTableProperties()}
	if err := options.Validate(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	l.embedded = catalog.New(store, objects, options)
	l.catalog = l.embedded
	l.close = func() { _ = store.Close() } // everything that was acknowledged is on disk
	return l, nil
}

// allowedLocations are the places outside the warehouse where clients may put tables. While the catalog
// listens on loopback alone, its clients are programs of this machine, and may use their temporary
// folder, as tests of engines do.
func (c config) allowedLocations() []string {
	if c.Catalog.AllowedLocations != nil || !isLoopback(c.Listen.Catalog) {
		return c.Catalog.AllowedLocations
	}
	return []string{os.TempDir()}
}

// isLoopback says whether a listener's address is reached from this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func openCatalogStore(ctx context.Context, at string) (*catalog.SQLStore, error) {
	if strings.HasPrefix(at, "postgres://") || strings.HasPrefix(at, "postgresql://") {
		return catalog.OpenPostgres(ctx, at)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", at, err)
	}
	return catalog.OpenSQLite(ctx, at)
}

// loadTable loads a table by its dotted name.
func (l *lake) loadTable(ctx context.Context, name string) (*table.Table, error) {
	ident, err := table.ParseIdent(name)
	if err != nil {
		return nil, couldNot(err, "")
	}
	t, err := l.catalog.LoadTable(ctx, ident)
	if errors.Is(err, table.ErrNotFound) {
		return nil, couldNot(fmt.Errorf("there is no table %s: %w", name, err),
			"'firth tables' lists the tables")
	}
	return t, err
}

// tableFlags name the table that a command is about.
type tableFlags struct {
	dir, table string
}

// add makes TABLE the command's one argument, and adds --dir.
func (f *tableFlags) add(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := exactly("TABLE")(cmd, args); err != nil {
			return err
		}
		f.table = args[0]
		return nil
	}
	cmd.Flags().StringVar(&f.dir, "dir", "", "folder that a demo made, instead of a configuration")
}

// withTable opens the configuration and loads the table of a command, and closes what it opened.
func (p *program) withTable(
	ctx context.Context, f tableFlags, act func(l *lake, t *table.Table) error,
) error {
	l, err := p.openLake(ctx, f.dir)
	if err != nil {
		return err
	}
	defer l.close()
	t, err := l.loadTable(ctx, f.table)
	if err != nil {
		return err
	}
	return act(l, t)
}

// connection says how to reach a cluster of the configuration.
func (c config) connection(name string) (source.Connection, error) {
	cluster, ok := c.Clusters[name]
	if !ok {
		return source.Connection{}, couldNot(fmt.Errorf("there is no cluster %q in %s", name, c.file),
			"add clusters."+name+".brokers, or name another cluster in the spec")
	}
	out := source.Connection{Brokers: cluster.Brokers, ClientID: c.Group}
	if t := cluster.TLS; t.Enabled || t.CAFile != "" || t.CertFile != "" {
		settings, err := t.open()
		if err != nil {
			return out, fmt.Errorf("cluster %s: %w", name, err)
		}
		out.TLS = settings
	}
	if s := cluster.SASL; s.Mechanism != "" {
		out.SASL = &source.SASL{Mechanism: s.Mechanism, User: s.User, Password: string(s.Password),
			Token: s.token}
	}
	return out, nil
}

// open reads the certificates.
func (t tlsConfig) open() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read cert_file and key_file: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// token is the bearer token of this moment.
func (s saslConfig) token(context.Context) (string, error) {
	if s.TokenFile == "" {
		return string(s.Token), nil
	}
	text, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token_file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// openRegistry returns the schema registry's client, or nil when none is configured.
func (p *program) openRegistry(c config) (*registry.Client, error) {
	if len(c.Registry.URLs) == 0 {
		return nil, nil
	}
	settings := registry.DefaultConfig()
	settings.URLs = c.Registry.URLs
	settings.Username, settings.Password = c.Registry.User, string(c.Registry.Password)
	settings.Token = string(c.Registry.Token)
	return registry.New(settings, p.now)
}
