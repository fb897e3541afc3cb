package table

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// TestWritersOfOneBudgetShrinkWithoutLoss gives several writers of one budget batches in a random order,
// shrinks them now and then, and compares what their files hold, and the budget, with what they were
// given.
func TestWritersOfOneBudgetShrinkWithoutLoss(t *testing.T) {
	steps := 60
	if testing.Short() {
		steps = 10
	}
	for seed := range uint64(4) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		d := newDice(seed, mem)
		random := rand.New(rand.NewPCG(seed, 9))
		budget := NewBudget(1 << (18 + 2*seed)) // from next to nothing to plenty
		store := newStore()
		writers := make([]*Writer, 3)
		want := make([][]string, len(writers))
		for i := range writers {
			var err error
			writers[i], err = NewWriter(store, WriterOptions{Schema: everyType(), Memory: budget,
				ChangeID: uuid.NewSHA1(testChange, []byte{byte(i)}), Location: "mem://lake/db/events",
				Allocator: mem})
			require.NoError(t, err)
		}
		for range steps {
			i := random.IntN(len(writers))
			if w := writers[i]; random.IntN(4) == 0 {
				held := w.Bytes() - w.ShrinkBytes()
				require.NoError(t, w.Shrink(t.Context()))
				require.Zero(t, w.ShrinkBytes())
				require.LessOrEqual(t, held, w.Bytes(), "what uploads hold stays")
				continue
			}
			batch := d.batch(t, everyType(), 1+random.IntN(1500))
			want[i] = append(want[i], rowsOf(batch)...)
			require.NoError(t, writers[i].Write(t.Context(), batch))
			batch.Release()
			require.Equal(t, writers[0].Bytes()+writers[1].Bytes()+writers[2].Bytes(), budget.Used())
		}
		for i, w := range writers {
			files, err := w.Close(t.Context())
			require.NoError(t, err)
			require.Len(t, files, 1)
			require.Equal(t, want[i], readFile(t, store, files[0].FilePath()))
			require.Error(t, w.Shrink(t.Context()))
		}
		require.Zero(t, budget.Used())
		mem.AssertSize(t, 0)
	}
}

// TestAWriterThatSharesItsBudgetKeepsRowGroupsWhole looks at how many row groups a writer makes of rows
// that it would encode in several goes if it were alone.
func TestAWriterThatSharesItsBudgetKeepsRowGroupsWhole(t *testing.T) {
	batches := events10Batches(t, 8, 16<<10)
	for _, others := range []int64{0, 300 << 20} {
		budget := NewBudget(1 << 30)
		budget.Charge(others)
		w := testWriter(t, newStore(), WriterOptions{Schema: events10(), Memory: budget})
		for _, batch := range batches {
			require.NoError(t, w.Write(t.Context(), batch))
		}
		waiting := w.pendingBytes
		require.NoError(t, w.Shrink(t.Context()))
		require.Zero(t, w.ShrinkBytes())
		for _, batch := range batches {
			require.NoError(t, w.Write(t.Context(), batch))
		}
		files, err := w.Close(t.Context())
		require.NoError(t, err)
		require.Len(t, files, 1)
		require.Len(t, files[0].SplitOffsets(), 2, "row groups: one up to Shrink, one after it")
		if others == 0 {
			require.Less(t, waiting, int64(laneBytes), "alone, rows are encoded as they come")
		} else {
			require.Greater(t, waiting, int64(laneBytes), "rows wait for each other")
		}
		require.Equal(t, others, budget.Used())
	}
	for _, batch := range batches {
		batch.Release()
	}
}
