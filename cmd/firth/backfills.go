package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/backfill"
	"github.com/firthlake/firth/table"
)

// backfillSummary is a line of 'firth backfills'.
type backfillSummary struct {
	Table     string `json:"table"`
	ID        string `json:"id"`
	State     string `json:"state"` // loading, waiting or promoted
	Branch    string `json:"branch,omitempty"`
	Source    string `json:"source,omitempty"`
	Files     int    `json:"files,omitempty"`
	FilesDone int    `json:"files_done,omitempty"`
	Rows      int64  `json:"rows"`
	Filtered  int64  `json:"filtered"`
	Began     string `json:"began,omitempty"`
}

func (p *program) backfillsCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "backfills",
		Short: "List backfills of all tables",
		Long: "Lists the backfills that stand on branches, and those that were promoted." +
			exitCodes("listed", "never", "could not list"),
		Example: example("firth backfills", "firth backfills --json | jq '.[] | select(.state != \"promoted\")'"),
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := p.openLake(cmd.Context(), dir)
			if err != nil {
				return err
			}
			defer l.close()
			return p.listBackfills(cmd.Context(), l)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that a demo made, instead of a configuration")
	return cmd
}

func (p *program) listBackfills(ctx context.Context, l *lake) error {
	out := []backfillSummary{}
	err := l.eachTable(ctx, func(t *table.Table) error {
		some, err := backfillsOf(t)
		out = append(out, some...)
		return err
	})
	if err != nil {
		return err
	}
	return p.print(out, func(w io.Writer) error {
		if len(out) == 0 {
			_, err := fmt.Fprintln(w, "there is no backfill")
			return err
		}
		var rows [][]string
		for _, b := range out {
			files := ""
			if b.Files > 0 {
				files = fmt.Sprintf("%d of %d", b.FilesDone, b.Files)
			}
			rows = append(rows, []string{b.Table, b.ID, b.State, files, count(b.Rows), count(b.Filtered), b.Began,
				b.Source})
		}
		return grid(w, []string{"TABLE", "ID", "STATE", "FILES", "ROWS", "FILTERED", "BEGAN", "SOURCE"}, rows)
	})
}

// eachTable visits all tables of the catalog.
func (l *lake) eachTable(ctx context.Context, visit func(*table.Table) error) error {
	idents, err := allTables(ctx, l.catalog, nil)
	if err != nil {
		return err
	}
	for _, ident := range idents {
		t, err := l.catalog.LoadTable(ctx, ident)
		if errors.Is(err, table.ErrNotFound) {
			continue // dropped meanwhile
		}
		if err != nil {
			return err
		}
		if err := visit(t); err != nil {
			return err
		}
	}
	return nil
}

func backfillsOf(t *table.Table) ([]backfillSummary, error) {
	held, err := backfill.Branches(t)
	if err != nil {
		return nil, err
	}
	var out []backfillSummary
	for _, h := range held {
		b := backfillSummary{Table: t.String(), ID: h.State.ID, State: "loading", Branch: h.Branch,
			Source: h.State.Plan.Pattern, Files: h.State.Files, FilesDone: h.State.FilesDone,
			Began: h.State.Began.Format(time.RFC3339)}
		if h.State.Whole() {
			b.State = "waiting"
		}
		b.Rows, b.Filtered = h.State.Rows()
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b backfillSummary) int { return cmp.Compare(a.Began, b.Began) })
	ledger, err := commit.ReadLedger(t.Metadata())
	if err != nil {
		return nil, fmt.Errorf("read ledger of %s: %w", t, err)
	}
	promoted := backfill.PromotedIn(ledger)
	for _, id := range slices.Sorted(maps.Keys(promoted)) {
		counts := promoted[id].Counts
		out = append(out, backfillSummary{Table: t.String(), ID: id, State: "promoted", Rows: counts.Inserted,
			Filtered: counts.Filtered})
	}
	return out, nil
}

// heldBackfill is a backfill on a branch of a table.
type heldBackfill struct {
	backfill.Held
	table *table.Table
	// promoted says that it is in main of table, and on no branch.
	promoted bool
}

// findBackfill looks for a backfill by its id in all tables.
func (l *lake) findBackfill(ctx context.Context, id string) (heldBackfill, error) {
	var out heldBackfill
	err := l.eachTable(ctx, func(t *table.Table) error {
		held, err := backfill.Branches(t)
		if err != nil {
			return err
		}
		for _, h := range held {
			if h.State.ID == id {
				out = heldBackfill{Held: h, table: t}
				return nil
			}
		}
		ledger, err := commit.ReadLedger(t.Metadata())
		if err != nil {
			return fmt.Errorf("read ledger of %s: %w", t, err)
		}
		if _, ok := backfill.PromotedIn(ledger)[id]; ok {
			out = heldBackfill{table: t, promoted: true}
		}
		return nil
	})
	if err == nil && out.table == nil {
		err = couldNot(fmt.Errorf("there is no backfill %s", id),
			"'firth backfills' lists them; it may have been abandoned")
	}
	return out, err
}

// withBackfill opens the configuration and finds the backfill of a command.
func (p *program) withBackfill(ctx context.Context, dir, id string, act func(*lake, heldBackfill) error) error {
	l, err := p.openLake(ctx, dir)
	if err != nil {
		return err
	}
	defer l.close()
	found, err := l.findBackfill(ctx, id)
	if err != nil {
		return err
	}
	if found.promoted {
		return p.tellPromoted(backfillReport{Table: found.table.String(), ID: id},
			fmt.Errorf("backfill %s: %w", id, backfill.ErrPromoted))
	}
	return act(l, found)
}

func (p *program) backfillResumeCommand() *cobra.Command {
	var o backfillOptions
	cmd := &cobra.Command{
		Use:   "resume ID",
		Short: "Go on with a backfill that stopped",
		Long: "Goes on where the backfill stopped, with what it was begun with." +
			exitCodes("promoted, waiting, or promoted before", "a check does not hold", "could not load"),
		Example: example("firth backfill resume 4f2a90c1d7e3", "firth backfill resume 4f2a90c1d7e3 --rate 20MiB"),
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.from, o.mode = "files", "append"
			if err := o.validate(); err != nil {
				return err
			}
			return p.withBackfill(cmd.Context(), o.dir, args[0], func(l *lake, found heldBackfill) error {
				o.plan = found.State.Plan
				s, err := specOfBackfill(l, found.table)
				if err != nil {
					return err
				}
				return p.load(cmd.Context(), l, found.table, s, o)
			})
		},
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "folder that a demo made, instead of a configuration")
	p.addLoading(cmd, &o)
	return cmd
}

func (p *program) backfillPromoteCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "promote ID",
		Short: "Bring the rows of a backfill into main",
		Long: "Runs the checks of the backfill and, if they hold, brings its rows into main in one commit." +
			exitCodes("promoted, now or before", "a check does not hold", "could not promote"),
		Example: example("firth backfill promote 4f2a90c1d7e3"),
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withBackfill(cmd.Context(), dir, args[0], func(l *lake, found heldBackfill) error {
				return p.promoteBackfill(cmd.Context(), l, found)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that a demo made, instead of a configuration")
	return cmd
}

func (p *program) promoteBackfill(ctx context.Context, l *lake, found heldBackfill) error {
	committer, err := commit.Open(ctx, l.catalog, l.objects, found.table.Ident(), p.commitOptions())
	if err != nil {
		return err
	}
	b, err := backfill.OpenHeld(ctx, backfill.Options{Committer: committer, Store: l.objects, Now: p.now}, found.Held)
	if err != nil {
		return backfillFailure(err)
	}
	return p.finishBackfill(ctx, b, promoteNow,
		backfillReport{Table: found.table.String(), ID: b.ID(), Branch: b.Branch()})
}

func (p *program) backfillAbandonCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "abandon ID",
		Short: "Take a backfill away that is not promoted",
		Long: "Drops the branch of the backfill and removes its files." +
			exitCodes("abandoned, or promoted before", "never", "could not abandon"),
		Example: example("firth backfill abandon 4f2a90c1d7e3"),
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withBackfill(cmd.Context(), dir, args[0], func(l *lake, found heldBackfill) error {
				return p.abandonBackfill(cmd.Context(), l, found)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that a demo made, instead of a configuration")
	return cmd
}

func (p *program) abandonBackfill(ctx context.Context, l *lake, found heldBackfill) error {
	committer, err := commit.Open(ctx, l.catalog, l.objects, found.table.Ident(), p.commitOptions())
	if err != nil {
		return err
	}
	if err := backfill.Abandon(ctx, committer, found.Held); err != nil {
		return backfillFailure(err)
	}
	report := backfillReport{Table: found.table.String(), ID: found.State.ID, Branch: found.Branch, Abandoned: true}
	report.count(found.State)
	return p.print(report, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: backfill %s is abandoned: branch %s is gone, with %s rows\n", report.Table,
			report.ID, report.Branch, count(report.Rows))
		return err
	})
}
