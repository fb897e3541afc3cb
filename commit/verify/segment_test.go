package verify

import (
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

// TestSegmentsCountAsAListWould puts random ranges and rows in and compares with counting one by one.
func TestSegmentsCountAsAListWould(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newSegments()
		next, owner := commit.Offset(0), map[commit.Offset]commit.Offset{}
		for range 1 + random.IntN(6) {
			from := next + commit.Offset(random.IntN(3))
			next = from + 1 + commit.Offset(random.IntN(60))
			s.add(tp(0), commit.Range{From: from, Next: next}, int64(from)+1, 0)
			for o := from; o < next; o++ {
				owner[o] = from
			}
		}
		random.Shuffle(len(s.list), func(i, j int) { s.list[i], s.list[j] = s.list[j], s.list[i] })
		s.arrange()
		cut := commit.Offset(random.Int64N(int64(next)))
		marked := s.mark(cut)
		_, owned := owner[cut]
		require.Equal(t, owned, marked)

		found, tails := map[commit.Offset]tail{}, tail{}
		seen, doubled, placed := map[commit.Offset]bool{}, int64(0), int64(0)
		for range 1 + random.IntN(8) {
			first, sums := commit.Offset(random.Int64N(int64(next))), make([]uint64, 1+random.IntN(50))
			for i := range sums {
				sums[i] = random.Uint64()
				offset := first + commit.Offset(i)
				from, ok := owner[offset]
				if !ok {
					continue
				}
				f := found[from]
				found[from] = tail{f.rows + 1, f.checksum + sums[i]}
				if offset >= cut && owned && from == owner[cut] {
					tails = tail{tails.rows + 1, tails.checksum + sums[i]}
				}
				if seen[offset] {
					doubled++
				}
				seen[offset] = true
				placed++
			}
			placed -= s.run(first, sums, origin{})
		}
		require.Zero(t, placed, "seed %d", seed)
		require.Equal(t, doubled, s.times, "seed %d", seed)
		for i := range s.list {
			seg := &s.list[i]
			require.Equal(t, found[seg.from], seg.found, "seed %d", seed)
			if marked && seg.holds(cut) {
				require.Equal(t, tails, seg.tail, "seed %d", seed)
			}
		}
	}
}

// TestIncarnationsThatShareOffsetsAreOneSegment: rows do not say of which incarnation they are.
func TestIncarnationsThatShareOffsetsAreOneSegment(t *testing.T) {
	s := newSegments()
	again := tp(0)
	again.TopicID = uuid.UUID{2}
	s.add(tp(0), commit.Range{From: 0, Next: 10, Checksum: 5}, 1, 10)
	s.add(again, commit.Range{From: 4, Next: 20, Checksum: 6}, 2, 16)
	s.add(tp(0), commit.Range{From: 20, Next: 25}, 3, 5)
	s.arrange()
	require.Len(t, s.list, 2)
	require.Equal(t, []any{commit.Offset(0), commit.Offset(20), int64(26), uint64(11), 2},
		[]any{s.list[0].from, s.list[0].next, s.list[0].wantRows, s.list[0].wantChecksum, s.list[0].ranges})
	require.False(t, s.mark(7))
	s.run(5, make([]uint64, 3), origin{})
	s.run(5, make([]uint64, 3), origin{})
	require.Zero(t, s.times)
	s.run(22, make([]uint64, 2), origin{})
	s.run(23, make([]uint64, 1), origin{file: "f"})
	require.Equal(t, []doubled{{offset: 23, in: origin{file: "f"}}}, s.doubled)
}

func BenchmarkSegments(b *testing.B) {
	for name, length := range map[string]int{"runs": 8192, "rows": 1} {
		b.Run(name, func(b *testing.B) {
			sums := make([]uint64, length)
			s := newSegments()
			s.add(tp(0), commit.Range{Next: 1 << 40}, 1, 0)
			at := commit.Offset(0)
			for b.Loop() {
				s.run(at, sums, origin{})
				at += commit.Offset(length)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(at), "ns/row")
		})
	}
}
