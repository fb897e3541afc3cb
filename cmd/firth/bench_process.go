package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/spec"
)

// benchJob is what the measured process reads from its standard input.
type benchJob struct {
	Dir        string   `json:"dir"`    // catalog, specs and, unless Config says else, warehouse
	Config     string   `json:"config"` // file whose first cluster and warehouse are used, or ""
	Brokers    []string `json:"brokers"`
	Topic      string   `json:"topic"`
	Tables     []string `json:"tables"`
	Rows       int64    `json:"rows"` // in the topic
	Workload   string   `json:"workload"`
	Format     string   `json:"format"`
	Schema     string   `json:"schema"` // of records whose format has one
	Workers    int      `json:"workers"`
	CPUProfile string   `json:"cpu_profile"`
}

// benchTablesMax is one table for every ten thousand users of the workloads.
const benchTablesMax = 100

// benchUsers is how many users the workloads have: user_id is below it.
const benchUsers = 1_000_000

func (p *program) benchProcessCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "process",
		Short:  "Be the measured process of 'firth bench ingest'",
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
			return p.print(result, result.write)
		},
	}
}

// config is what a user's process would have been started with.
func (j benchJob) config(p *program) (config, error) {
	c := folderConfig(j.Dir)
	c.Clusters = map[string]clusterConfig{"default": {Brokers: j.Brokers}}
	if j.Config != "" {
		p.configPath = j.Config
		given, err := p.loadConfig()
		if err != nil {
			return c, err
		}
		c.Warehouse, c.Limits = given.Warehouse, given.Limits
		c.Warehouse.Location += "/" + j.Topic
	}
	c.Limits.DecodeWorkers = j.Workers
	c.Group = j.Topic
	return c, nil
}

// runBenchJob applies the specs, ingests the topic, and reports on this process.
func (p *program) runBenchJob(ctx context.Context, job benchJob) (ingestBenchResult, error) {
	result := ingestBenchResult{Workload: job.Workload, Format: job.Format, Workers: job.Workers,
		Tables: len(job.Tables)}
	log, err := p.logger(slog.LevelWarn)
	if err != nil {
		return result, err
	}
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		return result, fmt.Errorf("start CPU profile: %w", err)
	}
	begun := p.now()
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
	feeder.schemas = job.schemas()
	s := newService(feeder)
	if err := s.start(ctx); err != nil {
		return result, err
	}
	if err := job.ingest(ctx, s); err != nil {
		return result, err
	}
	took := measure()
	pprof.StopCPUProfile()
	result.Seconds, result.CPUSeconds = p.now().Sub(begun).Seconds(), took.cpu.Seconds()
	result.RSSBytesMax = took.rssBytesMax
	if job.CPUProfile != "" {
		if err := os.WriteFile(job.CPUProfile, profile.Bytes(), 0o644); err != nil {
			return result, fmt.Errorf("write CPU profile: %w", err)
		}
	}
	if result.CPUShare, err = cpuShares(profile.Bytes()); err != nil {
		return result, err
	}
	return result, job.totals(ctx, l, s, &result)
}

// ingest runs the service until every table has read the topic, and lets it commit.
func (j benchJob) ingest(ctx context.Context, s *service) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		defer stop()
		done <- j.await(running, s)
	}()
	err := s.run(running)
	stop()
	return errors.Join(err, <-done, ctx.Err())
}

// await returns when every table has read all rows, which the end of ingest then commits.
func (j benchJob) await(ctx context.Context, s *service) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		full := 0
		for _, t := range s.tables() {
			if t.Trouble != "" && t.State != ingest.StateActive {
				return fallsShort(errors.New(t.Trouble), "")
			}
			if t.Read.Sum() >= j.Rows {
				full++
			}
		}
		if full == len(j.Tables) {
			return nil
		}
	}
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
		result.Rows += summary.Rows
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
	result.RowsPerSecond = float64(result.Rows) / result.Seconds
	result.RowsPerCPU = float64(result.Rows) / result.CPUSeconds
	return nil
}

// benchSchemaID is the id of the one schema of the benchmark's registry.
const benchSchemaID = 1

// benchSchemas is a schema registry that knows one schema.
type benchSchemas struct{ schema registry.Schema }

// ByID returns the schema if it has the id.
func (b *benchSchemas) ByID(_ context.Context, id int32) (*registry.Schema, error) {
	if id != b.schema.ID {
		return nil, registry.ErrUnknownID
	}
	return &b.schema, nil
}

// schemas is the registry for the job's format; plain JSON needs none.
func (j benchJob) schemas() *benchSchemas {
	languages := map[string]registry.Format{"avro": registry.Avro, "protobuf": registry.Protobuf,
		"jsonschema": registry.JSONSchema}
	return &benchSchemas{registry.Schema{ID: benchSchemaID, Format: languages[j.Format], Text: j.Schema}}
}

// writeBenchSpecs writes a spec per table and returns the tables' names. Several tables share the users
// out among them.
func writeBenchSpecs(o ingestBenchOptions, topic string, g *gen.Generator) ([]string, error) {
	folder := filepath.Join(o.dir, "tables")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of specs: %w", err)
	}
	names := make([]string, o.tables)
	for i := range names {
		names[i] = "bench.rows" + strconv.Itoa(i)
		from := spec.Source{Topics: []string{topic}, Format: o.format}
		if o.tables > 1 {
			from.Filter = fmt.Sprintf("user_id >= %d AND user_id < %d",
				i*benchUsers/o.tables, (i+1)*benchUsers/o.tables)
		}
		s := spec.Spec{Name: names[i], Sources: []spec.Source{from},
			Freshness: spec.Freshness{Interval: spec.Duration(o.interval)}}
		if o.partitionBy != "" {
			s.Partition = []string{o.partitionBy}
		}
		for _, f := range g.Schema().Fields() {
			s.Schema.Columns = append(s.Schema.Columns,
				spec.Column{Name: f.Name, Type: spec.FormatType(f.Type)})
		}
		text, err := spec.Marshal(&s)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(folder, names[i]+".yaml"), text, 0o644); err != nil {
			return nil, fmt.Errorf("write spec: %w", err)
		}
	}
	return names, nil
}
