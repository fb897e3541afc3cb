package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/ingest/spec/document"
	"github.com/firthlake/firth/table/objstore"
)

// config is firth.yaml. Texts may refer to the environment as ${NAME} and to files as
// ${file:/path}; relative paths are relative to the file's folder.
type config struct {
	Clusters  map[string]clusterConfig `yaml:"clusters"`
	Registry  registryConfig           `yaml:"registry"`
	Catalog   catalogConfig            `yaml:"catalog"`
	Warehouse warehouseConfig          `yaml:"warehouse"`
	Listen    listenConfig             `yaml:"listen"`
	Tokens    tokensConfig             `yaml:"tokens"`
	Limits    limitsConfig             `yaml:"limits"`
	Live      liveConfig               `yaml:"live"`
	// State is the folder of what can be made anew from the tables: indexes of keys.
	State string `yaml:"state"`
	// Tables is the folder of table specs.
	Tables string `yaml:"tables"`
	// Group is the consumer group that shares partitions out among processes.
	Group string `yaml:"group"`
	// Instance names this process's place in the group; empty is the host and this file.
	Instance string `yaml:"instance,omitempty"`

	file string // where it was read from
}

// clusterConfig is one Kafka cluster.
type clusterConfig struct {
	Brokers []string   `yaml:"brokers"`
	TLS     tlsConfig  `yaml:"tls,omitempty"`
	SASL    saslConfig `yaml:"sasl,omitempty"`
}

// tlsConfig encrypts connections. Certificates are PEM files.
type tlsConfig struct {
	Enabled  bool   `yaml:"enabled,omitempty"`
	CAFile   string `yaml:"ca_file,omitempty"`
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// saslConfig authenticates with Kafka: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
type saslConfig struct {
	Mechanism string          `yaml:"mechanism,omitempty"`
	User      string          `yaml:"user,omitempty"`
	Password  objstore.Secret `yaml:"password,omitempty"`
	Token     objstore.Secret `yaml:"token,omitempty"`
	// TokenFile holds the token and is read again for every authentication, so that whoever renews
	// tokens replaces the file and the process goes on.
	TokenFile string `yaml:"token_file,omitempty"`
}

// registryConfig is a schema registry with a Confluent-compatible API.
type registryConfig struct {
	URLs     []string        `yaml:"urls,omitempty"`
	User     string          `yaml:"user,omitempty"`
	Password objstore.Secret `yaml:"password,omitempty"`
	Token    objstore.Secret `yaml:"token,omitempty"`
}

// catalogConfig is the embedded catalog's database, or an external REST catalog.
type catalogConfig struct {
	// Store is a SQLite file or a postgres:// address; it is the embedded catalog's.
	Store string `yaml:"store,omitempty"`
	// URI is an external Iceberg REST catalog, used instead of the embedded one.
	URI       string          `yaml:"uri,omitempty"`
	Token     objstore.Secret `yaml:"token,omitempty"`
	Warehouse string          `yaml:"warehouse,omitempty"`
	// AllowedLocations are prefixes outside the warehouse where clients may put tables of their own.
	AllowedLocations []string `yaml:"allowed_locations,omitempty"`
}

// warehouseConfig is where new tables lie.
type warehouseConfig struct {
	Location string            `yaml:"location"`
	S3       objstore.S3Config `yaml:"s3,omitempty"`
}

// listenConfig is where the process listens; empty is not at all.
type listenConfig struct {
	Catalog string `yaml:"catalog"`
	Admin   string `yaml:"admin"`
}

// tokensConfig guards the REST catalog. Both empty is no authentication.
type tokensConfig struct {
	Read  objstore.Secret `yaml:"read,omitempty"`
	Write objstore.Secret `yaml:"write,omitempty"`
}

// limitsConfig bounds what the process takes.
type limitsConfig struct {
	Memory spec.Size `yaml:"memory"`
	// DecodeWorkers is how many cores decode and write; 0 is all.
	DecodeWorkers int `yaml:"decode_workers"`
	// Compaction is the share of one core's time that compaction may take while little waits; 0 is none.
	Compaction float64 `yaml:"compaction"`
}

// Defaults and bounds of the configuration.
const (
	configDefault = "firth.yaml"
	memoryDefault = 400 << 20
	memoryMin     = 128 << 20
	workersMax    = 1024
)

// defaultConfig is a process without clusters: catalog and warehouse in the present folder.
func defaultConfig() config {
	return config{
		Catalog:   catalogConfig{Store: "catalog.db"},
		Warehouse: warehouseConfig{Location: "warehouse", S3: objstore.DefaultS3Config()},
		Listen:    listenConfig{Catalog: "127.0.0.1:8181", Admin: "127.0.0.1:8180"},
		Limits:    limitsConfig{Memory: memoryDefault, Compaction: compaction.ShareDefault},
		Live:      liveConfig{Interval: spec.Duration(ingest.TailEveryDefault)},
		State:     "state",
		Tables:    "tables",
		Group:     "firth",
	}
}

// loadConfig reads the file of --config, or firth.yaml.
func (p *program) loadConfig() (config, error) {
	path := p.configPath
	if path == "" {
		path = configDefault
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return config{}, couldNot(fmt.Errorf("there is no configuration %s", path),
			"name one with -c, write one (docs/operations.md), or make one with 'firth demo'")
	}
	if err != nil {
		return config{}, couldNot(fmt.Errorf("read configuration: %w", err), "")
	}
	c := defaultConfig()
	c.file = path
	lines, err := document.Decode(path, text, &c, p.reference)
	if lines == nil {
		return c, err
	}
	c.resolvePaths(filepath.Dir(path))
	return c, document.Also(err, c.validate(lines))
}

// reference resolves ${NAME} from the environment and ${file:PATH} from a file.
func (p *program) reference(name string) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reference ${%s}: %w", name, err)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	value, ok := p.getenv(name)
	if !ok {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return value, nil
}

// resolvePaths makes relative paths relative to the folder of the file.
func (c *config) resolvePaths(folder string) {
	paths := []*string{&c.Tables, &c.State, &c.Catalog.Store, &c.Warehouse.Location, &c.Warehouse.S3.CAFile}
	for name, cluster := range c.Clusters {
		c.Clusters[name] = cluster.resolvePaths(folder)
	}
	for _, path := range paths {
		if *path != "" && !strings.Contains(*path, "://") && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	if objstore.Scheme(c.Warehouse.Location) == "" {
		// Metadata holds full locations, so they must not depend on the present folder.
		if full, err := filepath.Abs(c.Warehouse.Location); err == nil {
			c.Warehouse.Location = full
		}
	}
}

// resolvePaths returns the cluster with paths relative to the folder of the file.
func (c clusterConfig) resolvePaths(folder string) clusterConfig {
	for _, path := range []*string{&c.TLS.CAFile, &c.TLS.CertFile, &c.TLS.KeyFile, &c.SASL.TokenFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	return c
}

// validate reports all that is wrong, by line.
func (c *config) validate(lines document.Lines) error {
	var found []document.Fault
	fault := func(key, remedy, format string, args ...any) {
		found = append(found, document.Fault{Line: lines.Line(key), Key: key,
			Text: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		c.Clusters[name].validate("clusters."+name, fault)
	}
	if c.Catalog.URI == "" && c.Catalog.Store == "" {
		fault("catalog", "write store: catalog.db, store: postgres://…, or uri: https://…",
			"names no catalog")
	}
	if c.Catalog.URI != "" {
		if u, err := url.Parse(c.Catalog.URI); err != nil || u.Host == "" {
			fault("catalog.uri", "write it as http://host:8181", "%q is no address", c.Catalog.URI)
		}
	}
	if c.Warehouse.Location == "" {
		fault("warehouse.location", "write a folder or s3://bucket/prefix", "is missing")
	}
	if err := c.Warehouse.S3.Validate(); err != nil {
		fault("warehouse.s3", "see docs/operations.md", "%v", err)
	}
	if c.Limits.Memory < memoryMin {
		fault("limits.memory", fmt.Sprintf("write %v or more", spec.Size(memoryMin)), "%v is too little",
			c.Limits.Memory)
	}
	if c.Limits.DecodeWorkers < 0 || c.Limits.DecodeWorkers > workersMax {
		fault("limits.decode_workers", "write 0 for all cores", "%d is out of range", c.Limits.DecodeWorkers)
	}
	if !(c.Limits.Compaction >= 0 && c.Limits.Compaction <= 1) {
		fault("limits.compaction", "write 0.25, or 0 for none", "%v is no share of a core", c.Limits.Compaction)
	}
	c.Live.validate(fault)
	if c.Tokens.Write == "" && c.Listen.Catalog != "" && !isLoopback(c.Listen.Catalog) {
		fault("listen.catalog", "set tokens.write, or listen on 127.0.0.1",
			"%s can be reached from other machines and the catalog asks for no token", c.Listen.Catalog)
	}
	if c.Tokens.Read != "" && c.Tokens.Read == c.Tokens.Write {
		fault("tokens", "choose two", "the read token and the write token are the same")
	}
	if c.Tokens.Read != "" && c.Tokens.Write == "" {
		fault("tokens", "set write as well", "a read token alone leaves writing open to everyone")
	}
	if len(found) > 0 {
		return document.Faulty(c.file, found...)
	}
	return nil
}

func (c clusterConfig) validate(key string, fault func(key, remedy, format string, args ...any)) {
	if len(c.Brokers) == 0 {
		fault(key+".brokers", "write brokers: [host:9092]", "names no broker")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		fault(key+".tls", "set both or neither", "cert_file and key_file belong together")
	}
	switch s := c.SASL; s.Mechanism {
	case "":
		if s.User != "" || s.Password != "" || s.Token != "" || s.TokenFile != "" {
			fault(key+".sasl", "write mechanism: SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER",
				"has no mechanism")
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if s.User == "" || s.Password == "" {
			fault(key+".sasl", "set both", "%s needs user and password", s.Mechanism)
		}
	case "OAUTHBEARER":
		if (s.Token == "") == (s.TokenFile == "") {
			fault(key+".sasl", "set token_file, or token for one that never expires",
				"OAUTHBEARER needs one of token and token_file")
		}
	default:
		fault(key+".sasl.mechanism", "write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
			"unknown mechanism %q", s.Mechanism)
	}
}

// effective is the configuration as YAML with secrets masked.
func (c config) effective() string {
	c.Catalog.Store = redacted(c.Catalog.Store)
	c.Registry.URLs = slices.Clone(c.Registry.URLs)
	for i, u := range c.Registry.URLs {
		c.Registry.URLs[i] = redacted(u)
	}
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(c); err != nil {
		return "configuration cannot be shown: " + err.Error()
	}
	return buf.String()
}

// redacted masks the password of an address.
func redacted(address string) string {
	if !strings.Contains(address, "://") {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "***"
	}
	return u.Redacted()
}

// LogValue is the effective configuration.
func (c config) LogValue() slog.Value { return slog.StringValue(c.effective()) }
