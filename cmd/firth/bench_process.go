package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest"
)

// benchJob is what the measured process reads from its standard input.
type benchJob struct {
	stage.Feed
	Stage      string   // "ingest" or "fetch"
	Dir        string   // catalog, specs and, unless Config says else, warehouse
	Config     string   // file whose warehouse, limits and, without Brokers, first cluster are used, or ""
	Brokers    []string // instead of those of Config
	Topic      string
	Tables     []string
	Rows       int64  // in the topic
	History    int64  // rows that each table has already
	Schema     string // of records whose format has one
	Workers    int
	CPUProfile string
}

func (p *program) benchProcessCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "process",
		Short:  "Be the measured process of 'firth bench ingest' and 'firth bench fetch'",
		Hidden: true,
		Args:   exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var job benchJob
			if err := json.NewDecoder(p.stdin).Decode(&job); err != nil {
				return couldNot(fmt.Errorf("read job: %w", err), "'firth bench ingest' starts this command")
			}
			result, err := p.runBenchJob(cmd.Context(), job)
			if err != nil {
				return err
			}
			return json.NewEncoder(p.stdout).Encode(result)
		},
	}
}

// runBenchJob measures this process.
func (p *program) runBenchJob(ctx context.Context, job benchJob) (ingestBenchResult, error) {
	log, err := p.logger(slog.LevelWarn)
	if err != nil {
		return ingestBenchResult{}, err
	}
	if job.Stage == "fetch" {
		fetched, err := job.fetch(ctx, p, log)
		return ingestBenchResult{Result: fetched}, err
	}
	return p.runIngestJob(ctx, job, log)
}

// config is what a user's process would have been started with.
func (j benchJob) config(p *program) (config, error) {
	c := folderConfig(j.Dir)
	cluster := clusterConfig{Brokers: j.Brokers}
	if j.Config != "" {
		reader := *p
		reader.configPath = j.Config
		given, err := reader.loadConfig()
		if err != nil {
			return c, err
		}
		c.Warehouse, c.Limits = given.Warehouse, given.Limits
		c.Warehouse.Location += "/" + j.Topic
		if len(j.Brokers) == 0 {
			cluster = given.firstCluster()
		}
	}
	c.Clusters = map[string]clusterConfig{"default": cluster}
	if j.Workers > 0 {
		c.Limits.DecodeWorkers = j.Workers
	}
	c.Group = j.Topic
	return c, nil
}

// runIngestJob applies the specs, ingests the topic, and reports on this process.
func (p *program) runIngestJob(ctx context.Context, job benchJob, log *slog.Logger) (ingestBenchResult,
	error) {
	result := ingestBenchResult{Workers: job.Workers, Tables: len(job.Tables),
		Result: stage.Result{Stage: job.Stage, Workload: job.Workload, Format: job.Format}}
	meter, err := stage.StartProcess(p.now)
	if err != nil {
		return result, err
	}
	c, err := job.config(p)
	if err != nil {
		return result, err
	}
	boundMemory(c.Limits.Memory)
	l, err := p.open(ctx, c)
	if err != nil {
		return result, err
	}
	defer l.close()
	if err := p.applySpecs(ctx, l); err != nil {
		return result, err
	}
	feeder, err := p.newFeeder(l, log, prometheus.NewRegistry())
	if err != nil {
		return result, err
	}
	defer feeder.close()
	feeder.schemas = stage.NewSchemas(job.Format, job.Schema)
	s := newService(feeder)
	if err := s.start(ctx); err != nil {
		return result, err
	}
	bar := p.progress("rows ingested", job.Rows)
	defer bar.close()
	if err := job.ingest(ctx, s, bar); err != nil {
		return result, err
	}
	if err := meter.Stop(&result.Result, job.CPUProfile); err != nil {
		return result, err
	}
	bar.close()
	err = job.totals(ctx, l, s, &result)
	return result, err
}

// ingest runs the service until every table has read the topic, and lets it commit.
func (j benchJob) ingest(ctx context.Context, s *service, bar *progress) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		defer stop()
		done <- j.await(running, s, bar)
	}()
	err := s.run(running)
	stop()
	return errors.Join(err, <-done, ctx.Err())
}

// benchLookEvery is how late the end of ingest may be noticed.
const benchLookEvery = 5 * time.Millisecond

// await returns when every table has read all rows, which the end of ingest then commits.
func (j benchJob) await(ctx context.Context, s *service, bar *progress) error {
	for sleep(ctx, benchLookEvery) == nil {
		full, read := 0, int64(0)
		for _, t := range s.tables() {
			if t.Trouble != "" && t.State != ingest.StateActive {
				return fallsShort(errors.New(t.Trouble), "")
			}
			read += t.Read.Sum()
			if t.Read.Sum() >= j.Rows {
				full++
			}
		}
		bar.at(read/int64(len(j.Tables)), "")
		if full == len(j.Tables) {
			return nil
		}
	}
	return nil
}

// totals reads the rest of the result from the tables.
func (j benchJob) totals(ctx context.Context, l *lake, s *service, result *ingestBenchResult) error {
	result.Proven = true
	for _, name := range j.Tables {
		t, err := l.loadTable(ctx, name)
		if err != nil {
			return err
		}
		summary := summarize(t)
		result.Rows += summary.Rows - j.History
		result.Files += summary.DataFiles
		result.BytesWritten += summary.Bytes
		proof, err := verifyTable(ctx, l, t, verifyOptions{deep: true})
		if err != nil {
			return err
		}
		result.Proven = result.Proven && proof.Proven
	}
	for _, each := range s.tables() {
		result.Commits += each.Commits
	}
	return nil
}
