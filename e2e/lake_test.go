//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/e2e/components"
)

// lake is a folder with a configuration and table specs, and the servers that they name.
type lake struct {
	lab      *components.Lab
	dir      string
	settings settings
}

// settings are what the configurations of the tests differ in.
type settings struct {
	brokers, sasl  string
	registry       string
	store, uri     string // of the catalog
	warehouse      string
	s3, secret     string // endpoint and secret key
	group, tokens  string
	instance       string // the place in the group
	catalog, admin string // host:port
}

// newLab returns a lab in a temporary folder that stops everything at the end of the test.
func newLab(t *testing.T) *components.Lab {
	t.Helper()
	lab, err := components.NewLab(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(lab.Stop)
	return lab
}

// newLake writes a configuration in a folder of its own.
func newLake(t *testing.T, lab *components.Lab, s settings) *lake {
	t.Helper()
	l := &lake{lab: lab, dir: t.TempDir(), settings: s}
	if l.settings.group == "" {
		l.settings.group = "firth"
	}
	if l.settings.warehouse == "" {
		l.settings.warehouse = "s3://warehouse/lake"
	}
	if l.settings.secret == "" {
		l.settings.secret = components.SecretKey
	}
	l.settings.catalog, l.settings.admin = address(t), address(t)
	l.configure(t)
	return l
}

// twin is another process of the same lake: same tables and catalog, its own group and addresses.
func (l *lake) twin(t *testing.T, group string) *lake {
	t.Helper()
	other := newLake(t, l.lab, l.settings)
	other.settings.group = group
	other.configure(t)
	tables := os.DirFS(filepath.Join(l.dir, "tables"))
	require.NoError(t, os.CopyFS(filepath.Join(other.dir, "tables"), tables))
	return other
}

func address(t *testing.T) string {
	t.Helper()
	port, err := components.FreePort()
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// configure writes firth.yaml as the settings are now.
func (l *lake) configure(t *testing.T) {
	t.Helper()
	s := l.settings
	var text strings.Builder
	if s.brokers != "" {
		fmt.Fprintf(&text, "clusters: {default: {brokers: [%q]%s}}\n", s.brokers, s.sasl)
	}
	if s.registry != "" {
		fmt.Fprintf(&text, "registry: {urls: [%q]}\n", s.registry)
	}
	switch {
	case s.uri != "":
		fmt.Fprintf(&text, "catalog: {uri: %q}\n", s.uri)
	case s.store != "":
		fmt.Fprintf(&text, "catalog: {store: %q}\n", s.store)
	}
	fmt.Fprintf(&text, "warehouse:\n  location: %q\n", s.warehouse)
	if s.s3 != "" {
		fmt.Fprintf(&text, "  s3: {endpoint: %q, access_key: %s, secret_key: %s, path_style: true}\n",
			s.s3, components.AccessKey, s.secret)
	}
	fmt.Fprintf(&text, "listen: {catalog: %q, admin: %q}\ngroup: %s\n", s.catalog, s.admin, s.group)
	if s.instance != "" {
		fmt.Fprintf(&text, "instance: %s\n", s.instance)
	}
	text.WriteString(s.tokens)
	write(t, l.config(), text.String())
}

func (l *lake) config() string { return filepath.Join(l.dir, "firth.yaml") }

// spec writes a table spec.
func (l *lake) spec(t *testing.T, name, text string) {
	t.Helper()
	write(t, filepath.Join(l.dir, "tables", name+".yaml"), text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// commandMax bounds one command of the program.
const commandMax = 20 * time.Minute

// firth runs a command to its end.
func firth(ctx context.Context, args ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Getenv(binaryVariable), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
}

// firth runs a command with the lake's configuration.
func (l *lake) firth(t *testing.T, args ...string) outcome {
	t.Helper()
	out, err := firth(t.Context(), append(args, "-c", l.config())...)
	require.NoError(t, err)
	return out
}

// apply makes the tables what their specs say.
func (l *lake) apply(t *testing.T) {
	t.Helper()
	out := l.firth(t, "apply", "--yes")
	require.Zero(t, out.code, out.stderr)
}

// run starts the service; its log is named for the process.
func (l *lake) run(t *testing.T, name string, args ...string) *components.Process {
	t.Helper()
	p, err := l.start(t.Context(), name, args...)
	require.NoError(t, err)
	return p
}

func (l *lake) start(ctx context.Context, name string, args ...string) (*components.Process, error) {
	return l.lab.Start(ctx, components.Command{
		Name: name, Path: os.Getenv(binaryVariable),
		Args:  append([]string{"run", "-c", l.config()}, args...),
		Ready: components.Answers("http://" + l.settings.admin + "/healthz"),
	})
}

// progress is what the service says of a table.
type progress struct {
	Table           string
	State           any
	Trouble         string
	TopicPartitions int
}

func (l *lake) progress(ctx context.Context) ([]progress, error) {
	status, body, err := get(ctx, "http://"+l.settings.admin+"/tables")
	if err != nil {
		return nil, err
	}
	var tables []progress
	if err := json.Unmarshal([]byte(body), &tables); err != nil {
		return nil, fmt.Errorf("GET /tables: %d %s: %w", status, body, err)
	}
	return tables, nil
}

// assigned says whether the process reads any topic partition.
func (l *lake) assigned(ctx context.Context) bool {
	tables, err := l.progress(ctx)
	for _, t := range tables {
		if err == nil && t.TopicPartitions > 0 {
			return true
		}
	}
	return false
}

func get(ctx context.Context, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// description is what the tests need of 'firth describe --json'.
type description struct {
	Rows    int64 `json:"rows"`
	Offsets []struct {
		Partition int32  `json:"partition"`
		Next      int64  `json:"next"`
		End       *int64 `json:"end"`
		Lag       *int64 `json:"lag"`
	} `json:"offsets"`
	History []struct {
		Writer string `json:"writer"`
	} `json:"history"`
}

func (l *lake) describe(t *testing.T, table string) description {
	t.Helper()
	out := l.firth(t, "describe", table, "--lag", "--json")
	require.Zero(t, out.code, out.stderr)
	var d description
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &d))
	return d
}

// reaches waits until the table accounts for so many records and has no lag.
func (l *lake) reaches(t *testing.T, table string, records int64, within time.Duration) description {
	t.Helper()
	var last description
	reached := func() bool {
		last = l.describe(t, table)
		var next int64
		for _, o := range last.Offsets {
			next += o.Next
			if o.Lag == nil || *o.Lag != 0 {
				return false
			}
		}
		return next == records
	}
	eventually(t, within, reached, func() string {
		return fmt.Sprintf("%s stands at %+v, want %d records", table, last.Offsets, records)
	})
	return last
}

// eventually asks until the answer is yes; told says what was seen last.
func eventually(t *testing.T, within time.Duration, reached func() bool, told func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for !reached() {
		if pause(ctx, 300*time.Millisecond) != nil {
			t.Fatalf("not within %v: %s", within, told())
		}
	}
}

// pause waits, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// says waits until the log of a process holds all of the words.
func says(t *testing.T, p *components.Process, words ...string) {
	t.Helper()
	var missing string
	eventually(t, 90*time.Second, func() bool {
		text, err := os.ReadFile(p.Log)
		require.NoError(t, err)
		for _, word := range words {
			if !strings.Contains(string(text), word) {
				missing = word
				return false
			}
		}
		return true
	}, func() string {
		return fmt.Sprintf("the log of %s does not say %q:\n%s", p.Name, missing, p.Tail())
	})
}

// proven verifies the table from ledger, files and topic.
func (l *lake) proven(t *testing.T, table string) verify.Report {
	t.Helper()
	out := l.firth(t, "verify", table, "--deep", "--json")
	require.Zero(t, out.code, "%s\n%s", out.stdout, out.stderr)
	var report verify.Report
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	require.True(t, report.Proven)
	require.Zero(t, report.Gaps)
	require.Zero(t, report.Overlaps)
	return report
}

// reader is how the programs of the engines reach the lake.
func (l *lake) reader(t *testing.T) components.Reader {
	t.Helper()
	programs, err := filepath.Abs("readers")
	require.NoError(t, err)
	return components.Reader{Programs: programs, Catalog: "http://" + l.settings.catalog,
		S3: l.settings.s3}
}

// agrees reads the tables with one engine and compares every partition with what was generated.
func (l *lake) agrees(t *testing.T, engine string, want map[string]figures) {
	t.Helper()
	begun, reader := time.Now(), l.reader(t)
	if engine == "trino" {
		trino, err := l.lab.Trino(t.Context(), reader)
		require.NoError(t, err)
		defer trino.Stop()
		reader.Trino = trino.Port
	}
	var found map[string]figures
	require.NoError(t, l.lab.Ask(t.Context(), reader, components.Question{
		Program: engine + "_reader", Tables: slices.Sorted(maps.Keys(want)),
	}, &found))
	require.Equal(t, want, found, engine)
	t.Logf("%s agrees on %d tables after %.0f s", engine, len(want), time.Since(begun).Seconds())
}
