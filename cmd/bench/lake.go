package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/firthlake/firth/e2e/components"
)

// lake is a folder with tables, firth's catalog of them, and the engines that are asked.
type lake struct {
	b       *bench
	dir     string
	reader  components.Reader
	service *components.Process
	spark   *components.Session
	trino   *components.Trino
	client  *components.Session // of trino
}

const lakeConfig = `clusters: {default: {brokers: [%q]}}
catalog: {store: %q}
warehouse:
  location: %s
listen: {catalog: %q, admin: %q}
`

// newLake writes a configuration. Everything is on MinIO.
func (b *bench) newLake(ctx context.Context, name string) (*lake, error) {
	minio, err := b.lab.MinIO(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return b.lakeOn(name, minio.Endpoint, fmt.Sprintf("s3://%s/lake\n"+
		"  s3: {endpoint: %q, access_key: %s, secret_key: %s, path_style: true}", bucket, minio.Endpoint,
		components.AccessKey, components.SecretKey))
}

// newLocalLake writes a configuration whose warehouse is a folder.
func (b *bench) newLocalLake(name string) (*lake, error) {
	return b.lakeOn(name, "", filepath.Join(b.dir, name, "warehouse"))
}

func (b *bench) lakeOn(name, endpoint, location string) (*lake, error) {
	l := &lake{b: b, dir: filepath.Join(b.dir, name)}
	var listen [2]string
	for i := range listen {
		port, err := components.FreePort()
		if err != nil {
			return nil, err
		}
		listen[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	programs, err := filepath.Abs(filepath.Join("e2e", "readers"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(programs); err != nil { // said now, and not after an hour of updates
		return nil, fmt.Errorf("programs that ask engines: %w: run it in the folder of the repository", err)
	}
	l.reader = components.Reader{Programs: programs, Catalog: "http://" + listen[0], S3: endpoint}
	if err := os.MkdirAll(filepath.Join(l.dir, "tables"), 0o750); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(lakeConfig, b.kafka.Brokers, filepath.Join(l.dir, "catalog.db"), location,
		listen[0], listen[1])
	return l, os.WriteFile(l.config(), []byte(text), 0o600)
}

// add writes the spec of a table and makes the table. A service that runs feeds it.
func (l *lake) add(ctx context.Context, table, spec string) error {
	if err := os.WriteFile(filepath.Join(l.dir, "tables", table+".yaml"), []byte(spec), 0o600); err != nil {
		return err
	}
	_, _, err := l.firth(ctx, "apply", "--yes")
	return err
}

func (l *lake) config() string { return filepath.Join(l.dir, "firth.yaml") }

// firth runs a command to its end and returns what it printed and the CPU time it took.
func (l *lake) firth(ctx context.Context, args ...string) (out []byte, cpuSeconds float64, err error) {
	cmd := exec.CommandContext(ctx, l.b.options.firth, append(args, "-c", l.config())...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, 0, fmt.Errorf("firth %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return stdout.Bytes(), used.Seconds(), nil
}

// run starts the service. It ends with the lab.
func (l *lake) run(ctx context.Context, args ...string) error {
	var err error
	l.service, err = l.b.lab.Start(ctx, components.Command{Name: "firth", Path: l.b.options.firth,
		Args:  append([]string{"run", "-c", l.config()}, args...),
		Ready: components.Answers(l.reader.Catalog + "/v1/config")})
	return err
}

// produce fills the topic.
func (l *lake) produce(ctx context.Context, topic string, args ...string) error {
	_, _, err := l.firth(ctx, append([]string{"gen", "--topic", topic, "--cluster", "default"}, args...)...)
	return err
}

// lookEvery is how often a lake is asked how far it is.
const lookEvery = time.Second

// catchUp waits until the table has all that the topic has.
func (l *lake) catchUp(ctx context.Context, table string) error {
	for {
		out, _, err := l.firth(ctx, "describe", table, "--lag", "--json")
		if err != nil {
			return err
		}
		var told struct {
			Offsets []struct {
				Lag *int64 `json:"lag"`
			} `json:"offsets"`
		}
		if err := json.Unmarshal(out, &told); err != nil {
			return fmt.Errorf("describe %s: %w", table, err)
		}
		behind := len(told.Offsets) == 0
		for _, o := range told.Offsets {
			behind = behind || o.Lag == nil || *o.Lag != 0
		}
		if !behind {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.service.Done():
			return fmt.Errorf("firth has ended:\n%s", l.service.Tail())
		case <-time.After(lookEvery):
		}
	}
}

// engines starts Spark and Trino on the catalog.
func (l *lake) engines(ctx context.Context) error {
	var err error
	if l.spark, err = l.b.lab.Spark(ctx, l.reader); err != nil {
		return err
	}
	if l.trino, err = l.b.lab.Trino(ctx, l.reader); err != nil {
		return err
	}
	l.reader.Trino = l.trino.Port
	l.client, err = l.b.lab.TrinoClient(ctx, l.reader)
	return err
}

// ask runs a statement, whose fault is an error.
func ask(ctx context.Context, s *components.Session, statement string) (components.Answer, error) {
	answer, err := s.Run(ctx, statement)
	if err == nil && answer.Fault != "" {
		err = fmt.Errorf("%s: %s", statement, answer.Fault)
	}
	return answer, err
}

// head is the newest snapshot of a table.
func (l *lake) head(ctx context.Context, table string) (int64, error) {
	answer, err := ask(ctx, l.spark, fmt.Sprintf(
		"select snapshot_id from lake.%s.refs where name = 'main'", table))
	if err != nil || len(answer.Rows) != 1 {
		return 0, fmt.Errorf("find the newest snapshot of %s: %v %w", table, answer.Rows, err)
	}
	return strconv.ParseInt(answer.Rows[0][0], 10, 64)
}
