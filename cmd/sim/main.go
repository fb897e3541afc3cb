package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 0, "run only this seed")
	first := flag.Uint64("first", 1, "first seed")
	seeds := flag.Uint64("seeds", 1000, "how many seeds")
	failures := flag.Int("failures", 10, "after how many failing seeds to end")
	trace := flag.Bool("trace", false, "print what happens")
	flag.Parse()
	if *seed != 0 {
		*first, *seeds = *seed, 1
	}
	var out io.Writer
	if *trace {
		out = os.Stdout
	}
	debug.SetGCPercent(400) // worlds are small and many: collect less often
	began := time.Now()
	r := run{first: *first, seeds: *seeds, failuresMax: *failures, trace: out}
	steps, failed := runSeeds(context.Background(), r)
	fmt.Printf("sim: %d seeds from %d, %d steps, %.1f s, %d failed\n",
		*seeds, *first, steps, time.Since(began).Seconds(), len(failed))
	for _, f := range failed {
		fmt.Printf("seed %d: %v\n", f.seed, f.err)
	}
	if len(failed) > 0 {
		os.Exit(1)
	}
}

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
}

// runSeeds runs seeds on all cores; each is alone in its world.
func runSeeds(ctx context.Context, r run) (steps int64, failed []failure) {
	var next atomic.Uint64
	var total atomic.Int64
	var mu sync.Mutex // guards failed
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < r.seeds; i = next.Add(1) - 1 {
				done, err := runSeed(ctx, r.first+i, r.trace)
				total.Add(int64(done))
				mu.Lock()
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
	return total.Load(), failed
}

// runSeed runs one world and checks it.
func runSeed(ctx context.Context, seed uint64, trace io.Writer) (steps int, err error) {
	w := newWorld(seed, trace)
	defer func() {
		if fault := recover(); fault != nil {
			steps, err = w.steps, fmt.Errorf("panic: %v", fault)
		}
	}()
	if err := w.run(ctx); err != nil {
		return w.steps, err
	}
	return w.steps, w.check(ctx)
}
