package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// commitBenchOptions say what runCommitBench does.
type commitBenchOptions struct {
	// Commits is how many commits are made, each with one file of 10,000 rows of 10 columns and the
	// ranges of Partitions topic partitions.
	Commits    int
	Partitions int
	// Dir is an empty folder for warehouse and catalog.
	Dir string
	// Progress, when not nil, is told the number of commits now and then.
	Progress func(commits int)
}

// commitBenchResult is what was measured. First and last are the first and last tenth of the commits.
type commitBenchResult struct {
	Commits        int     `json:"commits"`
	MedianMsFirst  float64 `json:"median_ms_first"`
	MedianMsLast   float64 `json:"median_ms_last"`
	P99MsFirst     float64 `json:"p99_ms_first"`
	P99MsLast      float64 `json:"p99_ms_last"`
	HeapBytesFirst uint64  `json:"heap_bytes_first"`
	HeapBytesLast  uint64  `json:"heap_bytes_last"`
	Snapshots      int     `json:"snapshots"`
	DataFiles      int64   `json:"data_files"`
	Seconds        float64 `json:"seconds"`
}

// commitBenchKeep is the age that snapshots are kept in the benchmark: none, so that their number is
// that of a table with one commit every few seconds.
const commitBenchKeep = 0

// runCommitBench commits to one table on a local store and an SQLite catalog, as fast as it can.
func runCommitBench(ctx context.Context, opts commitBenchOptions) (commitBenchResult, error) {
	store, err := catalog.OpenSQLite(ctx, filepath.Join(opts.Dir, "catalog.db"))
	if err != nil {
		return commitBenchResult{}, err
	}
	defer func() { _ = store.Close() }() // the folder is thrown away
	b := &commitBench{opts: opts, ident: table.Ident{"bench", "commits"}}
	if err := b.open(ctx, store); err != nil {
		return commitBenchResult{}, err
	}
	tenth := max(1, opts.Commits/10)
	took := make([]float64, opts.Commits)
	result := commitBenchResult{Commits: opts.Commits}
	began := time.Now()
	for i := range took {
		change, err := b.change()
		if err != nil {
			return result, err
		}
		start := time.Now()
		if _, err := b.committer.Commit(ctx, change); err != nil {
			return result, err
		}
		took[i] = float64(time.Since(start)) / float64(time.Millisecond)
		if i == tenth-1 {
			result.HeapBytesFirst = heapBytes()
		}
		if opts.Progress != nil && i%100 == 99 {
			opts.Progress(i + 1)
		}
	}
	result.Seconds = time.Since(began).Seconds()
	result.HeapBytesLast = heapBytes()
	result.MedianMsFirst, result.P99MsFirst = quantiles(took[:tenth])
	result.MedianMsLast, result.P99MsLast = quantiles(took[len(took)-tenth:])
	meta := b.committer.Table().Metadata()
	result.Snapshots = len(meta.Snapshots())
	total := meta.CurrentSnapshot().Summary.Properties["total-data-files"]
	if result.DataFiles, err = strconv.ParseInt(total, 10, 64); err != nil {
		return result, fmt.Errorf("count data files: %w", err)
	}
	return result, nil
}

// commitBench is the benchmark's table and the log it pretends to read.
type commitBench struct {
	opts      commitBenchOptions
	ident     table.Ident
	committer *commit.Committer
	next      commit.Offset
}

// commitBenchRows is the rows of each file.
const commitBenchRows = 10_000

func (b *commitBench) open(ctx context.Context, store catalog.Store) error {
	objects, err := objstore.NewLocal("")
	if err != nil {
		return err
	}
	cat := catalog.New(store, objects, catalog.Options{
		Warehouse: filepath.Join(b.opts.Dir, "warehouse"), TableProperties: catalog.DefaultTableProperties(),
		Now: time.Now, NewID: uuid.New,
	})
	if err := cat.CreateNamespace(ctx, catalog.Namespace{b.ident[0]}, nil); err != nil {
		return err
	}
	var fields []iceberg.NestedField
	for i := range 10 {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: fmt.Sprintf("c%d", i),
			Type: iceberg.PrimitiveTypes.Int64})
	}
	spec := catalog.TableSpec{Schema: iceberg.NewSchema(0, fields...)}
	if _, err := cat.CreateTable(ctx, b.ident, spec); err != nil {
		return err
	}
	b.committer, err = commit.Open(ctx, cat, objects, b.ident, commit.Options{
		Now: time.Now, NewID: uuid.New, Random: rand.Uint64, Sleep: benchSleep, Writer: "bench",
		SnapshotsKeep: commit.SnapshotsKeepDefault, SnapshotAgeMin: commitBenchKeep,
	})
	return err
}

// change is the next checkpoint. Its file is described and does not exist: commits never open it.
func (b *commitBench) change() (commit.Change, error) {
	change := commit.Change{ID: uuid.New(), Ranges: map[commit.TopicPartition]commit.Range{}}
	meta := b.committer.Table().Metadata()
	share := commit.Offset(commitBenchRows / b.opts.Partitions)
	for p := range b.opts.Partitions {
		tp := commit.TopicPartition{Cluster: "bench", Topic: "commits", TopicID: uuid.Max, Partition: int32(p)}
		change.Ranges[tp] = commit.Range{From: b.next, Next: b.next + share, Checksum: rand.Uint64(),
			Counts: commit.Counts{Inserted: int64(share)}}
	}
	b.next += share
	counts, bounds := map[int]int64{}, map[int][]byte{}
	for id := 1; id <= 10; id++ {
		counts[id], bounds[id] = commitBenchRows, []byte{0, 1, 2, 3, 4, 5, 6, 7}
	}
	file, err := iceberg.NewDataFileBuilder(meta.PartitionSpec(), iceberg.EntryContentData,
		fmt.Sprintf("%s/data/firth-%s-0.parquet", meta.Location(), change.ID), iceberg.ParquetFile,
		nil, nil, nil, int64(share)*int64(b.opts.Partitions), 1<<20)
	if err != nil {
		return change, err
	}
	change.Files = []iceberg.DataFile{file.ValueCounts(counts).NullValueCounts(counts).ColumnSizes(counts).
		LowerBoundValues(bounds).UpperBoundValues(bounds).SplitOffsets([]int64{4}).Build()}
	return change, nil
}

func benchSleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// heapBytes is what is alive after a collection.
func heapBytes() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// quantiles returns the median and the 99th percentile.
func quantiles(values []float64) (median, p99 float64) {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2], sorted[len(sorted)*99/100]
}
