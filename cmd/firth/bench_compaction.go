package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
)

func (p *program) benchCompactionCommand() *cobra.Command {
	var f benchFlags
	var o stage.CompactionOptions
	cmd := &cobra.Command{
		Use:   "compaction",
		Short: "Measure how fast small files become one",
		Long: "Compacts tables on a local store and an SQLite catalog, with plan and commit: clean ones, whose\n" +
			"column chunks are copied, and ones of which a row in a hundred is deleted, which are decoded. The\n" +
			"tables are filled beforehand, and read back and compared afterwards. With --under-load a\n" +
			"writer replaces and inserts rows all the while, in tables of format version 2 and 3 in turn." +
			exitCodes("measured", "a row is not what it was", "could not measure"),
		Example: example("firth bench compaction", "firth bench compaction --rows 4000000 --files 80 --json",
			"firth bench compaction --workload wide50 --rows 1000000",
			"firth bench compaction --rows 200000 --runs 25 --under-load --json"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchCompaction(cmd.Context(), f, o) },
	}
	f.add(cmd, 4_000_000)
	cmd.Flags().IntVar(&o.Files, "files", 80, "files that become one")
	cmd.Flags().IntVar(&o.Runs, "runs", 1, "tables of each form")
	cmd.Flags().BoolVar(&o.UnderLoad, "under-load", false, "update the tables meanwhile")
	addBenchDir(cmd, &o.Dir)
	return cmd
}

func (p *program) benchCompaction(ctx context.Context, f benchFlags, o stage.CompactionOptions) error {
	if err := f.validate(); err != nil {
		return err
	}
	if o.Files < 2 || int64(o.Files) > f.rows || o.Runs < 1 {
		return couldNot(fmt.Errorf("--files %d must be from 2 to the number of rows, --runs %d 1 or more",
			o.Files, o.Runs), "")
	}
	boundMemory(memoryDefault)
	return inFolder(o.Dir, func(dir string) error {
		bar := p.progress("rows compacted", 2*f.rows*int64(o.Runs))
		defer bar.close()
		o.Options = stage.Options{Feed: f.Feed, Rows: f.rows, CPUProfile: f.cpuProfile, Now: p.now,
			Progress: func(rows int64) { bar.at(rows, "") }}
		o.Dir, o.Committer = dir, p.commitOptions()
		result, err := stage.Compaction(ctx, o)
		if err != nil {
			return err
		}
		bar.close()
		if err := p.print(result, func(w io.Writer) error { return writeCompaction(w, &result) }); err != nil {
			return err
		}
		if result.Mismatches > 0 {
			return fallsShort(fmt.Errorf("%d rows are not what they were", result.Mismatches), "report it")
		}
		return nil
	})
}

func writeCompaction(w io.Writer, r *stage.CompactionResult) error {
	for _, form := range []struct {
		name string
		stage.CompactionForm
	}{{"clean", r.Clean}, {"decoded", r.Decoded}} {
		if _, err := fmt.Fprintf(w, "%s: %d of %d runs, %s rows and %.0f MB per CPU-second, %.1f s, %.1f CPU-s, "+
			"%d mismatches\n", form.name, form.Completed, form.Runs, count(int64(form.RowsPerCPU)), form.MBPerCPU,
			form.Seconds, form.CPUSeconds, form.Mismatches); err != nil {
			return err
		}
		if form.Load == nil {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: beside %s commits that replaced %s rows, %s of them in files that were being "+
			"rewritten\n", form.name, count(int64(form.Load.Commits)), count(form.Load.Updated),
			count(form.Load.Moved)); err != nil {
			return err
		}
	}
	return nil
}
