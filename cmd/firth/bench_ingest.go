package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

// ingestBenchOptions are the flags of bench ingest.
type ingestBenchOptions struct {
	rows             int64
	format, workload string
	dir, brokers     string
	partitions       int32
	tables           int
	partitionBy      string
	workers          int
	interval         time.Duration
	cpuProfile       string
}

// ingestBenchResult is what was measured in the process that ingests, from its start to the last
// commit. Producing is not counted, and the broker is a process of its own.
type ingestBenchResult struct {
	Workload      string  `json:"workload"`
	Format        string  `json:"format"`
	Rows          int64   `json:"rows"`
	Seconds       float64 `json:"seconds"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	RowsPerSecond float64 `json:"rows_per_s"`
	RowsPerCPU    float64 `json:"rows_per_cpu_s"`
	MBPerCPU      float64 `json:"mb_per_cpu_s"`
	RSSBytesMax   int64   `json:"rss_bytes_max"`
	Files         int64   `json:"files"`
	Commits       int64   `json:"commits"`
	BytesWritten  int64   `json:"bytes_written"`
	BytesRead     int64   `json:"bytes_read"`
	Workers       int     `json:"workers"`
	Tables        int     `json:"tables"`
	Proven        bool    `json:"proven"`
	// CPUShare is each stage's part of the CPU time, by the profiler's samples.
	CPUShare map[string]float64 `json:"cpu_share"`
}

func (p *program) benchIngestCommand() *cobra.Command {
	var o ingestBenchOptions
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Measure how fast a topic becomes a table",
		Long: "Produces rows into a topic, then starts 'firth run' in all but name on it and measures that process\n" +
			"from its start to the last commit. The embedded broker, or the one of --brokers or of the\n" +
			"configuration (-c: its first cluster and its warehouse), is a process of its own: what it takes to\n" +
			"serve fetches is not in the figures." +
			exitCodes("measured and proven", "not proven", "could not measure"),
		Example: example("firth bench ingest", "firth bench ingest --rows 5000000 --format json --json",
			"firth bench ingest --workload wide50 --format avro --brokers localhost:9092",
			"firth bench ingest --partition-by 'bucket(128, user_id)'",
			"firth bench ingest --tables 10 --cpuprofile cpu.pprof"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchIngest(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.rows, "rows", 1_000_000, "how many rows")
	flags.StringVar(&o.format, "format", "json", "json, avro or protobuf")
	flags.StringVar(&o.workload, "workload", "events10", strings.Join(gen.Workloads(), ", "))
	flags.StringVar(&o.dir, "dir", "", "empty folder to work in (default one that is removed at the end)")
	flags.StringVar(&o.brokers, "brokers", "",
		"brokers as host:port, separated by commas (default an embedded one)")
	flags.Int32Var(&o.partitions, "partitions", demoPartitions, "partitions of the topic")
	flags.IntVar(&o.tables, "tables", 1, "tables that share the topic's rows by filters on user_id")
	flags.StringVar(&o.partitionBy, "partition-by", "", "partition field of the tables (default none)")
	flags.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that decode and write")
	flags.DurationVar(&o.interval, "interval", 10*time.Second, "commit interval")
	flags.StringVar(&o.cpuProfile, "cpuprofile", "", "file for the CPU profile, for 'go tool pprof'")
	return cmd
}

func (o *ingestBenchOptions) validate() error {
	switch {
	case o.rows < 1:
		return couldNot(fmt.Errorf("--rows %d must be 1 or more", o.rows), "")
	case o.partitions < 1:
		return couldNot(fmt.Errorf("--partitions %d must be 1 or more", o.partitions), "")
	case o.tables < 1 || o.tables > benchTablesMax:
		return couldNot(fmt.Errorf("--tables %d must be 1 to %d", o.tables, benchTablesMax), "")
	}
	return nil
}

func (p *program) benchIngest(ctx context.Context, o ingestBenchOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	return inFolder(o.dir, func(dir string) error {
		o.dir = dir
		result, err := p.measureIngest(ctx, o)
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
	for _, stage := range benchStages() {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %-8s %5.1f %%\n", stage, 100*r.CPUShare[stage])
		}
	}
	return err
}

// measureIngest fills a topic and lets a process of its own ingest it.
func (p *program) measureIngest(ctx context.Context, o ingestBenchOptions) (ingestBenchResult, error) {
	var result ingestBenchResult
	g, err := benchGenerator(o)
	if err != nil {
		return result, err
	}
	job, err := p.newBenchJob(o, g)
	if err != nil {
		return result, err
	}
	connection := source.Connection{Brokers: job.Brokers}
	if len(job.Brokers) == 0 {
		broker, err := source.StartEmbedded(source.EmbeddedOptions{Dir: filepath.Join(o.dir, "broker")})
		if err != nil {
			return result, err
		}
		defer broker.Close()
		connection = broker.Connection()
		job.Brokers = connection.Brokers
	}
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return result, err
	}
	defer admin.Close()
	if err := admin.CreateTopic(ctx, job.Topic, o.partitions); err != nil {
		return result, err
	}
	defer func() { // also when interrupted; a topic of a broker's that stays is named in the error
		if gone := admin.DeleteTopic(context.WithoutCancel(ctx), job.Topic); gone != nil {
			fmt.Fprintln(p.stderr, gone)
		}
	}()
	totals, err := p.benchProduce(ctx, connection, job.Topic, g, o.rows)
	if err != nil {
		return result, err
	}
	if result, err = p.benchProcess(ctx, job); err != nil {
		return result, err
	}
	result.BytesRead = totals.Bytes
	result.MBPerCPU = float64(totals.Bytes) / 1e6 / result.CPUSeconds
	result.Proven = result.Proven && result.Rows == totals.Rows
	return result, nil
}

// newBenchJob writes the folder's specs and says what the measured process is to do.
func (p *program) newBenchJob(o ingestBenchOptions, g *gen.Generator) (benchJob, error) {
	job := benchJob{Dir: o.dir, Config: p.configPath, Topic: "firth-bench-" + uuid.NewString()[:8],
		Rows: o.rows, Format: o.format, Workload: o.workload, Schema: g.SchemaText(), Workers: o.workers,
		CPUProfile: o.cpuProfile}
	if o.brokers != "" {
		job.Brokers = strings.Split(o.brokers, ",")
	}
	var err error
	job.Tables, err = writeBenchSpecs(o, job.Topic, g)
	return job, err
}

// benchProcess runs the measured process, which prints its result as JSON.
func (p *program) benchProcess(ctx context.Context, job benchJob) (ingestBenchResult, error) {
	var result ingestBenchResult
	text, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	self, err := os.Executable()
	if err != nil {
		return result, fmt.Errorf("find this program: %w", err)
	}
	var out bytes.Buffer
	process := exec.CommandContext(ctx, self, "bench", "process", "--json")
	process.Stdin, process.Stdout, process.Stderr = bytes.NewReader(text), &out, p.stderr
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	if err := process.Run(); err != nil {
		return result, fmt.Errorf("ingest in a process of its own: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return result, fmt.Errorf("read result of the measured process: %w", err)
	}
	return result, nil
}

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
	ctx context.Context, connection source.Connection, topic string, g *gen.Generator, rows int64,
) (*gen.Totals, error) {
	bar := p.progress("rows produced", rows)
	defer bar.close()
	return gen.Produce(ctx, connection, topic, g,
		gen.Run{Rows: rows, Progress: func(done int64) { bar.at(done, "") }})
}
