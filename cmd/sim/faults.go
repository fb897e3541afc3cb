package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// The fault model. Per operation, in thousandths: what a seed draws for its whole run.
//
//	object store   fails before it acts; acts and its answer is lost; the process dies before or after
//	catalog        the same, and: the caller is told "unknown" while the request still travels and lands
//	               later, after any number of other operations; it goes dark: it gets a request, carries it
//	               out at once, later or never, and for a while answers nobody, so that no one can read back
//	processes      killed or stopped for a while between any two operations, started again
//	log            partitions given to another process, gaps, records that cannot be decoded
//
// What befalls the surroundings (hazards) and what others do to the tables comes on top.
type faultRates struct {
	failed, lost, late, dark, killed, stopped int
}

func (w *world) drawRates() faultRates {
	// A third of the runs is calm in each respect, so that faults are seen alone too.
	draw := func(most int) int {
		if w.rng.IntN(3) == 0 {
			return 0
		}
		return w.rng.IntN(most)
	}
	return faultRates{
		failed: draw(30), lost: draw(60), late: draw(80), dark: draw(100), killed: draw(15), stopped: draw(15),
	}
}

// errNoAnswer is an operation whose outcome the caller cannot know.
var errNoAnswer = errors.New("no answer")

// objects returns the store as p sees it.
func (w *world) objectsOf(p *process) objstore.Store {
	return objstore.NewFaulty(w.objects, func(op objstore.Op) objstore.Fault {
		if err := p.pass(fmt.Sprintf("%s %s", op.Kind, op.Location)); err != nil {
			return objstore.Fault{Kind: objstore.CrashBefore}
		}
		if fault := w.surroundings(op); fault.Kind != objstore.NoFault {
			return fault
		}
		switch w.draw() {
		case operationFails:
			return objstore.Fault{Kind: objstore.ErrorBefore, Err: errNoAnswer}
		case answerLost:
			return objstore.Fault{Kind: objstore.AnswerLost, Err: errNoAnswer}
		}
		return objstore.Fault{}
	})
}

type fate int

const (
	operationWorks fate = iota
	operationFails
	answerLost
	landsLate
)

// draw decides the fate of one operation.
func (w *world) draw() fate {
	if w.healed {
		return operationWorks
	}
	n := w.rng.IntN(1000)
	for _, c := range []struct {
		rate int
		fate fate
	}{{w.rates.failed, operationFails}, {w.rates.lost, answerLost}, {w.rates.late, landsLate}} {
		if n < c.rate {
			return c.fate
		}
		n -= c.rate
	}
	return operationWorks
}

// darkStepsMax bounds how long the catalog is dark: a process among three tries to read back for about 30.
const darkStepsMax = 100

func (w *world) isDark() bool { return !w.healed && w.steps < w.darkEnds }

// catalogStore is the catalog's database as one process sees it.
type catalogStore struct {
	catalog.Store
	process *process
}

// Apply implements catalog.Store with faults. A request that lands late is kept by the world and
// carried out at a later step, with nobody left to hear the answer.
func (s catalogStore) Apply(ctx context.Context, ops ...catalog.Op) error {
	w := s.process.world
	if err := s.process.pass(fmt.Sprintf("swap %s", describeOps(ops))); err != nil {
		return fmt.Errorf("%w: %w", table.ErrStateUnknown, err)
	}
	what := w.draw()
	switch {
	case w.isDark():
		what = operationFails
	case !w.healed && w.rng.IntN(1000) < w.rates.dark:
		w.darkEnds = w.steps + w.rng.IntN(darkStepsMax)
		w.tracef("the catalog is dark until %d", w.darkEnds)
		what = []fate{operationFails, answerLost, landsLate}[w.rng.IntN(3)]
	}
	switch what {
	case operationFails:
		return fmt.Errorf("%w: %w", table.ErrStateUnknown, errNoAnswer)
	case answerLost:
		_ = s.Store.Apply(ctx, ops...) // the answer is lost, whatever it is
		return fmt.Errorf("%w: %w", table.ErrStateUnknown, errNoAnswer)
	case landsLate:
		w.tracef("%s: the swap is under way", s.process.name)
		w.travelling = append(w.travelling, func(ctx context.Context) error { return s.Store.Apply(ctx, ops...) })
		return fmt.Errorf("%w: %w", table.ErrStateUnknown, errNoAnswer)
	}
	err := s.Store.Apply(ctx, ops...)
	w.tracef("%s: swap: %v", s.process.name, err)
	return err
}

func describeOps(ops []catalog.Op) string {
	text := ""
	for _, op := range ops {
		switch op := op.(type) {
		case catalog.SwapEntry:
			text += fmt.Sprintf("%v to %s ", op.Ident, op.To)
		default:
			text += fmt.Sprintf("%T ", op)
		}
	}
	return text
}

// Entry implements catalog.Store: reads can fail too, and other processes run between them.
func (s catalogStore) Entry(ctx context.Context, ident table.Ident) (catalog.Entry, error) {
	if err := s.process.pass("load " + table.FormatIdent(ident)); err != nil {
		return catalog.Entry{}, err
	}
	if w := s.process.world; w.isDark() || w.draw() != operationWorks {
		return catalog.Entry{}, errNoAnswer
	}
	return s.Store.Entry(ctx, ident)
}
