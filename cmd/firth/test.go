package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
)

// Bounds of a dry run, which holds its records and rows in memory.
const (
	// testRecords is how many records are made, or read of a topic, unless it is told.
	testRecords    = 10
	testRecordsMax = 100_000
)

// testOptions are the flags of test.
type testOptions struct {
	file, from, schema string
	records            []string
	source             int
	limit, broken      int
	seed               uint64
}

func (p *program) testCommand() *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use:   "test SPEC",
		Short: "Show what a spec makes of records, without touching a table",
		Long: "Runs the whole way of a record, from the source's format to the row, and prints what comes out: the\n" +
			"table that would be made, the rows, what the filter left out, and what would be dead letters, with\n" +
			"class and remedy. It writes nothing: no catalog, no warehouse, no offsets.\n\n" +
			"The records are made for the spec's columns; or they are those of files (--records: a line each; with\n" +
			"avro, protobuf and raw a file each), or the newest of the spec's first topic (--from kafka). Formats\n" +
			"with a schema of the writer ask the registry of the configuration, or take --schema FILE; values then\n" +
			"do not begin with an id. A configuration is read only where one of them is needed." +
			exitCodes("every record is a row, deletes one, or is filtered out", "some would be dead letters",
				"the spec is wrong, or records could not be had"),
		Example: example("firth test tables/events.yaml",
			"firth test tables/events.yaml --records events.ndjson --json",
			"firth test tables/orders.yaml --schema orders.avsc --limit 3",
			"firth test tables/events.yaml --broken 2",
			"firth test tables/events.yaml --from kafka --limit 100"),
		Args:              exactly("SPEC"),
		ValidArgsFunction: completeSpecs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = args[0]
			return p.test(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.records, "records", nil, "file of records, - for standard input (several are read in turn)")
	flags.StringVar(&o.from, "from", "", "kafka reads the newest records of the spec's topic")
	flags.StringVar(&o.schema, "schema", "", "file with the writers' schema, instead of a registry")
	flags.IntVar(&o.source, "source", 1, "which of the spec's sources, counted from 1")
	flags.IntVar(&o.limit, "limit", 0, "how many records (0: 10, and all of --records)")
	flags.IntVar(&o.broken, "broken", 0, "so many of the records that are made are broken")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the records that are made")
	return cmd
}

// completeSpecs completes the names of YAML files.
func completeSpecs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// check refuses flags that do not go together.
func (o *testOptions) check(s *spec.Spec) error {
	var fault, remedy string
	switch {
	case o.from != "" && o.from != "kafka":
		fault, remedy = fmt.Sprintf("--from %s is unknown", o.from), "write --from kafka, or leave it out"
	case o.from != "" && len(o.records) > 0:
		fault, remedy = "both --from and --records are given", "give one of them"
	case o.from != "" && o.schema != "":
		fault, remedy = "records of a topic name their schema themselves", "leave --schema out"
	case o.broken > 0 && (o.from != "" || len(o.records) > 0):
		fault, remedy = "--broken is for records that are made", "leave it out"
	case o.limit < 0 || o.limit > testRecordsMax:
		fault, remedy = fmt.Sprintf("--limit %d is out of range", o.limit),
			fmt.Sprintf("give 1 to %d", testRecordsMax)
	case len(s.Sources) == 0:
		fault, remedy = s.File()+" has no source", "write sources:"
	case o.source < 1 || o.source > len(s.Sources):
		fault, remedy = fmt.Sprintf("there is no source %d", o.source),
			fmt.Sprintf("the spec has %d", len(s.Sources))
	default:
		return nil
	}
	return couldNot(errors.New(fault), remedy)
}

func (p *program) test(ctx context.Context, o testOptions) error {
	specs, err := readSpecs("", []string{o.file})
	if err != nil {
		return couldNot(err, remedyOf(err))
	}
	if err := o.check(specs[0]); err != nil {
		return err
	}
	d := &dryRun{program: p, opts: o, spec: specs[0]}
	defer d.close()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.gather(ctx); err != nil {
		return err
	}
	if err := d.take(ctx); err != nil {
		return err
	}
	defer d.release()
	report, err := d.report()
	if err != nil {
		return err
	}
	if err := p.print(report, d.write); err != nil {
		return err
	}
	if n := len(report.DeadLetters); n > 0 {
		return fallsShort(fmt.Errorf("%d of %d records would be dead letters", n, report.Records),
			"correct the spec or its writers; dead_letters: says what becomes of such records")
	}
	return nil
}

// dryRun is one run of test.
type dryRun struct {
	program *program
	opts    testOptions
	spec    *spec.Spec // with its columns
	plan    spec.Plan  // of a table that is not there
	table   ingest.TableOptions
	writer  *registry.Schema // nil where values need none, or name their own
	client  *registry.Client // nil where none is needed
	trial   *ingest.Trial
	// transforms is the engine, if the spec needs it.
	transforms transformer
	records    []placedRecord
	tried      []ingest.Tried
}

// placedRecord is a record and where it stands.
type placedRecord struct {
	at commit.TopicPartition
	source.Record
}

func (d *dryRun) close() {
	if d.trial != nil {
		d.trial.Close()
	}
	d.transforms.close()
	if d.client != nil {
		d.client.Close()
	}
}

// release gives the rows back.
func (d *dryRun) release() {
	for _, t := range d.tried {
		if t.Rows != nil {
			t.Rows.Release()
		}
	}
	d.tried = nil
}

// source is the source of the spec that is tried.
func (d *dryRun) source() spec.Source { return d.spec.Sources[d.opts.source-1] }

// prepare finds the columns and how records become rows.
func (d *dryRun) prepare(ctx context.Context) error {
	if err := d.findSchema(ctx); err != nil {
		return err
	}
	schema, err := d.spec.TableSchema()
	if err != nil {
		return err
	}
	if schema == nil {
		return couldNot(fmt.Errorf("%s has no columns", d.spec.File()),
			"'firth infer TOPIC' writes them; a subject needs a registry, or --schema FILE")
	}
	if d.plan, err = spec.Diff(d.spec, nil); err != nil {
		return err
	}
	var schemas decode.Schemas = noSchemas{}
	if d.client != nil {
		schemas = d.client
	}
	if d.table, err = rowOptions(d.spec, d.opts.source-1, rowParts{schemas, &d.transforms}); err != nil {
		return err
	}
	if d.writer != nil {
		d.table.Writer.Schemas, d.table.Writer.Fixed = nil, d.writer
	}
	d.table.Ident = d.spec.Ident()
	d.trial, err = ingest.NewTrial(ctx, d.table, schema, d.spec.Evolution.Policy(), d.spec.Version())
	if err != nil {
		return couldNot(fmt.Errorf("%s: %w", d.spec.File(), err), remedyOf(err))
	}
	return nil
}

// noSchemas is the registry of a run that takes its schema from a file.
type noSchemas struct{}

// ByID knows no schema.
func (noSchemas) ByID(context.Context, int32) (*registry.Schema, error) {
	return nil, registry.ErrUnknownID
}

// take lets the trial take all records, again when the table followed a writer's schema on the way, so that all
// rows have the columns of its end.
func (d *dryRun) take(ctx context.Context) error {
	for {
		followed := len(d.trial.Followed())
		for _, r := range d.records {
			tried, err := d.trial.Take(ctx, r.at, r.Record)
			if err != nil {
				d.release()
				return err
			}
			d.tried = append(d.tried, tried)
		}
		if followed == len(d.trial.Followed()) {
			return nil
		}
		d.release()
	}
}

// place is where records stand that come from no topic.
func (d *dryRun) place() commit.TopicPartition {
	topic := d.source().Pattern
	if topics := d.source().Topics; len(topics) > 0 {
		topic = topics[0]
	}
	return commit.TopicPartition{Cluster: "test", TopicID: uuid.Max, Topic: topic}
}
