package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/firthlake/firth/e2e/components"
)

// options are the flags.
type options struct {
	rows   int64
	rounds int
	only   string
	firth  string
	json   bool
	// updated is how long the table of the group reads is updated.
	updated time.Duration
	// scale is the size of the tables of the group tpch: 1 is 6 million lines of orders.
	scale float64
}

func main() {
	var o options
	flag.Int64Var(&o.rows, "rows", 5_000_000, "rows of each measurement")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	flag.StringVar(&o.only, "only", "", "groups of comparisons, separated by commas "+
		"(default all but compaction, reads and tpch): "+strings.Join(groups(), ", "))
	flag.StringVar(&o.firth, "firth", "bin/firth", "the program, as 'make build' makes it")
	flag.DurationVar(&o.updated, "updated", time.Hour, "how long the table of the group reads is updated")
	flag.Float64Var(&o.scale, "scale", 1, "scale of the tables of the group tpch")
	flag.BoolVar(&o.json, "json", false, "print one JSON value")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, prints, and returns an error when a ratio is too low or a table was not proven.
func run(ctx context.Context, w io.Writer, o options) error {
	if o.rounds < 1 || o.rows < 1 {
		return errors.New("--rounds and --rows are 1 or more")
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	cores, err := ownCores()
	if err != nil {
		return err
	}
	chosen, left := measurable(chosen, cores.count())
	for _, c := range left {
		fmt.Fprintf(os.Stderr, "left out: %s: it needs Linux and %d cores\n", c.name, max(c.of.cores, c.to.cores))
	}
	if len(chosen) == 0 {
		return errors.New("nothing is left to measure")
	}
	dir, err := os.MkdirTemp("", "firth-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left there is of no use
	lab, err := components.NewLab(dir)
	if err != nil {
		return err
	}
	defer lab.Stop()
	b := &bench{options: o, lab: lab, dir: dir, cores: cores, lines: map[string]string{}}
	if err := b.start(ctx, chosen); err != nil {
		return err
	}
	all := measurements(chosen)
	if err := b.warm(ctx, all); err != nil {
		return err
	}
	rounds, err := b.rounds(ctx, all)
	if err != nil {
		return err
	}
	return report(w, o, chosen, rounds)
}
