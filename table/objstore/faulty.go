package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

// ErrCrashed is what a Faulty store returns from the operation in which the process is said to
// have died, and from all later ones.
var ErrCrashed = errors.New("crashed by plan")

// ErrInjected is the error of a fault whose plan names none. It wraps nothing, so it is the kind
// of error whose outcome is unknown.
var ErrInjected = errors.New("fault by plan")

// OpKind is what an operation does.
type OpKind string

// The kinds of operation. Removing several objects is one operation for each.
const (
	OpGet    OpKind = "get"
	OpStat   OpKind = "stat"
	OpPut    OpKind = "put"
	OpRemove OpKind = "remove"
	OpList   OpKind = "list"
)

// Op is one operation on a Faulty store. N counts from 0.
type Op struct {
	N        int64
	Kind     OpKind
	Location string
}

// FaultKind is what goes wrong.
type FaultKind int

// The faults. A crash makes every later operation fail too: the process is gone.
const (
	NoFault     FaultKind = iota
	ErrorBefore           // nothing is done, Err comes back
	AnswerLost            // it is done, Err comes back
	CrashBefore           // nothing is done and the process dies
	CrashAfter            // it is done and the process dies before it learns so
	TornRead              // Get gives Bytes bytes and then Err; List gives Bytes objects and then Err
	ShortRead             // Get ends after Bytes bytes as if that were all
)

// Fault is what a Plan has in store for an operation. The zero value is none.
type Fault struct {
	Kind FaultKind
	// Err is what the caller sees; nil is ErrInjected.
	Err error
	// Bytes is where TornRead and ShortRead cut.
	Bytes int64
	// Delay, when not nil, runs before the operation. Its error is the operation's.
	Delay func(context.Context) error
}

// Plan says what happens to an operation. It is called once for each, under no lock; a
// deterministic plan on a deterministic store makes a deterministic run.
type Plan func(Op) Fault

// Faulty makes the operations of another store fail as planned, and counts them. It starts no
// goroutine and uses no clock.
type Faulty struct {
	store Store
	plan  Plan

	mu      sync.Mutex
	ops     int64
	crashed bool
}

// NewFaulty wraps store. A nil plan makes a store that only counts.
func NewFaulty(store Store, plan Plan) *Faulty {
	if plan == nil {
		plan = func(Op) Fault { return Fault{} }
	}
	return &Faulty{store: store, plan: plan}
}

// FailAt is the plan that gives one operation a fault.
func FailAt(n int64, fault Fault) Plan {
	return func(op Op) Fault {
		if op.N == n {
			return fault
		}
		return Fault{}
	}
}

// Ops is how many operations there were.
func (f *Faulty) Ops() int64 {
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

// begin numbers the operation, asks the plan and does what comes before. The error is final.
func (f *Faulty) begin(ctx context.Context, kind OpKind, location string) (Fault, error) {
	f.mu.Lock()
	op := Op{N: f.ops, Kind: kind, Location: location}
	f.ops++
	crashed := f.crashed
	f.mu.Unlock()
	if crashed {
		return Fault{}, fmt.Errorf("%s %s: %w", kind, location, ErrCrashed)
	}
	fault := f.plan(op)
	if fault.Err == nil {
		fault.Err = ErrInjected
	}
	if fault.Delay != nil {
		if err := fault.Delay(ctx); err != nil {
			return fault, fmt.Errorf("%s %s: %w", kind, location, err)
		}
	}
	switch fault.Kind {
	case ErrorBefore:
		return fault, fmt.Errorf("%s %s: %w", kind, location, fault.Err)
	case CrashBefore:
		return fault, f.crash(op)
	}
	return fault, nil
}

// end turns the result of an operation that was done into what the caller sees.
func (f *Faulty) end(fault Fault, op Op, err error) error {
	switch {
	case fault.Kind == CrashAfter:
		return f.crash(op)
	case fault.Kind == AnswerLost:
		return fmt.Errorf("%s %s: %w", op.Kind, op.Location, fault.Err)
	}
	return err
}

func (f *Faulty) crash(op Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
	return fmt.Errorf("%s %s: %w", op.Kind, op.Location, ErrCrashed)
}

// Get implements Store.
func (f *Faulty) Get(
	ctx context.Context, location string, offset, length int64,
) (io.ReadCloser, error) {
	fault, err := f.begin(ctx, OpGet, location)
	if err != nil {
		return nil, err
	}
	body, err := f.store.Get(ctx, location, offset, length)
	if ended := f.end(fault, Op{Kind: OpGet, Location: location}, err); ended != nil {
		if err == nil {
			_ = body.Close() // the answer is lost, so its end does not matter
		}
		return nil, ended
	}
	switch fault.Kind {
	case TornRead:
		return &cutReader{body: body, left: fault.Bytes, end: fault.Err}, nil
	case ShortRead:
		return &cutReader{body: body, left: fault.Bytes, end: io.EOF}, nil
	}
	return body, nil
}

// cutReader ends body with an error after some bytes.
type cutReader struct {
	body io.ReadCloser
	left int64
	end  error
}

func (r *cutReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, r.end
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

func (r *cutReader) Close() error { return r.body.Close() }

// Stat implements Store.
func (f *Faulty) Stat(ctx context.Context, location string) (Object, error) {
	fault, err := f.begin(ctx, OpStat, location)
	if err != nil {
		return Object{}, err
	}
	object, err := f.store.Stat(ctx, location)
	if err = f.end(fault, Op{Kind: OpStat, Location: location}, err); err != nil {
		return Object{}, err
	}
	return object, nil
}

// Put implements Store.
func (f *Faulty) Put(
	ctx context.Context, location string, body io.Reader, size int64, opts PutOptions,
) (Object, error) {
	fault, err := f.begin(ctx, OpPut, location)
	if err != nil {
		return Object{}, err
	}
	object, err := f.store.Put(ctx, location, body, size, opts)
	if err = f.end(fault, Op{Kind: OpPut, Location: location}, err); err != nil {
		return Object{}, err
	}
	return object, nil
}

// Remove implements Store.
func (f *Faulty) Remove(ctx context.Context, locations ...string) error {
	for _, location := range locations {
		fault, err := f.begin(ctx, OpRemove, location)
		if err != nil {
			return err
		}
		err = f.store.Remove(ctx, location)
		if err = f.end(fault, Op{Kind: OpRemove, Location: location}, err); err != nil {
			return err
		}
	}
	return nil
}

// List implements Store.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		fault, err := f.begin(ctx, OpList, prefix)
		if err == nil {
			err = f.end(fault, Op{Kind: OpList, Location: prefix}, nil)
		}
		if err != nil {
			yield(Object{}, err)
			return
		}
		var listed int64
		for object, err := range f.store.List(ctx, prefix) {
			if fault.Kind == TornRead && listed >= fault.Bytes {
				yield(Object{}, fmt.Errorf("list %s: %w", prefix, fault.Err))
				return
			}
			if !yield(object, err) {
				return
			}
			listed++
		}
	}
}
