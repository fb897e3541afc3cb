package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/gen"
)

// ingestBenchOptions are the flags of bench ingest.
type ingestBenchOptions struct {
	benchFlags
	topic       benchTopic
	dir         string
	tables      int
	history     int
	partitionBy string
	workers     int
	interval    time.Duration
}

// ingestBenchResult is what was measured in the process that ingests, from its start to the last
// commit. Producing is not counted, and the broker is a process of its own.
type ingestBenchResult struct {
	stage.Result
	Commits int64 `json:"commits"`
	Workers int   `json:"workers"`
	Tables  int   `json:"tables"`
	// History is how many commits each table had before.
	History int  `json:"history"`
	Proven  bool `json:"proven"`
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
			"firth bench ingest --tables 10 --cpuprofile cpu.pprof", "firth bench ingest --history 1000"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchIngest(cmd.Context(), o) },
	}
	o.add(cmd, 1_000_000)
	o.topic.add(cmd)
	addBenchDir(cmd, &o.dir)
	flags := cmd.Flags()
	flags.IntVar(&o.tables, "tables", 1, "tables that share the topic's rows by filters on user_id")
	flags.IntVar(&o.history, "history", 0, "commits of a few rows that each table has already")
	flags.StringVar(&o.partitionBy, "partition-by", "", "partition field of the tables (default none)")
	flags.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that decode and write")
	flags.DurationVar(&o.interval, "interval", 10*time.Second, "commit interval")
	return cmd
}

func (o *ingestBenchOptions) validate() error {
	if err := o.benchFlags.validate(); err != nil {
		return err
	}
	switch {
	case o.tables < 1 || o.tables > benchTablesMax:
		return couldNot(fmt.Errorf("--tables %d must be 1 to %d", o.tables, benchTablesMax), "")
	case o.history < 0:
		return couldNot(fmt.Errorf("--history %d must be 0 or more", o.history), "")
	}
	return o.topic.validate()
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

func (r *ingestBenchResult) write(w io.Writer) error {
	err := writeStage(w, &r.Result)
	for _, name := range stage.Shares() {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %-8s %5.1f %%\n", name, 100*r.CPUShare[name])
		}
	}
	return err
}

// measureIngest fills a topic and lets a process of its own ingest it.
func (p *program) measureIngest(ctx context.Context, o ingestBenchOptions) (ingestBenchResult, error) {
	var result ingestBenchResult
	job := benchJob{Feed: o.Feed, Stage: "ingest", Dir: o.dir, Config: p.configPath, Topic: benchTopicName(),
		Rows: o.rows, Workers: o.workers, CPUProfile: o.cpuProfile}
	g, err := o.Generator()
	if err != nil {
		return result, err
	}
	job.Schema = g.SchemaText()
	if job.Tables, err = writeBenchSpecs(o, job.Topic, g); err != nil {
		return result, err
	}
	defer func() { // also when interrupted; what stays is named
		if left := p.clearWarehouse(context.WithoutCancel(ctx), job); left != nil {
			fmt.Fprintln(p.stderr, "remove files of the benchmark:", left)
		}
	}()
	err = p.withTopic(ctx, o.topic, job, func(job benchJob, totals *gen.Totals) error {
		if job.History, err = p.benchHistory(ctx, job, o.history); err != nil {
			return err
		}
		if result, err = p.benchProcess(ctx, job); err != nil {
			return err
		}
		result.History = o.history
		result.BytesRead = totals.Bytes
		result.Rate()
		result.Proven = result.Proven && result.Rows == totals.Rows
		return nil
	})
	return result, err
}
