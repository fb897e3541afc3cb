package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

// benchTopic is the topic that a measured process reads: on the brokers of --brokers, of the
// configuration's first cluster, or in an embedded broker, which lives in this process.
type benchTopic struct {
	brokers    string
	partitions int32
}

func (t *benchTopic) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&t.brokers, "brokers", "", "brokers as host:port, separated by commas "+
		"(default the first cluster of -c, or an embedded broker)")
	flags.Int32Var(&t.partitions, "partitions", demoPartitions, "partitions of the topic")
}

func (t *benchTopic) validate() error {
	if t.partitions < 1 {
		return couldNot(fmt.Errorf("--partitions %d must be 1 or more", t.partitions), "")
	}
	return nil
}

// cluster is the cluster of the flags; it is none when nothing names one.
func (t *benchTopic) cluster(p *program) (clusterConfig, error) {
	if t.brokers != "" {
		return clusterConfig{Brokers: strings.Split(t.brokers, ",")}, nil
	}
	if p.configPath == "" {
		return clusterConfig{}, nil
	}
	c, err := p.loadConfig()
	return c.firstCluster(), err
}

// firstCluster is the first cluster by name; one without brokers when there is none.
func (c config) firstCluster() clusterConfig {
	names := slices.Sorted(maps.Keys(c.Clusters))
	if len(names) == 0 {
		return clusterConfig{}
	}
	return c.Clusters[names[0]]
}

// benchTopicName is a name that no topic has yet.
func benchTopicName() string { return "firth-bench-" + uuid.NewString()[:8] }

// withTopic fills the job's topic with rows, lets work read it, and removes it.
func (p *program) withTopic(
	ctx context.Context, t benchTopic, job benchJob, work func(benchJob, *gen.Totals) error,
) error {
	cluster, err := t.cluster(p)
	if err != nil {
		return err
	}
	switch {
	case t.brokers != "":
		job.Brokers = cluster.Brokers
	case len(cluster.Brokers) == 0:
		broker, err := source.StartEmbedded(source.EmbeddedOptions{Dir: filepath.Join(job.Dir, "broker")})
		if err != nil {
			return err
		}
		defer broker.Close()
		cluster.Brokers = broker.Connection().Brokers
		job.Brokers = cluster.Brokers
	}
	connection, err := config{Clusters: map[string]clusterConfig{"": cluster}}.connection("")
	if err != nil {
		return err
	}
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := admin.CreateTopic(ctx, job.Topic, t.partitions); err != nil {
		return err
	}
	defer func() { // also when interrupted; a topic of a broker's that stays is named in the error
		if gone := admin.DeleteTopic(context.WithoutCancel(ctx), job.Topic); gone != nil {
			fmt.Fprintln(p.stderr, gone)
		}
	}()
	totals, err := p.benchProduce(ctx, connection, job)
	if err != nil {
		return err
	}
	return work(job, totals)
}

// benchProduce fills the topic.
func (p *program) benchProduce(
	ctx context.Context, connection source.Connection, job benchJob,
) (*gen.Totals, error) {
	g, err := job.Generator()
	if err != nil {
		return nil, err
	}
	bar := p.progress("rows produced", job.Rows)
	defer bar.close()
	totals, err := gen.Produce(ctx, connection, job.Topic, g,
		gen.Run{Rows: job.Rows, Progress: func(done int64) { bar.at(done, "") }})
	if err == nil && totals.Rows < job.Rows {
		err = errors.Join(fmt.Errorf("%d of %d rows produced", totals.Rows, job.Rows), ctx.Err())
	}
	return totals, err
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
	args := []string{"bench", "process"}
	if p.json {
		args = append(args, "--json")
	}
	var out bytes.Buffer
	process := exec.CommandContext(ctx, self, args...)
	process.Stdin, process.Stdout, process.Stderr = bytes.NewReader(text), &out, p.stderr
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	if err := process.Run(); err != nil {
		return result, fmt.Errorf("%s in a process of its own: %w", job.Stage, err)
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return result, fmt.Errorf("read result of the measured process: %w", err)
	}
	return result, nil
}
