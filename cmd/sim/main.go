package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 0, "run only this seed")
	first := flag.Uint64("first", 1, "first seed")
	seeds := flag.Uint64("seeds", 1000, "how many seeds")
	keyed := flag.Bool("keyed", false, "let the table be keyed")
	failures := flag.Int("failures", 10, "after how many failing seeds to end")
	trace := flag.Bool("trace", false, "print what happens")
	profile := flag.String("cpuprofile", "", "write a profile of the processor to this file")
	flag.Parse()
	if *seed != 0 {
		*first, *seeds = *seed, 1
	}
	if *keyed && *first < keyedSeeds {
		*first += keyedSeeds
	}
	var out io.Writer
	if *trace {
		out = os.Stdout
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	stopProfile, err := profileTo(*profile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(2)
	}
	began := time.Now()
	var counted tally
	r := run{first: *first, seeds: *seeds, failuresMax: *failures, trace: out, tally: &counted}
	if *seeds > seedsSilent {
		r.progress = func(done uint64) {
			elapsed := time.Since(began)
			left := time.Duration(float64(elapsed) / float64(done) * float64(*seeds-done))
			fmt.Fprintf(os.Stderr, "%d of %d seeds, %s left\n", done, *seeds, left.Round(time.Second))
		}
	}
	done, steps, failed := runSeeds(ctx, r)
	stopProfile()
	fmt.Printf("sim: %d seeds from %d, %d steps, %.1f s, %d failed\n",
		done, *first, steps, time.Since(began).Seconds(), len(failed))
	if counted[total] > 0 {
		fmt.Printf("sim: %s\n", counted)
	}
	for _, f := range failed {
		fmt.Printf("seed %d: %v\n", f.seed, f.err)
	}
	if len(failed) > 0 {
		os.Exit(1)
	}
}

// profileTo records where the processor spends its time until the returned function is called.
func profileTo(name string) (stop func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, fmt.Errorf("profile to %s: %w", name, err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // a profile that is cut off cannot be read, which is message enough
	}, nil
}
