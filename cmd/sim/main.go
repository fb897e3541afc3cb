package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	began := time.Now()
	r := run{first: *first, seeds: *seeds, failuresMax: *failures, trace: out}
	if *seeds > seedsSilent {
		r.progress = func(done uint64) {
			elapsed := time.Since(began)
			left := time.Duration(float64(elapsed) / float64(done) * float64(*seeds-done))
			fmt.Fprintf(os.Stderr, "%d of %d seeds, %s left\n", done, *seeds, left.Round(time.Second))
		}
	}
	done, steps, failed := runSeeds(ctx, r)
	fmt.Printf("sim: %d seeds from %d, %d steps, %.1f s, %d failed\n",
		done, *first, steps, time.Since(began).Seconds(), len(failed))
	for _, f := range failed {
		fmt.Printf("seed %d: %v\n", f.seed, f.err)
	}
	if len(failed) > 0 {
		os.Exit(1)
	}
}
