package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

// The record batch format of magic 2 (Kafka protocol guide, "Record Batch"; KIP-98), big-endian:
//
//	 0 base offset 8 │  8 length 4 │ 12 leader epoch 4 │ 16 magic 1 │ 17 CRC-32C 4 │ 21 attributes 2
//	23 last offset delta 4 │ 27 first timestamp 8 │ 35 max timestamp 8 │ 43 producer id 8
//	51 producer epoch 2 │ 53 base sequence 4 │ 57 number of records 4 │ 61 records, perhaps compressed
//
// The length counts what follows it, the CRC covers what follows it. A record is, in zig-zag varints,
//
//	length │ attributes 1 │ timestamp delta │ offset delta │ key length │ key │ value length │ value │
//	number of headers │ per header: key length │ key │ value length │ value
const (
	batchLengthAt       = 8
	batchBodyAt         = 12
	batchMagicAt        = 16
	batchCRCAt          = 17
	batchAttributesAt   = 21
	batchLastDeltaAt    = 23
	batchFirstTimeAt    = 27
	batchMaxTimeAt      = 35
	batchProducerAt     = 43
	batchRecordCountAt  = 57
	batchHeaderLen      = 61
	batchMagic          = 2
	batchCodecMask      = 0x07
	batchAppendTime     = 0x08 // all records have the batch's greatest timestamp
	batchTransactional  = 0x10
	batchControl        = 0x20
	controlAbort        = 0 // the type in an abort marker's key, behind a version of 2 bytes
	recordLenMin        = 7 // one byte for each of its seven fields
	recordsPerByteGuess = 2 // compressed; what is really there is known once a batch is unpacked
)

// errMalformed says that a batch breaks its format although its checksum is right.
var errMalformed = errors.New("malformed record batch")

// castagnoli is the polynomial of a batch's checksum.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// batch is one complete record batch, header and all.
type batch []byte

func (b batch) first() commit.Offset { return commit.Offset(binary.BigEndian.Uint64(b)) }
func (b batch) attributes() uint16   { return binary.BigEndian.Uint16(b[batchAttributesAt:]) }
func (b batch) recordCount() int     { return int(int32(binary.BigEndian.Uint32(b[batchRecordCountAt:]))) }
func (b batch) producer() int64      { return int64(binary.BigEndian.Uint64(b[batchProducerAt:])) }
func (b batch) epoch() int32         { return int32(binary.BigEndian.Uint32(b[batchBodyAt:])) }

// next is the offset behind the batch. Compaction keeps it when it removes the last records.
func (b batch) next() commit.Offset {
	return b.first() + commit.Offset(int32(binary.BigEndian.Uint32(b[batchLastDeltaAt:]))) + 1
}

func (b batch) isIntact() bool {
	return crc32.Checksum(b[batchAttributesAt:], castagnoli()) == binary.BigEndian.Uint32(b[batchCRCAt:])
}

// cutBatch returns the first batch of in and what follows. A broker cuts its answer off anywhere, so a
// batch that is not whole ends it: ok is false. It is false at an older format, too.
func cutBatch(in []byte) (b batch, rest []byte, ok bool) {
	if len(in) < batchHeaderLen || in[batchMagicAt] != batchMagic {
		return nil, in, false
	}
	length := int64(int32(binary.BigEndian.Uint32(in[batchLengthAt:]))) + batchBodyAt
	if length < batchHeaderLen || length > int64(len(in)) {
		return nil, in, false
	}
	return in[:length], in[length:], true
}

// isOldFormat says that in begins with a message of magic 0 or 1, which brokers before 0.11 wrote.
func isOldFormat(in []byte) bool { return len(in) > batchMagicAt && in[batchMagicAt] < batchMagic }

// outline is what the headers of batches say.
type outline struct {
	next    commit.Offset
	epoch   int32 // of the leader that wrote the last batch, -1 without one
	records int   // about how many there are
}

// outlineOf reads the headers of the batches that were asked for from an offset on.
func outlineOf(in []byte, from commit.Offset) outline {
	o := outline{next: from, epoch: -1}
	for {
		b, rest, ok := cutBatch(in)
		if !ok {
			return o
		}
		o.next, o.epoch = max(o.next, b.next()), b.epoch()
		o.records += max(0, min(b.recordCount(), recordsPerByteGuess*len(b)))
		in = rest
	}
}

// unpacked are the records of a topic partition in an answer, with what they borrow.
type unpacked struct {
	next    commit.Offset
	records []Record
	slabs   [][]byte
	// err says why it ends before the answer does.
	err error
}

// unpacker takes answers apart. It may be used by several goroutines.
type unpacker struct {
	pools      *pools
	decompress *decompressor
}

func newUnpacker(pools *pools) *unpacker {
	return &unpacker{pools: pools, decompress: newDecompressor(&pools.bytes, decompressBytesMax)}
}

// unpack returns the committed records of sent from an offset on. The caller gives back what it holds.
func (u *unpacker) unpack(sent *kmsg.FetchResponseTopicPartition, tp commit.TopicPartition,
	from commit.Offset,
) unpacked {
	if isOldFormat(sent.RecordBatches) {
		return u.unpackOld(sent, tp, from)
	}
	in := sent.RecordBatches
	out := unpacked{next: from, records: u.pools.records.get(outlineOf(in, from).records)}
	aborts := abortsOf(sent.AbortedTransactions)
	for {
		b, rest, ok := cutBatch(in)
		if !ok {
			return out
		}
		if b.next() > out.next {
			if err := u.add(&out, b, aborts); err != nil {
				out.err = fmt.Errorf("batch at offset %d: %w", b.first(), err)
				return out
			}
			out.next = b.next()
		}
		in = rest
	}
}

// add adds a batch's records that are not below out.next. After an error it has added none.
func (u *unpacker) add(out *unpacked, b batch, aborts aborts) error {
	if !b.isIntact() {
		return fmt.Errorf("%w: its checksum is wrong", errMalformed)
	}
	attributes := b.attributes()
	aborted := attributes&batchTransactional != 0 && aborts.has(b.producer(), b.first())
	if aborted && attributes&batchControl == 0 {
		return nil
	}
	raw := []byte(b[batchHeaderLen:])
	if codec := attributes & batchCodecMask; codec != 0 {
		var err error
		if raw, err = u.decompress.Decompress(raw, kgo.CompressionCodecType(codec)); err != nil {
			return fmt.Errorf("decompress: %w", err)
		}
		out.slabs = append(out.slabs, raw)
	}
	count := b.recordCount()
	if count < 0 || count > len(raw)/recordLenMin {
		return fmt.Errorf("%w: %d records in %d bytes", errMalformed, count, len(raw))
	}
	before := len(out.records)
	out.records = u.pools.grown(out.records, count)
	if attributes&batchControl == 0 {
		if err := out.addRecords(b, raw, count); err != nil {
			clear(out.records[before:])
			out.records = out.records[:before]
			return err
		}
		return nil
	}
	marker := recordReader{in: raw}
	var record Record
	if count > 0 && !marker.record(&record) {
		return fmt.Errorf("%w: its control record is cut short", errMalformed)
	}
	if aborted && len(record.Key) >= 4 && binary.BigEndian.Uint16(record.Key[2:]) == controlAbort {
		aborts.end(b.producer())
	}
	return nil
}

// addRecords adds count records, for which there is room.
func (out *unpacked) addRecords(b batch, raw []byte, count int) error {
	first, began := b.first(), int64(binary.BigEndian.Uint64(b[batchFirstTimeAt:]))
	appended, isAppended := int64(binary.BigEndian.Uint64(b[batchMaxTimeAt:])), b.attributes()&batchAppendTime != 0
	r, least := recordReader{in: raw}, first
	n := len(out.records)
	for i := range count {
		out.records = out.records[:n+1]
		record := &out.records[n]
		*record = Record{}
		if !r.record(record) {
			return fmt.Errorf("%w: record %d of %d is cut short", errMalformed, i+1, count)
		}
		record.Offset += first
		if record.Offset < least || record.Offset >= b.next() {
			return fmt.Errorf("%w: record %d of %d is out of order", errMalformed, i+1, count)
		}
		least = record.Offset + 1
		if record.Timestamp += began; isAppended {
			record.Timestamp = appended
		}
		if record.Offset >= out.next {
			n++
		}
	}
	clear(out.records[n:])
	out.records = out.records[:n]
	return nil
}

// recordReader reads the records of a batch one after the other.
type recordReader struct {
	in []byte
	// last are the keys of the headers of the record before: most records have the same ones.
	last []string
}

// record reads one, with its deltas as offset and timestamp. It returns false when it is malformed.
func (r *recordReader) record(record *Record) bool {
	length, ok := r.varint()
	if !ok || length < 1 || length > int64(len(r.in)) {
		return false
	}
	body := recordReader{in: r.in[1:length], last: r.last}
	r.in = r.in[length:]
	if record.Timestamp, ok = body.varint(); !ok {
		return false
	}
	offset, ok := body.varint()
	if !ok || offset < 0 {
		return false
	}
	record.Offset = commit.Offset(offset)
	if record.Key, ok = body.bytes(); !ok {
		return false
	}
	if record.Value, ok = body.bytes(); !ok {
		return false
	}
	count, ok := body.varint()
	if !ok || count < 0 || count > int64(len(body.in)/2) {
		return false
	}
	if count > 0 {
		record.Headers, ok = body.headers(int(count))
		r.last = body.last
	}
	return ok
}

func (r *recordReader) headers(count int) ([]Header, bool) {
	headers := make([]Header, count)
	for i := range headers {
		key, ok := r.bytes()
		if !ok {
			return nil, false
		}
		value, ok := r.bytes()
		if !ok {
			return nil, false
		}
		if i == len(r.last) {
			r.last = append(r.last, "")
		}
		if r.last[i] != string(key) {
			r.last[i] = string(key)
		}
		headers[i] = Header{Key: r.last[i], Value: value}
	}
	return headers, true
}

// varint reads a zig-zag number.
func (r *recordReader) varint() (int64, bool) {
	if len(r.in) > 0 && r.in[0] < 0x80 {
		b := r.in[0]
		r.in = r.in[1:]
		return int64(b>>1) ^ -int64(b&1), true
	}
	v, n := binary.Varint(r.in)
	if n <= 0 {
		return 0, false
	}
	r.in = r.in[n:]
	return v, true
}

// bytes reads a length and as many bytes; a length of -1 is null.
func (r *recordReader) bytes() ([]byte, bool) {
	n, ok := r.varint()
	if !ok || n < -1 || n > int64(len(r.in)) {
		return nil, false
	}
	if n < 0 {
		return nil, true
	}
	value := r.in[:n:n]
	r.in = r.in[n:]
	return value, true
}

// aborts are the first offsets of the aborted transactions in an answer, by producer, least first: a
// producer's batches from there to its next abort marker are not to be read.
type aborts map[int64][]commit.Offset

// abortsOf sorts what the broker says, which not every broker does.
func abortsOf(aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) aborts {
	if len(aborted) == 0 {
		return nil
	}
	all := aborts{}
	for _, a := range aborted {
		all[a.ProducerID] = append(all[a.ProducerID], commit.Offset(a.FirstOffset))
	}
	for _, offsets := range all {
		slices.Sort(offsets)
	}
	return all
}

func (a aborts) has(producer int64, at commit.Offset) bool {
	offsets := a[producer]
	return len(offsets) > 0 && at >= offsets[0]
}

func (a aborts) end(producer int64) {
	if offsets := a[producer]; len(offsets) > 0 {
		a[producer] = offsets[1:]
	}
}

// unpackOld has the client read what brokers before 0.11 wrote; nothing of it is a slab of ours.
func (u *unpacker) unpackOld(sent *kmsg.FetchResponseTopicPartition, tp commit.TopicPartition,
	from commit.Offset,
) unpacked {
	fetched, reached := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: int64(from), IsolationLevel: kgo.ReadCommitted(), Topic: tp.Topic, Partition: tp.Partition,
	}, sent, u.decompress, nil)
	out := unpacked{next: commit.Offset(reached), err: fetched.Err,
		records: u.pools.records.get(len(fetched.Records))}
	for _, r := range fetched.Records {
		record := Record{Key: r.Key, Value: r.Value, Offset: commit.Offset(r.Offset),
			Timestamp: r.Timestamp.UnixMilli()}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, Header(h))
		}
		out.records = append(out.records, record)
	}
	return out
}
