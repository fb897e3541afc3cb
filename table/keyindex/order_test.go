package keyindex

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// disordered are entries of several kinds of keys, numbered by their rows.
func disordered(n int, key func(*rand.Rand) Key) []Entry {
	random := rand.New(rand.NewPCG(uint64(n), 9))
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{key(random), Place{File: 1, Row: uint32(i)}}
	}
	return entries
}

func uniform(r *rand.Rand) Key { return Key{r.Uint64(), r.Uint64()} }

func TestSorterEqualsAStableSort(t *testing.T) {
	var s sorter
	for name, key := range map[string]func(*rand.Rand) Key{
		"uniform":     uniform,
		"few keys":    func(r *rand.Rand) Key { return Key{r.Uint64N(5) << 60, r.Uint64N(3)} },
		"one key":     func(*rand.Rand) Key { return Key{7, 7} },
		"one in two":  func(r *rand.Rand) Key { return Key{r.Uint64() * r.Uint64N(2), 1} },
		"same prefix": func(r *rand.Rand) Key { return Key{1<<63 | r.Uint64()>>40, r.Uint64()} },
		"same half":   func(r *rand.Rand) Key { return Key{1 << 63, r.Uint64()} },
		"at the ends": func(r *rand.Rand) Key { return Key{-r.Uint64N(2), -r.Uint64N(2)} },
	} {
		for _, n := range []int{0, 1, 2, insertionMax, insertionMax + 1, 500, spreadMax, spreadMax + 1, 100_000} {
			got := disordered(n, key)
			want := slices.Clone(got)
			slices.SortStableFunc(want, compareKeys)
			s.sort(got, 0)
			require.True(t, slices.Equal(want, got), "%s: %d", name, n)
		}
	}
}

// TestBatchesComeInAnyOrder looks keys up and applies changes out of order, keys more than once; the log
// keeps what was decided.
func TestBatchesComeInAnyOrder(t *testing.T) {
	for seed := range uint64(3) {
		opts := testOptions(t, seed, []int64{1 << 10, 100 << 10, 64 << 20}[seed])
		x, err := Open(t.Context(), opts)
		require.NoError(t, err)
		random := rand.New(rand.NewPCG(seed, 3))
		model := map[Key]Place{}
		var keys []Key
		for n := range 5 {
			var entries []Entry
			file := x.Number(fmt.Sprint("file ", n))
			for row := range 3000 {
				e := Entry{keyOf(random.Uint64N(2000)), Place{file, uint32(row)}}
				if random.IntN(10) == 0 {
					e.Place = Place{}
				}
				entries = append(entries, e)
				model[e.Key] = e.Place
				keys = append(keys, e.Key)
			}
			given := slices.Clone(entries)
			require.NoError(t, x.Apply(t.Context(), Changes{Tag: Tag{int64(n), int64(n)}, Entries: entries}))
			require.Equal(t, given, entries, "the caller's entries stay as they are")
			if n == 2 {
				require.NoError(t, x.Settle(t.Context()))
			}
			if n == 3 {
				require.NoError(t, x.Close())
				x, err = Open(t.Context(), opts)
				require.NoError(t, err)
			}
			places := make([]Place, len(keys))
			require.NoError(t, x.Lookup(t.Context(), keys, places))
			for i, k := range keys {
				require.Equal(t, model[k], places[i])
			}
		}
		require.NoError(t, x.Close())
	}
}

func TestLargeBatchesGiveTheirMemoryBack(t *testing.T) {
	var b batch
	b.ask(make([]Key, 10))
	b.shrink()
	require.NotNil(t, b.entries)
	b.ask(make([]Key, batchKept+1))
	b.shrink()
	require.Nil(t, b.entries)
	require.Nil(t, b.given)
}

func BenchmarkOrder(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		given := disordered(n, uniform)
		run := func(name string, sort func(entries []Entry)) {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				entries := make([]Entry, n)
				for b.Loop() {
					copy(entries, given)
					sort(entries)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/key")
			})
		}
		var s sorter
		var order batch
		run("batch", func(entries []Entry) {
			order.divide(entries)
			for i := range groups {
				order.sortGroup(&s, i)
			}
		})
		run("sorter", func(entries []Entry) { s.sort(entries, 0) })
		run("slices.SortFunc", func(entries []Entry) { slices.SortFunc(entries, compareKeys) })
	}
}
