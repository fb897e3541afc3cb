package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func (p *program) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure ingest and commits on this machine",
		Long: "Measures firth on this machine." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench ingest --rows 5000000 --json",
			"firth bench commit --commits 5000 --json"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.benchIngestCommand(), p.benchProcessCommand(), p.benchCommitCommand())
	return cmd
}

func (p *program) benchCommitCommand() *cobra.Command {
	var o commitBenchOptions
	cmd := &cobra.Command{
		Use:   "commit",
		Short: "Measure how long a commit takes as snapshots and files pile up",
		Long: "Commits to one table on a local store and an SQLite catalog as fast as it can, one file of 10,000\n" +
			"rows a commit, and compares the first tenth of the commits with the last." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench commit", "firth bench commit --commits 5000 --json"),
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.benchCommit(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVar(&o.Commits, "commits", 1000, "how many commits")
	cmd.Flags().IntVar(&o.Partitions, "partitions", 8, "topic partitions that every commit moves")
	cmd.Flags().StringVar(&o.Dir, "dir", "",
		"empty folder to work in (default one that is removed at the end)")
	return cmd
}

func (p *program) benchCommit(ctx context.Context, o commitBenchOptions) error {
	if o.Commits < 1 || o.Partitions < 1 {
		return couldNot(fmt.Errorf("--commits %d and --partitions %d must be 1 or more", o.Commits,
			o.Partitions), "")
	}
	return inFolder(o.Dir, func(dir string) error {
		bar := p.progress("commits", int64(o.Commits))
		defer bar.close()
		o.Dir, o.Progress = dir, func(done int) { bar.at(int64(done), "") }
		result, err := runCommitBench(ctx, o)
		if err != nil {
			return err
		}
		bar.close()
		return p.print(result, func(w io.Writer) error {
			_, err := fmt.Fprintf(w,
				"%s commits in %.1f s: median %.1f ms at first, %.1f ms at last (p99 %.1f, %.1f); heap %s, %s\n",
				count(int64(result.Commits)), result.Seconds, result.MedianMsFirst, result.MedianMsLast,
				result.P99MsFirst, result.P99MsLast, size(int64(result.HeapBytesFirst)),
				size(int64(result.HeapBytesLast)))
			return err
		})
	})
}

// inFolder runs work in the folder, or in one of its own that is removed at the end.
func inFolder(dir string, work func(dir string) error) error {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		return work(dir)
	}
	own, err := os.MkdirTemp("", "firth-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(own) }() // what is left there is of no use
	return work(own)
}
