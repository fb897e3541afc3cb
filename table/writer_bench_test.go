//go:build unix

package table

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/objstore"
)

// events10 is the schema of the workload of that name.
func events10() *iceberg.Schema {
	types := iceberg.PrimitiveTypes
	return iceberg.NewSchema(0, optional(1, "event_id", types.String), optional(2, "user_id", types.Int64),
		optional(3, "event_type", types.String), optional(4, "ts", types.TimestampTz),
		optional(5, "url", types.String), optional(6, "amount", types.Float64),
		optional(7, "quantity", types.Int32), optional(8, "country", types.String),
		optional(9, "is_mobile", types.Bool), optional(10, "session", types.String))
}

func events10Batches(b testing.TB, batches, rows int) []arrow.RecordBatch {
	b.Helper()
	schema, err := ArrowSchema(events10())
	require.NoError(b, err)
	r := rand.New(rand.NewPCG(1, 1))
	ts := int64(1_790_000_000_000_000)
	var out []arrow.RecordBatch
	for range batches {
		builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for range rows {
			ts += r.Int64N(2000) * 1000
			var id uuid.UUID
			for i := range id {
				id[i] = byte(r.Uint32())
			}
			builder.Field(0).(*array.StringBuilder).Append(id.String())
			builder.Field(1).(*array.Int64Builder).Append(r.Int64N(200_000))
			builder.Field(2).(*array.StringBuilder).Append([]string{"view", "click", "purchase",
				"search", "login", "logout", "share", "refund"}[r.IntN(8)])
			builder.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(ts))
			builder.Field(4).(*array.StringBuilder).Append(
				fmt.Sprintf("https://shop.example.com/c/%d/p/%d", r.IntN(50), r.IntN(100_000)))
			builder.Field(5).(*array.Float64Builder).Append(float64(r.IntN(100_000)) / 100)
			builder.Field(6).(*array.Int32Builder).Append(int32(1 + r.IntN(10)))
			builder.Field(7).(*array.StringBuilder).Append(fmt.Sprintf("C%d", r.IntN(30)))
			builder.Field(8).(*array.BooleanBuilder).Append(r.IntN(2) == 0)
			builder.Field(9).(*array.StringBuilder).Append(fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()))
		}
		out = append(out, builder.NewRecordBatch())
		builder.Release()
	}
	return out
}

// nullStore takes objects in and forgets them.
type nullStore struct {
	objstore.Store
	bytes int64
}

func (s *nullStore) Put(
	_ context.Context, location string, body io.Reader, _ int64, _ objstore.PutOptions,
) (objstore.Object, error) {
	n, err := io.Copy(io.Discard, body)
	s.bytes += n
	return objstore.Object{Location: location, Size: n}, err
}

func cpuSeconds(b testing.TB) float64 {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// BenchmarkWriter writes a million rows of events10; the figure to read is rows/cpu-s.
func BenchmarkWriter(b *testing.B) {
	batches := events10Batches(b, 50, 20_000)
	byUser := sortBy(b, icetable.SortField{SourceIDs: []int{2}, Transform: iceberg.IdentityTransform{},
		Direction: icetable.SortASC, NullOrder: icetable.NullsFirst})
	for _, c := range []struct {
		name string
		opts WriterOptions
	}{
		{"unpartitioned", WriterOptions{}},
		{"unpartitioned-safe", WriterOptions{Parquet: ParquetOptions{Profile: ProfileSafe}}},
		{"unpartitioned-modern", WriterOptions{Parquet: ParquetOptions{Profile: ProfileModern}}},
		{"hour", WriterOptions{Spec: partitionBy(4, iceberg.HourTransform{})}},
		{"bucket16", WriterOptions{Spec: partitionBy(2, iceberg.BucketTransform{NumBuckets: 16})}},
		{"bucket128", WriterOptions{Spec: partitionBy(2, iceberg.BucketTransform{NumBuckets: 128})}},
		{"bucket128-spilled", WriterOptions{Spec: partitionBy(2, iceberg.BucketTransform{NumBuckets: 128}),
			Memory: NewBudget(24 << 20)}},
		{"sorted", WriterOptions{Sort: byUser}},
		{"sorted-spilled", WriterOptions{Sort: byUser, Memory: NewBudget(24 << 20)}},
		{"parallel2", WriterOptions{Parallel: 2}},
	} {
		b.Run(c.name, func(b *testing.B) {
			store := &nullStore{}
			c.opts.Schema, c.opts.SpillDir = events10(), b.TempDir()
			if c.opts.Memory == nil {
				c.opts.Memory = NewBudget(writerMemoryDefault) // shared by all writers, as a process does
			}
			cpu, rows := cpuSeconds(b), 0
			for b.Loop() {
				w := testWriter(b, store, c.opts)
				for _, batch := range batches {
					if err := w.Write(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
					rows += int(batch.NumRows())
				}
				if _, err := w.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)/(cpuSeconds(b)-cpu), "rows/cpu-s")
			b.ReportMetric(float64(store.bytes)/float64(rows), "bytes/row")
		})
	}
}

// BenchmarkRowChecksumsOfEvents is the checksum over the same rows.
func BenchmarkRowChecksumsOfEvents(b *testing.B) {
	batches := events10Batches(b, 5, 20_000)
	sums, err := NewChecksummer(events10())
	require.NoError(b, err)
	cpu, rows := cpuSeconds(b), 0
	for b.Loop() {
		for _, batch := range batches {
			if _, err := sums.Sum(batch); err != nil {
				b.Fatal(err)
			}
			rows += int(batch.NumRows())
		}
	}
	b.ReportMetric(float64(rows)/(cpuSeconds(b)-cpu), "rows/cpu-s")
}

// BenchmarkHundredTablesOfHundredPartitions writes ten million rows into a hundred tables at once
// under one budget; the figure to read is the most memory the process took.
func BenchmarkHundredTablesOfHundredPartitions(b *testing.B) {
	const tables, rounds = 100, 10
	source := gather.New(events10Batches(b, 1, 10_000))
	for b.Loop() {
		budget := NewBudget(512 << 20)
		cpu := cpuSeconds(b)
		writers := make([]*Writer, tables)
		for i := range writers {
			writers[i] = testWriter(b, &nullStore{}, WriterOptions{Schema: events10(), Memory: budget,
				SpillDir: b.TempDir(), Spec: partitionBy(2, iceberg.BucketTransform{NumBuckets: 100})})
		}
		for range rounds {
			for _, w := range writers {
				batch := source.Runs(memory.DefaultAllocator, []gather.Run{{Rows: 10_000}}) // rows of its own
				if err := w.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				batch.Release()
			}
		}
		for _, w := range writers {
			files, err := w.Close(b.Context())
			if err != nil || len(files) != 100 {
				b.Fatal(len(files), err)
			}
		}
		b.ReportMetric(tables*rounds*10_000/(cpuSeconds(b)-cpu), "rows/cpu-s")
	}
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	b.ReportMetric(float64(usage.Maxrss)/1024, "MiB-max-RSS")
}
