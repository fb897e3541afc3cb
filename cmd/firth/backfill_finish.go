package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/backfill"
	"github.com/firthlake/firth/table"
)

// backfillReport is what 'firth backfill --json' prints.
type backfillReport struct {
	Table  string `json:"table"`
	ID     string `json:"id"`
	Branch string `json:"branch"`
	DryRun bool   `json:"dry_run,omitempty"`

	Files    int                `json:"files"`
	Bytes    int64              `json:"bytes"`
	Rows     int64              `json:"rows"`
	Filtered int64              `json:"filtered"`
	Checks   []backfill.Verdict `json:"checks"`
	// Promoted says that the rows are in main, Before that they were before this command.
	Promoted   bool  `json:"promoted"`
	Before     bool  `json:"promoted_before,omitempty"`
	Abandoned  bool  `json:"abandoned,omitempty"`
	SnapshotID int64 `json:"snapshot_id,omitempty"`
}

func (r *backfillReport) count(s backfill.State) {
	r.Files, r.Bytes = s.Files, s.Bytes
	r.Rows, r.Filtered = s.Rows()
}

// tellPromoted prints that there is nothing to do.
func (p *program) tellPromoted(report backfillReport, err error) error {
	report.Promoted, report.Before = true, true
	return p.print(report, func(w io.Writer) error {
		_, printErr := fmt.Fprintf(w, "%s: nothing to do: %v\n", report.Table, err)
		return printErr
	})
}

// promotion is whether a backfill is promoted when its checks hold.
type promotion int

const (
	promoteLater promotion = iota
	promoteNow
)

// finishBackfill checks what is on the branch, and promotes it.
func (p *program) finishBackfill(ctx context.Context, b *backfill.Backfill, when promotion, report backfillReport,
) error {
	report.count(b.State())
	var err error
	if when == promoteNow {
		var done commit.Committed
		if done, report.Checks, err = b.Promote(ctx); err == nil {
			report.Promoted, report.SnapshotID = true, done.SnapshotID
		}
	} else {
		report.Checks, err = b.Check(ctx)
	}
	if errors.Is(err, backfill.ErrPromoted) {
		return p.tellPromoted(report, err)
	}
	if err != nil && !errors.Is(err, backfill.ErrCheck) {
		return backfillFailure(err)
	}
	if printErr := p.print(report, func(w io.Writer) error { return report.write(w) }); printErr != nil {
		return printErr
	}
	if err != nil {
		return fallsShort(err, fmt.Sprintf("branch %s stays for you to read: 'firth backfill abandon %s' takes it"+
			" away, or run the command again with other checks", report.Branch, report.ID))
	}
	return nil
}

func (r *backfillReport) write(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: backfill %s: %s files of %s, %s rows, %s filtered\n", r.Table, r.ID, count(int64(r.Files)),
		size(r.Bytes), count(r.Rows), count(r.Filtered))
	for _, v := range r.Checks {
		fmt.Fprintf(&text, "  %-5s %s\n", map[bool]string{true: "holds", false: "FAILS"}[v.Holds], v.Check)
	}
	if r.Promoted {
		fmt.Fprintf(&text, "promoted: the rows are in main, snapshot %d\n", r.SnapshotID)
	} else {
		fmt.Fprintf(&text, "not promoted: the rows are on branch %s; 'firth backfill promote %s' brings them into"+
			" main\n", r.Branch, r.ID)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// listedMax is how many files of a source are named.
const listedMax = 20

func (r *backfillReport) writePlan(w io.Writer, files backfill.Listing) error {
	var rows [][]string
	for i, f := range files.Files {
		if i == listedMax {
			rows = append(rows, []string{fmt.Sprintf("and %s more", count(int64(len(files.Files)-i))), ""})
			break
		}
		rows = append(rows, []string{f.Location, size(f.Size)})
	}
	if err := grid(w, []string{"FILE", "SIZE"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s: backfill %s would load %s files of %s onto branch %s; their first rows fit\n"+
		"nothing is written: leave out --dry-run to load\n", r.Table, r.ID, count(int64(r.Files)), size(r.Bytes),
		r.Branch)
	return err
}

// backfillFailure says what a person can do.
func backfillFailure(err error) error {
	for _, r := range []struct {
		kind   error
		remedy string
	}{
		{backfill.ErrSource, "nothing of the file is on the branch: correct the file or the flags, and run the" +
			" command again"},
		{backfill.ErrUnfit, "write the rows to its topic, or load them into another table"},
		{backfill.ErrChanged, "'firth backfills' lists it"},
		{backfill.ErrUnfinished, "'firth backfill resume ID' goes on"},
		{commit.ErrBranch, "'firth backfills' says where it stands; another process may be at work on it:" +
			" run the command again when that is done"},
		{table.ErrStateUnknown, "run the command again: what landed is recognised"},
		{context.Canceled, "run the command again: it goes on where it stopped"},
	} {
		if errors.Is(err, r.kind) {
			return couldNot(err, r.remedy)
		}
	}
	return err
}
