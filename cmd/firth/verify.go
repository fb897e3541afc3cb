package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/table"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	tableFlags
	deep       bool
	filesOnly  bool
	requireLog bool
	log        verify.Log // nil leaves the topics out
	progress   func(done, total int)
	changesOf  *table.Table // nil unless the table holds changes
}

func (p *program) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify TABLE",
		Short: "Prove that a table holds each record once",
		Long: "Proves from the table's own metadata that the ranges of offsets tile without gap or overlap and that\n" +
			"their counts are the rows of the files. --deep also recounts rows and checksums from the files\n" +
			"and, where the topic still has the records, from Kafka. Topics that cannot be read are a note, or\n" +
			"with --require-log an error. With --dir the folder's broker is started when no demo runs on it.\n" +
			"docs/verify.md has the kinds of fault." +
			exitCodes("proven", "falls short, and says where", "could not check"),
		Example: example("firth verify db.events", "firth verify db.events --deep",
			"firth verify db.events --dir firth-demo --json | jq .proven"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.verify(cmd.Context(), o) },
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&o.deep, "deep", false, "recount from the files and from Kafka")
	cmd.Flags().BoolVar(&o.filesOnly, "files-only", false,
		"with --deep: leave Kafka out, as after a change of filter or policies")
	cmd.Flags().BoolVar(&o.requireLog, "require-log", false,
		"with --deep: end with code 2 when Kafka cannot be read")
	cmd.MarkFlagsMutuallyExclusive("files-only", "require-log")
	return cmd
}

func (p *program) verify(ctx context.Context, o verifyOptions) error {
	if (o.filesOnly || o.requireLog) && !o.deep {
		return couldNot(errors.New("--files-only and --require-log say how --deep recounts, and it is not given"),
			"add --deep, or leave them out: without it neither files nor topics are read")
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		return p.proveTable(ctx, l, t, o)
	})
}

// proveTable verifies a table and prints the report.
func (p *program) proveTable(ctx context.Context, l *lake, t *table.Table, o verifyOptions) error {
	bar := p.progress("files", 0)
	defer bar.close()
	o.progress = func(done, total int) {
		bar.total = int64(total)
		bar.at(int64(done), "")
	}
	var notes []string
	source, err := l.sourceOfChanges(ctx, t)
	if err != nil {
		return err
	}
	if o.deep && !o.filesOnly && source == nil {
		topics, err := p.openTopicLog(ctx, l, o, t)
		if err != nil {
			return err
		}
		defer topics.close()
		notes = topics.notes
		if len(topics.readers) > 0 {
			o.log = topics.recounter
		}
	}
	o.changesOf = source
	report, err := verifyTable(ctx, l, t, o)
	if err != nil {
		return err
	}
	report.Notes = append(report.Notes, notes...)
	bar.close()
	if err := p.print(report, func(w io.Writer) error { return writeProof(w, report) }); err != nil {
		return err
	}
	if !report.Proven {
		return fallsShort(fmt.Errorf("%s is not proven: %d faults", o.table, len(report.Faults)),
			"the report names partition, offsets, snapshot and file of each")
	}
	return nil
}

// verifyTable checks a table together with its dead letters.
func verifyTable(ctx context.Context, l *lake, t *table.Table, o verifyOptions) (*verify.Report, error) {
	letters, err := l.deadLetters(ctx, t)
	if err != nil {
		return nil, err
	}
	return verify.Check(ctx, t, l.objects, verify.Options{Deep: o.deep, Log: o.log, LogRequired: o.requireLog,
		DeadLetters: letters, ChangesOf: o.changesOf, Progress: o.progress})
}

// sourceOfChanges loads the table whose changes t holds, nil when it holds none.
func (l *lake) sourceOfChanges(ctx context.Context, t *table.Table) (*table.Table, error) {
	name := t.Metadata().Properties()[commit.PropertyChangelogOf]
	if name == "" {
		return nil, nil
	}
	ident, err := table.ParseIdent(name)
	if err != nil {
		return nil, fmt.Errorf("table %s: property %s: %w", t, commit.PropertyChangelogOf, err)
	}
	return l.catalog.LoadTable(ctx, ident)
}

// deadLetters loads the dead-letter table of t, nil when there is none.
func (l *lake) deadLetters(ctx context.Context, t *table.Table) (*table.Table, error) {
	letters, err := l.catalog.LoadTable(ctx, commit.DeadLettersIdent(t.Ident()))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return letters, err
}

// writeProof prints a report for people.
func writeProof(w io.Writer, r *verify.Report) error {
	var rows [][]string
	for _, t := range r.Partitions {
		rows = append(rows, []string{t.Topic, strconv.Itoa(int(t.Partition)), count(int64(t.From)),
			count(int64(t.Next)),
			count(t.Counts.Inserted), count(t.Counts.DeadLetters),
			count(t.Counts.Sum() - t.Counts.Inserted - t.Counts.DeadLetters)})
	}
	if err := grid(w, []string{"TOPIC", "PARTITION", "FROM", "NEXT", "ROWS", "DEAD LETTERS", "OTHER"},
		rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s rows in %s files, %d snapshots, %d gaps, %d overlaps\n", count(r.Files.Rows),
		count(int64(r.Files.Data)), r.Snapshots, r.Gaps, r.Overlaps)
	if r.Files.ForeignData > 0 {
		fmt.Fprintf(w, "%s rows in %d files are others'\n", count(r.Files.ForeignRows), r.Files.ForeignData)
	}
	if r.Keys > 0 {
		fmt.Fprintf(w, "%s keys were compared with their last versions in the topics\n", count(r.Keys))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	for _, f := range r.Faults {
		fmt.Fprintf(w, "FAULT %s\n", f)
	}
	if r.Proven {
		_, err := fmt.Fprintf(w, "%s is proven\n", r.Table)
		return err
	}
	_, err := fmt.Fprintf(w, "%s is NOT PROVEN: %d faults\n", r.Table, len(r.Faults))
	return err
}
