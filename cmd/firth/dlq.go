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

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/letters"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// lettersOptions are the flags of dlq's commands that say which letters are meant.
type lettersOptions struct {
	tableFlags
	where, since string
}

func (o *lettersOptions) add(cmd *cobra.Command) {
	o.tableFlags.add(cmd)
	cmd.Flags().StringVar(&o.where, "where", "", "predicate over the columns of the dead-letter table")
	cmd.Flags().StringVar(&o.since, "since", "", "only letters of so late: 24h, 7d, or a time (RFC 3339)")
}

func (p *program) dlqCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "List, show and replay dead letters",
		Long: "Works on the records of a table that could not become rows. docs/repair.md tells how." +
			exitCodes("done", "some letters stay", "could not"),
		Example: example("firth dlq list db.events", "firth dlq show db.events --limit 3",
			"firth dlq replay db.events --map \"amount = cast(amount as double)\" --dry-run"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.dlqListCommand(), p.dlqShowCommand(), p.dlqReplayCommand())
	return cmd
}

func (p *program) dlqListCommand() *cobra.Command {
	var o lettersOptions
	cmd := &cobra.Command{
		Use:   "list TABLE",
		Short: "Count dead letters by class and topic",
		Long: "Counts the dead letters of a table by error class and topic, open ones and those that a replay\n" +
			"has resolved, with the first and the last time that one came. --where takes a predicate in the\n" +
			"language of filters over the columns of TABLE__dead_letters." +
			exitCodes("listed", "never", "no such table, or could not read"),
		Example: example("firth dlq list db.events", "firth dlq list db.events --since 24h",
			"firth dlq list db.events --where \"topic = 'events'\" --json"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.dlqList(cmd.Context(), o) },
	}
	o.add(cmd)
	return cmd
}

// letterCount is a line of 'firth dlq list'.
type letterCount struct {
	Class    decode.Class `json:"class"`
	Topic    string       `json:"topic"`
	Open     int64        `json:"open"`
	Resolved int64        `json:"resolved"`
	First    time.Time    `json:"first"`
	Last     time.Time    `json:"last"`
}

func (p *program) dlqList(ctx context.Context, o lettersOptions) error {
	return p.withLetters(ctx, o, func(box *letters.Box, want wantedLetters) error {
		counts, err := countLetters(ctx, box, want)
		if err != nil {
			return err
		}
		return p.print(counts, func(w io.Writer) error { return writeLetterCounts(w, o.table, counts) })
	})
}

func writeLetterCounts(w io.Writer, name string, counts []letterCount) error {
	if len(counts) == 0 {
		_, err := fmt.Fprintf(w, "%s has no such dead letters\n", name)
		return err
	}
	var rows [][]string
	for _, c := range counts {
		rows = append(rows, []string{string(c.Class), c.Topic, count(c.Open), count(c.Resolved),
			c.First.Format(time.RFC3339), c.Last.Format(time.RFC3339)})
	}
	return grid(w, []string{"CLASS", "TOPIC", "OPEN", "RESOLVED", "FIRST", "LAST"}, rows)
}

// countLetters sorts what it counts by class and topic.
func countLetters(ctx context.Context, box *letters.Box, want wantedLetters) ([]letterCount, error) {
	type group struct {
		class decode.Class
		topic string
	}
	groups := map[group]*letterCount{}
	want.query.Columns = []string{"ingested_at"}
	for l, err := range box.Letters(ctx, want.query) {
		if err != nil {
			return nil, err
		}
		if !want.takes(&l) {
			continue
		}
		g := groups[group{l.Class, l.Topic}]
		if g == nil {
			g = &letterCount{Class: l.Class, Topic: l.Topic, First: l.IngestedAt}
			groups[group{l.Class, l.Topic}] = g
		}
		if box.IsResolved(&l) {
			g.Resolved++
		} else {
			g.Open++
		}
		if l.IngestedAt.Before(g.First) {
			g.First = l.IngestedAt
		}
		if l.IngestedAt.After(g.Last) {
			g.Last = l.IngestedAt
		}
	}
	out := []letterCount{}
	for g := range maps.Values(groups) {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b letterCount) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Topic, b.Topic))
	})
	return out, nil
}

// wantedLetters are the letters that the flags ask for.
type wantedLetters struct {
	query letters.Query
	since time.Time
}

func (w wantedLetters) takes(l *letters.Letter) bool { return !l.IngestedAt.Before(w.since) }

// want reads the flags.
func (o lettersOptions) want(now time.Time) (w wantedLetters, err error) {
	if o.where != "" {
		if w.query.Where, err = filter.Parse(o.where); err != nil {
			return w, couldNot(fmt.Errorf("--where: %w", err), "docs/operations.md has the language")
		}
	}
	if o.since == "" {
		return w, nil
	}
	if span, err := parseSpan(o.since); err == nil {
		w.since = now.Add(-span)
	} else if w.since, err = time.Parse(time.RFC3339, o.since); err != nil {
		return w, couldNot(fmt.Errorf("--since %s is neither a span nor a time", o.since),
			"write it as 24h, 7d or 2026-01-31T12:00:00Z")
	}
	return w, nil
}

// withLetters opens the dead letters of a table. One without a table for them has none.
func (p *program) withLetters(
	ctx context.Context, o lettersOptions, act func(box *letters.Box, want wantedLetters) error,
) error {
	want, err := o.want(p.now())
	if err != nil {
		return err
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		box, err := l.openLetters(ctx, t, want)
		if err != nil {
			return err
		}
		return act(box, want)
	})
}

func (l *lake) openLetters(ctx context.Context, t *table.Table, want wantedLetters) (*letters.Box, error) {
	dead, err := l.deadLetters(ctx, t)
	if err != nil {
		return nil, err
	}
	if dead == nil {
		return nil, couldNot(fmt.Errorf("table %s has no dead-letter table", t),
			"it has one once 'firth run' reads its spec with a policy of quarantine")
	}
	if want.query.Where != nil {
		if _, err := filter.Bind(want.query.Where, dead.Metadata().CurrentSchema()); err != nil {
			return nil, couldNot(fmt.Errorf("--where: %w", err), "'firth describe "+dead.String()+"' lists the columns")
		}
	}
	box, err := letters.Open(ctx, l.objects, dead)
	if errors.Is(err, table.ErrNotFound) {
		return nil, couldNot(err, "'firth verify "+t.String()+"' says what is missing")
	}
	return box, err
}
