package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
)

// rollbackOptions are the flags of rollback.
type rollbackOptions struct {
	tableFlags
	to                 string
	dryRun, yes, force bool
}

// rollbackReport is what 'firth rollback --json' prints.
type rollbackReport struct {
	Table  string `json:"table"`
	DryRun bool   `json:"dry_run,omitempty"`
	// From was the newest snapshot, To is what the table holds again, SnapshotID the new snapshot that does.
	From       int64  `json:"from_snapshot_id"`
	To         int64  `json:"to_snapshot_id"`
	Committed  string `json:"to_committed"`
	SnapshotID int64  `json:"snapshot_id,omitempty"`
	// Snapshots are undone, of which Foreign are of other writers.
	Snapshots  int              `json:"snapshots"`
	Foreign    int              `json:"foreign_snapshots"`
	RowsBefore int64            `json:"rows_before"`
	RowsAfter  int64            `json:"rows_after"`
	FilesGone  int64            `json:"files_gone"`
	FilesBack  int64            `json:"files_back"`
	ReadAgain  []readAgainEntry `json:"read_again"`
}

// readAgainEntry is the offsets of one topic partition that are read again.
type readAgainEntry struct {
	Cluster   string        `json:"cluster"`
	Topic     string        `json:"topic"`
	Partition int32         `json:"partition"`
	From      commit.Offset `json:"from"`
	Next      commit.Offset `json:"next"`
	// Rows are those that the offsets added or changed.
	Rows int64 `json:"rows"`
}

func (p *program) rollbackCommand() *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback TABLE --to SNAPSHOT|TIME|TAG",
		Short: "Bring a table back to what an earlier snapshot held, and read on from there",
		Long: "Brings the table back to what an earlier snapshot held, and its position in its topics with it, in\n" +
			"one commit. The records that were read behind that snapshot are read again by 'firth run', by one that\n" +
			"runs already within seconds, and each is in the table once afterwards. So the topics must still have\n" +
			"them, which is asked before anything changes. Rows of other writers are read again by nobody: --force\n" +
			"lets them go. What compaction and expiry of rows did behind the snapshot is undone, too." +
			exitCodes("rolled back, or shown by --dry-run", "the answer was no", "could not roll back"),
		Example: example("firth rollback db.events --to 6519228406237126511 --dry-run",
			"firth rollback db.events --to 2026-01-31T12:00:00Z",
			"firth rollback db.events --to before-the-deploy --yes --json | jq .read_again"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.rollback(cmd.Context(), o) },
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.to, "to", "", "a snapshot's id, the time as of which, or a tag")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would go, and change nothing")
	flags.BoolVar(&o.force, "force", false, "let commits of other writers go, too")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (p *program) rollback(ctx context.Context, o rollbackOptions) error {
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		target, err := snapshotTo(t, o.to)
		if err != nil {
			return err
		}
		opts := p.commitOptions()
		opts.Table = t
		committer, err := commit.Open(ctx, l.catalog, l.objects, t.Ident(), opts)
		if err != nil {
			return err
		}
		return p.rollBack(ctx, l, committer, commit.Rollback{SnapshotID: target, Force: o.force}, o)
	})
}

// rollBack shows what goes, asks the topics whether they have it, and the person whether it may.
func (p *program) rollBack(
	ctx context.Context, l *lake, committer *commit.Committer, r commit.Rollback, o rollbackOptions,
) error {
	done, err := committer.PlanRollback(ctx, r)
	if err != nil {
		return err
	}
	if err := p.canReadAgain(ctx, l, done.Ranges, o.tableFlags); err != nil {
		return err
	}
	if !o.dryRun && !o.yes && !p.json {
		if err := writeRollback(p.stderr, reportRollback(o, done)); err != nil {
			return err
		}
	}
	if !o.dryRun {
		if !o.yes {
			if err := p.confirm(fmt.Sprintf("Roll %s back to snapshot %d?", o.table, r.SnapshotID)); err != nil {
				return err
			}
		}
		if done, err = committer.Rollback(ctx, r); err != nil {
			return err
		}
	}
	report := reportRollback(o, done)
	return p.print(report, func(w io.Writer) error { return writeRollback(w, report) })
}

// snapshotTo finds the snapshot that --to names.
func snapshotTo(t *table.Table, to string) (int64, error) {
	if to == "" {
		return 0, couldNot(errors.New("--to is missing"), "'firth describe "+t.String()+"' lists the snapshots")
	}
	if id, err := strconv.ParseInt(to, 10, 64); err == nil {
		return id, nil
	}
	meta := t.Metadata()
	at, err := time.Parse(time.RFC3339, to)
	if err != nil {
		if s := meta.SnapshotByName(to); s != nil && to != icetable.MainBranch {
			return s.SnapshotID, nil
		}
		return 0, couldNot(fmt.Errorf("--to %q is no snapshot, no time and no tag of %s", to, t),
			"write an id that 'firth describe' lists, a time as 2026-01-31T12:00:00Z, or a tag")
	}
	for s := range commit.Standing(meta) {
		if s.TimestampMs <= at.UnixMilli() {
			return s.SnapshotID, nil
		}
	}
	return 0, couldNot(fmt.Errorf("%s has no snapshot from %s or before", t, at.UTC().Format(time.RFC3339)),
		"'firth describe "+t.String()+"' lists those that are left")
}

// canReadAgain asks the topics whether they still have the offsets.
func (p *program) canReadAgain(
	ctx context.Context, l *lake, ranges map[commit.TopicPartition]commit.Range, f tableFlags,
) error {
	kept := commit.Position{}
	for _, tp := range sortedByTopic(ranges) {
		if _, asked := kept[tp]; !asked {
			first, err := p.offsetsIn(ctx, l, tp, f, source.Start{Kind: source.StartEarliest})
			if err != nil {
				return err
			}
			maps.Copy(kept, first)
		}
		if from, first := ranges[tp].From, kept[tp]; first > from {
			return couldNot(fmt.Errorf("%s is needed from offset %d on, and the topic has it from %d on: %d records "+
				"would be lost; nothing was changed", tp, from, first, first-from),
				"go back to a later snapshot, or read the rows from the table as of now before")
		}
	}
	return nil
}

func sortedByTopic(ranges map[commit.TopicPartition]commit.Range) []commit.TopicPartition {
	return slices.SortedFunc(maps.Keys(ranges), commit.TopicPartition.Compare)
}

func reportRollback(o rollbackOptions, done commit.RolledBack) rollbackReport {
	out := rollbackReport{Table: o.table, DryRun: o.dryRun, From: done.From, To: done.To,
		Committed: stamp(done.At.UnixMilli()), SnapshotID: done.SnapshotID, Snapshots: done.Snapshots,
		Foreign: done.Others, RowsBefore: done.Before.Live(), RowsAfter: done.After.Live(),
		FilesGone: done.FilesGone, FilesBack: done.FilesBack, ReadAgain: []readAgainEntry{}}
	for _, tp := range sortedByTopic(done.Ranges) {
		r := done.Ranges[tp]
		out.ReadAgain = append(out.ReadAgain, readAgainEntry{Cluster: tp.Cluster, Topic: tp.Topic,
			Partition: tp.Partition, From: r.From, Next: r.Next,
			Rows: r.Counts.Inserted + r.Counts.Updated + r.Counts.Deleted})
	}
	return out
}

func writeRollback(w io.Writer, r rollbackReport) error {
	verb := "goes back"
	if r.SnapshotID != 0 {
		verb = "is back"
	}
	others := ""
	if r.Foreign > 0 {
		others = fmt.Sprintf(" (%d of other writers, whose rows nobody reads again)", r.Foreign)
	}
	_, err := fmt.Fprintf(w, "%s %s at snapshot %d of %s: %s undone%s\n%s rows before, %s after; %s files leave, "+
		"%s come back\n", r.Table, verb, r.To, r.Committed, snapshots(r.Snapshots), others, count(r.RowsBefore),
		count(r.RowsAfter), count(r.FilesGone), count(r.FilesBack))
	if err != nil {
		return err
	}
	if len(r.ReadAgain) > 0 {
		var rows [][]string
		for _, e := range r.ReadAgain {
			rows = append(rows, []string{e.Topic, fmt.Sprint(e.Partition), fmt.Sprint(e.From),
				fmt.Sprint(e.Next - 1), count(e.Rows)})
		}
		fmt.Fprintln(w, "\nread again:")
		if err := grid(w, []string{"TOPIC", "PARTITION", "FROM", "TO", "ROWS"}, rows); err != nil {
			return err
		}
	}
	if r.DryRun {
		_, err = fmt.Fprintln(w, "\nnothing is changed: leave out --dry-run to roll back")
	}
	return err
}
