package table

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

func partitionBy(id int, transform iceberg.Transform) iceberg.PartitionSpec {
	return iceberg.NewPartitionSpecID(3, iceberg.PartitionField{
		SourceIDs: []int{id}, FieldID: 1000, Name: "p", Transform: transform})
}

func sortBy(t testing.TB, fields ...icetable.SortField) icetable.SortOrder {
	t.Helper()
	order, err := icetable.NewSortOrder(5, fields)
	require.NoError(t, err)
	return order
}

// byColumn is an order by one column as it is.
func byColumn(
	t testing.TB, id int, direction icetable.SortDirection, nulls icetable.NullOrder,
) icetable.SortOrder {
	t.Helper()
	return sortBy(t, icetable.SortField{SourceIDs: []int{id},
		Transform: iceberg.IdentityTransform{}, Direction: direction, NullOrder: nulls})
}

// starve takes all memory that w may have, so that the next batch finds none and becomes a run.
func starve(w *Writer) { w.charge(max(floorBytes, w.opts.Memory.Limit())) }

// TestWriterKeepsEveryRowInItsPartition runs batches of every type through all ways a row can take:
// straight to a file, through runs on disk, in one lane and in several.
func TestWriterKeepsEveryRowInItsPartition(t *testing.T) {
	for name, opts := range map[string]WriterOptions{
		"in memory":          {},
		"spilled":            {},
		"parallel":           {Parallel: 3},
		"parallel, spilled":  {Parallel: 2},
		"files by size":      {Parquet: ParquetOptions{FileBytesTarget: 30_000}},
		"sorted":             {Sort: byColumn(t, 12, icetable.SortASC, icetable.NullsFirst)},
		"sorted and spilled": {Sort: byColumn(t, 18, icetable.SortDESC, icetable.NullsLast)},
	} {
		specs := []iceberg.PartitionSpec{partitionBy(1, iceberg.BucketTransform{NumBuckets: 7})}
		if !testing.Short() && (name == "in memory" || name == "spilled") {
			specs = append(specs, partitionBy(2, iceberg.IdentityTransform{}),
				partitionBy(20, iceberg.TruncateTransform{Width: 1}))
		}
		for _, spec := range specs {
			t.Run(name+"/"+spec.Field(0).Transform.String(), func(t *testing.T) {
				mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
				defer mem.AssertSize(t, 0)
				store, d := newStore(), newDice(31, mem)
				opts.Schema, opts.Spec, opts.Allocator, opts.SpillDir = everyType(), spec, mem, t.TempDir()
				w := testWriter(t, store, opts)
				p, err := newPartitioner(everyType(), &spec)
				require.NoError(t, err)
				want := map[string][]string{}
				for i := range 6 {
					batch := d.batch(t, everyType(), 100+1100*(i/5))
					if strings.Contains(name, "spilled") {
						starve(w)
					}
					ordinals, err := p.ordinals(nil, batch)
					require.NoError(t, err)
					for row, text := range rowsOf(batch) {
						key := fmt.Sprint(p.value(ordinals[row]).values)
						want[key] = append(want[key], text)
					}
					require.NoError(t, w.Write(t.Context(), batch))
					batch.Release()
				}
				require.Equal(t, strings.Contains(name, "spilled"), len(w.sorter.spill.runs) == 6)
				files, err := w.Close(t.Context())
				require.NoError(t, err)
				got := map[string][]string{}
				for _, f := range files {
					require.EqualValues(t, 3, f.SpecID())
					key := fmt.Sprint(f.Partition())
					got[key] = append(got[key], readFile(t, store, f.FilePath())...)
				}
				for key := range want {
					if opts.Sort.Len() > 0 {
						slices.Sort(want[key])
						slices.Sort(got[key])
					}
					require.Equal(t, want[key], got[key])
				}
				require.Len(t, got, len(want))
				if name != "files by size" {
					require.Len(t, files, len(want), "one file a partition")
				}
				require.Zero(t, w.opts.Memory.Used())
				left, err := os.ReadDir(opts.SpillDir)
				require.NoError(t, err)
				require.Empty(t, left)
			})
		}
	}
}

// TestWriterSortsFiles checks the order of rows against a stable sort by Iceberg's rules.
func TestWriterSortsFiles(t *testing.T) {
	for _, spilled := range []bool{false, true} {
		for i, field := range everyType().Fields()[:18] {
			for _, direction := range []icetable.SortDirection{icetable.SortASC, icetable.SortDESC} {
				for _, nulls := range []icetable.NullOrder{icetable.NullsFirst, icetable.NullsLast} {
					store, d := newStore(), newDice(uint64(i), memory.DefaultAllocator)
					schema := iceberg.NewSchema(0, optional(1, "v", field.Type),
						optional(2, "n", iceberg.PrimitiveTypes.Int64))
					w := testWriter(t, store, WriterOptions{Schema: schema,
						SpillDir: t.TempDir(), Sort: byColumn(t, 1, direction, nulls)})
					var rows []sortedRow
					for range 3 {
						batch := d.batch(t, schema, 100)
						for row, text := range rowsOf(batch) {
							rows = append(rows, sortedRow{text: text,
								literal: icebergLiteral(field.Type, batch.Column(0), row)})
						}
						if spilled {
							starve(w)
						}
						require.NoError(t, w.Write(t.Context(), batch))
						batch.Release()
					}
					files, err := w.Close(t.Context())
					require.NoError(t, err)
					require.Len(t, files, 1)
					require.Equal(t, 5, *files[0].SortOrderID())
					slices.SortStableFunc(rows, func(a, b sortedRow) int {
						return compareRows(a, b, direction, nulls)
					})
					var want []string
					for _, row := range rows {
						want = append(want, row.text)
					}
					require.Equal(t, want, readFile(t, store, files[0].FilePath()),
						"%s %s %s", field.Type, direction, nulls)
				}
			}
		}
	}
}

type sortedRow struct {
	text    string
	literal iceberg.Optional[iceberg.Literal]
}

func compareRows(a, b sortedRow, direction icetable.SortDirection, nulls icetable.NullOrder) int {
	if a.literal.Valid != b.literal.Valid {
		if a.literal.Valid == (nulls == icetable.NullsFirst) {
			return 1
		}
		return -1
	}
	if !a.literal.Valid {
		return 0
	}
	order := compareLiterals(a.literal.Val.Any(), b.literal.Val.Any())
	if direction == icetable.SortDESC {
		return -order
	}
	return order
}

func compareLiterals(a, b any) int {
	switch a := a.(type) {
	case bool:
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	case int32:
		return cmp.Compare(a, b.(int32))
	case int64:
		return cmp.Compare(a, b.(int64))
	case iceberg.Date:
		return cmp.Compare(a, b.(iceberg.Date))
	case iceberg.Time:
		return cmp.Compare(a, b.(iceberg.Time))
	case iceberg.Timestamp:
		return cmp.Compare(a, b.(iceberg.Timestamp))
	case iceberg.TimestampNano:
		return cmp.Compare(a, b.(iceberg.TimestampNano))
	case float32:
		return cmp.Compare(orderedFloat(float64(a)), orderedFloat(float64(b.(float32))))
	case float64:
		return cmp.Compare(orderedFloat(a), orderedFloat(b.(float64)))
	case string:
		return cmp.Compare(a, b.(string))
	case iceberg.Decimal:
		return a.Val.Cmp(b.(iceberg.Decimal).Val)
	}
	return slices.Compare(bytesOf(a), bytesOf(b))
}

func bytesOf(v any) []byte {
	if raw, ok := v.([]byte); ok {
		return raw
	}
	raw, _ := v.(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary()
	return raw
}

func TestOrderedFloatPutsMinusZeroFirstAndNaNLast(t *testing.T) {
	d := newDice(1, memory.DefaultAllocator)
	for range 1000 {
		a, b := d.NormFloat64(), d.NormFloat64()
		require.Equal(t, cmp.Compare(a, b), cmp.Compare(orderedFloat(a), orderedFloat(b)))
	}
	var zero float64
	require.Less(t, orderedFloat(-1/(1/zero)), orderedFloat(0))
	require.Less(t, orderedFloat(1/zero), orderedFloat(zero/zero))
}

func TestWriterSortsByTransformsAndSeveralFields(t *testing.T) {
	types := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, optional(1, "at", types.Timestamp), optional(2, "text", types.String))
	store := newStore()
	w := testWriter(t, store, WriterOptions{Schema: schema, Sort: sortBy(t,
		icetable.SortField{SourceIDs: []int{1}, Transform: iceberg.DayTransform{},
			Direction: icetable.SortDESC, NullOrder: icetable.NullsFirst},
		icetable.SortField{SourceIDs: []int{2}, Transform: iceberg.TruncateTransform{Width: 1},
			Direction: icetable.SortASC, NullOrder: icetable.NullsLast})})
	files := write(t, w, fromJSON(t, schema,
		`{"at":"2026-01-01 10:00:00","text":"b1"}`, `{"at":"2026-01-01 09:00:00","text":"a\u0000"}`,
		`{"at":"2026-01-02 00:00:00","text":null}`, `{"at":"2026-01-02 23:00:00","text":""}`,
		`{"at":null,"text":"z"}`, `{"at":"2026-01-01 11:00:00","text":"b0"}`,
		`{"at":"2026-01-01 08:00:00","text":"a"}`))
	require.Equal(t, []string{
		"null|z|", "2026-01-02T23:00:00||", "2026-01-02T00:00:00|null|",
		"2026-01-01T09:00:00|a\x00|", "2026-01-01T08:00:00|a|",
		"2026-01-01T10:00:00|b1|", "2026-01-01T11:00:00|b0|",
	}, readFile(t, store, files[0].FilePath()))
}

func TestWriterMergesManyRuns(t *testing.T) {
	schema := iceberg.NewSchema(0, required(1, "v", iceberg.PrimitiveTypes.Int64))
	arrowSchema, err := ArrowSchema(schema)
	require.NoError(t, err)
	store := newStore()
	w := testWriter(t, store, WriterOptions{Schema: schema, SpillDir: t.TempDir(),
		Spec: partitionBy(1, iceberg.BucketTransform{NumBuckets: 5})})
	total := 0
	for i := range 3 * runsMax / 2 {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for range 200_000 / runsMax {
			b.Append(int64(i))
			total++
		}
		column := b.NewArray()
		batch := array.NewRecordBatch(arrowSchema, []arrow.Array{column}, int64(column.Len()))
		starve(w)
		require.NoError(t, w.Write(t.Context(), batch))
		require.Less(t, len(w.sorter.spill.runs), runsMax)
		batch.Release()
	}
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	rows := 0
	for _, f := range files {
		rows += int(f.Count())
	}
	require.Equal(t, total, rows)
	require.Len(t, files, 2*5)
	require.Zero(t, w.opts.Memory.Used())
}

func TestWriterOfOnlyVoidFieldsHasNullValues(t *testing.T) {
	store := newStore()
	batch := newDice(1, memory.DefaultAllocator).batch(t, everyType(), 10)
	defer batch.Release()
	files := write(t, testWriter(t, store, WriterOptions{Schema: everyType(),
		Spec: partitionBy(1, iceberg.VoidTransform{})}), batch)
	require.Len(t, files, 1)
	require.Equal(t, map[int]any{1000: nil}, files[0].Partition())
}

func TestWriterSaysWhereItCannotSpill(t *testing.T) {
	w := testWriter(t, newStore(), WriterOptions{Schema: everyType(), SpillDir: "/nowhere/at/all",
		Spec: partitionBy(1, iceberg.BucketTransform{NumBuckets: 5})})
	batch := newDice(1, memory.DefaultAllocator).batch(t, everyType(), 10)
	defer batch.Release()
	starve(w)
	err := w.Write(t.Context(), batch)
	require.ErrorContains(t, err, "rows that memory has no room for")
	require.ErrorContains(t, err, "/nowhere/at/all")
	require.NoError(t, w.Abort(t.Context()))
	require.Zero(t, w.opts.Memory.Used())
}
