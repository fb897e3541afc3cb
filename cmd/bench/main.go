package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/firthlake/firth/e2e/components"
)

// options are the flags.
type options struct {
	rows   int64
	rounds int
	only   string
	firth  string
	json   bool
}

func main() {
	var o options
	flag.Int64Var(&o.rows, "rows", 5_000_000, "rows of each measurement")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	flag.StringVar(&o.only, "only", "", "groups of comparisons, separated by commas (default all): "+
		strings.Join(groups(), ", "))
	flag.StringVar(&o.firth, "firth", "bin/firth", "the program, as 'make build' makes it")
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

func groups() []string {
	var out []string
	for _, c := range comparisons() {
		out = append(out, c.group)
	}
	return slices.Compact(out)
}

// run measures, prints, and returns an error when a ratio is too low or a table was not proven.
func run(ctx context.Context, w io.Writer, o options) error {
	chosen := comparisons()
	if o.only != "" {
		wanted := strings.Split(o.only, ",")
		chosen = slices.DeleteFunc(chosen, func(c comparison) bool { return !slices.Contains(wanted, c.group) })
	}
	if len(chosen) == 0 || o.rounds < 1 || o.rows < 1 {
		return fmt.Errorf("nothing to do: --only takes %s; --rounds and --rows are 1 or more",
			strings.Join(groups(), ", "))
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
	b := &bench{options: o, lab: lab, dir: dir, lines: map[string]string{}}
	if err := b.start(ctx, chosen); err != nil {
		return err
	}
	rounds := make([]map[string]figure, o.rounds)
	for i := range rounds {
		rounds[i] = map[string]figure{}
		for _, m := range measurements(chosen) {
			got, err := b.measure(ctx, m)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			rounds[i][m.name] = got
			fmt.Fprintf(os.Stderr, "round %d: %-24s %9.0f rows/CPU-s %9.0f rows/s %4d MB\n", i+1, m.name,
				got.RowsPerCPU, got.RowsPerSecond, got.RSSBytesMax/1e6)
		}
	}
	return report(w, o, chosen, rounds)
}
