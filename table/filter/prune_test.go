package filter

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

// prunable are the columns of testSchema that the tests keep metrics of. The bounds of l and d are
// written as int and float, as if the columns had been promoted since.
var prunable = map[string]int{"i": 1, "l": 2, "d": 4, "amount": 5, "day": 6, "s": 9, "st.x": 15}

// literalOf is a cell of a reference row as iceberg-go has it; old is the type before promotion.
func literalOf(column string, cell any, old bool) iceberg.Literal {
	if text, ok := cell.(string); ok {
		return iceberg.NewLiteral(text)
	}
	r := cell.(*big.Rat)
	float, _ := r.Float64()
	switch whole := r.Num().Int64(); column {
	case "d":
		if old {
			return iceberg.NewLiteral(float32(float))
		}
		return iceberg.NewLiteral(float)
	case "amount":
		return iceberg.NewLiteral(iceberg.Decimal{
			Val: decimal128.FromI64(int64(float * 100)), Scale: 2,
		})
	case "day":
		return iceberg.NewLiteral(iceberg.Date(whole))
	case "i":
		return iceberg.NewLiteral(int32(whole))
	default:
		if old {
			return iceberg.NewLiteral(int32(whole))
		}
		return iceberg.NewLiteral(whole)
	}
}

func marshal(t *testing.T, l iceberg.Literal) []byte {
	t.Helper()
	data, err := l.MarshalBinary()
	require.NoError(t, err)
	return data
}

// fileOf describes a file of rows, with some of its metrics left out at random unless r is nil.
func fileOf(
	t *testing.T, r *rand.Rand, rows []reference, spec iceberg.PartitionSpec, partition map[int]any,
) iceberg.DataFile {
	t.Helper()
	builder, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, "mem://t/a.parquet",
		iceberg.ParquetFile, partition, nil, nil, int64(max(len(rows), 1)), 1)
	require.NoError(t, err)
	values, nulls, nans := map[int]int64{}, map[int]int64{}, map[int]int64{}
	lower, upper := map[int][]byte{}, map[int][]byte{}
	for column, id := range prunable {
		if r != nil && r.IntN(8) == 0 {
			continue
		}
		values[id], nulls[id] = int64(len(rows)), 0
		if r == nil || r.IntN(4) > 0 {
			nans[id] = 0
		}
		var low, high any
		for _, row := range rows {
			cell := row[column]
			if cell == nil {
				nulls[id]++
				continue
			}
			if low == nil || compareCells(cell, low) < 0 {
				low = cell
			}
			if high == nil || compareCells(cell, high) > 0 {
				high = cell
			}
		}
		if low != nil && (r == nil || r.IntN(8) > 0) {
			lower[id] = marshal(t, literalOf(column, low, true))
			upper[id] = marshal(t, literalOf(column, high, true))
			if column == "s" && len(lower[id]) > 2 {
				lower[id] = lower[id][:2]
			}
			if column == "s" && len(upper[id]) > 2 {
				after, _ := successor(string(upper[id][:2]))
				upper[id] = []byte(after)
			}
		}
	}
	return builder.ValueCounts(values).NullValueCounts(nulls).NaNValueCounts(nans).
		LowerBoundValues(lower).UpperBoundValues(upper).Build()
}

func compareCells(a, b any) int {
	if text, ok := a.(string); ok {
		return strings.Compare(text, b.(string))
	}
	return a.(*big.Rat).Cmp(b.(*big.Rat))
}

// prunedTransforms are the partition transforms to try, by source column.
var prunedTransforms = map[string][]iceberg.Transform{
	"i":      numberTransforms(3),
	"l":      numberTransforms(4),
	"amount": numberTransforms(150),
	"s":      numberTransforms(2),
	"d":      {iceberg.IdentityTransform{}},
	"day": {
		iceberg.IdentityTransform{}, iceberg.YearTransform{}, iceberg.MonthTransform{},
		iceberg.DayTransform{}, iceberg.VoidTransform{},
	},
}

func numberTransforms(width int) []iceberg.Transform {
	return []iceberg.Transform{
		iceberg.IdentityTransform{}, iceberg.BucketTransform{NumBuckets: 3},
		iceberg.TruncateTransform{Width: width},
	}
}

// TestPruningKeepsEveryFileThatMatches compares pruning with the rows themselves, over random
// filters and files, with and without partitions.
func TestPruningKeepsEveryFileThatMatches(t *testing.T) {
	schema := testSchema()
	pruned, files := 0, 0
	for seed := range uint64(80) {
		r := randomCase{rand.New(rand.NewPCG(seed, 2))}
		_, rows := r.rows(1 + r.IntN(6))
		column := []string{"i", "l", "amount", "day", "s", "d"}[r.IntN(6)]
		transform := prunedTransforms[column][r.IntN(len(prunedTransforms[column]))]
		spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
			SourceIDs: []int{prunable[column]}, FieldID: 1000, Name: "p", Transform: transform,
		})
		byPartition := map[string][]reference{}
		values := map[string]any{}
		for _, row := range rows {
			applied := iceberg.Optional[iceberg.Literal]{}
			if row[column] != nil {
				applied.Val, applied.Valid = literalOf(column, row[column], false), true
			}
			applied = transform.Apply(applied)
			key, native := "null", any(nil)
			if applied.Valid {
				key, native = applied.Val.String(), applied.Val.Any()
			}
			byPartition[key], values[key] = append(byPartition[key], row), native
		}
		for key, group := range byPartition {
			file := fileOf(t, r.Rand, group, spec, map[int]any{1000: values[key]})
			manifest := summaryOf(t, spec, values[key])
			for range 100 {
				text := r.expr(2)
				expr, err := Parse(text)
				require.NoError(t, err)
				bound, err := Bind(expr, schema)
				require.NoError(t, err)
				matches := false
				for _, row := range group {
					v := row.eval(expr.root)
					matches = matches || v != nil && *v
				}
				files++
				if !bound.MayMatchFile(file, spec) {
					pruned++
					require.False(t, matches, "seed %d: %s dropped a file of %s, rows %v",
						seed, text, transform, group)
				}
				if !bound.MayMatchManifest(manifest, spec) {
					pruned++
					require.False(t, matches, "seed %d: %s dropped a manifest of %s, rows %v",
						seed, text, transform, group)
				}
			}
		}
	}
	require.Greater(t, pruned, files/4, "pruning that never prunes is no use")
}

// summaryOf is a manifest whose one file has the partition value native.
func summaryOf(t *testing.T, spec iceberg.PartitionSpec, native any) iceberg.ManifestFile {
	t.Helper()
	summary := iceberg.FieldSummary{ContainsNull: native == nil}
	if l, ok := literalOfNative(native); ok {
		data := marshal(t, l)
		summary.LowerBound, summary.UpperBound = &data, &data
	}
	return iceberg.NewManifestFile(2, "mem://t/m.avro", 1, int32(spec.ID()), 1).
		Partitions([]iceberg.FieldSummary{summary}).Build()
}

func literalOfNative(native any) (iceberg.Literal, bool) {
	switch v := native.(type) {
	case int32:
		return iceberg.NewLiteral(v), true
	case int64:
		return iceberg.NewLiteral(v), true
	case float64:
		return iceberg.NewLiteral(v), true
	case string:
		return iceberg.NewLiteral(v), true
	case iceberg.Date:
		return iceberg.NewLiteral(v), true
	case iceberg.Decimal:
		return iceberg.NewLiteral(v), true
	}
	return nil, false
}

func TestPruningReadsBoundsFromBeforeAPromotion(t *testing.T) {
	schema := testSchema()
	spec := *iceberg.UnpartitionedSpec
	rows := []reference{
		{"l": big.NewRat(5, 1), "d": big.NewRat(3, 2)}, {"l": big.NewRat(9, 1), "d": big.NewRat(5, 2)},
	}
	file := fileOf(t, nil, rows, spec, nil)
	require.Len(t, file.LowerBoundValues()[2], 4)
	require.Len(t, file.LowerBoundValues()[4], 4)
	for text, want := range map[string]bool{
		"l = 9": true, "l = 10": false, "l < 5": false, "l <= 5": true,
		"d > 2.5": false, "d >= 2.5": true,
		"l IS NULL": false, "i IS NOT NULL": false, "l != 5": true, "NOT l BETWEEN 5 AND 9": false,
	} {
		bound, err := ParseAndBind(text, schema)
		require.NoError(t, err)
		require.Equal(t, want, bound.MayMatchFile(file, spec), text)
	}
}

func TestTimePartitionsArePruned(t *testing.T) {
	schema := testSchema()
	for _, tc := range []struct {
		transform iceberg.Transform
		value     any
		text      string
		want      bool
	}{
		{iceberg.HourTransform{}, int32(24 * 19723), "ts = '2024-01-01 00:59:59.999999'", true},
		{iceberg.HourTransform{}, int32(24 * 19723), "ts = '2024-01-01 01:00:00'", false},
		{iceberg.HourTransform{}, int32(24 * 19723), "ts < '2024-01-01'", false},
		{iceberg.DayTransform{}, iceberg.Date(19723), "ts >= '2024-01-02'", false},
		{iceberg.DayTransform{}, iceberg.Date(19723), "ts > '2024-01-01 23:59:59'", true},
		{iceberg.MonthTransform{}, int32(648), "ts < '2024-02-01'", true},
		{iceberg.MonthTransform{}, int32(648), "ts >= '2024-02-01'", false},
		{iceberg.YearTransform{}, int32(54), "ts >= '2025-01-01'", false},
		{iceberg.YearTransform{}, int32(54), "ts IS NULL", false},
		{iceberg.YearTransform{}, nil, "ts IS NULL", true},
		{iceberg.YearTransform{}, nil, "ts > '1900-01-01'", false},
	} {
		spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
			SourceIDs: []int{7}, FieldID: 1000, Name: "p", Transform: tc.transform,
		})
		builder, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, "mem://t/a",
			iceberg.ParquetFile, map[int]any{1000: tc.value}, nil, nil, 1, 1)
		require.NoError(t, err)
		bound, err := ParseAndBind(tc.text, schema)
		require.NoError(t, err)
		require.Equal(t, tc.want, bound.MayMatchFile(builder.Build(), spec),
			"%s %s", tc.transform, tc.text)
	}
}

func TestNaNsAreOutsideOfBounds(t *testing.T) {
	schema := testSchema()
	rows := []reference{{"d": big.NewRat(1, 1)}, {"d": big.NewRat(2, 1)}}
	known := fileOf(t, nil, rows, *iceberg.UnpartitionedSpec, nil)
	builder, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData,
		"mem://t/a", iceberg.ParquetFile, nil, nil, nil, 3, 1)
	require.NoError(t, err)
	unknown := builder.ValueCounts(known.ValueCounts()).NullValueCounts(known.NullValueCounts()).
		LowerBoundValues(known.LowerBoundValues()).UpperBoundValues(known.UpperBoundValues()).Build()
	for text, want := range map[string][2]bool{
		"d > 5": {false, true}, "d = 'NaN'": {false, true}, "d IS NAN": {false, true},
		"d < 0": {false, false}, "NOT d <= 2": {false, true}, "d != 1": {true, true},
	} {
		bound, err := ParseAndBind(text, schema)
		require.NoError(t, err)
		require.Equal(t, want[0], bound.MayMatchFile(known, *iceberg.UnpartitionedSpec), text)
		require.Equal(t, want[1], bound.MayMatchFile(unknown, *iceberg.UnpartitionedSpec), text)
	}
}
