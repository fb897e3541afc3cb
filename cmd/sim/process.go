package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/firthlake/firth/table/keyindex/disktest"
)

// errKilled is what every operation of a killed process returns.
var errKilled = errors.New("process killed")

// process is one firth process: a coroutine that runs until its work ends or it is killed.
type process struct {
	name   string
	world  *world
	resume func() (struct{}, bool)
	unwind func()
	yield  func(struct{}) bool
	cancel context.CancelFunc
	killed bool
	ended  bool
	disk   *disktest.Memory // nil but in keyed worlds
	keeper bool             // it looks after tables and ingests nothing
	paused int              // scheduling steps for which it sleeps (SIGSTOP)
	err    error
}

// start makes a process that runs body; nothing happens until step.
func (w *world) start(ctx context.Context, name string, body func(context.Context, *process) error) *process {
	p := &process{name: name, world: w}
	ctx, p.cancel = context.WithCancel(ctx)
	p.resume, p.unwind = iter.Pull(func(yield func(struct{}) bool) {
		p.yield = yield
		if !yield(struct{}{}) {
			p.killed = true
			return
		}
		p.err = body(ctx, p)
	})
	p.resume()
	w.processes = append(w.processes, p)
	w.tracef("%s starts", name)
	return p
}

// step lets the process run to its next operation.
func (p *process) step() {
	if _, running := p.resume(); !running {
		p.end()
	}
}

// kill ends the process where it stands. Its code unwinds, but no operation of it does anything any
// more, so no clean-up reaches the store, and the world draws on as if it had drawn nothing: a select
// of which several cases are ready, such as the end of its context, is not ours to order.
func (p *process) kill() {
	if p.ended {
		return
	}
	p.world.tracef("%s is killed", p.name)
	p.world.tally[kills]++
	p.killed = true
	w := p.world
	rng := w.rng
	w.rng = rand.New(rand.NewPCG(w.seed, uint64(w.steps)))
	p.cancel()
	p.unwind()
	w.rng = rng
	p.end()
}

func (p *process) end() {
	p.ended = true
	p.cancel()
	p.world.tracef("%s ended: %v", p.name, p.err)
}

// pass hands over to the scheduler before an operation; it returns an error when the process was
// killed meanwhile.
func (p *process) pass(what string) error {
	if p.killed {
		return errKilled
	}
	p.world.tracef("%s: %s", p.name, what)
	if !p.yield(struct{}{}) {
		p.killed = true
		p.cancel()
	}
	if p.killed {
		return fmt.Errorf("%s: %w", what, errKilled)
	}
	return nil
}
