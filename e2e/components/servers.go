package components

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The keys of the object store.
const (
	AccessKey = "minioadmin"
	SecretKey = "minioadmin"
)

// MinIO is an S3 server with the buckets it was started with.
type MinIO struct {
	*Process
	Address  string // host:port
	Endpoint string // http://host:port
}

// MinIO starts an object store. A folder that is there before the start is a bucket.
func (l *Lab) MinIO(ctx context.Context, buckets ...string) (*MinIO, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(l.Dir, "minio")
	for _, bucket := range buckets {
		if err := os.MkdirAll(filepath.Join(data, bucket), 0o755); err != nil {
			return nil, err
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p, err := l.Start(ctx, Command{
		Name: "minio", Path: filepath.Join(l.Cache, "bin", "minio"),
		Env:   []string{"MINIO_ROOT_USER=" + AccessKey, "MINIO_ROOT_PASSWORD=" + SecretKey, "MINIO_BROWSER=off"},
		Args:  []string{"server", data, "--address", address},
		Ready: Answers("http://" + address + "/minio/health/ready"),
	})
	return &MinIO{Process: p, Address: address, Endpoint: "http://" + address}, err
}

// Registry is a schema registry that speaks Confluent's protocol.
type Registry struct {
	*Process
	URL    string // base of the Confluent API
	Native string // base of its own
}

// Registry starts Apicurio with its data in memory.
func (l *Lab) Registry(ctx context.Context) (*Registry, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(l.Cache, "registry")
	root := fmt.Sprintf("http://127.0.0.1:%d", port)
	p, err := l.Start(ctx, Command{
		Name: "registry", Path: "java",
		Env:   []string{"QUARKUS_HTTP_HOST=127.0.0.1", fmt.Sprintf("QUARKUS_HTTP_PORT=%d", port)},
		Args:  []string{"-Xmx256m", "-cp", home + "/*:" + home + "/lib/*", "io.quarkus.runner.GeneratedMain"},
		Ready: Answers(root + "/health/ready"),
	})
	return &Registry{Process: p, URL: root + "/apis/ccompat/v7", Native: root + "/apis/registry/v2"}, err
}

// Postgres is a database server with the empty database "firth".
type Postgres struct {
	*Process
	DSN string
}

// Postgres starts a server with settings beside the defaults ("wal_level=logical"). It refuses to run as
// root, so root runs it as the user postgres.
func (l *Lab) Postgres(ctx context.Context, settings ...string) (*Postgres, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("postgres is not installed: run e2e/install.sh postgres")
	}
	bin := found[len(found)-1]
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "firth-postgres-")
	if err != nil {
		return nil, err
	}
	as := func(args ...string) []string { return args }
	if os.Getuid() == 0 {
		as = func(args ...string) []string { return append([]string{"runuser", "-u", "postgres", "--"}, args...) }
		if out, err := exec.CommandContext(ctx, "chown", "postgres", data).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("chown %s: %w\n%s", data, err, out)
		}
	}
	init := as(bin+"/initdb", "-D", data+"/db", "-U", "firth", "-A", "trust")
	cmd := exec.CommandContext(ctx, init[0], init[1:]...)
	cmd.Dir = data
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	run := as(bin+"/postgres", "-D", data+"/db", "-p", fmt.Sprint(port), "-h", "127.0.0.1", "-k", data)
	for _, setting := range settings {
		run = append(run, "-c", setting)
	}
	p, err := l.Start(ctx, Command{
		Name: "postgres", Dir: data, Path: run[0], Args: run[1:],
		Ready: func(ctx context.Context) error {
			return exec.CommandContext(ctx, bin+"/psql", "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-U", "firth",
				"-d", "postgres", "-c", "create database firth").Run()
		},
	})
	return &Postgres{Process: p, DSN: fmt.Sprintf("postgres://firth@127.0.0.1:%d/firth?sslmode=disable", port)}, err
}

// Trino is a query engine with the catalog "lake".
type Trino struct {
	*Process
	Port int
}

// Trino starts a server whose catalog lake is the one that reader names, and committed the other one.
func (l *Lab) Trino(ctx context.Context, reader Reader) (*Trino, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	etc := filepath.Join(l.Dir, "trino", "etc")
	home := filepath.Join(l.Cache, "trino")
	config := fmt.Sprintf(`node.id=firth
node.environment=e2e
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port=%d
discovery.uri=http://127.0.0.1:%d
plugin.dir=%s/plugin
catalog.config-dir=%s/catalog
query.max-memory=512MB
query.max-memory-per-node=512MB
memory.heap-headroom-per-node=256MB
`, port, port, home, etc)
	files := map[string]string{"config.properties": config,
		"catalog/lake.properties": propertiesText(reader.trinoProperties(reader.Warehouse))}
	if reader.Committed != "" {
		files["catalog/committed.properties"] = propertiesText(reader.trinoProperties(reader.Committed))
	}
	for name, text := range files {
		file := filepath.Join(etc, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	jdk, err := os.ReadFile(filepath.Join(home, "jdk"))
	if err != nil {
		return nil, fmt.Errorf("find the JDK of trino: %w", err)
	}
	p, err := l.Start(ctx, Command{
		Name: "trino", Dir: filepath.Join(l.Dir, "trino"), Path: strings.TrimSpace(string(jdk)) + "/bin/java",
		Args: []string{"-Xmx2G", "-XX:+UseG1GC", "-XX:ReservedCodeCacheSize=256M", "-Djdk.attach.allowAttachSelf=true",
			"-XX:+EnableDynamicAgentLoading", "--enable-native-access=ALL-UNNAMED",
			"--add-modules=jdk.incubator.vector", "--sun-misc-unsafe-memory-access=allow",
			"-Dconfig=" + etc + "/config.properties", "-cp", home + "/src:" + home + "/lib/*", "FirthTrino"},
		Ready: trinoStarted(port),
	})
	return &Trino{Process: p, Port: port}, err
}

func propertiesText(properties map[string]string) string {
	var text strings.Builder
	for name, value := range properties {
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	return text.String()
}

// trinoStarted asks the server whether it still says that it is starting.
func trinoStarted(port int) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, "curl", "-fs", fmt.Sprintf("http://127.0.0.1:%d/v1/info", port)).Output()
		if err != nil {
			return err
		}
		if !strings.Contains(string(out), `"starting":false`) {
			return fmt.Errorf("trino is starting: %s", out)
		}
		return nil
	}
}
