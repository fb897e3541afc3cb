package upsert

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/keyindex"
)

// event is one row of a test: a key, a sequence (-1 is none) and an op, in a record of a partition.
type event struct {
	key, seq  int64
	op        Op
	partition int32
}

// setOf makes a set of events; those of one partition that follow each other are one part.
func setOf(t testing.TB, mem memory.Allocator, opts Options, events []event) (*Set, []keyindex.Key) {
	t.Helper()
	s := New(opts)
	schema := arrow.NewSchema([]arrow.Field{{Name: "key", Type: arrow.PrimitiveTypes.Int64},
		{Name: "seq", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	var keys []keyindex.Key
	for first := 0; first < len(events); {
		b := array.NewRecordBuilder(mem, schema)
		var ops []Op
		end := first
		for ; end < len(events) && events[end].partition == events[first].partition; end++ {
			e := events[end]
			b.Field(0).(*array.Int64Builder).Append(e.key)
			if e.seq < 0 {
				b.Field(1).AppendNull()
			} else {
				b.Field(1).(*array.Int64Builder).Append(e.seq)
			}
			ops = append(ops, e.op)
			keys = append(keys, keyindex.Key{High: uint64(e.key) * 0x9e3779b97f4a7c15, Low: uint64(e.key)})
		}
		batch := b.NewRecordBatch()
		b.Release()
		require.NoError(t, s.Add(commit.TopicPartition{Topic: "t", Partition: events[first].partition}, batch, ops))
		batch.Release()
		first = end
	}
	return s, keys
}

func release(s *Set) {
	for _, p := range s.Parts() {
		p.Batch.Release()
	}
}

// foldSlowly is what Fold says of a key, one version after the other.
func foldSlowly(opts Options, events []event, old Old) (live bool, last int) {
	live, last = old.Present, -1
	sequence := int64(-1)
	if old.Sequence != nil {
		sequence = old.Sequence[0]
	}
	for i, e := range events {
		if len(opts.Sequence) == 0 {
			e.seq = -1
		}
		if e.seq >= 0 && e.seq < sequence {
			continue
		}
		if e.op&Delete == 0 && opts.First && live {
			continue
		}
		sequence = max(sequence, e.seq)
		if e.op&Delete != 0 && !live {
			continue
		}
		live, last = e.op&Delete == 0, i
	}
	return live, last
}

func TestFoldDoesWhatOneVersionAfterTheOtherDoes(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 3))
		opts := Options{First: seed%3 == 1}
		if seed%3 == 0 {
			opts.Sequence = []int{1}
		}
		events := make([]event, 1+random.IntN(60))
		for i := range events {
			events[i] = event{key: random.Int64N(8), seq: random.Int64N(6) - 1, op: Op(random.IntN(2)),
				partition: random.Int32N(3)}
			if i > 0 && events[i].partition == events[i-1].partition && random.IntN(4) == 0 {
				events[i].op |= Continues
			}
		}
		s, keys := setOf(t, mem, opts, events)
		distinct := s.Order(slices.Clone(keys))
		old := make([]Old, len(distinct))
		for i := range old {
			if random.IntN(2) == 0 {
				old[i] = Old{Present: true, Sequence: []int64{random.Int64N(6)}}
			}
		}
		result := s.Fold(func(key int) Old { return old[key] })
		taken := int64(0)
		for i, key := range distinct {
			var of []event
			var rows []int
			for p := range int32(3) {
				for row, e := range events {
					if e.partition == p && keys[row] == key {
						of, rows = append(of, e), append(rows, row)
					}
				}
			}
			require.Equal(t, keys[rows[0]], key)
			live, last := foldSlowly(opts, of, old[i])
			want := Keep
			switch {
			case last >= 0 && live:
				want = Act(rows[last])
			case last >= 0 && old[i].Present:
				want = Remove
			}
			require.Equal(t, want, result.Acts[i], "seed %d, key %d: %+v over %+v", seed, i, of, old[i])
			if want != Keep && old[i].Present {
				taken++
			}
		}
		require.Equal(t, taken, result.Taken)
		requireCounts(t, events, &result)
		release(s)
	}
}

// requireCounts checks that each record counts once, and that the counts say how many rows are more.
func requireCounts(t *testing.T, events []event, result *Result) {
	t.Helper()
	records := map[int32]int64{}
	single := true
	for _, e := range events {
		if e.op&Continues == 0 {
			records[e.partition]++
		} else {
			single = false
		}
	}
	var sum commit.Counts
	for p, n := range records {
		counts := result.Counts[commit.TopicPartition{Topic: "t", Partition: p}]
		require.Equal(t, n, counts.Sum(), "records of partition %d", p)
		sum = sum.Add(counts)
	}
	writes := result.Writes()
	require.True(t, slices.IsSorted(writes))
	require.LessOrEqual(t, sum.Inserted+sum.Updated, int64(len(writes)))
	require.LessOrEqual(t, sum.Updated+sum.Deleted, result.Taken)
	if single {
		require.Equal(t, int64(len(writes)), sum.Inserted+sum.Updated)
		require.Equal(t, result.Taken, sum.Updated+sum.Deleted)
	}
}

func TestRecordsOfSeveralRowsCountOnce(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	for _, c := range []struct {
		name   string
		events []event
		old    map[int64]bool
		want   commit.Counts
	}{
		{"a changed key", []event{{key: 2}, {key: 1, op: Delete | Continues}}, map[int64]bool{1: true},
			commit.Counts{Updated: 1}},
		{"a changed key of a row never seen", []event{{key: 2}, {key: 1, op: Delete | Continues}}, nil,
			commit.Counts{Inserted: 1}},
		{"a changed key onto another row", []event{{key: 2}, {key: 1, op: Delete | Continues}},
			map[int64]bool{1: true, 2: true}, commit.Counts{Deleted: 1}},
		{"rows that come", []event{{key: 1}, {key: 2, op: Continues}}, map[int64]bool{2: true},
			commit.Counts{Inserted: 1}},
		{"a delete and its tombstone", []event{{key: 1, op: Delete}, {key: 1, op: Delete}}, map[int64]bool{1: true},
			commit.Counts{Deleted: 1, Tombstones: 1}},
		{"a row that came and went", []event{{key: 1}, {key: 1, op: Delete}}, nil,
			commit.Counts{Superseded: 1, Tombstones: 1}},
	} {
		s, keys := setOf(t, mem, Options{}, c.events)
		original := slices.Clone(keys)
		distinct := s.Order(keys)
		result := s.Fold(func(key int) Old {
			row := slices.Index(original, distinct[key])
			return Old{Present: c.old[c.events[row].key]}
		})
		require.Equal(t, c.want, result.Counts[commit.TopicPartition{Topic: "t"}], c.name)
		release(s)
	}
}

func BenchmarkOrderAndFold(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	events := make([]event, 500_000)
	for i := range events {
		events[i] = event{key: random.Int64N(200_000), seq: int64(i), partition: int32(i / 8192 % 8)}
	}
	s, keys := setOf(b, memory.DefaultAllocator, Options{Sequence: []int{1}}, events)
	b.ReportAllocs()
	for b.Loop() {
		s.Order(slices.Clone(keys))
		s.Fold(func(int) Old { return Old{Present: true} })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/row")
}
