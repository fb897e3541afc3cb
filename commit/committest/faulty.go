package committest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// The errors that a Faulty catalog injects. ErrLost wraps nothing, so its outcome is unknown.
var (
	ErrLost    = errors.New("connection lost by plan")
	ErrCrashed = errors.New("crashed by plan")
)

// Fault is what goes wrong with one operation on a Faulty catalog.
type Fault int

// The faults. After a crash every operation fails.
const (
	NoFault     Fault = iota
	ErrorBefore       // nothing is done, ErrLost comes back
	AnswerLost        // it is done, ErrLost comes back
	LandsLate         // ErrLost comes back, and a commit is done just before the next operation
	LandsLater        // as LandsLate, before the operation after the next
	Conflict          // nothing is done, table.ErrConflict comes back (of a commit; a load is lost)
	CrashBefore       // nothing is done and the process dies
	CrashAfter        // it is done and the process dies before it learns so
	CrashLate         // the process dies, and a commit is done when Settle is called
)

// Faulty makes the operations of a catalog fail as planned, and counts them.
type Faulty struct {
	catalog commit.Catalog
	plan    func(op int) Fault

	mu      sync.Mutex
	ops     int
	crashed bool
	late    []lateCommit
}

type lateCommit struct {
	at  int
	run func()
}

// NewFaulty wraps catalog; plan is asked once an operation, which it is given by number from 0.
func NewFaulty(catalog commit.Catalog, plan func(op int) Fault) *Faulty {
	return &Faulty{catalog: catalog, plan: plan}
}

// FailAt is the plan that gives one operation a fault.
func FailAt(n int, fault Fault) func(int) Fault {
	return func(op int) Fault {
		if op == n {
			return fault
		}
		return NoFault
	}
}

// Ops is how many operations there were.
func (f *Faulty) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Crashed says whether a planned crash has happened.
func (f *Faulty) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Settle lets commits land that are still under way.
func (f *Faulty) Settle() {
	f.mu.Lock()
	late := f.late
	f.late = nil
	f.mu.Unlock()
	for _, l := range late {
		l.run()
	}
}

// begin numbers an operation, lands what is late and asks the plan.
func (f *Faulty) begin() (int, Fault) {
	f.mu.Lock()
	op := f.ops
	f.ops++
	var due, rest []lateCommit
	for _, l := range f.late {
		if l.at <= op {
			due = append(due, l)
		} else {
			rest = append(rest, l)
		}
	}
	f.late = rest
	crashed := f.crashed
	f.mu.Unlock()
	for _, l := range due {
		l.run()
	}
	if crashed {
		return op, CrashBefore
	}
	return op, f.plan(op)
}

func (f *Faulty) crash() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
	return ErrCrashed
}

// LoadTable implements commit.Catalog.
func (f *Faulty) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	switch _, fault := f.begin(); fault {
	case NoFault:
		return f.catalog.LoadTable(ctx, ident)
	case CrashBefore, CrashAfter, CrashLate:
		return nil, fmt.Errorf("load table: %w", f.crash())
	}
	return nil, fmt.Errorf("load table: %w", ErrLost)
}

// CommitTable implements commit.Catalog.
func (f *Faulty) CommitTable(ctx context.Context, ident table.Ident, requirements []icetable.Requirement,
	updates []icetable.Update) (*table.Table, error) {
	run := func() (*table.Table, error) {
		return f.catalog.CommitTable(context.WithoutCancel(ctx), ident, requirements, updates)
	}
	op, fault := f.begin()
	switch fault {
	case NoFault:
		return run()
	case ErrorBefore:
		return nil, fmt.Errorf("commit table: %w", ErrLost)
	case AnswerLost:
		_, _ = run() // whatever came of it, nobody is told
		return nil, fmt.Errorf("commit table: %w", ErrLost)
	case LandsLate, LandsLater:
		f.mu.Lock()
		f.late = append(f.late, lateCommit{at: op + 1 + int(fault-LandsLate), run: func() { _, _ = run() }})
		f.mu.Unlock()
		return nil, fmt.Errorf("commit table: %w", ErrLost)
	case Conflict:
		return nil, fmt.Errorf("commit table by plan: %w", table.ErrConflict)
	case CrashAfter:
		_, _ = run()
	case CrashLate:
		f.mu.Lock()
		f.late = append(f.late, lateCommit{at: math.MaxInt, run: func() { _, _ = run() }})
		f.mu.Unlock()
	}
	return nil, fmt.Errorf("commit table: %w", f.crash())
}
