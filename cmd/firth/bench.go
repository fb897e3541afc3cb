package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/gen"
)

func (p *program) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure ingest, its stages and commits on this machine",
		Long: "Measures firth on this machine: 'ingest' is the whole from a topic to a proven table, the others\n" +
			"are its stages on their own. Every figure is of this program's own process: broker and generator\n" +
			"run in another one, and what is made ready beforehand does not count." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench ingest --rows 5000000 --json",
			"firth bench decode --workload wide50 --format avro", "firth bench upload -c firth.yaml",
			"firth bench commit --commits 5000 --json"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.benchIngestCommand(), p.benchProcessCommand(), p.benchFetchCommand(),
		p.benchDecodeCommand(), p.benchEncodeCommand(), p.benchUploadCommand(), p.benchCommitCommand(),
		p.benchCompactionCommand(), p.benchUpsertCommand(), p.benchSeamCommand(),
		p.benchLiveCommand(), p.benchLookupCommand(), p.benchSubscribeCommand())
	return cmd
}

// benchFlags are the flags of the benchmarks that work on rows.
type benchFlags struct {
	stage.Feed
	rows       int64
	cpuProfile string
}

func (f *benchFlags) add(cmd *cobra.Command, rows int64) {
	flags := cmd.Flags()
	flags.Int64Var(&f.rows, "rows", rows, "how many rows")
	flags.StringVar(&f.Workload, "workload", "events10", strings.Join(gen.Workloads(), ", "))
	formats := []string{"json", "avro", "protobuf", "jsonschema", "csv"}
	flags.StringVar(&f.Format, "format", formats[0], strings.Join(formats, ", "))
	addProfileFlag(cmd, &f.cpuProfile)
	completions(cmd, "workload", gen.Workloads())
	completions(cmd, "format", formats)
}

func addProfileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "cpuprofile", "", "file for the CPU profile, for 'go tool pprof'")
}

// completions are what the shell offers for the value of a flag.
func completions(cmd *cobra.Command, flag string, values []string) {
	if err := cmd.RegisterFlagCompletionFunc(flag,
		cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("BUG: " + err.Error())
	}
}

// validate refuses rows that cannot be made.
func (f *benchFlags) validate() error {
	if f.rows < 1 {
		return couldNot(fmt.Errorf("--rows %d must be 1 or more", f.rows), "")
	}
	if _, err := f.Generator(); err != nil {
		return couldNot(err, "see 'firth bench --help'")
	}
	return nil
}

// writeStage prints a stage's figures on one line.
func writeStage(w io.Writer, r *stage.Result) error {
	what := r.Stage
	if r.Workload != "" {
		what += " of " + r.Workload + " as " + r.Format
	}
	line := fmt.Sprintf("%s: %s rows, %s rows/s, %s rows and %.0f MB per CPU-second, %.1f s, %.1f CPU-s, "+
		"%s of memory", what, count(r.Rows), count(int64(r.RowsPerSecond)), count(int64(r.RowsPerCPU)),
		r.MBPerCPU, r.Seconds, r.CPUSeconds, size(r.RSSBytesMax))
	if r.Files > 0 {
		line += fmt.Sprintf(", %s in files: %s", size(r.BytesWritten), count(r.Files))
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// inFolder runs work in the folder, or in one of its own that is removed at the end.
func inFolder(dir string, work func(dir string) error) error {
	if dir != "" {
		dir, err := filepath.Abs(dir) // a catalog takes no other
		if err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
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
