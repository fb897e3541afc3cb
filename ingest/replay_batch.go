package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/letters"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// The classes of letters that are not even decoded.
const (
	reasonMap       = "map"       // what --map says cannot be done
	reasonSource    = "source"    // no source of the spec reads the topic, or several do
	reasonUncounted = "uncounted" // the ledger does not count such a letter
)

// replayBatch is what some letters come to.
type replayBatch struct {
	letters int64
	failed  []ReplayReason
	// rows are batches of the main table, resolved the letters that they and filtered records are of.
	rows     []arrow.RecordBatch
	resolved []*letters.Letter
	// ranges are of the logs of replays.
	ranges map[commit.TopicPartition]commit.Range
	schema *iceberg.Schema
}

func (b *replayBatch) release() {
	for _, rows := range b.rows {
		rows.Release()
	}
	b.rows = nil
}

// fail notes that a letter stays.
func (b *replayBatch) fail(l *letters.Letter, class, column, message string) {
	b.failed = append(b.failed, ReplayReason{Class: class, Column: column, Place: l.Place, Offset: l.Record.Offset,
		Message: message})
}

// decode decodes letters by the spec of today and the table's newest schema. Who gets the batch lets go of its rows
// by commit.
func (r *Replayer) decode(ctx context.Context, batch []letters.Letter) (_ *replayBatch, err error) {
	b := &replayBatch{letters: int64(len(batch)), ranges: map[commit.TopicPartition]commit.Range{},
		schema: r.table.Metadata().CurrentSchema()}
	defer func() {
		if err != nil || r.opts.DryRun {
			b.release()
		}
	}()
	logs := map[commit.TopicPartition][]*letters.Letter{}
	for i := range batch {
		l := &batch[i]
		tp, err := r.origin(l)
		if err != nil {
			b.fail(l, reasonUncounted, "", err.Error())
			continue
		}
		logs[tp] = append(logs[tp], l)
	}
	for _, tp := range slices.SortedFunc(maps.Keys(logs), commit.TopicPartition.Compare) {
		slices.SortFunc(logs[tp], func(x, y *letters.Letter) int {
			return cmp.Compare(x.Record.Offset, y.Record.Offset)
		})
		if err := r.decodeLog(ctx, b, tp, logs[tp]); err != nil {
			return nil, fmt.Errorf("%s: %w", tp, err)
		}
	}
	return b, nil
}

// origin finds the topic partition of a letter in the ledger. A letter names neither cluster nor topic id.
func (r *Replayer) origin(l *letters.Letter) (commit.TopicPartition, error) {
	var found []commit.TopicPartition
	at := l.Record.Offset
	for tp, all := range r.ledger.Folded {
		if tp.Topic == l.Topic && tp.Partition == l.Partition && all.From <= at && at < all.Next {
			found = append(found, tp)
		}
	}
	switch len(found) {
	case 0:
		return commit.TopicPartition{}, fmt.Errorf("the ledger does not know offset %d of the topic", at)
	case 1:
		return found[0], nil
	}
	return commit.TopicPartition{}, fmt.Errorf("offset %d was read under %d identities of the topic, and a letter "+
		"does not say which is its own", at, len(found))
}

// source is the one source of the spec that reads a topic.
func (r *Replayer) source(topic string) (*recountSource, error) {
	var found []*TableOptions
	for i := range r.opts.Sources {
		takes, err := r.opts.Sources[i].takes()
		if err != nil {
			return nil, err
		}
		if takes(topic) {
			found = append(found, &r.opts.Sources[i])
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d sources of the spec read topic %s, and one should", len(found), topic)
	}
	opts := *found[0]
	opts.DeadLetters, opts.DeadLetterTable = spec.DeadLetters{Default: spec.Quarantine}, r.dead
	return &recountSource{opts: opts}, nil
}

// decodeLog decodes letters of one topic partition, in order of their offsets.
func (r *Replayer) decodeLog(ctx context.Context, b *replayBatch, tp commit.TopicPartition, list []*letters.Letter,
) error {
	src, err := r.source(tp.Topic)
	if err != nil {
		for _, l := range list {
			b.fail(l, reasonSource, "", err.Error())
		}
		return nil
	}
	run, err := (&Recounter{table: r.table, mem: r.opts.Allocator}).newRecount(ctx, src, b.schema)
	if err != nil {
		return err
	}
	defer run.worker.close()
	log := &replayLog{batch: b, byOffset: map[commit.Offset]*letters.Letter{}}
	chunk := source.Chunk{TopicPartition: tp, From: list[0].Record.Offset,
		Next: list[len(list)-1].Record.Offset + 1}
	for _, l := range list {
		record := l.Record
		if r.opts.Map != nil {
			if record.Value, err = r.opts.Map(record.Value); err != nil {
				b.fail(l, reasonMap, "", err.Error())
				continue
			}
		}
		log.byOffset[record.Offset] = l
		chunk.Records = append(chunk.Records, record)
	}
	if len(chunk.Records) == 0 {
		return nil
	}
	for _, piece := range split(chunk, rowsOfUnit(run.group.rowBytes)) {
		if err := run.each(ctx, piece, log.take); err != nil {
			return err
		}
	}
	log.close(tp, r.ledger.Position[commit.ReplaysOf(tp)])
	return nil
}

// replayLog gathers what letters of one topic partition come to.
type replayLog struct {
	batch    *replayBatch
	byOffset map[commit.Offset]*letters.Letter // those that no portion has refused
	counts   commit.Counts
	checksum uint64
}

// take takes a portion over.
func (g *replayLog) take(p *portion) error {
	if err := errors.Join(p.err, p.suspend); err != nil {
		p.release()
		return err
	}
	for i := range p.letters {
		refused := &p.letters[i]
		at, why := refused.record.Offset, &refused.failure
		g.batch.fail(g.byOffset[at], string(why.Class), p.shape.columnName(why.FieldID), why.Message)
		delete(g.byOffset, at)
	}
	if p.rows != nil {
		g.batch.rows = append(g.batch.rows, p.rows)
	}
	g.counts.Inserted += p.part.Counts.Inserted
	g.counts.Filtered += p.part.Counts.Filtered
	g.counts.Tombstones += p.part.Counts.Tombstones
	g.checksum += p.part.Checksum
	return nil
}

// close makes the range of the log of replays, which stands at from.
func (g *replayLog) close(tp commit.TopicPartition, from commit.Offset) {
	if g.counts.Sum() != int64(len(g.byOffset)) {
		panic(fmt.Sprintf("BUG: %d letters of %s come to %s", len(g.byOffset), tp, g.counts))
	}
	if len(g.byOffset) == 0 {
		return
	}
	for _, offset := range slices.Sorted(maps.Keys(g.byOffset)) {
		g.batch.resolved = append(g.batch.resolved, g.byOffset[offset])
	}
	g.batch.ranges[commit.ReplaysOf(tp)] = commit.Range{From: from, Next: from + commit.Offset(len(g.byOffset)),
		Counts: g.counts, Checksum: g.checksum}
}

// commit writes the files of a batch and publishes them.
func (r *Replayer) commit(ctx context.Context, b *replayBatch) error {
	defer b.release()
	if len(b.ranges) == 0 {
		return nil
	}
	change := commit.Change{ID: r.opts.NewID(), Ranges: b.ranges}
	names := new(table.FileNumbers)
	rows, err := r.writer(change, r.table, b.schema, names)
	if err != nil {
		return err
	}
	marks, err := r.writer(change, r.dead, r.dead.Metadata().CurrentSchema(), names)
	if err != nil {
		return err
	}
	abort := func(err error) error {
		return errors.Join(err, rows.Abort(context.WithoutCancel(ctx)), marks.Abort(context.WithoutCancel(ctx)))
	}
	if err := r.write(ctx, b, rows, marks); err != nil {
		return abort(err)
	}
	if change.Files, err = rows.Close(ctx); err != nil {
		return abort(err)
	}
	if change.DeadLetters, err = marks.Close(ctx); err != nil {
		return abort(err)
	}
	_, err = r.opts.Committer.Commit(ctx, change)
	if commit.IsFinal(err) {
		return abort(err)
	}
	return err
}

func (r *Replayer) write(ctx context.Context, b *replayBatch, rows, marks *table.Writer) error {
	for _, batch := range b.rows {
		if err := rows.Write(ctx, batch); err != nil {
			return err
		}
	}
	schema, err := table.ArrowSchema(r.dead.Metadata().CurrentSchema())
	if err != nil {
		return err
	}
	resolved := resolvedBatch(r.opts.Allocator, schema, b.resolved, r.opts.Now())
	defer resolved.Release()
	return marks.Write(ctx, resolved)
}

func (r *Replayer) writer(change commit.Change, of *table.Table, schema *iceberg.Schema, names *table.FileNumbers,
) (*table.Writer, error) {
	meta := of.Metadata()
	return table.NewWriter(r.opts.Store, table.WriterOptions{
		Schema: schema, Spec: meta.PartitionSpec(), Sort: meta.SortOrder(), Location: meta.Location(),
		ChangeID: change.ID, Names: names, Parquet: r.opts.Sources[0].Parquet, Properties: meta.Properties(),
		Memory: r.opts.Memory, SpillDir: r.opts.SpillDir, Parallel: 1, Allocator: r.opts.Allocator,
	})
}
