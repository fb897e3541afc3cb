package ingest

import (
	"time"

	"github.com/firthlake/firth/commit"
)

// window counts records and dead letters of the recent past, for the budget of dead letters. It is
// made of slots, so that it forgets in steps.
type window struct {
	slots [windowSlots]struct{ records, bad int64 }
	at    int
	begun time.Time
}

// windowSlots is how finely the window forgets; recordsMin is how many records it takes to judge.
const (
	windowSlots = 10
	recordsMin  = 1000
)

// add counts and returns a *BudgetError when the table's budget is exceeded.
func (w *window) add(t *tableState, c commit.Counts) error {
	budget := t.opts.DeadLetters.Budget
	if budget.Ratio <= 0 {
		return nil
	}
	w.forget(t.ingester.opts.Now(), time.Duration(budget.Window)/windowSlots)
	slot := &w.slots[w.at]
	slot.records += c.Sum() - c.Absent
	slot.bad += c.DeadLetters + c.Skipped
	var records, bad int64
	for _, s := range w.slots {
		records += s.records
		bad += s.bad
	}
	if records < recordsMin || float64(bad) <= budget.Ratio*float64(records) {
		return nil
	}
	return &BudgetError{Table: t.name, DeadLetters: bad, Records: records, Ratio: budget.Ratio}
}

func (w *window) forget(now time.Time, step time.Duration) {
	if step <= 0 || w.begun.IsZero() || now.Sub(w.begun) >= windowSlots*step {
		*w = window{begun: now}
		return
	}
	for now.Sub(w.begun) >= step {
		w.begun = w.begun.Add(step)
		w.at = (w.at + 1) % windowSlots
		w.slots[w.at] = struct{ records, bad int64 }{}
	}
}
