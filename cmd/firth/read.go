package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// readOptions are the flags of read.
type readOptions struct {
	tableFlags
	follow              followOptions
	where, asOf, output string
	columns             []string
	limit, snapshot     int64
}

func (p *program) readCommand() *cobra.Command {
	var o readOptions
	cmd := &cobra.Command{
		Use:   "read TABLE",
		Short: "Print rows of a table",
		Long: "Prints rows of a table at its newest snapshot, or at an older one. --where takes a predicate in the\n" +
			"language of filters (docs/operations.md); files that cannot match are not read. Rows come in no\n" +
			"particular order.\n\n" +
			"With --follow it asks a running server, and goes on with rows as they come, in the order of their\n" +
			"offsets, until it is interrupted; of a keyed table with what each commit changed, before and after\n" +
			"(docs/stream.md)." +
			exitCodes("printed", "never", "no such table, or could not read"),
		Example: example("firth read db.events --limit 10",
			"firth read db.events --where \"country = 'DE' and amount > 100\" --columns ts,amount",
			"firth read db.events --as-of 2026-01-31T12:00:00Z --output ndjson",
			"firth read db.events --follow --from end --columns ts,amount"),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if p.json {
			o.output = "json"
		}
		if o.follow.on {
			return p.follow(cmd.Context(), o)
		}
		return p.read(cmd.Context(), o)
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.where, "where", "", "predicate that rows must fulfil")
	flags.StringSliceVar(&o.columns, "columns", nil, "columns to print (default all)")
	flags.Int64Var(&o.limit, "limit", 0, "at most so many rows (0: all)")
	flags.Int64Var(&o.snapshot, "snapshot", 0, "id of the snapshot to read")
	flags.StringVar(&o.asOf, "as-of", "", "read what was committed at this time (RFC 3339)")
	flags.StringVar(&o.output, "output", "table", "table, ndjson, json or csv; --json is json")
	o.follow.add(flags)
	return cmd
}

// scan says what the flags ask for.
func (o readOptions) scan() (table.Scan, error) {
	scan := table.Scan{SnapshotID: o.snapshot}
	if len(o.columns) > 0 {
		scan.Columns = o.columns
	}
	if o.limit < 0 {
		return scan, couldNot(fmt.Errorf("--limit %d is no number of rows", o.limit),
			"0 prints all rows")
	}
	var err error
	if o.where != "" {
		if scan.Filter, err = filter.Parse(o.where); err != nil {
			return scan, couldNot(fmt.Errorf("--where: %w", err), "docs/operations.md has the language")
		}
	}
	if o.asOf != "" {
		if scan.AsOf, err = time.Parse(time.RFC3339, o.asOf); err != nil {
			return scan, couldNot(fmt.Errorf("--as-of %q is no time", o.asOf),
				"write it as 2026-01-31T12:00:00Z")
		}
	}
	return scan, nil
}

func (p *program) read(ctx context.Context, o readOptions) error {
	out := bufio.NewWriter(p.stdout)
	writer := newRowWriter(o.output, out)
	if writer == nil {
		return couldNot(fmt.Errorf("there is no output %q", o.output), "write table, ndjson, json or csv")
	}
	scan, err := o.scan()
	if err != nil {
		return err
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		return errors.Join(o.print(ctx, l, t, scan, writer), out.Flush())
	})
}

// print writes the rows that the scan selects.
func (o readOptions) print(
	ctx context.Context, l *lake, t *table.Table, scan table.Scan, writer rowWriter,
) error {
	tasks, err := table.Plan(ctx, t, l.objects, scan)
	if errors.Is(err, table.ErrNotFound) {
		return couldNot(fmt.Errorf("read %s: %w", o.table, err),
			"'firth describe "+o.table+"' lists its snapshots")
	}
	if err != nil {
		return couldNot(fmt.Errorf("read %s: %w", o.table, err), remedyOf(err))
	}
	_, schema, err := scan.Snapshot(t)
	if err != nil {
		return err
	}
	names := o.columns
	if len(names) == 0 {
		for _, f := range schema.Fields() {
			names = append(names, f.Name)
		}
	}
	if err := writer.begin(names); err != nil {
		return err
	}
	if err := writeRows(ctx, l, tasks, o.limit, writer); err != nil {
		return err
	}
	return writer.end()
}

// writeRows reads the tasks one after the other until limit rows are written.
func writeRows(ctx context.Context, l *lake, tasks []table.Task, limit int64, writer rowWriter) error {
	left := limit
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, l.objects, task) {
			if err != nil {
				return err
			}
			rows := batch.NumRows()
			if limit > 0 {
				rows = min(rows, left)
			}
			part := batch.NewSlice(0, rows)
			err := writer.rows(part)
			part.Release()
			if err != nil {
				return fmt.Errorf("print rows: %w", err)
			}
			if left -= rows; limit > 0 && left == 0 {
				return nil
			}
		}
	}
	return nil
}

// rowWriter prints batches. begin is called once, before any rows.
type rowWriter interface {
	begin(columns []string) error
	rows(batch arrow.RecordBatch) error
	end() error
}
