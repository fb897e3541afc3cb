package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
)

// topicReport is a line of 'firth topics'.
type topicReport struct {
	Cluster    string `json:"cluster"`
	ClusterID  string `json:"cluster_id"`
	Topic      string `json:"topic"`
	TopicID    string `json:"topic_id"`
	Partitions int    `json:"partitions"`
	Records    int64  `json:"records"`
	Bytes      int64  `json:"bytes"` // -1 when the broker does not tell
	// Retention is by age, size or both; empty when there is no limit.
	Retention string `json:"retention,omitempty"`
	Compacted bool   `json:"compacted"`
	// Schema names the newest schema of the subject TOPIC-value.
	Schema string   `json:"schema,omitempty"`
	Tables []string `json:"tables"`
}

func (p *program) topicsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "topics [TOPIC...]",
		Short: "List clusters and topics, and which tables read them",
		Long: "Lists the topics of every configured cluster with partitions, records, size, retention, the newest\n" +
			"schema in the registry, and the tables whose specs read them." +
			exitCodes("listed", "never", "a cluster could not be asked"),
		Example: example("firth topics", "firth topics events",
			"firth topics --json | jq '.[] | select(.tables == [])'"),
		RunE: func(cmd *cobra.Command, names []string) error { return p.listTopics(cmd.Context(), names) },
	}
}

func (p *program) listTopics(ctx context.Context, names []string) error {
	c, err := p.loadConfig()
	if err != nil {
		return err
	}
	if len(c.Clusters) == 0 {
		return couldNot(fmt.Errorf("%s names no cluster", c.file),
			"add clusters.default.brokers: [host:9092]")
	}
	// Specs tell who reads a topic; without a folder of specs nobody does.
	specs, specFault := readSpecs(c.Tables, nil)
	client, err := p.openRegistry(c)
	if err != nil {
		return err
	}
	out := []topicReport{}
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		connection, err := c.connection(name)
		if err != nil {
			return err
		}
		topics, err := clusterTopics(ctx, name, connection, names)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", name, err)
		}
		for _, topic := range topics {
			topic.Tables = readers(specs, name, topic.Topic)
			topic.Schema = newestSchema(ctx, client, topic.Topic)
			out = append(out, topic)
		}
	}
	if specFault != nil && !p.json {
		fmt.Fprintf(p.stderr, "firth: specs were not read: %v\n", specFault)
	}
	return p.print(out, func(w io.Writer) error {
		rows := make([][]string, 0, len(out))
		for _, t := range out {
			rows = append(rows, []string{t.Cluster, t.Topic, strconv.Itoa(t.Partitions), count(t.Records),
				size(t.Bytes),
				orNone(t.Retention), t.Schema, strings.Join(t.Tables, ", ")})
		}
		return grid(w, []string{"CLUSTER", "TOPIC", "PARTITIONS", "RECORDS", "SIZE", "RETENTION", "SCHEMA",
			"TABLES"}, rows)
	})
}

func clusterTopics(ctx context.Context, name string, connection source.Connection,
	names []string) ([]topicReport, error) {
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	id, err := admin.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	topics, err := admin.Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	var out []topicReport
	for _, t := range topics {
		if t.Internal {
			continue
		}
		out = append(out, topicReport{Cluster: name, ClusterID: id, Topic: t.Name, TopicID: t.ID.String(),
			Partitions: len(t.Partitions), Records: t.Records(), Bytes: t.Bytes(),
			Retention: retentionText(t), Compacted: t.Compacted})
	}
	return out, nil
}

func retentionText(t source.Topic) string {
	var parts []string
	if t.RetentionAge >= 0 {
		hours := t.RetentionAge.Round(time.Minute)
		parts = append(parts, strings.TrimSuffix(hours.String(), "0s"))
	}
	if t.RetentionBytes >= 0 {
		parts = append(parts, size(t.RetentionBytes))
	}
	if t.Compacted {
		parts = append(parts, "compacted")
	}
	return strings.Join(parts, ", ")
}

// readers names the tables whose specs read a topic of a cluster.
func readers(specs []*spec.Spec, cluster, topic string) []string {
	out := []string{}
	for _, s := range specs {
		for _, src := range s.Sources {
			if src.Cluster == cluster && readsTopic(src, topic) && !slices.Contains(out, s.Name) {
				out = append(out, s.Name)
			}
		}
	}
	return out
}

func readsTopic(src spec.Source, topic string) bool {
	if src.Pattern == "" {
		return slices.Contains(src.Topics, topic)
	}
	pattern, err := regexp.Compile("^(?:" + src.Pattern + ")$")
	return err == nil && pattern.MatchString(topic)
}

// newestSchema names the topic's schema, if a registry is configured and knows it.
func newestSchema(ctx context.Context, client *registry.Client, topic string) string {
	if client == nil {
		return ""
	}
	schema, err := client.Latest(ctx, topic+"-value")
	if err != nil {
		return "" // topics without a schema are the common case, and the list is of topics
	}
	return fmt.Sprintf("%s %s v%d", schema.Format, schema.Subject, schema.Version)
}
