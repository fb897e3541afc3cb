package table_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

func TestPlanRefusesWhatItCannotRead(t *testing.T) {
	for want, ids := range map[string][]int{"compare field 6": {1, 6}, "compare no fields": {}} {
		l := newLake(t, "2", eventsSchema(), *iceberg.UnpartitionedSpec)
		l.commit(l.parquet(l.meta.CurrentSchema(), idRows(0, 2)))
		builder, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec,
			iceberg.EntryContentEqDeletes,
			lakeRoot+"/data/eq.parquet", iceberg.ParquetFile, nil, nil, nil, 1, 1)
		require.NoError(t, err)
		l.commit(builder.EqualityFieldIDs(ids).Build())
		_, err = l.tryRead(table.Scan{})
		require.ErrorContains(t, err, want)
	}
}

// TestPruningChangesNoResult compares scans with pruning against the same filter over all tasks,
// on partitioned tables whose column was promoted half-way.
func TestPruningChangesNoResult(t *testing.T) {
	transforms := []iceberg.Transform{
		iceberg.IdentityTransform{}, iceberg.BucketTransform{NumBuckets: 4},
		iceberg.TruncateTransform{Width: 10}, iceberg.VoidTransform{},
	}
	pruned, seeds := 0, uint64(12)
	if testing.Short() {
		seeds = 4 // one a transform
	}
	for seed := range seeds {
		dice := rand.New(rand.NewPCG(seed, 0))
		transform := transforms[seed%4]
		l := newLake(t, "2", eventsSchema(), iceberg.NewPartitionSpec(iceberg.PartitionField{
			SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: transform,
		}))
		for round := range 2 {
			schema, id := l.meta.CurrentSchema(), "id"
			if round == 1 {
				l.evolve(evolvedSchema())
				schema, id = l.meta.CurrentSchema(), "number"
			}
			form, err := table.ArrowSchema(schema)
			require.NoError(t, err)
			var files []iceberg.DataFile
			for range 6 {
				base := dice.IntN(50)
				partition := map[int]any{1000: partitionOf(transform, base, round == 1)}
				rows := fmt.Sprintf(`[{%q: %d, "price": %d}, {%q: %d}]`, id, base, dice.IntN(9), id, base)
				files = append(files, l.parquetOf(schema, form, partition, rows))
			}
			l.commit(files...)
		}
		all, err := table.Plan(t.Context(), l.table(), l.store, table.Scan{})
		require.NoError(t, err)
		for range 20 {
			text := fmt.Sprintf("number %s %d %s price %s %d",
				[]string{"=", "<", ">", "!=", ">="}[dice.IntN(5)], dice.IntN(50),
				[]string{"AND", "OR"}[dice.IntN(2)],
				[]string{"=", "<", ">", "!=", "<="}[dice.IntN(5)], dice.IntN(9))
			scan := table.Scan{Filter: where(t, text), Columns: []string{"number", "price"}}
			tasks, err := table.Plan(t.Context(), l.table(), l.store, scan)
			require.NoError(t, err)
			pruned += len(all) - len(tasks)
			got, err := l.readTasks(tasks)
			require.NoError(t, err)
			whole := l.read(table.Scan{Columns: []string{"number", "price"}})
			require.Subset(t, whole, got)
			require.Equal(t, countMatches(t, whole, text), len(got), "seed %d: %s", seed, text)
		}
	}
	require.Greater(t, pruned, int(seeds)*8)
}

// partitionOf is the partition value of an id.
func partitionOf(transform iceberg.Transform, id int, promoted bool) any {
	source := iceberg.NewLiteral(int32(id))
	if promoted {
		source = iceberg.NewLiteral(int64(id))
	}
	applied := transform.Apply(iceberg.Optional[iceberg.Literal]{Val: source, Valid: true})
	if !applied.Valid {
		return nil
	}
	return applied.Val.Any()
}

// countMatches evaluates a filter over rows that read printed.
func countMatches(t *testing.T, rows []string, text string) int {
	t.Helper()
	schema := iceberg.NewSchema(0,
		optionalField(1, "number", iceberg.PrimitiveTypes.Int64),
		optionalField(3, "price", iceberg.PrimitiveTypes.Float64))
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	var json []string
	for _, row := range rows {
		row = strings.NewReplacer("number=", `"number": `, " price=", `, "price": `).Replace(row)
		json = append(json, "{"+row+"}")
	}
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, form,
		strings.NewReader("["+strings.Join(json, ",")+"]"))
	require.NoError(t, err)
	defer batch.Release()
	bound, err := filter.ParseAndBind(text, schema)
	require.NoError(t, err)
	selection, err := bound.Evaluator().Select(batch)
	require.NoError(t, err)
	return selection.Count()
}
