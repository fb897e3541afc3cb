package main

import (
	"context"
	"fmt"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/table/objstore"
)

// hazards are what befalls the surroundings, in chances of ten thousand a step. A seed draws some.
//
//	grow       the topic gets one more partition
//	retain     retention removes the oldest records of a partition, read or not
//	outage     the object store answers nothing for a while
//	full       it takes no more objects for a while
//	jump       the clock jumps back by minutes or ahead by days
//	others     a foreign writer changes a table
type hazards struct {
	grow, retain, outage, full, jump, others int
}

func (w *world) drawHazards() hazards {
	draw := func(most int) int {
		if w.rng.IntN(3) > 0 {
			return 0
		}
		return w.rng.IntN(most)
	}
	return hazards{
		grow: draw(100), retain: draw(200), outage: draw(80), full: draw(80), jump: draw(100),
		others: draw(400),
	}
}

// partitionsMax bounds the growth of the topic.
const partitionsMax = 5

// befall lets the hazards strike.
func (w *world) befall(ctx context.Context) error {
	strikes := func(chance int) bool { return chance > 0 && w.rng.IntN(10_000) < chance }
	if strikes(w.hazards.grow) && w.load.partitions < partitionsMax {
		w.log.Grow(topic, 1)
		w.load.partitions++
		w.tracef("the topic has %d partitions", w.load.partitions)
	}
	if strikes(w.hazards.retain) {
		w.retain()
	}
	if strikes(w.hazards.outage) {
		w.outageEnds = w.steps + w.rng.IntN(100)
		w.tracef("the object store is down until %d", w.outageEnds)
	}
	if strikes(w.hazards.full) {
		w.fullEnds = w.steps + w.rng.IntN(100)
		w.tracef("the object store is full until %d", w.fullEnds)
	}
	if strikes(w.hazards.jump) {
		jump := -time.Duration(w.rng.Int64N(int64(10 * time.Minute)))
		if w.rng.IntN(2) == 0 {
			jump = time.Duration(w.rng.Int64N(int64(30 * 24 * time.Hour)))
		}
		w.now = w.now.Add(jump)
		w.tracef("the clock jumps by %s", jump)
	}
	if strikes(w.hazards.others) {
		if err := w.others(ctx); err != nil {
			return fmt.Errorf("foreign writer: %w", err)
		}
	}
	if w.hazards.retain > 0 && w.rng.IntN(50) == 0 {
		return w.acceptLosses(ctx)
	}
	return nil
}

// surroundings is the fault that the state of the object store gives an operation.
func (w *world) surroundings(op objstore.Op) objstore.Fault {
	switch {
	case w.healed:
		return objstore.Fault{}
	case w.steps < w.outageEnds:
		return objstore.Fault{Kind: objstore.ErrorBefore, Err: errNoAnswer}
	case w.steps < w.fullEnds && op.Kind == objstore.OpPut:
		return objstore.Fault{Kind: objstore.ErrorBefore, Err: objstore.ErrFull}
	}
	return objstore.Fault{}
}

// retain removes the oldest records of a partition.
func (w *world) retain() {
	index := w.rng.Int32N(w.load.partitions)
	tp := w.log.TopicPartition(topic, index)
	first, end := w.first[tp], w.log.End(topic, index)
	if end == first {
		return
	}
	first += commit.Offset(w.rng.Int64N(int64(end-first)) + 1)
	w.log.Truncate(topic, index, first)
	w.first[tp] = first
	if w.truncated[tp] == nil {
		w.truncated[tp] = map[commit.Offset]bool{}
	}
	w.truncated[tp][first] = true
	w.tracef("%s begins at %d", tp, first)
}

// acceptLosses plays the operator: what the log has removed before a table read it is given up.
func (w *world) acceptLosses(ctx context.Context) error {
	for _, f := range w.feeds {
		t, err := w.healthy.LoadTable(ctx, f.ident)
		if err != nil {
			return err
		}
		ledger, err := commit.ReadLedger(t.Metadata())
		if err != nil {
			return err
		}
		for i := range w.load.partitions {
			tp := w.log.TopicPartition(topic, i)
			from, known := ledger.Position[tp]
			if !known || from >= w.first[tp] {
				continue
			}
			if err := w.acceptLoss(ctx, f, tp, from); err != nil {
				return fmt.Errorf("accept the loss of %s from %d: %w", tp, from, err)
			}
		}
	}
	return nil
}

func (w *world) acceptLoss(ctx context.Context, f *feed, tp commit.TopicPartition, from commit.Offset) error {
	options := w.commitOptions(nil, ingest.WriterName("operator", "group-0"))
	operator, err := commit.Open(ctx, w.healthy, w.objects, f.ident, options)
	if err != nil {
		return err
	}
	for offset := from; offset < w.first[tp]; offset++ {
		f.lost[where{tp.Partition, int64(offset)}] = true
	}
	w.tracef("the operator gives up [%d, %d) of %s in %s", from, w.first[tp], tp, operator.Table())
	_, err = operator.AcceptLoss(ctx, tp, from, w.first[tp])
	return err
}
