package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
)

//go:embed duckdb.py
var duckdbScript string

// bucket is where the tables on MinIO lie.
const bucket = "bench"

// bench holds the servers and the files of one call.
type bench struct {
	options options
	lab     *components.Lab
	dir     string
	cores   coreSet // of this machine
	kafka   *components.Kafka
	config  string            // of the warehouse on MinIO
	lines   map[string]string // workload to its file of JSON lines

	// The tables that groups share among their measurements.
	compacted *compacted
	updated   *updated
	answered  *answered
}

// start starts the servers that the comparisons need and writes DuckDB's files.
func (b *bench) start(ctx context.Context, chosen []comparison) error {
	var err error
	if b.kafka, err = b.lab.Kafka(ctx); err != nil {
		return err
	}
	for _, m := range measurements(chosen) {
		if m.s3 && b.config == "" {
			if err := b.startMinIO(ctx); err != nil {
				return err
			}
		}
		if m.workload != "" {
			b.lines[m.workload] = filepath.Join(b.dir, m.workload+".json")
			cmd := exec.CommandContext(ctx, b.options.firth, "gen", "--workload", m.workload,
				"--rows", strconv.FormatInt(b.options.rows, 10), "--out", b.lines[m.workload], "--json")
			if _, err := output(cmd, cmd.Start); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) startMinIO(ctx context.Context) error {
	minio, err := b.lab.MinIO(ctx, bucket)
	if err != nil {
		return err
	}
	b.config = filepath.Join(b.dir, "firth.yaml")
	text := fmt.Sprintf("warehouse:\n  location: s3://%s/lake\n"+
		"  s3: {endpoint: %q, access_key: %s, secret_key: %s, path_style: true}\n",
		bucket, minio.Endpoint, components.AccessKey, components.SecretKey)
	return os.WriteFile(b.config, []byte(text), 0o600)
}

// warmUps is how often records are read before anything counts: a JVM that serves its first tens of millions of
// records still compiles its code, on the cores that firth is measured on.
const warmUps = 2

// warm makes the broker ready, when a measurement reads from it.
func (b *bench) warm(ctx context.Context, all []measurement) error {
	reads := func(m measurement) bool { return m.how == nil && m.workload == "" }
	if !slices.ContainsFunc(all, reads) {
		return nil
	}
	for i := range warmUps {
		fmt.Fprintf(os.Stderr, "warm-up %d of %d of the broker\n", i+1, warmUps)
		if _, err := b.measure(ctx, ingest("warm-up")); err != nil {
			return fmt.Errorf("warm up the broker: %w", err)
		}
	}
	return nil
}

// rounds runs every measurement once a round, and tells on stderr how far it is.
func (b *bench) rounds(ctx context.Context, all []measurement) ([]map[string]figure, error) {
	rounds := make([]map[string]figure, b.options.rounds)
	for i := range rounds {
		rounds[i] = map[string]figure{}
		for j, m := range all {
			fmt.Fprintf(os.Stderr, "round %d of %d, %2d of %d: %-30s ", i+1, len(rounds), j+1, len(all), m.name)
			got, err := b.measure(ctx, m)
			if err != nil {
				fmt.Fprintln(os.Stderr)
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
			rounds[i][m.name] = got
			fmt.Fprintf(os.Stderr, "%9.0f rows/CPU-s %9.0f rows/s %4d MB\n", got.RowsPerCPU, got.RowsPerSecond,
				got.RSSBytesMax/1e6)
		}
	}
	return rounds, nil
}

// measure runs one measurement.
func (b *bench) measure(ctx context.Context, m measurement) (figure, error) {
	if m.how != nil {
		return m.how(ctx, b)
	}
	if m.workload != "" {
		return b.measureDuckDB(ctx, m.workload)
	}
	args := append([]string{"bench", "ingest", "--json", "--brokers", b.kafka.Brokers,
		"--rows", strconv.FormatInt(b.options.rows, 10)}, m.args...)
	if m.s3 {
		args = append(args, "-c", b.config)
	}
	cmd := exec.CommandContext(ctx, b.options.firth, args...)
	cmd.Env = os.Environ()
	if m.threads > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(m.threads))
	}
	got, err := b.together(cmd, m.cores)
	if err == nil && !got.Proven {
		err = errors.New("the table is not proven")
	}
	return got, err
}

// measureDuckDB converts the workload's JSON lines to Parquet.
func (b *bench) measureDuckDB(ctx context.Context, workload string) (figure, error) {
	g, err := gen.New(gen.Options{Workload: workload, Format: gen.JSON, Seed: 1})
	if err != nil {
		return figure{}, err
	}
	python := filepath.Join(b.lab.Cache, "py-duckdb", "bin", "python")
	cmd := exec.CommandContext(ctx, python, "-c", duckdbScript, b.lines[workload],
		filepath.Join(b.dir, "duckdb.parquet"), duckdbColumns(g.Schema().Fields()))
	got, err := output(cmd, cmd.Start)
	got.Proven = true
	return got, err
}

// together runs a command with the broker on that many cores, or on all for 0.
func (b *bench) together(cmd *exec.Cmd, cores int) (figure, error) {
	if cores == 0 {
		return output(cmd, cmd.Start)
	}
	set := b.cores.first(cores)
	if err := pin(b.kafka.PID(), set); err != nil {
		return figure{}, err
	}
	got, err := output(cmd, func() error { return startOn(cmd, set) })
	return got, errors.Join(err, pin(b.kafka.PID(), b.cores))
}

// endTimeout bounds the end of an interrupted command.
const endTimeout = 10 * time.Second

// output starts a command and reads the figure that it prints as JSON.
func output(cmd *exec.Cmd, start func() error) (figure, error) {
	var got figure
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has a process of its own to end
	cmd.WaitDelay = endTimeout
	err := start()
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return got, fmt.Errorf("%w: %s", err, faults.Bytes())
	}
	err = json.Unmarshal(out.Bytes(), &got)
	return got, err
}

// duckdbColumns is the argument of read_json that says what fields there are.
func duckdbColumns(fields []iceberg.NestedField) string {
	columns := make([]string, 0, len(fields))
	for _, f := range fields {
		columns = append(columns, fmt.Sprintf("%s: '%s'", f.Name, duckdbType(f.Type)))
	}
	return "{" + strings.Join(columns, ", ") + "}"
}

// duckdbType is the type that DuckDB reads a field as. Times are numbers in the records and stay that.
func duckdbType(typ iceberg.Type) string {
	switch t := typ.(type) {
	case *iceberg.StructType:
		fields := make([]string, 0, len(t.FieldList))
		for _, f := range t.FieldList {
			fields = append(fields, f.Name+" "+duckdbType(f.Type))
		}
		return "STRUCT(" + strings.Join(fields, ", ") + ")"
	case *iceberg.ListType:
		return duckdbType(t.Element) + "[]"
	case *iceberg.MapType:
		return "MAP(VARCHAR, " + duckdbType(t.ValueType) + ")"
	case iceberg.StringType:
		return "VARCHAR"
	case iceberg.Int32Type:
		return "INTEGER"
	case iceberg.Float64Type:
		return "DOUBLE"
	case iceberg.BooleanType:
		return "BOOLEAN"
	}
	return "BIGINT"
}
