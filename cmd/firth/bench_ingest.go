package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
)

// ingestBenchOptions are the flags of bench ingest.
type ingestBenchOptions struct {
	rows             int64
	format, workload string
	dir              string
	workers          int
	interval         time.Duration
}

// ingestBenchResult is what was measured, from the start of ingest to the last commit. The broker runs
// in the same process, so its work of serving fetches is in the CPU seconds; producing is not.
type ingestBenchResult struct {
	Workload      string  `json:"workload"`
	Format        string  `json:"format"`
	Rows          int64   `json:"rows"`
	Seconds       float64 `json:"seconds"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	RowsPerSecond float64 `json:"rows_per_s"`
	RowsPerCPU    float64 `json:"rows_per_cpu_s"`
	RSSBytesMax   int64   `json:"rss_bytes_max"`
	Files         int64   `json:"files"`
	Commits       int64   `json:"commits"`
	BytesWritten  int64   `json:"bytes_written"`
	BytesRead     int64   `json:"bytes_read"`
	Workers       int     `json:"workers"`
	Proven        bool    `json:"proven"`
}

func (p *program) benchIngestCommand() *cobra.Command {
	var o ingestBenchOptions
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Measure how fast a topic becomes a table",
		Long: "Produces rows into an embedded broker, then measures from the start of ingest to the last\n" +
			"commit on a local store. The broker works in the same process: what it takes to serve\n" +
			"fetches is in the figures." +
			exitCodes("measured and proven", "not proven", "could not measure"),
		Example: example("firth bench ingest", "firth bench ingest --rows 5000000 --format json --json",
			"firth bench ingest --format avro"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchIngest(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.rows, "rows", 1_000_000, "how many rows")
	flags.StringVar(&o.format, "format", "json", "json, avro or protobuf")
	flags.StringVar(&o.workload, "workload", "events10", strings.Join(gen.Workloads(), ", "))
	flags.StringVar(&o.dir, "dir", "", "empty folder to work in (default one that is removed at the end)")
	flags.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that decode and write")
	flags.DurationVar(&o.interval, "interval", 10*time.Second, "commit interval")
	return cmd
}

func (p *program) benchIngest(ctx context.Context, o ingestBenchOptions) error {
	if o.rows < 1 {
		return couldNot(fmt.Errorf("--rows %d must be 1 or more", o.rows), "")
	}
	return inFolder(o.dir, func(dir string) error {
		result, err := p.measureIngest(ctx, o, dir)
		if err != nil {
			return err
		}
		if err := p.print(result, result.write); err != nil {
			return err
		}
		if !result.Proven {
			return fallsShort(errors.New("the table is not proven"), "")
		}
		return nil
	})
}

func (r ingestBenchResult) write(w io.Writer) error {
	_, err := fmt.Fprintf(w,
		"%s rows of %s as %s: %s rows/s, %s rows per CPU-second, %.1f s, %.1f CPU-s, %s of memory, "+
			"%s in %d files, %d commits\n", count(r.Rows), r.Workload, r.Format, count(int64(r.RowsPerSecond)),
		count(int64(r.RowsPerCPU)), r.Seconds, r.CPUSeconds, size(r.RSSBytesMax), size(r.BytesWritten),
		r.Files, r.Commits)
	return err
}

// measureIngest produces, ingests and measures in a folder.
func (p *program) measureIngest(ctx context.Context, o ingestBenchOptions, dir string) (ingestBenchResult,
	error) {
	result := ingestBenchResult{Workload: o.workload, Format: o.format, Workers: o.workers}
	log, err := p.logger(slog.LevelWarn)
	if err != nil {
		return result, err
	}
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Dir: filepath.Join(dir, "broker"),
		Topics: map[string]int32{demoTopic: demoPartitions}})
	if err != nil {
		return result, err
	}
	defer broker.Close()
	g, err := benchGenerator(o)
	if err != nil {
		return result, err
	}
	totals, err := p.benchProduce(ctx, o.rows, g, broker.Connection())
	if err != nil {
		return result, err
	}
	if err := writeBenchSpec(o, dir, g); err != nil {
		return result, err
	}
	c := folderConfig(dir)
	c.Clusters = map[string]clusterConfig{"default": {Brokers: broker.Connection().Brokers}}
	c.Limits.DecodeWorkers = o.workers
	d := &demo{program: p, options: demoOptions{dir: dir, rows: totals.Rows}, broker: broker,
		before: commit.Position{}}
	if d.lake, err = p.open(ctx, c); err != nil {
		return result, err
	}
	defer d.lake.close()
	if err := d.applySpecs(ctx); err != nil {
		return result, err
	}
	feeder, err := p.newFeeder(d.lake, log, prometheus.NewRegistry())
	if err != nil {
		return result, err
	}
	defer feeder.close()
	feeder.schemas = o.schemas(g)
	if d.admin, err = source.OpenAdmin(ctx, broker.Connection()); err != nil {
		return result, err
	}
	defer d.admin.Close()
	runtime.GC()
	debug.SetMemoryLimit(int64(c.Limits.Memory))
	before, begun := measure(), p.now()
	d.service = newService(feeder)
	if err := d.service.start(ctx); err != nil {
		return result, err
	}
	if err := d.ingest(ctx); err != nil {
		return result, err
	}
	took := measure()
	result.Seconds, result.CPUSeconds = p.now().Sub(begun).Seconds(), (took.cpu - before.cpu).Seconds()
	result.RSSBytesMax, result.BytesRead = took.rssBytesMax, totals.Bytes
	return result, d.benchTotals(ctx, &result)
}

// ingest reads what is in the topic and commits it.
func (d *demo) ingest(ctx context.Context) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	produced := make(chan error, 1)
	produced <- nil
	done := make(chan error, 1)
	go func() {
		defer stop()
		done <- d.drain(running, produced)
	}()
	err := d.service.run(running)
	stop()
	return errors.Join(err, <-done)
}

// benchTotals reads the result from the table.
func (d *demo) benchTotals(ctx context.Context, result *ingestBenchResult) error {
	t, err := d.lake.loadTable(ctx, demoTable)
	if err != nil {
		return err
	}
	summary := summarize(t)
	result.Rows, result.Files, result.BytesWritten = summary.Rows, summary.DataFiles, summary.Bytes
	result.RowsPerSecond = float64(result.Rows) / result.Seconds
	result.RowsPerCPU = float64(result.Rows) / result.CPUSeconds
	for _, each := range d.service.tables() {
		if each.Table == demoTable {
			result.Commits = each.Commits
		}
	}
	proof, err := verifyTable(ctx, d.lake, t, verifyOptions{})
	if err != nil {
		return err
	}
	result.Proven = proof.Proven && result.Rows == d.options.rows
	return nil
}

// benchSchemaID is the id of the one schema of the benchmark's registry.
const benchSchemaID = 1

// benchGenerator makes the rows of the benchmark.
func benchGenerator(o ingestBenchOptions) (*gen.Generator, error) {
	options := gen.Options{Workload: o.workload, Format: gen.Format(o.format), Seed: 1}
	if options.Format != gen.JSON {
		options.SchemaID = benchSchemaID
	}
	g, err := gen.New(options)
	if err != nil {
		return nil, couldNot(err, "see 'firth bench ingest --help'")
	}
	return g, nil
}

// benchProduce fills the topic.
func (p *program) benchProduce(
	ctx context.Context, rows int64, g *gen.Generator, connection source.Connection,
) (*gen.Totals, error) {
	bar := p.progress("rows produced", rows)
	defer bar.close()
	return gen.Produce(ctx, connection, demoTopic, g,
		gen.Run{Rows: rows, Progress: func(done int64) { bar.at(done, "") }})
}

// benchSchemas is a schema registry that knows one schema.
type benchSchemas struct{ schema registry.Schema }

// ByID returns the schema if it has the id.
func (b *benchSchemas) ByID(_ context.Context, id int32) (*registry.Schema, error) {
	if id != b.schema.ID {
		return nil, registry.ErrUnknownID
	}
	return &b.schema, nil
}

// schemas is the registry for a format; plain JSON needs none.
func (o ingestBenchOptions) schemas(g *gen.Generator) *benchSchemas {
	languages := map[string]registry.Format{"avro": registry.Avro, "protobuf": registry.Protobuf,
		"jsonschema": registry.JSONSchema}
	return &benchSchemas{registry.Schema{ID: benchSchemaID, Format: languages[o.format],
		Text: g.SchemaText()}}
}

// writeBenchSpec writes the spec of the table that the workload makes.
func writeBenchSpec(o ingestBenchOptions, dir string, g *gen.Generator) error {
	s := spec.Spec{Name: demoTable, Freshness: spec.Freshness{Interval: spec.Duration(o.interval)},
		Sources: []spec.Source{{Topics: []string{demoTopic}, Format: o.format}}}
	for _, f := range g.Schema().Fields() {
		s.Schema.Columns = append(s.Schema.Columns, spec.Column{Name: f.Name, Type: spec.FormatType(f.Type)})
	}
	text, err := spec.Marshal(&s)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "tables")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make folder of specs: %w", err)
	}
	return os.WriteFile(filepath.Join(folder, "events.yaml"), text, 0o644)
}
