package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

// genReport is what 'firth gen --json' prints: what a reader of the rows must find.
type genReport struct {
	Workload string  `json:"workload"`
	Format   string  `json:"format"`
	Seed     uint64  `json:"seed"`
	From     int64   `json:"from"`
	Seconds  float64 `json:"seconds"`
	*gen.Totals
}

// genOptions are the flags of gen.
type genOptions struct {
	workload, format, out, topic string
	rows, rate, from             int64
	seed                         uint64
	partitions, schemaID         int32
	cluster                      clusterFlags
}

func (p *program) genCommand() *cobra.Command {
	var o genOptions
	cmd := &cobra.Command{
		Use:   "gen",
		Short: "Generate deterministic events into a topic or a file",
		Long: "Generates events: row n of a workload and seed is the same on every machine and in every format.\n" +
			"They go to a topic (--brokers, --topic; it is created when it is not there) or to a file (--out,\n" +
			"- is standard output). At the end it prints the sums that a reader must find. An interrupt ends it\n" +
			"with the rows that are made; without --rows that is how it ends.\n\nWorkloads: " +
			strings.Join(gen.Workloads(), ", ") + "." +
			exitCodes("all rows are written", "interrupted before all of --rows were", "could not write"),
		Example: example("firth gen --rows 1000 --out -",
			"firth gen --rows 1000000 --brokers localhost:9092 --topic events",
			"firth gen --rows 1000000 --cluster default -c firth.yaml --topic events",
			"firth gen --rows 1000 --brokers kafka:9093 --tls --sasl-mechanism SCRAM-SHA-512 --sasl-user ann \\\n"+
				"    --sasl-password '${KAFKA_PASSWORD}'",
			"firth gen --workload events10 --format csv --rows 1000 --seed 7 --out events.csv --json"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.generate(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.workload, "workload", "events10", "what to generate")
	flags.StringVar(&o.format, "format", "json", "json, avro, protobuf, jsonschema or csv")
	flags.Int64Var(&o.rows, "rows", 0, "how many rows (0: until interrupted)")
	flags.Int64Var(&o.from, "from", 0, "number of the first row")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the rows")
	flags.Int64Var(&o.rate, "rate", 0, "rows per second (0: as fast as it goes)")
	flags.StringVar(&o.out, "out", "", "file to write, - for standard output")
	flags.StringVar(&o.topic, "topic", "events", "topic to write")
	o.cluster.add(cmd)
	flags.Int32Var(&o.partitions, "partitions", 8, "partitions of a topic that is created")
	flags.Int32Var(&o.schemaID, "schema-id", 0,
		"registry id put before values of avro, protobuf and jsonschema")
	return cmd
}

func (p *program) generate(ctx context.Context, o genOptions) error {
	g, err := gen.New(gen.Options{Workload: o.workload, Format: gen.Format(o.format), Seed: o.seed,
		SchemaID: o.schemaID})
	if err != nil {
		return couldNot(err, "see 'firth gen --help'")
	}
	if o.rows < 0 || o.from < 0 || o.rate < 0 {
		return couldNot(errors.New("--rows, --from and --rate are 0 or more"), "see 'firth gen --help'")
	}
	if (o.out == "") == !o.cluster.given() {
		return couldNot(errors.New("a file or a topic is needed"),
			"give --out FILE, or --topic and one of --brokers and --cluster")
	}
	bar := p.progress("rows", o.rows)
	defer bar.close()
	run := gen.Run{From: o.from, Rows: o.rows, Rate: o.rate, Progress: func(rows int64) { bar.at(rows, "") }}
	begun := p.now()
	totals, err := p.write(ctx, g, o, run)
	if err != nil {
		return err
	}
	bar.close()
	report := genReport{Workload: o.workload, Format: o.format, Seed: o.seed, From: o.from,
		Seconds: p.now().Sub(begun).Seconds(), Totals: totals}
	if o.out == "-" && !p.json {
		fmt.Fprintf(p.stderr, "%s rows, %s\n", count(totals.Rows), size(totals.Bytes))
		return o.interrupted(totals.Rows)
	}
	err = p.print(report, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s rows, %s, %.1f s\n", count(totals.Rows), size(totals.Bytes),
			report.Seconds)
		return err
	})
	return errors.Join(err, o.interrupted(totals.Rows))
}

// interrupted says that rows are missing, and how to make them.
func (o *genOptions) interrupted(rows int64) error {
	if rows >= o.rows {
		return nil
	}
	return fallsShort(fmt.Errorf("interrupted after %d of %d rows", rows, o.rows),
		fmt.Sprintf("--from %d --rows %d makes the others", o.from+rows, o.rows-rows))
}

// write sends the rows where the flags say.
func (p *program) write(ctx context.Context, g *gen.Generator, o genOptions, run gen.Run) (*gen.Totals,
	error) {
	if o.cluster.given() {
		return p.produce(ctx, g, o, run)
	}
	if o.out == "-" {
		if p.json {
			return nil, couldNot(errors.New("--json and --out - both write to standard output"),
				"give --out a file")
		}
		return gen.Write(ctx, p.stdout, g, run)
	}
	file, err := os.Create(o.out)
	if err != nil {
		return nil, couldNot(fmt.Errorf("write rows: %w", err), "give --out a file that can be written")
	}
	totals, err := gen.Write(ctx, file, g, run)
	return totals, errors.Join(err, file.Close())
}

func (p *program) produce(ctx context.Context, g *gen.Generator, o genOptions, run gen.Run) (*gen.Totals,
	error) {
	connection, err := p.connectionOf(o.cluster)
	if err != nil {
		return nil, err
	}
	connection.ClientID = "firth-gen"
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	if err := admin.CreateTopic(ctx, o.topic, o.partitions); err != nil {
		return nil, err
	}
	return gen.Produce(ctx, connection, o.topic, g, run)
}
