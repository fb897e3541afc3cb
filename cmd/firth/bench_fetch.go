package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/gen"
)

func (p *program) benchFetchCommand() *cobra.Command {
	var f benchFlags
	var t benchTopic
	cmd := &cobra.Command{
		Use:   "fetch",
		Short: "Measure how fast a topic is read",
		Long: "Produces rows into a topic, then reads them in a process of its own as 'firth run' does and gives\n" +
			"them back at once. The broker is in another process: the embedded one, or the one of --brokers or\n" +
			"of the configuration (-c: its first cluster)." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench fetch", "firth bench fetch --partitions 512 --brokers localhost:9092",
			"firth bench fetch -c firth.yaml --workload logs --json"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchFetch(cmd.Context(), f, t) },
	}
	f.add(cmd, benchStageRows)
	t.add(cmd)
	return cmd
}

func (p *program) benchFetch(ctx context.Context, f benchFlags, t benchTopic) error {
	if err := f.validate(); err != nil {
		return err
	}
	if err := t.validate(); err != nil {
		return err
	}
	return inFolder("", func(dir string) error {
		job := benchJob{Feed: f.Feed, Stage: "fetch", Dir: dir, Config: p.configPath, Topic: benchTopicName(),
			Rows: f.rows, CPUProfile: f.cpuProfile}
		return p.withTopic(ctx, t, job, func(job benchJob, _ *gen.Totals) error {
			result, err := p.benchProcess(ctx, job)
			if err != nil {
				return err
			}
			return p.print(result.Result, func(w io.Writer) error { return writeStage(w, &result.Result) })
		})
	})
}

// fetch reads the job's topic and does nothing with it.
func (j benchJob) fetch(ctx context.Context, p *program, log *slog.Logger) (stage.Result, error) {
	result := stage.Result{Stage: j.Stage, Workload: j.Workload, Format: j.Format}
	meter, err := stage.StartProcess(p.now)
	if err != nil {
		return result, err
	}
	c, err := j.config(p)
	if err != nil {
		return result, err
	}
	boundMemory(c.Limits.Memory)
	connection, err := c.connection("default")
	if err != nil {
		return result, err
	}
	bar := p.progress("rows fetched", j.Rows)
	defer bar.close()
	options := stage.FetchOptions{Connection: connection, Topic: j.Topic, Rows: j.Rows, Now: p.now, Log: log,
		Progress: func(rows int64) { bar.at(rows, "") }}
	if err := stage.Fetch(ctx, options, &result); err != nil {
		return result, err
	}
	if err := meter.Stop(&result, j.CPUProfile); err != nil {
		return result, err
	}
	result.Rate()
	return result, nil
}
