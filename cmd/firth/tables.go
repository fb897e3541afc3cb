package main

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/metafile"
)

// tableSummary is a line of 'firth tables'.
type tableSummary struct {
	Table         string `json:"table"`
	FormatVersion int    `json:"format_version"`
	Rows          int64  `json:"rows"`
	DataFiles     int64  `json:"data_files"`
	Bytes         int64  `json:"bytes"`
	Snapshots     int    `json:"snapshots"`
	// Partitions are the topic partitions in the ledger.
	Partitions int    `json:"topic_partitions"`
	Committed  string `json:"committed,omitempty"`
	Location   string `json:"location"`
	// Fault says why the table cannot be summed up.
	Fault string `json:"fault,omitempty"`
}

func (p *program) tablesCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "tables",
		Short: "List the tables of the catalog",
		Long: "Lists the tables with rows, files, size, snapshots and the time of the last commit." +
			exitCodes("listed", "a table is damaged", "could not list"),
		Example: example("firth tables", "firth tables --dir firth-demo",
			"firth tables --json | jq '.[].rows'"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.listTables(cmd.Context(), dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that a demo made, instead of a configuration")
	return cmd
}

func (p *program) listTables(ctx context.Context, dir string) error {
	l, err := p.openLake(ctx, dir)
	if err != nil {
		return err
	}
	defer l.close()
	idents, err := allTables(ctx, l.catalog, nil)
	if err != nil {
		return err
	}
	out := []tableSummary{}
	var damaged error
	for _, ident := range idents {
		t, err := l.catalog.LoadTable(ctx, ident)
		if err != nil {
			out = append(out, tableSummary{Table: table.FormatIdent(ident), Fault: err.Error()})
			damaged = errors.Join(damaged, err)
			continue
		}
		out = append(out, summarize(t))
	}
	err = p.print(out, func(w io.Writer) error {
		rows := make([][]string, 0, len(out))
		for _, t := range out {
			rows = append(rows, []string{t.Table, "v" + strconv.Itoa(t.FormatVersion), count(t.Rows),
				count(t.DataFiles),
				size(t.Bytes), strconv.Itoa(t.Snapshots), t.Committed, t.Fault})
		}
		return grid(w, []string{"TABLE", "FORMAT", "ROWS", "FILES", "SIZE", "SNAPSHOTS", "COMMITTED", ""},
			rows)
	})
	if err == nil && damaged != nil {
		err = fallsShort(damaged, "'firth verify TABLE' says what is wrong")
	}
	return err
}

// allTables lists the tables of a namespace and all below it.
func allTables(ctx context.Context, c tableCatalog, under catalog.Namespace) ([]table.Ident, error) {
	var out []table.Ident
	if len(under) > 0 {
		idents, err := c.ListTables(ctx, under, catalog.Page{})
		if err != nil {
			return nil, err
		}
		out = append(out, idents...)
	}
	spaces, err := c.ListNamespaces(ctx, under, catalog.Page{})
	if err != nil {
		return nil, err
	}
	for _, space := range spaces {
		below, err := allTables(ctx, c, space)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

// summarize reads the totals that the newest snapshot carries.
func summarize(t *table.Table) tableSummary {
	meta := t.Metadata()
	out := tableSummary{Table: t.String(), FormatVersion: meta.Version(), Snapshots: metafile.SnapshotCount(meta),
		Location: meta.Location()}
	if s := meta.CurrentSnapshot(); s != nil {
		out.Committed = stamp(s.TimestampMs)
		if s.Summary != nil {
			out.Rows = liveRows(s.Summary.Properties)
			out.DataFiles = number(s.Summary.Properties["total-data-files"])
			out.Bytes = number(s.Summary.Properties["total-files-size"])
		}
	}
	ledger, err := commit.ReadLedger(meta)
	if err != nil {
		out.Fault = err.Error()
	}
	out.Partitions = len(ledger.Topics())
	return out
}

// liveRows are the rows of the files less those that position deletes and vectors take out. How many rows the equality
// deletes of others match is not told, so they count for none.
func liveRows(totals iceberg.Properties) int64 {
	return max(0, number(totals["total-records"])-number(totals["total-position-deletes"]))
}

// number reads a count of a snapshot summary, which may be missing.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
