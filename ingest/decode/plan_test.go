package decode

import (
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// mostAllocator remembers the largest piece of memory that it was asked for.
type mostAllocator struct {
	memory.Allocator
	most int
}

func (a *mostAllocator) Allocate(n int) []byte {
	a.most = max(a.most, n)
	return a.Allocator.Allocate(n)
}

func (a *mostAllocator) Reallocate(n int, b []byte) []byte {
	a.most = max(a.most, n)
	return a.Allocator.Reallocate(n, b)
}

func TestOneLargeRecordMakesNoRoomForMoreOfThem(t *testing.T) {
	plan := jsonPlan(t, Options{},
		iceberg.NestedField{Name: "text", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{Name: "list", Type: &iceberg.ListType{ElementID: 8,
			Element: iceberg.PrimitiveTypes.Int64}})
	mem := &mostAllocator{Allocator: memory.NewGoAllocator()}
	decoder := plan.NewDecoder(mem)
	defer decoder.Close()
	decode := func(chunk *source.Chunk) int {
		mem.most = 0
		decoded, err := decoder.Decode(t.Context(), chunk)
		require.NoError(t, err)
		require.Empty(t, decoded.Failures)
		decoded.Batch.Release()
		return mem.most
	}
	large := `{"text":"` + strings.Repeat("x", 2<<20) + `","list":[1` + strings.Repeat(",1", 1<<18) + `]}`
	small := chunkOf(slices.Repeat([][]byte{[]byte(`{"text":"abcdefgh","list":[1,2]}`)}, 4096)...)
	require.GreaterOrEqual(t, decode(chunkOf([]byte(large))), 2<<20)
	require.Less(t, decode(small), 256<<10)
	require.Less(t, decode(small), 256<<10)
}

func TestRowBytesAreWhatARowOfNullsTakes(t *testing.T) {
	plan := jsonPlan(t, Options{},
		iceberg.NestedField{Name: "long", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{Name: "text", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{Name: "pair", Type: structOf(
			iceberg.NestedField{ID: 8, Name: "flag", Type: iceberg.PrimitiveTypes.Bool},
			iceberg.NestedField{ID: 9, Name: "id", Type: iceberg.PrimitiveTypes.UUID})})
	require.Equal(t, 8+4+1+16, plan.RowBytes())
}
