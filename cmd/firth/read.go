package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// readOptions are the flags of read.
type readOptions struct {
	dir, table, where, asOf, output string
	columns                         []string
	limit, snapshot                 int64
}

func (p *program) readCommand() *cobra.Command {
	var o readOptions
	cmd := &cobra.Command{
		Use:   "read TABLE",
		Short: "Print rows of a table",
		Long: "Prints rows of a table at its newest snapshot, or at an older one. --where takes a predicate in the\n" +
			"language of filters (docs/operations.md); files and row groups that cannot match are not read." +
			exitCodes("printed", "never", "no such table, or could not read"),
		Example: example("firth read db.events --limit 10",
			"firth read db.events --where \"country = 'DE' and amount > 100\" --columns ts,amount",
			"firth read db.events --as-of 2026-01-31T12:00:00Z --output ndjson"),
		Args: exactly("TABLE"),
		RunE: func(*cobra.Command, []string) error {
			return couldNot(errors.New("reading is not built into this binary"), "")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", "", "folder that a demo made, instead of a configuration")
	flags.StringVar(&o.where, "where", "", "predicate that rows must fulfil")
	flags.StringSliceVar(&o.columns, "columns", nil, "columns to print (default all)")
	flags.Int64Var(&o.limit, "limit", 0, "at most so many rows (0: all)")
	flags.Int64Var(&o.snapshot, "snapshot", 0, "id of the snapshot to read")
	flags.StringVar(&o.asOf, "as-of", "", "read what was committed at this time (RFC 3339)")
	flags.StringVar(&o.output, "output", "table", "table, ndjson, json or csv; --json is json")
	return cmd
}
