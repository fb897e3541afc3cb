package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/compaction/orphans"
	"github.com/firthlake/firth/table"
)

// orphansOptions are the flags of orphans.
type orphansOptions struct {
	tableFlags
	dryRun, force bool
	grace         string
}

// graceMin is the shortest grace without --force: a file is committed at most an hour after it was begun.
const graceMin = time.Hour

func (p *program) orphansCommand() *cobra.Command {
	var o orphansOptions
	cmd := &cobra.Command{
		Use:   "orphans TABLE",
		Short: "Remove objects of a table that nothing needs",
		Long: "Lists the objects under the table's location that no snapshot, branch, tag, metadata file,\n" +
			"statistics or waiting dead letter needs, and writes them to metadata/firth-orphans.jsonl there.\n" +
			"Objects that an earlier run listed, a grace period ago by the store's clock, are removed when the\n" +
			"newest version of the table does not need them either. So the first run removes nothing." +
			exitCodes("removed, or none is due", "some could not be removed", "could not tell orphans"),
		Example: example("firth orphans db.events --dry-run", "firth orphans db.events",
			"firth orphans db.events --grace 7d", "firth orphans db.events --json | jq .removed"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.orphans(cmd.Context(), o) },
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be removed, and write nothing")
	flags.StringVar(&o.grace, "grace", "3d", "how long an object stays once it was seen: 12h, 3d")
	flags.BoolVar(&o.force, "force", false, "allow a grace below 1h: nobody else writes to the table or reads it")
	completions(cmd, "grace", []string{"12h", "1d", "3d", "7d"})
	return cmd
}

// span is the grace that the flags ask for.
func (o *orphansOptions) span() (time.Duration, error) {
	grace, err := parseSpan(o.grace)
	if err != nil {
		return 0, couldNot(fmt.Errorf("--grace %s: %w", o.grace, err), "write it as 12h or 3d")
	}
	if grace < graceMin && !o.force {
		return 0, couldNot(fmt.Errorf("--grace %s is shorter than a write may take", o.grace),
			"give an hour or more; --force when nobody else writes to the table or reads it")
	}
	return grace, nil
}

// orphansReport is what 'firth orphans --json' prints.
type orphansReport struct {
	Table  string `json:"table"`
	DryRun bool   `json:"dry_run,omitempty"`
	orphans.Report
}

func (p *program) orphans(ctx context.Context, o orphansOptions) error {
	grace, err := o.span()
	if err != nil {
		return err
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		others, err := otherPlaces(ctx, l.catalog, t)
		if err != nil {
			return err
		}
		bar := p.progress("objects", 0)
		defer bar.close()
		report, err := orphans.Run(ctx, l.catalog, l.objects, t.Ident(), orphans.Options{
			Grace: grace, Others: others, DryRun: o.dryRun, Now: p.now,
			Progress: func(stage string, done, total int64) {
				bar.total = total
				bar.at(done, stage)
			}})
		bar.close()
		if err != nil && report.Removed+report.Left == 0 {
			return err
		}
		out := orphansReport{Table: t.String(), DryRun: o.dryRun, Report: report}
		failed := p.print(out, func(w io.Writer) error { return writeOrphans(w, out) })
		if err != nil {
			return fallsShort(errors.Join(err, failed), "the next run tries the others again")
		}
		return failed
	})
}

// otherPlaces are where the other tables of the catalog keep objects.
func otherPlaces(ctx context.Context, c tableCatalog, t *table.Table) ([]orphans.Place, error) {
	idents, err := allTables(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	var out []orphans.Place
	for _, ident := range idents {
		if slices.Equal(ident, t.Ident()) {
			continue
		}
		other, err := c.LoadTable(ctx, ident)
		if errors.Is(err, table.ErrNotFound) {
			continue // dropped meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("look where other tables lie: %w", err)
		}
		meta := other.Metadata()
		out = append(out, orphans.Place{Table: other.String(), Location: meta.Location()})
		for _, property := range []string{"write.data.path", "write.metadata.path", "write.object-storage.path"} {
			if at := meta.Properties()[property]; at != "" {
				out = append(out, orphans.Place{Table: other.String(), Location: at})
			}
		}
	}
	return out, nil
}

func writeOrphans(w io.Writer, r orphansReport) error {
	verb := "removed"
	if r.DryRun {
		verb = "would be removed"
	}
	_, err := fmt.Fprintf(w, "%s: %s objects, %s needed; %s orphans of %s %s, %s of %s wait (%s found now)\n", r.Table,
		count(r.Listed), count(r.Needed), count(r.Removed), size(r.RemovedBytes), verb, count(r.Waiting),
		size(r.WaitingBytes), count(r.Found))
	if err == nil && !r.Next.IsZero() {
		_, err = fmt.Fprintf(w, "the first of them may be removed from %s on\n", stamp(r.Next.UnixMilli()))
	}
	if err == nil && r.DryRun {
		_, err = fmt.Fprintln(w, "\nnothing is changed: leave out --dry-run to list and remove them")
	}
	return err
}
