package commit

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

var rewriteGolden = flag.Bool("rewrite-golden", false, "write the golden files of coded values anew")

var (
	topicA = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	topicB = uuid.MustParse("bbbbbbbb-0000-4000-8000-000000000002")
)

func ofTopic(cluster string, id uuid.UUID, topic string, partition int32) TopicPartition {
	return TopicPartition{Cluster: cluster, TopicID: id, Topic: topic, Partition: partition}
}

func someRanges() map[TopicPartition]Range {
	return map[TopicPartition]Range{
		ofTopic("lkc-1", topicA, "orders", 0): {From: 1000, Next: 1100, Counts: Counts{Inserted: 100},
			Checksum: 0xfeedfacecafebeef},
		ofTopic("lkc-1", topicA, "orders", 1): {From: 990, Next: 1095, Checksum: 1,
			Counts: Counts{Inserted: 90, Filtered: 10, DeadLetters: 5}},
		ofTopic("lkc-1", topicA, "orders", 7): {From: 5, Next: 5},
		ofTopic("lkc-1", topicB, "orders", 0): {From: 0, Next: 11, Checksum: math.MaxUint64,
			Counts: Counts{Updated: 1, Deleted: 1, Superseded: 1, Filtered: 1, Tombstones: 1,
				SampledOut: 1, DeadLetters: 1, Skipped: 1, Lost: 1, Absent: 1, Inserted: 1}},
		ofTopic("lkc-2", topicA, "clicks ü", math.MaxInt32): {From: math.MaxInt64 - 3, Next: math.MaxInt64,
			Counts: Counts{Lost: 3}},
	}
}

func someLedger() Ledger {
	return Ledger{Position: Position{}, Folded: map[TopicPartition]Range{}}.advance(someRanges())
}

func somePosition() Position { return someLedger().Position }

func somePending() []Pending {
	return []Pending{
		{CommitID: topicA, Sequence: 7, SnapshotID: 1 << 60, Manifests: []PendingManifest{
			{Version: 2, SpecID: 0, Location: "s3://lake/db/events__dead_letters/metadata/m0.avro", Bytes: 7000,
				Files: 1, Rows: 12, FileBytes: 9000},
			{Version: 2, SpecID: 3, Location: "m1", Bytes: 1, Files: 2, Rows: 3, FileBytes: 4}}},
		{CommitID: topicB, Sequence: 8, SnapshotID: 5},
	}
}

func someForeign() Foreign {
	return Foreign{Through: 99, TotalRecords: 1 << 50, Snapshots: 1, AddedDataFiles: 2,
		RemovedDataFiles: 3, AddedRecords: 1 << 40, RemovedRecords: 5, AddedDeleteFiles: 6,
		RemovedDeleteFiles: 7, Unseen: 8}
}

// TestCodedValuesMatchGoldenFiles holds the coding against files of earlier releases: a value that
// was written once must be read for ever, and equal values must give equal bytes.
func TestCodedValuesMatchGoldenFiles(t *testing.T) {
	coded := map[string][]byte{
		"position": encodePosition(somePosition()),
		"ranges":   encodeRanges(kindRanges, someRanges()),
		"folded":   encodeRanges(kindFolded, someRanges()),
		"foreign":  encodeForeign(someForeign()),
		"pending":  encodePending(somePending()),
		"applied":  encodeApplied(map[uuid.UUID]int64{topicA: 7, topicB: 1 << 40}),
		"empty":    encodePosition(nil),
	}
	for name, got := range coded {
		file := filepath.Join("testdata", "coded", name+".v1")
		if *rewriteGolden {
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, []byte(toText(got)+"\n"), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(string(want)), toText(got), name)
	}
}

func TestCodedValuesRoundTrip(t *testing.T) {
	position, err := decodePosition(encodePosition(somePosition()))
	require.NoError(t, err)
	require.Equal(t, somePosition(), position)
	for _, kind := range []byte{kindRanges, kindFolded} {
		ranges, err := decodeRanges(kind, encodeRanges(kind, someRanges()))
		require.NoError(t, err)
		require.Equal(t, someRanges(), ranges)
	}
	foreign, err := decodeForeign(encodeForeign(someForeign()))
	require.NoError(t, err)
	require.Equal(t, someForeign(), foreign)
	rewritten := someForeign()
	rewritten.Compacted, rewritten.Expired = 1<<33, 1<<40
	foreign, err = decodeForeign(encodeForeign(rewritten))
	require.NoError(t, err)
	require.Equal(t, rewritten, foreign)
	pending, err := decodePending(encodePending(somePending()))
	require.NoError(t, err)
	require.Equal(t, somePending(), pending)
	empty, err := decodePosition(encodePosition(nil))
	require.NoError(t, err)
	require.Equal(t, Position{}, empty)
}

func TestRandomLedgersRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		ranges := map[TopicPartition]Range{}
		for range random.IntN(40) {
			tp := TopicPartition{Cluster: fmt.Sprint(random.IntN(3)), Topic: fmt.Sprint(random.IntN(3)),
				TopicID: [16]byte{byte(random.IntN(2))}, Partition: int32(random.IntN(30))}
			counts := Counts{Inserted: random.Int64N(1 << 20), Absent: random.Int64N(2), Filtered: random.Int64N(9)}
			from := Offset(random.Int64N(1 << 40))
			ranges[tp] = Range{From: from, Next: from + Offset(counts.Sum()), Counts: counts, Checksum: random.Uint64()}
		}
		got, err := decodeRanges(kindRanges, encodeRanges(kindRanges, ranges))
		require.NoError(t, err)
		require.Equal(t, ranges, got)
	}
}

func TestDamagedValuesAreRefused(t *testing.T) {
	for name, coded := range map[string][]byte{
		"position": encodePosition(somePosition()), "ranges": encodeRanges(kindRanges, someRanges()),
		"folded": encodeRanges(kindFolded, someRanges()), "pending": encodePending(somePending()),
	} {
		for i := range coded {
			for _, bit := range []byte{1, 0x80} {
				bad := slices.Clone(coded)
				bad[i] ^= bit
				require.ErrorIs(t, decodeAny(bad), ErrDamaged, "%s, byte %d", name, i)
			}
			require.ErrorIs(t, decodeAny(coded[:i]), ErrDamaged, "%s cut at %d", name, i)
		}
		require.ErrorContains(t, decodeAny(append([]byte{coded[0], 9}, coded[2:]...)), "use a newer one")
	}
}

// decodeAny decodes by the kind that the value claims to be.
func decodeAny(coded []byte) (err error) {
	kind := byte(0)
	if len(coded) > 0 {
		kind = coded[0]
	}
	switch kind {
	case kindRanges, kindFolded:
		_, err = decodeRanges(kind, coded)
	case kindPending:
		_, err = decodePending(coded)
	case kindForeign:
		_, err = decodeForeign(coded)
	default:
		_, err = decodePosition(coded)
	}
	return err
}

func TestLedgerOf512PartitionsIsSmall(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ranges := map[TopicPartition]Range{}
	folded, position := map[TopicPartition]Range{}, Position{}
	for p := range int32(512) {
		from, rows := 50_000_000+Offset(random.IntN(100_000)), int64(4_000+random.IntN(500))
		tp := ofTopic("lkc-1", topicA, "orders", p)
		ranges[tp] = Range{From: from, Next: from + Offset(rows), Counts: Counts{Inserted: rows},
			Checksum: random.Uint64()}
		folded[tp] = Range{Next: from, Counts: Counts{Inserted: int64(from)}, Checksum: random.Uint64()}
		position[tp] = from
	}
	ledger := Ledger{Position: position, Folded: folded}.advance(ranges)
	blob := len(encodeRanges(kindRanges, ranges))
	properties := ledger.properties(nil)
	t.Logf("ranges %d bytes in a blob, position %d and folded %d bytes as text",
		blob, len(properties[PropertyPosition]), len(properties[PropertyFolded]))
	require.Less(t, blob, 9_000)
	require.Less(t, len(properties[PropertyPosition]), 3_500)
	require.Less(t, len(properties[PropertyFolded]), 14_000)
}

// FuzzDecode gives decoders a right checksum over wrong content, so that they see it at all. What they
// accept they must write and read again.
func FuzzDecode(f *testing.F) {
	for _, coded := range [][]byte{encodePosition(somePosition()), encodeRanges(kindRanges, someRanges()),
		encodeRanges(kindFolded, someRanges()), encodePending(somePending()), encodeForeign(someForeign())} {
		f.Add(coded[0], coded[2:len(coded)-4])
	}
	huge, _ := hex.DecodeString("ffffffffffffffffff01")
	f.Add(kindRanges, huge)
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		e := newEncoder(kind)
		e.buf = append(e.buf, body...)
		coded := e.finish()
		switch kind {
		case kindRanges, kindFolded:
			if got, err := decodeRanges(kind, coded); err == nil {
				again, err := decodeRanges(kind, encodeRanges(kind, got))
				require.NoError(t, err)
				require.Equal(t, got, again)
			}
		case kindPosition:
			if got, err := decodePosition(coded); err == nil {
				again, err := decodePosition(encodePosition(got))
				require.NoError(t, err)
				require.Equal(t, got, again)
			}
		default:
			_ = decodeAny(coded) // must not panic
		}
	})
}
