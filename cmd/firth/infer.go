package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
)

// inferReport is what 'firth infer --json' prints.
type inferReport struct {
	Topic   string   `json:"topic"`
	Format  string   `json:"format"`
	Records int      `json:"records"`
	Subject string   `json:"subject,omitempty"`
	Notes   []string `json:"notes"`
	Spec    string   `json:"spec"`
}

// inferOptions are the flags of infer.
type inferOptions struct {
	topic, cluster, format, table string
	records                       int
}

func (p *program) inferCommand() *cobra.Command {
	var o inferOptions
	cmd := &cobra.Command{
		Use:   "infer TOPIC",
		Short: "Write a table spec for a topic from its schema or a sample",
		Long: "Prints a table spec: from the newest schema of the subject TOPIC-value when the registry has one,\n" +
			"else guessed from a sample of records. Look it over, save it in the folder of specs, and run\n" +
			"'firth plan'." +
			exitCodes("printed", "the sample holds no record that tells anything",
				"could not read the topic"),
		Example: example("firth infer events > tables/events.yaml",
			"firth infer clicks --table web.clicks --records 5000", "firth infer access --format csv"),
		Args: exactly("TOPIC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic = args[0]
			return p.infer(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.cluster, "cluster", "default", "cluster of the topic")
	flags.StringVar(&o.format, "format", "", "json, csv or raw; empty asks the registry, then takes json")
	flags.StringVar(&o.table, "table", "", "name of the table (default db.TOPIC)")
	flags.IntVar(&o.records, "records", 1000, "how many records to look at")
	return cmd
}

func (p *program) infer(ctx context.Context, o inferOptions) error {
	if o.records < 1 {
		return couldNot(fmt.Errorf("--records %d is no sample", o.records), "give 1 or more")
	}
	c, err := p.loadConfig()
	if err != nil {
		return err
	}
	s := spec.Spec{Name: o.table} // what is left zero is left out, so that the file shows what matters
	if s.Name == "" {
		s.Name = "db." + regexp.MustCompile(`[^A-Za-z0-9_]+`).ReplaceAllString(strings.ToLower(o.topic), "_")
	}
	s.Sources = []spec.Source{{Cluster: o.cluster, Topics: []string{o.topic}, Format: o.format,
		Start: "earliest"}}
	report := inferReport{Topic: o.topic, Notes: []string{}}
	found := false
	if o.format == "" {
		if found, err = p.inferSubject(ctx, c, &s, &report); err != nil {
			return err
		}
	}
	if !found {
		if err := p.inferSample(ctx, c, o, &s, &report); err != nil {
			return err
		}
	}
	report.Format = s.Sources[0].Format
	text, err := spec.Marshal(&s)
	if err != nil {
		return err
	}
	if _, err := spec.Parse(o.topic+".yaml", text); err != nil {
		report.Notes = append(report.Notes, "the spec needs a hand: "+err.Error())
	}
	report.Spec = string(text)
	return p.print(report, func(w io.Writer) error {
		for _, note := range report.Notes {
			fmt.Fprintln(w, "# "+strings.ReplaceAll(note, "\n", " "))
		}
		_, err := w.Write(text)
		return err
	})
}

// inferSubject takes the columns from the registry, if it knows the topic.
func (p *program) inferSubject(ctx context.Context, c config, s *spec.Spec, report *inferReport) (bool,
	error) {
	client, err := p.openRegistry(c)
	if err != nil || client == nil {
		return false, err
	}
	defer client.Close()
	schema, err := client.Latest(ctx, report.Topic+"-value")
	if errors.Is(err, registry.ErrUnknownSubject) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	columns, err := columnsOf(ctx, schema, messageschema.Options{})
	if err != nil {
		return false, fmt.Errorf("subject %s: %w", schema.Subject, err)
	}
	for _, refusal := range columns.Refusals {
		report.Notes = append(report.Notes, "left out: "+refusal.String())
	}
	report.Subject = schema.Subject
	s.Schema.Columns = specColumns(columns)
	s.Sources[0].Format = recordFormat(schema)
	return true, nil
}

// inferSample guesses the columns from records.
func (p *program) inferSample(ctx context.Context, c config, o inferOptions, s *spec.Spec,
	report *inferReport) error {
	connection, err := c.connection(o.cluster)
	if err != nil {
		return err
	}
	var samples [][]byte
	err = newestRecords(ctx, connection, sampled{o.topic, o.records}, func(_ commit.TopicPartition, r source.Record) {
		samples = append(samples, r.Value)
	})
	if err != nil {
		return err
	}
	report.Records = len(samples)
	if len(samples) == 0 {
		return fallsShort(fmt.Errorf("topic %s holds no record", o.topic), "write the spec by hand")
	}
	if s.Sources[0].Format == "" {
		s.Sources[0].Format = "json"
	}
	options := decode.Options{Format: decode.Format(s.Sources[0].Format)}
	inferred, err := decode.Infer(samples, options)
	if err != nil {
		return fallsShort(fmt.Errorf("topic %s: %w", o.topic, err),
			"give --format, or write the spec by hand")
	}
	report.Notes = append(report.Notes, inferred.Notes...)
	for _, f := range inferred.Schema.Fields() {
		s.Schema.Columns = append(s.Schema.Columns, inferredColumn(f, inferred.Columns[f.Name]))
	}
	return nil
}

func inferredColumn(f iceberg.NestedField, options decode.ColumnOptions) spec.Column {
	column := spec.Column{Name: f.Name, Type: spec.FormatType(f.Type), Required: f.Required, Doc: f.Doc,
		Format: string(options.Time), JSONText: options.JSONText}
	escaped := make([]string, len(options.Path))
	for i, name := range options.Path {
		escaped[i] = strings.ReplaceAll(strings.ReplaceAll(name, `\`, `\\`), ".", `\.`)
	}
	column.Path = strings.Join(escaped, ".")
	return column
}

// sampled is a topic and how many of its records are looked at.
type sampled struct {
	topic   string
	records int
}

// newestRecords takes the newest records of every partition of a topic, so many together. They own their bytes.
func newestRecords(ctx context.Context, connection source.Connection, of sampled,
	take func(commit.TopicPartition, source.Record),
) error {
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return err
	}
	defer admin.Close()
	topics, err := admin.Topics(ctx, of.topic)
	if err != nil {
		return err
	}
	reader, err := source.OpenReader(ctx, connection)
	if err != nil {
		return err
	}
	defer reader.Close()
	topic := topics[0]
	each := (of.records + len(topic.Partitions) - 1) / len(topic.Partitions)
	for _, partition := range topic.Partitions {
		tp := commit.TopicPartition{Cluster: reader.Cluster(), TopicID: topic.ID, Topic: topic.Name,
			Partition: partition.Partition}
		from := max(partition.First, partition.End-commit.Offset(each))
		for chunk, err := range reader.Read(ctx, tp, from, partition.End) {
			if err != nil {
				return fmt.Errorf("sample %s: %w", tp, err)
			}
			for _, record := range chunk.Records {
				take(tp, ownRecord(record))
			}
		}
	}
	return nil
}

// ownRecord is a record with bytes of its own.
func ownRecord(r source.Record) source.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	headers := make([]source.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = source.Header{Key: strings.Clone(h.Key), Value: bytes.Clone(h.Value)}
	}
	r.Headers = headers
	return r
}
