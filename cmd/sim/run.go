package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

type failure struct {
	seed uint64
	err  error
}

// run says which seeds to run.
type run struct {
	first, seeds uint64
	// failuresMax is after how many failing seeds the run ends.
	failuresMax int
	trace       io.Writer
	// tally, when not nil, takes in what all worlds counted.
	tally *tally
	// progress, when not nil, is told now and then how many seeds are done.
	progress func(done uint64)
}

const (
	// seedsSilent is how many seeds take only seconds; more are reported on, every progressEvery.
	seedsSilent   = 100
	progressEvery = 500
	// gcPercent lets the heap grow to five times what lives before it is collected: worlds are small and
	// many, and by the default half of the time goes into collecting them. More gains nothing.
	gcPercent = 400
)

// runSeeds runs seeds on all cores, each alone in its world, until they are done, ctx ends or enough failed.
func runSeeds(ctx context.Context, r run) (done uint64, steps int64, failed []failure) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	var next, ended atomic.Uint64
	var total atomic.Int64
	var mu sync.Mutex // guards failed and the tally
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < r.seeds && ctx.Err() == nil; i = next.Add(1) - 1 {
				w, err := runSeed(context.WithoutCancel(ctx), r.first+i, r.trace)
				total.Add(int64(w.steps))
				if n := ended.Add(1); n%progressEvery == 0 && r.progress != nil {
					r.progress(n)
				}
				mu.Lock()
				if r.tally != nil {
					r.tally.add(w.tally)
				}
				if err != nil {
					failed = append(failed, failure{r.first + i, err})
				}
				enough := len(failed) >= r.failuresMax
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	group.Wait()
	return ended.Load(), total.Load(), failed
}

// runSeed runs one world and checks it.
func runSeed(ctx context.Context, seed uint64, trace io.Writer) (w *world, err error) {
	w = newWorld(seed, trace)
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	if err := w.run(ctx); err != nil {
		return w, err
	}
	return w, w.check(ctx)
}
