package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
)

func (p *program) benchCommitCommand() *cobra.Command {
	var o stage.CommitOptions
	cmd := &cobra.Command{
		Use:   "commit",
		Short: "Measure how long a commit takes as snapshots and files pile up",
		Long: "Commits to one table on a local store and an SQLite catalog as fast as it can, one file of 10,000\n" +
			"rows a commit, and compares the first tenth of the commits with the last. With --vectors every commit\n" +
			"also replaces the deletion vectors of so many files, drawn as updates of keys draw them: at a mean age\n" +
			"of 2 commits for each vector." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench commit", "firth bench commit --commits 5000 --json",
			"firth bench commit --commits 5000 --vectors 20"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.benchCommit(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVar(&o.Commits, "commits", 1000, "how many commits")
	cmd.Flags().IntVar(&o.Partitions, "partitions", 8, "topic partitions that every commit moves")
	cmd.Flags().IntVar(&o.Vectors, "vectors", 0, "data files that lose rows in every commit")
	addBenchDir(cmd, &o.Dir)
	addProfileFlag(cmd, &o.CPUProfile)
	return cmd
}

func (p *program) benchCommit(ctx context.Context, o stage.CommitOptions) error {
	if o.Commits < 1 || o.Partitions < 1 {
		return couldNot(fmt.Errorf("--commits %d and --partitions %d must be 1 or more", o.Commits,
			o.Partitions), "")
	}
	if o.Vectors < 0 || o.Vectors > stage.CommitVectorsMax {
		return couldNot(fmt.Errorf("--vectors %d must be 0 to %d", o.Vectors, stage.CommitVectorsMax), "")
	}
	return inFolder(o.Dir, func(dir string) error {
		bar := p.progress("commits", int64(o.Commits))
		defer bar.close()
		o.Dir, o.Progress = dir, func(done int64) { bar.at(done, "") }
		o.Committer = p.commitOptions()
		result, err := stage.Commit(ctx, o)
		if err != nil {
			return err
		}
		bar.close()
		return p.print(result, func(w io.Writer) error {
			_, err := fmt.Fprintf(w,
				"%s commits in %.1f s: median %.1f ms at first, %.1f ms at last (p99 %.1f, %.1f); heap %s, %s; "+
					"%s vectors\n",
				count(int64(result.Commits)), result.Seconds, result.MedianMsFirst, result.MedianMsLast,
				result.P99MsFirst, result.P99MsLast, size(int64(result.HeapBytesFirst)),
				size(int64(result.HeapBytesLast)), count(result.Vectors))
			return err
		})
	})
}
