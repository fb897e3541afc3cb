package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
)

// lossReport is what 'firth accept-loss --json' prints.
type lossReport struct {
	Table      string        `json:"table"`
	Topic      string        `json:"topic"`
	Partition  int32         `json:"partition"`
	From       commit.Offset `json:"from"`
	Next       commit.Offset `json:"next"`
	Lost       int64         `json:"lost"`
	SnapshotID int64         `json:"snapshot_id"`
}

// lossOptions are the flags of accept-loss.
type lossOptions struct {
	tableFlags
	topic     string
	partition int32
	to        int64
	yes       bool
}

func (p *program) acceptLossCommand() *cobra.Command {
	o := lossOptions{}
	cmd := &cobra.Command{
		Use:   "accept-loss TABLE",
		Short: "Record in the ledger that records are gone for ever",
		Long: "When a topic's retention has removed records that a table had not read yet, ingest refuses to go\n" +
			"on. This command records the missing offsets as lost, so that the ledger stays whole and ingest\n" +
			"goes on behind them. 'firth verify' reports them for ever. Records that the topic still has cannot\n" +
			"be given up, so the cluster must answer." +
			exitCodes("recorded", "the answer was no", "could not record"),
		Example: example("firth accept-loss db.events --topic events --partition 3 --to 120000"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.acceptLoss(cmd.Context(), o) },
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.topic, "topic", "", "topic whose records are gone")
	flags.Int32Var(&o.partition, "partition", -1, "partition of the topic")
	flags.Int64Var(&o.to, "to", -1, "first offset that is still there")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (p *program) acceptLoss(ctx context.Context, o lossOptions) error {
	if o.topic == "" || o.partition < 0 || o.to < 0 {
		return couldNot(errors.New("--topic, --partition and --to are needed"),
			"the message of 'firth run' that refused to go on names all three")
	}
	return p.withTable(ctx, o.tableFlags, func(l *lake, t *table.Table) error {
		return p.recordLoss(ctx, l, t, o)
	})
}

// recordLoss asks the topic what is gone, and records that.
func (p *program) recordLoss(ctx context.Context, l *lake, t *table.Table, o lossOptions) error {
	committer, err := commit.Open(ctx, l.catalog, l.objects, t.Ident(), p.commitOptions())
	if err != nil {
		return err
	}
	tp, from, err := findPartition(committer.Position(), o)
	if err != nil {
		return err
	}
	next := commit.Offset(o.to)
	if next <= from {
		return couldNot(fmt.Errorf("%s stands at %d in %s: nothing before %d is missing", o.table, from, tp,
			o.to), "")
	}
	first, err := p.firstKept(ctx, l, tp, o)
	if err != nil {
		return err
	}
	if first <= from {
		return couldNot(fmt.Errorf("nothing is lost: %s stands at %d in %s, and the topic still has that offset",
			o.table, from, tp), "'firth run' goes on from there")
	}
	if next > first {
		return couldNot(fmt.Errorf("the topic still has %s from offset %d on", tp, first),
			fmt.Sprintf("only what is gone can be given up: give --to %d", first))
	}
	question := fmt.Sprintf("Record offsets %d to %d of %s (%s records) as lost in %s?", from, next-1, tp,
		count(int64(next-from)), o.table)
	if !o.yes {
		if err := p.confirm(question); err != nil {
			return err
		}
	}
	done, err := committer.AcceptLoss(ctx, tp, from, next)
	if err != nil {
		return err
	}
	report := lossReport{Table: o.table, Topic: tp.Topic, Partition: tp.Partition, From: from, Next: next,
		Lost: int64(next - from), SnapshotID: done.SnapshotID}
	return p.print(report, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s offsets of %s are recorded as lost; ingest goes on at %d\n",
			o.table, count(report.Lost), tp, next)
		return err
	})
}

// findPartition finds the one topic partition of the ledger that the flags name.
func findPartition(position commit.Position, o lossOptions) (commit.TopicPartition, commit.Offset, error) {
	var found []commit.TopicPartition
	for tp := range position {
		if tp.Topic == o.topic && tp.Partition == o.partition {
			found = append(found, tp)
		}
	}
	switch len(found) {
	case 0:
		return commit.TopicPartition{}, 0, couldNot(fmt.Errorf("%s has read nothing of %s-%d yet", o.table,
			o.topic, o.partition),
			"'firth describe "+o.table+"' lists the topic partitions in its ledger")
	case 1:
		return found[0], position[found[0]], nil
	}
	return commit.TopicPartition{}, 0, couldNot(
		fmt.Errorf("%s has read %s-%d under %d identities", o.table, o.topic, o.partition, len(found)),
		"the topic was re-created: only its present self can lose records; end the transition first")
}

// firstKept asks the topic's cluster for the first offset that it still has.
func (p *program) firstKept(ctx context.Context, l *lake, tp commit.TopicPartition, o lossOptions,
) (commit.Offset, error) {
	config := l.config
	if o.dir != "" {
		folder := &topicLog{}
		defer folder.close()
		var err error
		if config.Clusters, err = folder.folderClusters(p, o.dir); err != nil {
			return 0, err
		}
	}
	var unreached error
	for _, name := range slices.Sorted(maps.Keys(config.Clusters)) {
		first, found, err := firstOffset(ctx, config, name, tp)
		if found {
			return first, nil
		}
		if err != nil {
			unreached = errors.Join(unreached, fmt.Errorf("cluster %s: %w", name, err))
		}
	}
	if unreached != nil {
		return 0, couldNot(fmt.Errorf("ask what is lost: %w", unreached), remedyOf(unreached))
	}
	return 0, couldNot(
		fmt.Errorf("no cluster of the configuration has the %s that %s has read", tp, o.table),
		"check clusters.*.brokers; a topic that was deleted or re-created loses no offsets")
}

// firstOffset is the first offset that a cluster still has of tp. It is not found when another cluster
// answers, or another topic has the name.
func firstOffset(ctx context.Context, c config, name string, tp commit.TopicPartition,
) (first commit.Offset, found bool, err error) {
	connection, err := c.connection(name)
	if err != nil {
		return 0, false, err
	}
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return 0, false, err
	}
	defer admin.Close()
	position, err := admin.Resolve(ctx, source.Start{Kind: source.StartEarliest}, tp.Topic)
	var missing *source.MissingTopicError
	if errors.As(err, &missing) {
		return 0, false, nil
	}
	first, found = position[tp]
	return first, found, err
}
