package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

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
	kafka   *components.Kafka
	config  string            // of the warehouse on MinIO
	lines   map[string]string // workload to its file of JSON lines
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
			_, err := b.run(exec.CommandContext(ctx, b.options.firth, "gen", "--workload", m.workload,
				"--rows", strconv.FormatInt(b.options.rows, 10), "--out", b.lines[m.workload], "--json"))
			if err != nil {
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

// measure runs one measurement.
func (b *bench) measure(ctx context.Context, m measurement) (figure, error) {
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
	if m.cores > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(m.cores))
	}
	got, err := b.run(cmd)
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
	got, err := b.run(exec.CommandContext(ctx, python, "-c", duckdbScript, b.lines[workload],
		filepath.Join(b.dir, "duckdb.parquet"), duckdbColumns(g.Schema().Fields())))
	got.Proven = true
	return got, err
}

// run runs a command that prints a figure as JSON.
func (b *bench) run(cmd *exec.Cmd) (figure, error) {
	var got figure
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return got, err
	}
	return got, json.Unmarshal(out, &got)
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
