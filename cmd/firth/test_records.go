package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/sample"
	"github.com/firthlake/firth/ingest/source"
)

// testBytesMax bounds a file of records.
const testBytesMax = 1 << 30

// findSchema finds the schema of the writers, from a file or the registry, and gives the spec its columns.
func (d *dryRun) findSchema(ctx context.Context) (err error) {
	format := decode.Format(d.source().Format)
	languages := map[decode.Format]registry.Format{decode.FormatAvro: registry.Avro,
		decode.FormatProtobuf: registry.Protobuf, decode.FormatJSONSchema: registry.JSONSchema}
	if d.opts.schema != "" {
		text, err := os.ReadFile(d.opts.schema)
		if err != nil {
			return couldNot(fmt.Errorf("read schema: %w", err), "give --schema a file that can be read")
		}
		if languages[format] == "" {
			return couldNot(fmt.Errorf("records of format %s have no schema of their own", format),
				"leave --schema out")
		}
		d.writer = &registry.Schema{ID: 1, Format: languages[format], Text: string(text)}
		return d.takeColumns(ctx, d.writer)
	}
	if !registered(format) && d.spec.Schema.Subject == "" {
		return nil
	}
	c, err := d.program.loadConfig()
	if err != nil {
		return couldNot(err, "give --schema FILE with the writers' schema, or a configuration with registry.urls")
	}
	if d.client, err = d.program.openRegistry(c); err != nil {
		return err
	}
	if d.client == nil {
		return couldNot(fmt.Errorf("%s: format %s needs a schema registry", d.spec.File(), format),
			"set registry.urls in firth.yaml, or give --schema FILE with the writers' schema")
	}
	subject := d.spec.Schema.Subject
	if d.spec, err = withColumns(ctx, d.client, d.spec); err != nil {
		return err
	}
	if subject == "" || len(d.opts.records) > 0 || d.opts.from != "" {
		return nil
	}
	d.writer, err = d.client.Latest(ctx, subject)
	return err
}

// takeColumns gives a spec that leaves its columns to a subject those of the schema in a file.
func (d *dryRun) takeColumns(ctx context.Context, schema *registry.Schema) error {
	if d.spec.Schema.Subject == "" {
		return nil
	}
	columns, err := columnsOf(ctx, schema, messageschema.Options{Nanoseconds: d.spec.Format == 3})
	if err != nil {
		return couldNot(fmt.Errorf("schema %s: %w", d.opts.schema, err), "correct the file")
	}
	d.spec, err = d.spec.WithColumns(specColumns(columns))
	return err
}

// gather makes or reads the records.
func (d *dryRun) gather(ctx context.Context) error {
	switch {
	case d.opts.from != "":
		return d.fromTopic(ctx)
	case len(d.opts.records) > 0:
		return d.fromFiles()
	}
	return d.made(ctx)
}

// made makes records for the spec's columns, the broken ones spread among them.
func (d *dryRun) made(ctx context.Context) error {
	row, err := d.recordSchema()
	if err != nil {
		return err
	}
	options := sample.Options{Schema: row, Decode: d.table.Decode, Writer: d.writer, Key: d.spec.Identifier,
		Sequence: d.spec.Sequence, Seed: d.opts.seed}
	if d.table.Filter != nil {
		options.Texts = d.table.Filter.Texts()
	}
	maker, err := sample.New(ctx, options)
	if err != nil {
		return couldNot(err, "give --records, --from kafka, or --schema FILE with the writers' schema")
	}
	n := d.limit()
	broken := min(d.opts.broken, n)
	for i := range n {
		r := maker.Record(int64(i))
		if (i+1)*broken/n > i*broken/n {
			maker.Spoil(&r)
		}
		d.records = append(d.records, placedRecord{d.place(), r})
	}
	return nil
}

// recordSchema are the columns that records fill: the table's, and those that are there for the transform.
func (d *dryRun) recordSchema() (*iceberg.Schema, error) {
	row, err := d.spec.RowSchema()
	if err != nil {
		return nil, err
	}
	input, err := d.source().InputFields()
	if err != nil {
		return nil, err
	}
	return iceberg.NewSchema(0, append(row.Fields(), input...)...), nil
}

// limit is how many records are wanted of a source that has as many as one likes.
func (d *dryRun) limit() int {
	if d.opts.limit == 0 {
		return testRecords
	}
	return d.opts.limit
}

// fromTopic reads the newest records of the source's first topic.
func (d *dryRun) fromTopic(ctx context.Context) error {
	c, err := d.program.loadConfig()
	if err != nil {
		return err
	}
	src := d.source()
	if len(src.Topics) == 0 {
		return couldNot(fmt.Errorf("the source names its topics by the pattern %s", src.Pattern),
			"name one under topics:, or give --records")
	}
	connection, err := c.connection(src.Cluster)
	if err != nil {
		return err
	}
	err = newestRecords(ctx, connection, sampled{src.Topics[0], d.limit()},
		func(at commit.TopicPartition, r source.Record) {
			if len(d.records) < d.limit() {
				d.records = append(d.records, placedRecord{at, r})
			}
		})
	if err == nil && len(d.records) == 0 {
		err = couldNot(fmt.Errorf("topic %s holds no record", src.Topics[0]), "leave --from out: records are made")
	}
	return err
}

// fromFiles reads the files of --records.
func (d *dryRun) fromFiles() error {
	for _, name := range d.opts.records {
		text, err := d.readFile(name)
		if err != nil {
			return couldNot(fmt.Errorf("read records: %w", err), "give --records files that can be read")
		}
		values := [][]byte{text}
		switch decode.Format(d.source().Format) {
		case decode.FormatJSON, decode.FormatCSV, decode.FormatJSONSchema:
			values = lines(text)
		}
		for _, value := range values {
			if d.opts.limit > 0 && len(d.records) == d.opts.limit {
				return nil
			}
			if len(d.records) == testRecordsMax {
				return couldNot(fmt.Errorf("there are more than %d records", testRecordsMax), "give --limit, or fewer")
			}
			number := int64(len(d.records))
			d.records = append(d.records, placedRecord{d.place(), source.Record{Value: value,
				Offset: commit.Offset(number), Timestamp: sample.Millis(number)}})
		}
	}
	if len(d.records) == 0 {
		return couldNot(errors.New("the files hold no record"), "leave --records out: records are made")
	}
	return nil
}

func (d *dryRun) readFile(name string) ([]byte, error) {
	if name == "-" {
		return readBounded(d.program.stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	return readBounded(file)
}

func readBounded(from io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, testBytesMax+1))
	if err == nil && len(text) > testBytesMax {
		return nil, fmt.Errorf("there are more than %s", size(testBytesMax))
	}
	return text, err
}

// lines are the lines of a text that are not empty, without their ends.
func lines(text []byte) [][]byte {
	var out [][]byte
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			out = append(out, line)
		}
	}
	return out
}

// describesRecords says where the records come from.
func (o *testOptions) describesRecords() string {
	switch {
	case o.from != "":
		return "of the topic"
	case len(o.records) > 0:
		return "of files"
	}
	return "made for it"
}
