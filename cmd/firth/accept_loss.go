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
	kept, err := p.offsetsIn(ctx, l, tp, o.tableFlags, source.Start{Kind: source.StartEarliest})
	if err != nil {
		return err
	}
	first := kept[tp]
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

// offsetsIn asks the cluster of a topic partition where a start is in each partition of the topic.
func (p *program) offsetsIn(ctx context.Context, l *lake, tp commit.TopicPartition, f tableFlags, start source.Start,
) (commit.Position, error) {
	config := l.config
	if f.dir != "" {
		folder := &topicLog{}
		defer folder.close()
		var err error
		if config.Clusters, err = folder.folderClusters(p, f.dir); err != nil {
			return nil, err
		}
	}
	var unreached error
	for _, name := range slices.Sorted(maps.Keys(config.Clusters)) {
		offsets, err := clusterOffsets(ctx, config, name, tp.Topic, start)
		if _, found := offsets[tp]; found {
			return offsets, nil
		}
		if err != nil {
			unreached = errors.Join(unreached, fmt.Errorf("cluster %s: %w", name, err))
		}
	}
	if unreached != nil {
		return nil, couldNot(fmt.Errorf("ask what the topic still has: %w", unreached), remedyOf(unreached))
	}
	return nil, couldNot(
		fmt.Errorf("no cluster of the configuration has the %s that %s has read", tp, f.table),
		"check clusters.*.brokers; a topic that was deleted or re-created loses no offsets")
}

// clusterOffsets are the offsets of a topic in a cluster, none when it has no such topic. They say which cluster
// answered, and under which id it knows the topic.
func clusterOffsets(ctx context.Context, c config, name, topic string, start source.Start) (commit.Position, error) {
	connection, err := c.connection(name)
	if err != nil {
		return nil, err
	}
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	position, err := admin.Resolve(ctx, start, topic)
	var missing *source.MissingTopicError
	if errors.As(err, &missing) {
		return nil, nil
	}
	return position, err
}
