package ingest

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/firthlake/firth/commit"
)

// WriterName is how a process signs its snapshots: who, and in which consumer group. The group tells
// a rebalance, where members follow each other, from a second deployment on the same table.
func WriterName(process, group string) string { return process + groupMark + group }

const groupMark = " group="

// sameGroup says whether a snapshot was signed by a member of group.
func sameGroup(writer, group string) bool {
	_, signed, found := strings.Cut(writer, groupMark)
	return found && signed == group
}

// fenced acts on a commit that the table refused. When a member of the own group was there, its
// partitions went through other hands: read on from where the table stands. When another group
// holds the table, watch it and stay away.
func (t *tableState) fenced(err *commit.FencedError) {
	now := t.ingester.opts.Now()
	t.ingester.opts.Metrics.fenced(t.name)
	if t.wasRolledBack() {
		t.log.Warn("table was rolled back: reading on from its position", "by", err.Writer)
		t.placeAt = now
		return
	}
	if sameGroup(err.Writer, t.opts.Group) {
		t.log.Warn("fenced by a member of the same group: reading on from the table's position", "err", err)
		t.placeAt = now
		return
	}
	t.state = StateStandby
	t.tellReads()
	t.health = err
	t.holderPosition, t.holderMoved = t.opts.Committer.Position(), now
	t.lookAt = now.Add(t.interval())
	t.log.Error("another process holds the table: standing by", "holder", err.Writer,
		"since", err.CommittedAt, "err", err)
}

// look sees whether the holder of the table is alive, and takes over when it is not.
func (g *Ingester) look(ctx context.Context, t *tableState) {
	now := g.opts.Now()
	t.lookAt = now.Add(max(t.interval(), time.Second))
	if err := t.opts.Committer.Refresh(ctx); err != nil {
		t.unseen("look after the holder of the table", err)
		return
	}
	t.blind = ""
	if position := t.opts.Committer.Position(); !maps.Equal(position, t.holderPosition) {
		t.holderPosition, t.holderMoved = position, now
		return
	}
	silent := now.Sub(t.holderMoved)
	patient := time.Duration(t.opts.Freshness.IntervalMax) + t.interval() // it may have files that pile up
	if silent < max(takeOverMin, takeOverIntervals*t.interval(), patient) {
		return
	}
	t.log.Warn("the holder of the table is silent: taking over", "silent", silent)
	t.state = StateActive
	t.tellReads()
	t.lookAt = time.Time{}
	t.healthy()
	g.place(ctx, t)
}

// unseen tells why the table cannot be looked at, once for as long as it lasts.
func (t *tableState) unseen(act string, err error) {
	if t.blind != err.Error() {
		t.log.Warn("table cannot be looked at and goes on trying", "act", act, "err", err)
	}
	t.blind = err.Error()
}

// recheck lets a table that stopped for lost offsets go on once a person has accepted the loss.
func (g *Ingester) recheck(ctx context.Context, t *tableState, loss *LossError) {
	t.lookAt = g.opts.Now().Add(max(t.interval(), time.Second))
	if t.filling != nil || t.committing != nil {
		return
	}
	if err := t.opts.Committer.Refresh(ctx); err != nil {
		t.unseen("look whether lost offsets were accepted", err)
		return
	}
	t.blind = ""
	if t.opts.Committer.Position()[loss.Range.TopicPartition] == loss.Range.Wanted {
		return
	}
	t.log.Info("loss was accepted: reading on", "topic_partition", loss.Range.TopicPartition.String())
	t.state, t.stopped = StateActive, nil
	t.tellReads()
	t.lookAt = time.Time{}
	t.healthy()
	clear(t.next)
	g.place(ctx, t)
}
