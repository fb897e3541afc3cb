package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction/rowexpiry"
	"github.com/firthlake/firth/table"
)

// age is what the flags say of rows.
func (o *expireOptions) age() (commit.RowAge, error) {
	const remedy = "write --rows --column ts --older-than 90d"
	if !o.rows || o.column == "" || o.olderThan == "" || o.keepGiven {
		return commit.RowAge{}, couldNot(errors.New("--rows goes with --column and --older-than, not with --keep"),
			remedy)
	}
	span, err := parseSpan(o.olderThan)
	if err == nil && span == 0 {
		err = errors.New("it is no age")
	}
	if err != nil {
		return commit.RowAge{}, couldNot(fmt.Errorf("--older-than %s: %w", o.olderThan, err), remedy)
	}
	return commit.RowAge{Column: o.column, After: span}, nil
}

// rowExpiryReport is what 'firth expire --rows --json' prints.
type rowExpiryReport struct {
	Table  string `json:"table"`
	DryRun bool   `json:"dry_run,omitempty"`
	Column string `json:"column"`
	rowexpiry.Report
}

func (p *program) expireRows(ctx context.Context, o expireOptions) error {
	age, err := o.age()
	if err != nil {
		return err
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		if _, err := age.Field(t.Metadata().CurrentSchema()); err != nil {
			return couldNot(fmt.Errorf("--column: %w", err), "'firth describe "+t.String()+"' lists the columns")
		}
		opts := p.commitOptions()
		opts.Table = t
		committer, err := commit.Open(ctx, l.catalog, l.objects, t.Ident(), opts)
		if err != nil {
			return err
		}
		expirer, err := rowexpiry.New(committer, l.objects, rowexpiry.Options{DryRun: o.dryRun, Now: p.now,
			NewID: uuid.New})
		if err != nil {
			return err
		}
		report, err := expirer.Run(ctx, age)
		if errors.Is(err, commit.ErrStale) {
			return fallsShort(err, "what left stays out: try again later")
		}
		if err != nil {
			return err
		}
		out := rowExpiryReport{Table: t.String(), DryRun: o.dryRun, Column: age.Column, Report: report}
		return p.print(out, func(w io.Writer) error { return writeRowExpiry(w, out) })
	})
}

func writeRowExpiry(w io.Writer, r rowExpiryReport) error {
	at := r.Before.UTC().Format("2006-01-02 15:04:05Z")
	if r.Rows == 0 {
		_, err := fmt.Fprintf(w, "%s: no row lies before %s\n", r.Table, at)
		return err
	}
	verb := "left"
	if r.DryRun {
		verb = "would leave"
	}
	_, err := fmt.Fprintf(w, "%s: %s rows before %s %s, with %s files as a whole and from %s others\n", r.Table,
		count(r.Rows), at, verb, count(int64(r.Files)), count(int64(r.Touched)))
	if err == nil && r.DryRun {
		_, err = fmt.Fprintln(w, "\nnothing is changed: leave out --dry-run to expire")
	}
	return err
}
