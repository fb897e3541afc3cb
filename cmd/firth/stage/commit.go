package stage

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// CommitOptions say what Commit measures.
type CommitOptions struct {
	// Commits is how many commits are made, each with one file of 10,000 rows of 10 columns and the
	// ranges of Partitions topic partitions.
	Commits    int
	Partitions int
	// Vectors is how many data files lose rows in every commit, at most CommitVectorsMax; the table is of
	// format version 3 when there are any.
	Vectors int
	// Dir is an empty folder for warehouse and catalog.
	Dir string
	// CPUProfile is a file for the profile, or empty.
	CPUProfile string
	// Progress is told the number of commits now and then.
	Progress func(commits int64)
	// Committer is what commits need from outside: clock, ids, randomness, sleep, name.
	Committer commit.Options
}

// CommitResult is what was measured; its rows are those that the files are said to hold, its bytes those of
// metadata. First and last are the first and last tenth of the commits.
type CommitResult struct {
	Result
	Commits        int     `json:"commits"`
	MedianMsFirst  float64 `json:"median_ms_first"`
	MedianMsLast   float64 `json:"median_ms_last"`
	P99MsFirst     float64 `json:"p99_ms_first"`
	P99MsLast      float64 `json:"p99_ms_last"`
	HeapBytesFirst uint64  `json:"heap_bytes_first"`
	HeapBytesLast  uint64  `json:"heap_bytes_last"`
	Snapshots      int     `json:"snapshots"`
	// MedianMsHundred is that of the second hundred of commits, 0 when there are fewer.
	MedianMsHundred float64 `json:"median_ms_hundred,omitempty"`
	// Vectors are the deletion vectors of the table at the end.
	Vectors int64 `json:"vectors"`
}

// snapshotAgeMin is the age that snapshots are kept whatever their number: none, so that there are as many
// as of a table with one commit every few seconds.
const snapshotAgeMin = 0

// Commit measures commits to one table on a local store and an SQLite catalog, one after the other.
func Commit(ctx context.Context, opts CommitOptions) (CommitResult, error) {
	result := CommitResult{Result: Result{Stage: "commit"}, Commits: opts.Commits}
	store, err := catalog.OpenSQLite(ctx, filepath.Join(opts.Dir, "catalog.db"))
	if err != nil {
		return result, err
	}
	defer func() { _ = store.Close() }() // the folder is thrown away
	b := &committing{opts: opts, ident: table.Ident{"bench", "commits"}}
	if err := b.open(ctx, store); err != nil {
		return result, err
	}
	meter, err := StartMeter(opts.Committer.Now)
	if err != nil {
		return result, err
	}
	took, err := b.run(ctx, &result)
	if err != nil {
		return result, err
	}
	if err := meter.Stop(&result.Result, opts.CPUProfile); err != nil {
		return result, err
	}
	result.HeapBytesLast = heapBytes()
	tenth := opts.tenth()
	result.MedianMsFirst, result.P99MsFirst = quantiles(took[:tenth])
	result.MedianMsLast, result.P99MsLast = quantiles(took[len(took)-tenth:])
	if len(took) >= 200 {
		result.MedianMsHundred, _ = quantiles(took[100:200])
	}
	meta := b.committer.Table().Metadata()
	result.Snapshots = len(meta.Snapshots())
	result.BytesWritten = b.objects.bytes.Load()
	totals := meta.CurrentSnapshot().Summary.Properties
	if result.Files, err = strconv.ParseInt(totals["total-data-files"], 10, 64); err != nil {
		return result, fmt.Errorf("count data files: %w", err)
	}
	if result.Vectors, err = strconv.ParseInt(totals["total-delete-files"], 10, 64); err != nil {
		return result, fmt.Errorf("count vectors: %w", err)
	}
	result.Rate()
	return result, nil
}

// run commits and returns how many milliseconds each took.
func (b *committing) run(ctx context.Context, result *CommitResult) ([]float64, error) {
	took := make([]float64, b.opts.Commits)
	for i := range took {
		change, err := b.change()
		if err != nil {
			return nil, err
		}
		start := b.opts.Committer.Now()
		if _, err := b.committer.Commit(ctx, change); err != nil {
			return nil, err
		}
		took[i] = float64(b.opts.Committer.Now().Sub(start)) / float64(time.Millisecond)
		result.Rows += change.Files[0].Count()
		if i == b.opts.tenth()-1 {
			result.HeapBytesFirst = heapBytes()
		}
		b.opts.Progress(int64(i + 1))
	}
	return took, nil
}

// tenth is a tenth of the commits.
func (o *CommitOptions) tenth() int { return max(1, o.Commits/10) }

// committing is the benchmark's table and the log it pretends to read.
type committing struct {
	opts      CommitOptions
	ident     table.Ident
	objects   *counting
	committer *commit.Committer
	next      commit.Offset
	files     []updated // in the order of their commits
}

// counting is a store that counts the bytes put into it.
type counting struct {
	objstore.Store
	bytes atomic.Int64
}

// Put implements objstore.Store.
func (c *counting) Put(
	ctx context.Context, location string, body io.Reader, size int64, opts objstore.PutOptions,
) (objstore.Object, error) {
	object, err := c.Store.Put(ctx, location, body, size, opts)
	c.bytes.Add(object.Size)
	return object, err
}

// commitRows is the rows of each file.
const commitRows = 10_000

func (b *committing) open(ctx context.Context, store catalog.Store) error {
	local, err := objstore.NewLocal("")
	if err != nil {
		return err
	}
	b.objects = &counting{Store: local}
	cat := catalog.New(store, b.objects, catalog.Options{
		Warehouse: filepath.Join(b.opts.Dir, "warehouse"), TableProperties: catalog.DefaultTableProperties(),
		Now: b.opts.Committer.Now, NewID: b.opts.Committer.NewID,
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
	if b.opts.Vectors > 0 {
		spec.Properties = iceberg.Properties{"format-version": "3"}
	}
	if _, err := cat.CreateTable(ctx, b.ident, spec); err != nil {
		return err
	}
	options := b.opts.Committer
	options.SnapshotsKeep, options.SnapshotAgeMin = commit.SnapshotsKeepDefault, snapshotAgeMin
	b.committer, err = commit.Open(ctx, cat, b.objects, b.ident, options)
	return err
}

// change is the next checkpoint. Its file is described and does not exist: commits never open it.
func (b *committing) change() (commit.Change, error) {
	change := commit.Change{ID: uuid.New(), Ranges: map[commit.TopicPartition]commit.Range{}}
	meta := b.committer.Table().Metadata()
	gone, err := b.replace(&change, meta)
	if err != nil {
		return change, err
	}
	share := commit.Offset(commitRows / b.opts.Partitions)
	for p := range b.opts.Partitions {
		tp := commit.TopicPartition{Cluster: "bench", Topic: "commits", TopicID: uuid.Max, Partition: int32(p)}
		here := min(gone, int64(share))
		gone -= here
		change.Ranges[tp] = commit.Range{From: b.next, Next: b.next + share, Checksum: rand.Uint64(),
			Counts: commit.Counts{Inserted: int64(share) - here, Updated: here}}
	}
	b.next += share
	counts, bounds := map[int]int64{}, map[int][]byte{}
	for id := 1; id <= 10; id++ {
		counts[id], bounds[id] = commitRows, []byte{0, 1, 2, 3, 4, 5, 6, 7}
	}
	file, err := iceberg.NewDataFileBuilder(meta.PartitionSpec(), iceberg.EntryContentData,
		fmt.Sprintf("%s/data/firth-%s-0.parquet", meta.Location(), change.ID), iceberg.ParquetFile,
		nil, nil, nil, int64(share)*int64(b.opts.Partitions), 1<<20)
	if err != nil {
		return change, err
	}
	change.Files = []iceberg.DataFile{file.ValueCounts(counts).NullValueCounts(counts).ColumnSizes(counts).
		LowerBoundValues(bounds).UpperBoundValues(bounds).SplitOffsets([]int64{4}).Build()}
	b.files = append(b.files, updated{file: change.Files[0]})
	return change, nil
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
