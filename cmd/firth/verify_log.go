package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// topicLog is the topics of a table as verify sees them: it reads them again with the ingester itself,
// into a store that keeps nothing.
type topicLog struct {
	feeder   *feeder
	spec     *spec.Spec
	table    *table.Table
	letters  *table.Table
	clusters map[string]string // name in the configuration, by the cluster's own id
	topics   map[string]map[string]source.Topic
}

// openTopicLog connects to the clusters that the table's spec reads.
func (p *program) openTopicLog(ctx context.Context, f *feeder, t *table.Table) (*topicLog, error) {
	specs, err := readSpecs(f.lake.config.Tables, nil)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(specs, func(s *spec.Spec) bool { return s.Name == t.String() })
	if at < 0 {
		return nil, couldNot(fmt.Errorf("no spec in %s is of table %s", f.lake.config.Tables, t),
			"write one, or leave the topics out with --files-only")
	}
	l := &topicLog{feeder: f, table: t, spec: specs[at], clusters: map[string]string{},
		topics: map[string]map[string]source.Topic{}}
	if l.letters, err = f.deadLetterTable(ctx, l.spec); err != nil {
		return nil, err
	}
	for _, name := range clustersOf(specs[at : at+1]) {
		if err := l.connect(ctx, name); err != nil {
			return nil, couldNot(fmt.Errorf("cluster %s: %w", name, err),
				"start it, or leave the topics out with --files-only")
		}
	}
	return l, nil
}

// connect lists the topics of one cluster.
func (l *topicLog) connect(ctx context.Context, name string) error {
	connection, err := l.feeder.lake.config.connection(name)
	if err != nil {
		return err
	}
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return err
	}
	defer admin.Close()
	id, err := admin.Cluster(ctx)
	if err != nil {
		return err
	}
	topics, err := admin.Topics(ctx)
	if err != nil {
		return err
	}
	l.clusters[id] = name
	l.topics[name] = map[string]source.Topic{}
	for _, topic := range topics {
		l.topics[name][topic.Name] = topic
	}
	return nil
}

// Earliest is the first offset that the topic still has and that was read with the table's present
// schema: older records would give rows with columns that they had not then.
func (l *topicLog) Earliest(_ context.Context, tp commit.TopicPartition) (commit.Offset, bool, error) {
	topic, ok := l.topics[l.clusters[tp.Cluster]][tp.Topic]
	if !ok || topic.ID != tp.TopicID || int(tp.Partition) >= len(topic.Partitions) {
		return 0, false, nil
	}
	if len(l.table.Metadata().Schemas()) > 1 {
		return 0, false, nil
	}
	return topic.Partitions[tp.Partition].First, true, nil
}

// Recount reads [from, next) again and returns what became of it.
func (l *topicLog) Recount(
	ctx context.Context, tp commit.TopicPartition, from, next commit.Offset,
) (commit.Range, error) {
	tally := &tally{table: l.table, tp: tp, total: commit.Range{From: from, Next: from}}
	options, err := l.options(tp, tally)
	if err != nil {
		return commit.Range{}, err
	}
	connection, err := l.feeder.lake.config.connection(l.clusters[tp.Cluster])
	if err != nil {
		return commit.Range{}, err
	}
	span, err := source.OpenSpan(connection, tp, from, next)
	if err != nil {
		return commit.Range{}, err
	}
	defer func() { _ = span.Close(ctx) }() // it was only read
	g, err := ingest.New(ctx, ingest.Options{Source: span, Store: discard{}, Tables: []ingest.TableOptions{options},
		Budget: l.feeder.budget, SpillDir: l.feeder.spillDir, Now: l.feeder.program.now})
	if err != nil {
		return commit.Range{}, err
	}
	defer g.Close(ctx)
	for !span.Done() {
		if err := g.Step(ctx); err != nil {
			return commit.Range{}, err
		}
		if t := g.Progress().Tables[0]; t.State != ingest.StateActive {
			return commit.Range{}, fmt.Errorf("read %s again: %s", tp, t.Trouble)
		}
		if ctx.Err() != nil {
			return commit.Range{}, ctx.Err()
		}
	}
	if err := g.Flush(ctx); err != nil {
		return commit.Range{}, err
	}
	if tally.total.Next != next {
		return commit.Range{}, fmt.Errorf("read %s again: stopped at %d of %d", tp, tally.total.Next, next)
	}
	return tally.total, nil
}

// options are those with which the table was fed from the topic.
func (l *topicLog) options(tp commit.TopicPartition, t *tally) (ingest.TableOptions, error) {
	for i, src := range l.spec.Sources {
		if src.Cluster != l.clusters[tp.Cluster] || !readsTopic(src, tp.Topic) {
			continue
		}
		options, err := l.feeder.rows(l.spec, i)
		options.Ident, options.Topics, options.Patterns = l.table.Ident(), []string{tp.Topic}, nil
		options.DeadLetterTable, options.Committer = l.letters, t
		options.Freshness = spec.Freshness{Interval: spec.Duration(time.Hour), Rows: recountRows,
			Bytes: recountBytes}
		return options, err
	}
	return ingest.TableOptions{}, couldNot(fmt.Errorf("no source of %s reads %s", l.spec.File(), tp.Topic),
		"add it, or leave the topics out with --files-only")
}

// How much is held before it is counted and dropped.
const (
	recountRows  = 500_000
	recountBytes = 64 << 20
)

// tally stands where the recount begins and adds up what would be committed.
type tally struct {
	table *table.Table
	tp    commit.TopicPartition
	total commit.Range
}

// Refresh does nothing: the table is looked at as it was.
func (t *tally) Refresh(context.Context) error { return nil }

// Position is how far the recount is.
func (t *tally) Position() commit.Position { return commit.Position{t.tp: t.total.Next} }

// Table is the table that is verified.
func (t *tally) Table() *table.Table { return t.table }

// Commit adds the change's range to the tally.
func (t *tally) Commit(_ context.Context, change commit.Change) (commit.Committed, error) {
	for _, tp := range slices.Collect(maps.Keys(change.Ranges)) {
		if tp != t.tp {
			return commit.Committed{}, fmt.Errorf("recount of %s was given %s", t.tp, tp)
		}
		t.total = t.total.Join(change.Ranges[tp])
	}
	return commit.Committed{Table: t.table}, nil
}

// discard is a store that takes everything and keeps nothing.
type discard struct{}

func (discard) Get(_ context.Context, location string, _, _ int64) (io.ReadCloser, error) {
	return nil, fmt.Errorf("get %s: %w", location, objstore.ErrNotFound)
}

func (discard) Stat(_ context.Context, location string) (objstore.Object, error) {
	return objstore.Object{}, fmt.Errorf("stat %s: %w", location, objstore.ErrNotFound)
}

func (discard) Put(
	_ context.Context, location string, body io.Reader, _ int64, _ objstore.PutOptions,
) (objstore.Object, error) {
	n, err := io.Copy(io.Discard, body)
	return objstore.Object{Location: location, Size: n, ETag: "none"}, err
}

func (discard) Remove(context.Context, ...string) error { return nil }

func (discard) List(context.Context, string) iter.Seq2[objstore.Object, error] {
	return func(func(objstore.Object, error) bool) {}
}
