package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/spec"
)

// upsertBenchOptions are the flags of bench upsert.
type upsertBenchOptions struct {
	stage.UpsertOptions
	benchFlags
	merge  string
	memory spec.Size
}

// upsertMemoryDefault lets the rows of a few seconds wait for their checkpoint.
const upsertMemoryDefault = 800 << 20

// mergesMeasured are the merge engines that the benchmark knows.
func mergesMeasured() []string {
	return []string{string(spec.MergeLast), string(spec.MergePartial), string(spec.MergeAggregate)}
}

// distributions are how the benchmarks draw keys.
func distributions() []string { return []string{stage.Uniform, stage.Zipf} }

func (p *program) benchUpsertCommand() *cobra.Command {
	o := upsertBenchOptions{memory: upsertMemoryDefault}
	cmd := &cobra.Command{
		Use:   "upsert",
		Short: "Measure how fast records become rows of a keyed table",
		Long: "Takes in records over a number of keys, one in 50 a tombstone, as 'firth run' does: decode, the last\n" +
			"version of each key, index, Parquet files, deletion vectors, commits. Store and catalog are local; the\n" +
			"records come from this process. At the end all rows are read and held against a map of the records." +
			exitCodes("measured", "a row is not what it should be", "could not measure"),
		Example: example("firth bench upsert", "firth bench upsert --rows 20000000 --keys 1000000 --json",
			"firth bench upsert --distribution zipf --memory 2GiB", "firth bench upsert --merge aggregate"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchUpsert(cmd.Context(), o) },
	}
	o.benchFlags.add(cmd, 20_000_000)
	flags := cmd.Flags()
	flags.IntVar(&o.Keys, "keys", 1_000_000, "how many keys")
	flags.StringVar(&o.Distribution, "distribution", stage.Uniform, "how keys are drawn: "+
		strings.Join(distributions(), ", "))
	flags.StringVar(&o.merge, "merge", "last", "merge engine: last, partial, aggregate")
	flags.DurationVar(&o.Interval, "interval", 10*time.Second, "commit interval")
	flags.IntVar(&o.Workers, "workers", runtime.GOMAXPROCS(0), "goroutines that decode and write")
	flags.Var(sizeFlag{&o.memory}, "memory", "memory limit of the process, as limits.memory")
	completions(cmd, "distribution", distributions())
	completions(cmd, "merge", mergesMeasured())
	addBenchDir(cmd, &o.UpsertOptions.Dir)
	return cmd
}

func (p *program) benchUpsert(ctx context.Context, o upsertBenchOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	boundMemory(o.memory)
	return inFolder(o.UpsertOptions.Dir, func(dir string) error {
		bar := p.progress("records", o.rows)
		defer bar.close()
		u := o.UpsertOptions
		u.Options = stage.Options{Feed: o.benchFlags.Feed, Rows: o.rows, CPUProfile: o.cpuProfile, Now: p.now,
			Progress: func(rows int64) { bar.at(rows, "") }}
		u.Dir, u.Committer = dir, p.commitOptions()
		u.Merge = spec.Merge(o.merge)
		u.BudgetBytes, u.IndexBytes = bufferBytes(o.memory), indexBytes(o.memory, 1)
		result, err := stage.Upsert(ctx, u)
		if err != nil {
			return err
		}
		bar.close()
		if err := p.print(result, func(w io.Writer) error { return writeUpsert(w, &result) }); err != nil {
			return err
		}
		if result.Mismatches > 0 {
			return fallsShort(fmt.Errorf("%d keys have not the row that they should", result.Mismatches), "report it")
		}
		return nil
	})
}

func (o *upsertBenchOptions) validate() error {
	if err := o.benchFlags.validate(); err != nil {
		return err
	}
	switch {
	case o.Format != "json":
		return couldNot(fmt.Errorf("--format %s: records with keys are made as json alone", o.Format), "")
	case o.Keys < stage.UpsertKeysMin || o.Keys > stage.UpsertKeysMax:
		return couldNot(fmt.Errorf("--keys %d must be %d to %d", o.Keys, stage.UpsertKeysMin, stage.UpsertKeysMax), "")
	case !slices.Contains(distributions(), o.Distribution):
		return couldNot(fmt.Errorf("--distribution %q must be one of %s", o.Distribution,
			strings.Join(distributions(), ", ")), "")
	case !slices.Contains(mergesMeasured(), o.merge):
		return couldNot(fmt.Errorf("--merge %q must be one of %s", o.merge, strings.Join(mergesMeasured(), ", ")), "")
	case o.memory < memoryMin:
		return couldNot(fmt.Errorf("--memory %s must be %s or more", o.memory, spec.Size(memoryMin)), "")
	case o.Interval <= 0 || o.Workers < 1:
		return couldNot(fmt.Errorf("--interval %v and --workers %d must be above 0", o.Interval, o.Workers), "")
	}
	return nil
}

func writeUpsert(w io.Writer, r *stage.UpsertResult) error {
	if err := writeStage(w, &r.Result); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "  %s over %s keys, merge %s: %s; %s commits, %.0f bytes of index a key, "+
		"%d mismatches\n", r.Distribution, count(int64(r.Keys)), r.Merge, r.Counts, count(r.Commits),
		r.IndexBytesPerKey, r.Mismatches)
	for _, name := range stage.Shares() {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %-8s %5.1f %%\n", name, 100*r.CPUShare[name])
		}
	}
	return err
}
