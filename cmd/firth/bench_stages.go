package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/table/objstore"
)

// benchStageRows is how many rows a stage takes unless it is told: some seconds of work.
const benchStageRows = 5_000_000

func (p *program) benchDecodeCommand() *cobra.Command {
	return p.benchRowsCommand("rows decoded", stage.Decode, &cobra.Command{
		Use:   "decode",
		Short: "Measure how fast records become record batches",
		Long: "Decodes records in memory into the columns of a table and its metadata columns, on one goroutine.\n" +
			"32 MiB of records are made beforehand and taken again and again." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench decode", "firth bench decode --workload nested --format protobuf",
			"firth bench decode --rows 20000000 --cpuprofile cpu.pprof"),
	})
}

func (p *program) benchEncodeCommand() *cobra.Command {
	return p.benchRowsCommand("rows encoded", stage.Encode, &cobra.Command{
		Use:   "encode",
		Short: "Measure how fast record batches become Parquet files",
		Long: "Writes record batches as the Parquet files of an unpartitioned table, on one goroutine. Nobody keeps\n" +
			"the files. The rows of 32 MiB of records are decoded beforehand and taken again and again." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench encode", "firth bench encode --workload wide50 --json",
			"firth bench encode --workload logs --cpuprofile cpu.pprof"),
	})
}

// measureStage is a stage of package stage.
type measureStage = func(context.Context, stage.Options) (stage.Result, error)

// benchRowsCommand completes the command of a stage that needs nothing but rows in memory.
func (p *program) benchRowsCommand(noun string, measure measureStage, cmd *cobra.Command) *cobra.Command {
	var f benchFlags
	f.add(cmd, benchStageRows)
	cmd.Args = exactly()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.benchStage(cmd.Context(), f, noun, measure)
	}
	return cmd
}

func (p *program) benchUploadCommand() *cobra.Command {
	var f benchFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "upload",
		Short: "Measure how fast Parquet files reach the warehouse",
		Long: "Puts Parquet files into a folder, or with -c into the warehouse of the configuration, one after the\n" +
			"other, and removes them at the end. The file is made beforehand and put under many names." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench upload", "firth bench upload -c firth.yaml --json",
			"firth bench upload --dir /mnt/lake --rows 20000000"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchUpload(cmd.Context(), f, dir) },
	}
	f.add(cmd, benchStageRows)
	addBenchDir(cmd, &dir)
	return cmd
}

func addBenchDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "",
		"empty folder to work in (default one that is removed at the end)")
}

// benchStage measures a stage within the memory of a service, and prints the result.
func (p *program) benchStage(
	ctx context.Context, f benchFlags, noun string, measure measureStage,
) error {
	if err := f.validate(); err != nil {
		return err
	}
	boundMemory(memoryDefault)
	bar := sync.OnceValue(func() *progress { return p.progress(noun, f.rows) }) // from the first rows on
	result, err := measure(ctx, stage.Options{Feed: f.Feed, Rows: f.rows, CPUProfile: f.cpuProfile, Now: p.now,
		Progress: func(rows int64) { bar().at(rows, "") }})
	bar().close()
	if err != nil {
		return err
	}
	return p.print(result, func(w io.Writer) error { return writeStage(w, &result) })
}

func (p *program) benchUpload(ctx context.Context, f benchFlags, dir string) error {
	c := defaultConfig()
	if p.configPath != "" {
		var err error
		if c, err = p.loadConfig(); err != nil {
			return err
		}
		return p.benchUploadTo(ctx, f, c.Warehouse)
	}
	return inFolder(dir, func(dir string) error {
		full, err := filepath.Abs(dir)
		if err != nil {
			return fmt.Errorf("find folder %s: %w", dir, err)
		}
		c.Warehouse.Location = full
		return p.benchUploadTo(ctx, f, c.Warehouse)
	})
}

func (p *program) benchUploadTo(ctx context.Context, f benchFlags, to warehouseConfig) error {
	store, err := objstore.Open(objstore.Config{S3: to.S3})
	if err != nil {
		return fmt.Errorf("open warehouse %s: %w", to.Location, err)
	}
	return p.benchStage(ctx, f, "rows uploaded", func(
		ctx context.Context, o stage.Options,
	) (stage.Result, error) {
		return stage.Upload(ctx, stage.UploadOptions{Options: o, Store: store, Location: to.Location})
	})
}
