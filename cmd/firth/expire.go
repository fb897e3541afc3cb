package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// expireOptions are the flags of expire.
type expireOptions struct {
	tableFlags
	dryRun    bool
	keep      int
	keepGiven bool
	olderThan string
	// rows asks for rows instead, which column says how old.
	rows   bool
	column string
}

func (p *program) expireCommand() *cobra.Command {
	var o expireOptions
	cmd := &cobra.Command{
		Use:   "expire TABLE",
		Short: "Take old snapshots out of a table, with the files that only they need",
		Long: "Takes out the snapshots that are older than a span and not among the newest of their branch, and\n" +
			"those that no branch leads to; then removes the objects that no other snapshot needs. What branches\n" +
			"and tags hold stays, and so does the ledger. Every commit expires snapshots too: the command is for\n" +
			"tables that firth does not feed, and for keeping less than usual.\n" +
			"--rows takes rows out instead, those whose --column lies further back than --older-than: whole files\n" +
			"where all of their rows do, others by deletes. The rows that leave are counted, for 'firth verify'." +
			exitCodes("expired, or nothing to do", "snapshots are out, some of their files stayed",
				"could not expire"),
		Example: example("firth expire db.events --dry-run", "firth expire db.events",
			"firth expire db.events --older-than 7d --keep 10",
			"firth expire db.events --rows --column ts --older-than 90d --dry-run",
			"firth expire db.events --older-than 0s --keep 1 --json | jq .files"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.keepGiven = cmd.Flags().Changed("keep")
			return p.expire(cmd.Context(), o)
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would leave, and change nothing")
	flags.IntVar(&o.keep, "keep", 0, "snapshots of each branch that stay whatever their age "+
		"(default history.expire.min-snapshots-to-keep of the table, else 50)")
	flags.StringVar(&o.olderThan, "older-than", "", "how old a snapshot must be to leave: 30m, 12h, 7d "+
		"(default history.expire.max-snapshot-age-ms of the table, else 5d)")
	flags.BoolVar(&o.rows, "rows", false, "take out rows, not snapshots")
	flags.StringVar(&o.column, "column", "", "with --rows: the date or timestamp that says how old a row is")
	completions(cmd, "older-than", []string{"1h", "1d", "7d", "30d"})
	return cmd
}

// complete makes the flags and the table's properties a policy.
func (o *expireOptions) complete(t *table.Table) (commit.Expiry, error) {
	e := commit.DefaultExpiry(t.Metadata().Properties())
	if o.keepGiven && o.keep < 1 {
		return e, couldNot(fmt.Errorf("--keep %d is no number of snapshots", o.keep), "write 1 or more")
	}
	if o.keepGiven {
		e.Keep = o.keep
	}
	if o.olderThan != "" {
		span, err := parseSpan(o.olderThan)
		if err != nil {
			return e, couldNot(fmt.Errorf("--older-than %s: %w", o.olderThan, err), "write it as 30m, 12h or 7d")
		}
		e.AgeMin = span
	}
	return e, nil
}

// parseSpan reads a span of time that is not negative.
func parseSpan(text string) (time.Duration, error) {
	span, err := spec.ParseSpan(text)
	if err == nil && span < 0 {
		err = errors.New("it is negative")
	}
	return span, err
}

// expiryReport is what 'firth expire --json' prints.
type expiryReport struct {
	Table  string `json:"table"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Keep and AgeMin are the policy, for people.
	Keep   int           `json:"-"`
	AgeMin time.Duration `json:"-"`
	commit.Expired
}

func (p *program) expire(ctx context.Context, o expireOptions) error {
	if o.rows || o.column != "" {
		return p.expireRows(ctx, o)
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		policy, err := o.complete(t)
		if err != nil {
			return err
		}
		opts := p.commitOptions()
		opts.Table = t
		committer, err := commit.Open(ctx, l.catalog, l.objects, t.Ident(), opts)
		if err != nil {
			return err
		}
		report := expiryReport{Table: t.String(), DryRun: o.dryRun, Keep: policy.Keep, AgeMin: policy.AgeMin}
		if o.dryRun {
			report.Expired, err = committer.PlanExpiry(ctx, policy)
		} else {
			report.Expired, err = committer.Expire(ctx, policy)
		}
		if err != nil {
			return err
		}
		if err := p.print(report, func(w io.Writer) error { return writeExpiry(w, report) }); err != nil {
			return err
		}
		if report.Left > 0 {
			return fallsShort(fmt.Errorf("%s objects could not be removed", count(int64(report.Left))),
				"no snapshot needs them: 'firth orphans "+t.String()+"' removes them later")
		}
		return nil
	})
}

// snapshots is a number of them.
func snapshots(n int) string {
	if n == 1 {
		return "1 snapshot"
	}
	return count(int64(n)) + " snapshots"
}

// spanText is a span in days, where it is whole days.
func spanText(span time.Duration) string {
	const day = 24 * time.Hour
	if span > 0 && span%day == 0 {
		return fmt.Sprintf("%dd", span/day)
	}
	return span.String()
}

func writeExpiry(w io.Writer, r expiryReport) error {
	if len(r.Snapshots)+len(r.Refs) == 0 {
		_, err := fmt.Fprintf(w, "%s: nothing to expire, snapshots that stay: %s (younger than %s, among the newest %d"+
			" of a branch, or held by a branch or tag: see --older-than and --keep)\n", r.Table, count(int64(r.Kept)),
			spanText(r.AgeMin), r.Keep)
		return err
	}
	verb := "left"
	if r.DryRun {
		verb = "would leave"
	}
	refs := ""
	if len(r.Refs) > 0 {
		refs = " with " + strings.Join(r.Refs, ", ")
	}
	_, err := fmt.Fprintf(w, "%s: %s %s%s, %s stay; %s files, %s manifests and lists, %s statistics\n",
		r.Table, snapshots(len(r.Snapshots)), verb, refs, count(int64(r.Kept)), count(int64(r.Files)),
		count(int64(r.Manifests)), count(int64(r.Statistics)))
	if err == nil && r.DryRun {
		_, err = fmt.Fprintln(w, "\nnothing is changed: leave out --dry-run to expire")
	}
	return err
}
