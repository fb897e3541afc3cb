package source

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

var batchesOf = commit.TopicPartition{Cluster: "c", TopicID: uuid.UUID{1}, Topic: "events"}

// draw makes batches as producers, transactions and compaction leave them.
type draw struct {
	random *rand.Rand
	next   int64
	open   map[int64]int64  // first offsets of transactions
	codecs []kgo.Compressor // nil is none
	sent   kmsg.FetchResponseTopicPartition
}

func newDraw(seed uint64, codecs []kgo.Compressor) *draw {
	return &draw{random: rand.New(rand.NewPCG(seed, 1)), open: map[int64]int64{}, codecs: codecs,
		sent: kmsg.NewFetchResponseTopicPartition()}
}

// compressors takes its time to make.
func compressors(t testing.TB) []kgo.Compressor {
	t.Helper()
	lz4, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	require.NoError(t, err)
	zstd, err := kgo.DefaultCompressor(kgo.ZstdCompression())
	require.NoError(t, err)
	return []kgo.Compressor{nil, lz4, zstd}
}

func (d *draw) bytes() []byte {
	switch n := d.random.IntN(12); n {
	case 0:
		return nil
	case 1:
		return bytes.Repeat([]byte("long"), d.random.IntN(200))
	default:
		return []byte("value of some bytes")[:n]
	}
}

func (d *draw) record(offsetDelta int32) kmsg.Record {
	r := kmsg.NewRecord()
	r.OffsetDelta, r.TimestampDelta64 = offsetDelta, d.random.Int64N(1<<40)-1<<39
	r.Key, r.Value = d.bytes(), d.bytes()
	for range max(0, d.random.IntN(6)-3) {
		r.Headers = append(r.Headers, kmsg.Header{Key: string(d.bytes()), Value: d.bytes()})
	}
	return r
}

// appendBatch adds a batch. Its offsets may have holes; the last records may be gone.
func (d *draw) appendBatch(attributes int16, producer int64, records []kmsg.Record, span int32) {
	var raw []byte
	for _, r := range records {
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length, which is one byte for 0
		raw = r.AppendTo(raw)
	}
	compressor := d.codecs[d.random.IntN(len(d.codecs))]
	used := kgo.CodecNone
	if compressor != nil && attributes&batchControl == 0 {
		var out bytes.Buffer
		raw, used = compressor.Compress(&out, raw)
		raw = slices.Clone(raw)
	}
	batch := kmsg.RecordBatch{
		FirstOffset: d.next, PartitionLeaderEpoch: int32(d.random.IntN(9)), Magic: batchMagic,
		Attributes: attributes | int16(used), LastOffsetDelta: span - 1, FirstTimestamp: 1_700_000_000_000,
		MaxTimestamp: 1_800_000_000_000, ProducerID: producer, NumRecords: int32(len(records)), Records: raw,
	}
	d.sent.RecordBatches = append(d.sent.RecordBatches, sealed(batch.AppendTo(nil))...)
	d.next += int64(span)
}

// sealed gives a batch its length and checksum.
func sealed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-batchBodyAt))
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli()))
	return b
}

func (d *draw) step() {
	producer := int64(d.random.IntN(3))
	first, isOpen := d.open[producer]
	switch n := d.random.IntN(8); {
	case n == 0 && isOpen:
		kind := uint16(d.random.IntN(2))
		if kind == controlAbort {
			d.sent.AbortedTransactions = append(d.sent.AbortedTransactions,
				kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: producer, FirstOffset: first})
		}
		delete(d.open, producer)
		marker := kmsg.NewRecord()
		marker.Key = binary.BigEndian.AppendUint16([]byte{0, 0}, kind)
		marker.Value = []byte{0, 0, 0, 0, 0, 1}
		d.appendBatch(batchTransactional|batchControl, producer, []kmsg.Record{marker}, 1)
	default:
		attributes := int16(d.random.IntN(2)) * batchAppendTime
		if n < 5 {
			attributes |= batchTransactional
			if !isOpen {
				d.open[producer] = d.next
			}
		}
		span := int32(1 + d.random.IntN(9))
		var records []kmsg.Record
		for delta := range span {
			if d.random.IntN(8) > 0 {
				records = append(records, d.record(delta))
			}
		}
		d.appendBatch(attributes, producer, records, span)
	}
}

// both read what a broker sent, ours and the client's own code.
type both struct {
	unpacker   *unpacker
	decompress kgo.Decompressor
}

func newBoth() both { return both{newUnpacker(newPools(0)), kgo.DefaultDecompressor()} }

func (b both) unpack(sent kmsg.FetchResponseTopicPartition, from commit.Offset,
) (ours unpacked, theirs kgo.FetchPartition, reached int64) {
	ours = b.unpacker.unpack(&sent, batchesOf, from)
	theirs, reached = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: int64(from), IsolationLevel: kgo.ReadCommitted(), Topic: "events",
	}, &sent, b.decompress, nil)
	return ours, theirs, reached
}

func requireSame(t *testing.T, ours unpacked, theirs kgo.FetchPartition) {
	t.Helper()
	require.Len(t, ours.records, len(theirs.Records))
	for i, want := range theirs.Records {
		got := ours.records[i]
		require.EqualValues(t, want.Offset, got.Offset)
		require.Equal(t, want.Timestamp.UnixMilli(), got.Timestamp)
		require.Equal(t, want.Key, got.Key)
		require.Equal(t, want.Value, got.Value)
		require.Len(t, got.Headers, len(want.Headers))
		for j, header := range want.Headers {
			require.Equal(t, Header(header), got.Headers[j])
		}
	}
}

func TestBatchesAreReadAsTheClientReadsThem(t *testing.T) {
	readers, codecs := newBoth(), compressors(t)
	seeds := uint64(120)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		d := newDraw(seed, codecs)
		for range 1 + d.random.IntN(30) {
			d.step()
		}
		for producer, first := range d.open { // the broker tells of nothing that is not over
			delete(d.open, producer)
			d.sent.AbortedTransactions = append(d.sent.AbortedTransactions,
				kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: producer, FirstOffset: first})
		}
		slices.Reverse(d.sent.AbortedTransactions) // as some brokers do
		if d.random.IntN(2) == 0 {                 // an answer ends anywhere
			n := len(d.sent.RecordBatches)
			d.sent.RecordBatches = d.sent.RecordBatches[:n-d.random.IntN(min(n, 60))]
		}
		from := commit.Offset(d.random.Int64N(d.next))
		ours, theirs, reached := readers.unpack(d.sent, from)
		require.NoError(t, ours.err, "seed %d", seed)
		require.NoError(t, theirs.Err)
		require.EqualValues(t, reached, ours.next, "seed %d", seed)
		require.Equal(t, ours.next, outlineOf(d.sent.RecordBatches, from).next)
		requireSame(t, ours, theirs)
	}
}

func TestADamagedBatchEndsTheAnswerBeforeIt(t *testing.T) {
	d := newDraw(7, compressors(t))
	for range 3 {
		d.appendBatch(0, 0, []kmsg.Record{d.record(0), d.record(1)}, 2)
	}
	whole := d.sent.RecordBatches
	first, rest, ok := cutBatch(whole)
	require.True(t, ok)
	second, _, ok := cutBatch(rest)
	require.True(t, ok)
	for at := batchCRCAt; at < len(second); at++ {
		damaged := slices.Clone(whole)
		damaged[len(first)+at] ^= 0x40
		d.sent.RecordBatches = damaged
		u := newUnpacker(newPools(fetchBytesMax))
		got := u.unpack(&d.sent, batchesOf, 0)
		require.ErrorIs(t, got.err, errMalformed)
		require.ErrorContains(t, got.err, "batch at offset 2: ")
		require.EqualValues(t, 2, got.next)
		require.Len(t, got.records, 2)
	}
}

func TestRecordsMustBeInOrderAndWithinTheirBatch(t *testing.T) {
	for _, deltas := range [][]int32{{0, 0}, {1, 0}, {0, 2}} {
		d := newDraw(1, compressors(t))
		d.appendBatch(0, 0, []kmsg.Record{d.record(deltas[0]), d.record(deltas[1])}, 2)
		got := newUnpacker(newPools(0)).unpack(&d.sent, batchesOf, 0)
		require.ErrorIs(t, got.err, errMalformed)
		require.Empty(t, got.records)
		require.Zero(t, got.next)
	}
}

func TestUnpackingTakesNoMemoryPerRecord(t *testing.T) {
	d := newDraw(3, compressors(t))
	for range 20 {
		var records []kmsg.Record
		for delta := range int32(200) {
			r := d.record(delta)
			r.Headers = nil
			records = append(records, r)
		}
		d.appendBatch(0, 0, records, 200)
	}
	u := newUnpacker(newPools(fetchBytesMax))
	read := func() { u.pools.putAll(u.unpack(&d.sent, batchesOf, 0)) }
	read()
	require.Less(t, testing.AllocsPerRun(10, read), 100.0)
}

// FuzzBatches feeds what no broker sends, under right checksums: it may be refused, but what both read
// is the same, and nothing is read beyond where it says.
func FuzzBatches(f *testing.F) {
	codecs := compressors(f)
	for seed := range uint64(8) {
		d := newDraw(seed, codecs)
		for range 4 {
			d.step()
		}
		f.Add(d.sent.RecordBatches, uint16(seed))
	}
	readers := newBoth()
	f.Fuzz(func(t *testing.T, in []byte, from uint16) {
		in = slices.Clone(in)
		for rest := in; ; {
			b, next, ok := cutBatch(rest)
			if !ok {
				break
			}
			binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli()))
			rest = next
		}
		sent := kmsg.NewFetchResponseTopicPartition()
		sent.RecordBatches = in
		if isOldFormat(in) {
			return
		}
		ours, theirs, reached := readers.unpack(sent, commit.Offset(from))
		require.LessOrEqual(t, ours.next, outlineOf(in, commit.Offset(from)).next)
		for i, record := range ours.records {
			require.GreaterOrEqual(t, record.Offset, commit.Offset(from))
			require.Less(t, record.Offset, ours.next)
			require.True(t, i == 0 || ours.records[i-1].Offset < record.Offset)
		}
		if ours.err == nil && theirs.Err == nil && reached == int64(ours.next) {
			requireSame(t, ours, theirs)
		}
	})
}

func BenchmarkUnpack(b *testing.B) {
	d := newDraw(5, compressors(b))
	for d.next < 15_000 {
		var records []kmsg.Record
		for delta := range int32(100) {
			r := kmsg.NewRecord()
			r.OffsetDelta, r.Value = delta, bytes.Repeat([]byte("v"), 150)
			records = append(records, r)
		}
		d.appendBatch(0, 0, records, 100)
	}
	u := newUnpacker(newPools(fetchBytesMax))
	b.ReportAllocs()
	for b.Loop() {
		u.pools.putAll(u.unpack(&d.sent, batchesOf, 0))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/15_000, "ns/record")
}

// oldMessage is a message of magic 1.
func oldMessage(offset int64, value string) []byte {
	m := kmsg.MessageV1{Offset: offset, Magic: 1, Timestamp: 7, Value: []byte(value)}
	b := m.AppendTo(nil)
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-batchBodyAt))
	binary.BigEndian.PutUint32(b[batchBodyAt:], crc32.ChecksumIEEE(b[batchMagicAt:]))
	return b
}
