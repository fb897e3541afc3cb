package commit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"
)

// codecVersion is the second byte of every coded value; the first is its kind.
const codecVersion = 1

// The kinds of coded values (docs/format.md).
const (
	kindPosition byte = 'P'
	kindRanges   byte = 'R'
	kindFolded   byte = 'F'
	kindForeign  byte = 'O'
	kindPending  byte = 'D'
	kindApplied  byte = 'A'
)

// stringBytesMax bounds a coded string. Kafka allows 249 bytes for a topic's name; locations of
// objects reach 1,024 bytes and a little.
const stringBytesMax = 4096

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoder appends the primitives that coded values are made of.
type encoder struct{ buf []byte }

func newEncoder(kind byte) *encoder { return &encoder{buf: []byte{kind, codecVersion}} }

func (e *encoder) uvarint(v uint64) { e.buf = binary.AppendUvarint(e.buf, v) }
func (e *encoder) varint(v int64)   { e.buf = binary.AppendVarint(e.buf, v) }
func (e *encoder) fixed64(v uint64) { e.buf = binary.LittleEndian.AppendUint64(e.buf, v) }
func (e *encoder) id(v uuid.UUID)   { e.buf = append(e.buf, v[:]...) }

func (e *encoder) string(s string) {
	e.uvarint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

// finish appends the checksum and returns the coded value.
func (e *encoder) finish() []byte {
	return binary.LittleEndian.AppendUint32(e.buf, crc32.Checksum(e.buf, castagnoli))
}

// decoder reads them back. The first fault sticks in err and every later read gives zero, so callers
// check once. It never allocates more than a small multiple of its input.
type decoder struct {
	rest []byte
	err  error
}

// newDecoder checks frame and checksum of a coded value.
func newDecoder(kind byte, data []byte) *decoder {
	switch {
	case len(data) < 6:
		return &decoder{err: damaged("coded value of %d bytes is cut off", len(data))}
	case data[0] != kind:
		return &decoder{err: damaged("coded value is of kind %q, want %q", data[0], kind)}
	case data[1] != codecVersion:
		return &decoder{err: damaged("coded value has version %d, this firth knows %d: use a newer one",
			data[1], codecVersion)}
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return &decoder{err: damaged("checksum is %08x, want %08x", got, sum)}
	}
	return &decoder{rest: body[2:]}
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = damaged(format, args...)
	}
	d.rest = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail("number is cut off")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("number is cut off")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads how many items follow, each of at least one byte.
func (d *decoder) count() int {
	v := d.uvarint()
	if v > uint64(len(d.rest)) {
		d.fail("%d items cannot be in %d bytes", v, len(d.rest))
		return 0
	}
	return int(v)
}

// natural reads a non-negative int64.
func (d *decoder) natural() int64 {
	v := d.uvarint()
	if v > math.MaxInt64 {
		d.fail("number %d is out of range", v)
		return 0
	}
	return int64(v)
}

// below reads a natural number under a limit.
func (d *decoder) below(limit int64) int64 {
	v := d.natural()
	if v >= limit {
		d.fail("number %d is out of range", v)
		return 0
	}
	return v
}

// plus adds a coded difference to a prediction and refuses what leaves the natural numbers.
func (d *decoder) plus(predicted, diff int64) int64 {
	sum := predicted + diff
	if sum < 0 || (diff > 0 && sum < predicted) {
		d.fail("number is out of range")
		return 0
	}
	return sum
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.rest) {
		d.fail("value of %d bytes is cut off", n)
		return nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) fixed64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) id() (id uuid.UUID) {
	copy(id[:], d.bytes(len(id)))
	return id
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > stringBytesMax {
		d.fail("string of %d bytes", n)
		return ""
	}
	return string(d.bytes(int(n)))
}

// more says whether something is left.
func (d *decoder) more() bool { return d.err == nil && len(d.rest) > 0 }

// end checks that nothing follows and returns the first fault.
func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	return d.err
}

func toText(coded []byte) string { return base64.RawURLEncoding.EncodeToString(coded) }

func fromText(text string) ([]byte, error) {
	coded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, damaged("not base64url: %v", err)
	}
	return coded, nil
}

func sortedIDs[V any](m map[uuid.UUID]V) []uuid.UUID {
	return slices.SortedFunc(maps.Keys(m), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}
