package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/backfill"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// backfillOptions are the flags of backfill.
type backfillOptions struct {
	tableFlags
	plan          backfill.Plan
	from, mode    string
	promote       string
	rate          spec.Size
	parallel      int
	dryRun        bool
	filterIsGiven bool
}

// backfillMemory is what the writers of all lanes hold together before they spill.
const backfillMemory = 512 << 20

func (p *program) backfillCommand() *cobra.Command {
	var o backfillOptions
	cmd := &cobra.Command{
		Use:   "backfill TABLE PATTERN",
		Short: "Load files into a table beside its stream, in one commit",
		Long: "Reads Parquet, CSV and JSON lines (the last two also as .gz and .zst) onto a branch, runs the\n" +
			"checks, and promotes the rows into main in one commit, while the stream goes on. In PATTERN * and ?\n" +
			"stand for parts of a name and ** for folders. The spec's filter acts on the rows as on the stream.\n" +
			"The same command again goes on where an earlier one stopped, and does nothing once its rows are\n" +
			"promoted. Until then nobody but who asks for the branch sees a row." +
			exitCodes("promoted, waiting, or promoted before", "a check does not hold", "could not load"),
		Example: example("firth backfill db.events 's3://lake/history/*.parquet' --dry-run",
			"firth backfill db.events 's3://lake/history/**/*.json.gz' --checks 'rows >= 1000'",
			"firth backfill db.events old.csv --map id=user_id --map=-comment --promote manual",
			"firth backfill promote 4f2a90c1d7e3"),
		Args: func(cmd *cobra.Command, args []string) error {
			if err := exactly("TABLE", "PATTERN")(cmd, args); err != nil {
				return err
			}
			o.table, o.plan.Pattern = args[0], args[1]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.filterIsGiven = cmd.Flags().Changed("filter")
			return p.backfill(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", "", "folder that a demo made, instead of a configuration")
	flags.StringVar(&o.from, "from", "files", "what rows come from: files")
	flags.StringVar(&o.mode, "mode", "append", "what becomes of rows that the table has: append leaves them")
	flags.StringArrayVar(&o.plan.Map, "map", nil,
		"column=source takes a column from another one, -source leaves one out, -* all that the table does not have")
	flags.StringVar(&o.plan.Filter, "filter", "", "keep the rows for which it is true (default the spec's filter)")
	flags.StringArrayVar(&o.plan.Checks, "checks", nil,
		"what must hold before promotion: 'rows >= 1000', or an expression that is true for every row")
	flags.StringVar(&o.plan.Branch, "branch", "",
		"name of the branch (default backfill-ID); another name is another backfill")
	flags.BoolVar(&o.dryRun, "dry-run", false, "list the files, read the first rows of each, and write nothing")
	p.addLoading(cmd, &o)
	cmd.AddCommand(p.backfillResumeCommand(), p.backfillPromoteCommand(), p.backfillAbandonCommand())
	return cmd
}

// addLoading adds the flags of a run that loads.
func (p *program) addLoading(cmd *cobra.Command, o *backfillOptions) {
	flags := cmd.Flags()
	flags.StringVar(&o.promote, "promote", "auto",
		"auto promotes when the checks hold, manual leaves that to 'backfill promote'")
	flags.Var(sizeFlag{&o.rate}, "rate",
		"bytes of the source to read a second at most, such as 50MiB (default no bound)")
	flags.IntVar(&o.parallel, "parallel", runtime.GOMAXPROCS(0), "files to read at a time, at most 64")
	completions(cmd, "promote", []string{"auto", "manual"})
}

func (o *backfillOptions) validate() error {
	switch {
	case o.from != "files":
		return couldNot(fmt.Errorf("--from %s: only files can be loaded", o.from), "write --from files")
	case o.mode != "append":
		return couldNot(fmt.Errorf("--mode %s: rows can only be appended", o.mode), "write --mode append")
	case o.promote != "auto" && o.promote != "manual":
		return couldNot(fmt.Errorf("--promote %s is unknown", o.promote), "write auto or manual")
	case o.parallel < 1 || o.parallel > 64:
		return couldNot(fmt.Errorf("--parallel %d is not 1 to 64", o.parallel), "")
	}
	return nil
}

func (p *program) backfill(ctx context.Context, o backfillOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	if objstore.Scheme(o.plan.Pattern) == "" {
		var err error
		if o.plan.Pattern, err = filepath.Abs(o.plan.Pattern); err != nil {
			return fmt.Errorf("source %s: %w", o.plan.Pattern, err)
		}
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		s, err := specOfBackfill(l, t)
		if err != nil {
			return err
		}
		if !o.filterIsGiven {
			if o.plan.Filter, err = streamFilter(s); err != nil {
				return err
			}
		}
		return p.load(ctx, l, t, s, o)
	})
}

// specOfBackfill is the table's spec, or nil when there is none.
func specOfBackfill(l *lake, t *table.Table) (*spec.Spec, error) {
	if _, err := os.Stat(l.config.Tables); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	specs, err := readSpecs(l.config.Tables, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range specs {
		if s.Name == t.String() {
			return s, nil
		}
	}
	return nil, nil
}

// streamFilter is the filter that all sources of a spec have.
func streamFilter(s *spec.Spec) (string, error) {
	if s == nil || len(s.Sources) == 0 {
		return "", nil
	}
	for _, src := range s.Sources {
		if src.Filter != s.Sources[0].Filter {
			return "", couldNot(fmt.Errorf("%s: its sources have different filters", s.File()),
				"give --filter, or --filter '' to keep all rows")
		}
	}
	return s.Sources[0].Filter, nil
}

// openBackfill makes a backfill of a plan, which tells how far it is.
func (p *program) openBackfill(ctx context.Context, l *lake, t *table.Table, s *spec.Spec, o backfillOptions,
	tell func(backfill.Progress)) (*backfill.Backfill, error) {
	options := p.commitOptions()
	options.Table = t
	committer, err := commit.Open(ctx, l.catalog, l.objects, t.Ident(), options)
	if err != nil {
		return nil, err
	}
	how := backfill.Options{Committer: committer, Source: l.objects, Store: l.objects, Parallel: o.parallel,
		RateBytes: int64(o.rate), Memory: table.NewBudget(backfillMemory), Now: p.now, NewID: uuid.New, Sleep: sleep,
		Progress: tell}
	if s != nil {
		how.Parquet.Profile = encodingsFor(s.ReaderProfile)
		if len(s.Sources) > 0 {
			decoding, err := s.DecodeOptions(s.Sources[0])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.File(), err)
			}
			how.Columns = decoding.Columns
		}
	}
	return backfill.Open(ctx, how, o.plan)
}

// load runs a backfill as far as its flags say.
func (p *program) load(ctx context.Context, l *lake, t *table.Table, s *spec.Spec, o backfillOptions) error {
	bar := p.progress("bytes", 0)
	defer bar.close()
	b, err := p.openBackfill(ctx, l, t, s, o, func(at backfill.Progress) {
		bar.total = at.BytesTotal
		bar.at(at.Bytes, count(at.Rows)+" rows")
	})
	report := backfillReport{Table: t.String(), ID: o.plan.ID(t), Branch: o.plan.BranchName(t), DryRun: o.dryRun}
	if errors.Is(err, backfill.ErrPromoted) {
		return p.tellPromoted(report, err)
	}
	if err != nil {
		return backfillFailure(err)
	}
	if o.dryRun {
		if err := b.Fit(ctx); err != nil {
			return backfillFailure(err)
		}
		report.count(b.State())
		return p.print(report, func(w io.Writer) error { return report.writePlan(w, b.Listing()) })
	}
	if err := b.Run(ctx); err != nil {
		bar.close()
		return backfillFailure(err)
	}
	bar.close()
	when := promoteLater
	if o.promote == "auto" {
		when = promoteNow
	}
	return p.finishBackfill(ctx, b, when, report)
}
