package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/mapping"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// replayOptions are the flags of dlq replay.
type replayOptions struct {
	lettersOptions
	maps   []string
	dryRun bool
}

func (p *program) dlqReplayCommand() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay TABLE",
		Short: "Make rows of dead letters, once each",
		Long: "Decodes open dead letters by the spec of today and adds their rows, each letter once: one commit\n" +
			"adds rows and counts letters as resolved. --map changes the JSON document first: FIELD = FIELD\n" +
			"(another name), a literal, cast(… as TYPE) or coalesce(…, …); it may be given several times. Letters\n" +
			"that are still no rows stay, and the reasons are printed. Killed and run again it doubles and loses\n" +
			"nothing, and 'firth run' may go on meanwhile. docs/repair.md has more." +
			exitCodes("all became rows", "some stay", "could not replay"),
		Example: example("firth dlq replay db.events --dry-run",
			"firth dlq replay db.events --map \"amount = cast(amount as double)\"",
			"firth dlq replay db.events --where \"error_column = 'user_id'\" --map \"user_id = uid\""),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.dlqReplay(cmd.Context(), o) },
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&o.maps, "map", nil, "change of the JSON document: \"FIELD = …\"")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would become of the letters, and write nothing")
	return cmd
}

// replayReport is what 'firth dlq replay --json' prints.
type replayReport struct {
	Table  string `json:"table"`
	DryRun bool   `json:"dry_run,omitempty"`
	ingest.Replay
}

func (p *program) dlqReplay(ctx context.Context, o replayOptions) error {
	want, err := o.want(p.now())
	if err != nil {
		return err
	}
	changes, err := mapping.Parse(o.maps)
	if err != nil {
		return couldNot(fmt.Errorf("--map %w", err), "docs/repair.md has the language")
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		if _, err := l.openLetters(ctx, t, want); err != nil {
			return err
		}
		f, err := p.newFeeder(l, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			return err
		}
		defer f.close()
		options := ingest.ReplayOptions{Store: l.objects, Query: want.query, Takes: want.takes, DryRun: o.dryRun,
			Now: p.now, NewID: uuid.New, Memory: f.budget, SpillDir: f.spillDir,
			LoadLetters: func(ctx context.Context) (*table.Table, error) {
				return l.catalog.LoadTable(ctx, commit.DeadLettersIdent(t.Ident()))
			}}
		if len(o.maps) > 0 {
			options.Map = changes.Apply
		}
		if options.Sources, err = f.replaySources(ctx, t, o); err != nil {
			return err
		}
		opts := p.commitOptions()
		if options.Committer, err = commit.Open(ctx, l.catalog, l.objects, t.Ident(), opts); err != nil {
			return err
		}
		return p.replay(ctx, t, options)
	})
}

// replaySources are the sources of the table's spec, as far as they say what becomes of a record.
func (f *feeder) replaySources(ctx context.Context, t *table.Table, o replayOptions) ([]ingest.TableOptions, error) {
	s, err := f.specOf(ctx, t)
	if err != nil {
		return nil, couldNot(err, "letters are decoded by the table's spec: write it")
	}
	var out []ingest.TableOptions
	for i, src := range s.Sources {
		if format := decode.Format(src.Format); len(o.maps) > 0 && format != decode.FormatJSON {
			return nil, couldNot(fmt.Errorf("--map changes JSON documents, and %s reads %s", s.File(), src.Format),
				"leave --map out, or change what the spec says of the records")
		}
		options, err := rowOptions(s, i, rowParts{f.schemas, &f.transforms})
		if err != nil {
			return nil, err
		}
		if options.Topics = src.Topics; src.Pattern != "" {
			options.Patterns = []string{src.Pattern}
		}
		out = append(out, options)
	}
	return out, keyless(s)
}

// keyless refuses keyed tables.
func keyless(s *spec.Spec) error {
	if !s.Keyed() {
		return nil
	}
	return couldNot(ingest.ErrReplayKeyed, "have the producer send these records again")
}

func (p *program) replay(ctx context.Context, t *table.Table, options ingest.ReplayOptions) error {
	replayer, err := ingest.NewReplayer(options)
	if err != nil {
		return err
	}
	done, err := replayer.Run(ctx)
	if err != nil {
		remedy := "what was committed stays: run it again, nothing doubles"
		return couldNot(err, remedy)
	}
	report := replayReport{Table: t.String(), DryRun: options.DryRun, Replay: done}
	if err := p.print(report, func(w io.Writer) error { return writeReplay(w, report) }); err != nil {
		return err
	}
	if done.Failed > 0 {
		return fallsShort(errors.New(count(done.Failed)+" dead letters stay"),
			"the reasons are above; 'firth dlq show' prints the letters")
	}
	return nil
}

func writeReplay(w io.Writer, r replayReport) error {
	if r.Letters == 0 {
		_, err := fmt.Fprintf(w, "%s has no such open dead letters\n", r.Table)
		return err
	}
	verb := "became"
	if r.DryRun {
		verb = "would become"
	}
	_, err := fmt.Fprintf(w, "%s: of %s dead letters %s %s rows, %s are left out by the filter, %s stay\n", r.Table,
		count(r.Letters), verb, count(r.Rows), count(r.Filtered), count(r.Failed))
	if err == nil && len(r.Reasons) > 0 {
		var rows [][]string
		for _, reason := range r.Reasons {
			first := fmt.Sprintf("%s-%d@%d", reason.Topic, reason.Partition, reason.Offset)
			rows = append(rows, []string{reason.Class, reason.Column, count(reason.Letters), first, reason.Message})
		}
		err = grid(w, []string{"CLASS", "COLUMN", "STAY", "FIRST", "REASON"}, rows)
	}
	if err == nil && r.DryRun {
		_, err = fmt.Fprintln(w, "\nnothing is changed: leave out --dry-run to replay")
	}
	return err
}
