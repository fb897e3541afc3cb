package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// compactOptions are the flags of compact.
type compactOptions struct {
	tableFlags
	dryRun        bool
	targetSize    string
	where         string
	zorder        []string
	policy        compaction.Policy
	whereSelected *filter.Expr
}

func (p *program) compactCommand() *cobra.Command {
	var o compactOptions
	cmd := &cobra.Command{
		Use:   "compact TABLE",
		Short: "Make few large files of many small ones",
		Long: "Rewrites the small files of each partition into files of the target size, and files of which many\n" +
			"rows are deleted without those rows. Values, ledger and row ids stay what they are, and ingest goes\n" +
			"on meanwhile. Each group of files is a commit of its own, so what is done stays done.\n" +
			"--where leaves alone the files that can hold no row for which it is true. --zorder writes all other\n" +
			"files anew, so that look-ups by each of the columns read few of them." +
			exitCodes("compacted, or nothing to do", "others changed the same files again and again",
				"could not compact"),
		Example: example("firth compact db.events --dry-run", "firth compact db.events",
			"firth compact db.events --target-size 256MiB --where \"day = '2026-01-31'\"",
			"firth compact db.events --zorder customer,ts",
			"firth compact db.events --json | jq .files_removed"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.compact(cmd.Context(), o) },
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be rewritten, and write nothing")
	flags.StringVar(&o.targetSize, "target-size", "",
		"size that files should have (default write.target-file-size-bytes of the table, else 512MiB)")
	flags.StringSliceVar(&o.zorder, "zorder", nil, "columns by which rows are put in z-order, in all files")
	flags.StringVar(&o.where, "where", "", "predicate on rows, as of 'firth read'")
	completions(cmd, "target-size", []string{"128MiB", "256MiB", "512MiB", "1GiB"})
	return cmd
}

// complete reads the flags for a table.
func (o *compactOptions) complete(t *table.Table) error {
	o.policy = compaction.DefaultPolicy(t.Metadata().Properties())
	if o.targetSize != "" {
		target, err := spec.ParseSize(o.targetSize)
		if err == nil && target <= 0 {
			err = errors.New("it is no size of a file")
		}
		if err != nil {
			return couldNot(fmt.Errorf("--target-size %s: %w", o.targetSize, err), "write it as 256MiB")
		}
		o.policy.TargetBytes = int64(target)
	}
	if len(o.zorder) > 0 {
		if _, err := table.NewZOrder(t.Metadata().CurrentSchema(), o.zorder, nil); err != nil {
			return couldNot(fmt.Errorf("--zorder: %w", err), "name top-level columns, as --zorder customer,ts")
		}
		o.policy.Whole = true
	}
	if o.where == "" {
		return nil
	}
	var err error
	if o.whereSelected, err = filter.Parse(o.where); err == nil {
		_, err = filter.Bind(o.whereSelected, t.Metadata().CurrentSchema())
	}
	if err != nil {
		return couldNot(fmt.Errorf("--where: %w", err), "docs/operations.md has the language")
	}
	return nil
}

func (p *program) compact(ctx context.Context, o compactOptions) error {
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		if err := o.complete(t); err != nil {
			return err
		}
		how := compaction.Options{Policy: o.policy, Where: o.whereSelected, ZOrder: o.zorder, NewID: uuid.New,
			Parallel: runtime.GOMAXPROCS(0), Memory: table.NewBudget(bufferBytes(memoryDefault))}
		if o.dryRun {
			return p.showCompaction(ctx, l, t, how)
		}
		return p.runCompaction(ctx, l, t, how)
	})
}

// compactionGroup is one line of a plan.
type compactionGroup struct {
	Partition   string `json:"partition"`
	Files       int    `json:"files"`
	Bytes       int64  `json:"bytes"`
	Rows        int64  `json:"rows"`
	DeletedRows int64  `json:"deleted_rows"`
	Copied      bool   `json:"copied"`
	Reason      string `json:"reason"`
}

func (p *program) showCompaction(ctx context.Context, l *lake, t *table.Table, how compaction.Options) error {
	groups, err := compaction.PlanTable(ctx, l.objects, t, how)
	if err != nil {
		return err
	}
	out := struct {
		Table  string            `json:"table"`
		DryRun bool              `json:"dry_run"`
		Groups []compactionGroup `json:"groups"`
	}{t.String(), true, []compactionGroup{}}
	for _, g := range groups {
		out.Groups = append(out.Groups, compactionGroup{Partition: g.Partition, Files: len(g.Tasks),
			Bytes: g.Bytes, Rows: g.Rows, DeletedRows: g.Deleted, Copied: g.Copied, Reason: g.Reason})
	}
	return p.print(out, func(w io.Writer) error { return writeCompactionPlan(w, t, out.Groups) })
}

// writeCompactionPlan draws each group as one line, its files as a bar.
func writeCompactionPlan(w io.Writer, t *table.Table, groups []compactionGroup) error {
	if len(groups) == 0 {
		_, err := fmt.Fprintf(w, "%s: nothing to compact\n", t)
		return err
	}
	const barMax = 20
	rows := make([][]string, 0, len(groups))
	for _, g := range groups {
		how := "decode"
		if g.Copied {
			how = "copy"
		}
		bar := strings.Repeat("▪", min(g.Files, barMax))
		if g.Files > barMax {
			bar += "…"
		}
		rows = append(rows, []string{g.Partition, count(int64(g.Files)), size(g.Bytes), count(g.Rows),
			count(g.DeletedRows), how, g.Reason, bar + " → ■"})
	}
	if err := grid(w, []string{"PARTITION", "FILES", "SIZE", "ROWS", "DELETED", "HOW", "WHY", ""}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nnothing is written: leave out --dry-run to compact")
	return err
}

func (p *program) runCompaction(ctx context.Context, l *lake, t *table.Table, how compaction.Options) error {
	committer, err := commit.Open(ctx, l.catalog, l.objects, t.Ident(), p.commitOptions())
	if err != nil {
		return err
	}
	bar := p.progress("bytes", 0)
	defer bar.close()
	how.Progress = func(done, total int64) {
		bar.total = total
		bar.at(done, "")
	}
	compactor, err := compaction.New(committer, l.objects, how)
	if err != nil {
		return err
	}
	report, err := compactor.Run(ctx)
	bar.close()
	if errors.Is(err, commit.ErrStale) {
		return fallsShort(err, "what was done stays done: try again later, or with --where for other partitions")
	}
	if err != nil {
		return err
	}
	out := struct {
		Table string `json:"table"`
		compaction.Report
	}{t.String(), report}
	return p.print(out, func(w io.Writer) error {
		if report.Groups == 0 {
			_, err := fmt.Fprintf(w, "%s: nothing to compact\n", t)
			return err
		}
		_, err := fmt.Fprintf(w, "%s: %s files of %s became %s of %s, %s rows, %d of %d groups copied\n", t,
			count(int64(report.FilesRemoved)), size(report.BytesRemoved), count(int64(report.FilesAdded)),
			size(report.BytesAdded), count(report.Rows), report.Copied, report.Groups)
		return err
	})
}
