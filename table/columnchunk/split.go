package columnchunk

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
)

// appendSplit appends values of 4 or 8 bytes as BYTE_STREAM_SPLIT has them: the first bytes of all, then
// the second ones, and so on.
func appendSplit(dst, values []byte, width int) []byte {
	start, n := len(dst), len(values)/width
	dst = slices.Grow(dst, len(values))[:start+len(values)]
	plane := func(i int) []byte { return dst[start+i*n:][:n] }
	a, b, c, d := plane(0), plane(1), plane(2), plane(3)
	if width == 4 {
		for i, v := range arrow.Uint32Traits.CastFromBytes(values) {
			a[i], b[i], c[i], d[i] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
		}
		return dst
	}
	e, f, g, h := plane(4), plane(5), plane(6), plane(7)
	for i, v := range arrow.Uint64Traits.CastFromBytes(values) {
		a[i], b[i], c[i], d[i] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
		e[i], f[i], g[i], h[i] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
	}
	return dst
}

// splitTrialBytes are enough for the codes of each byte to cost little beside what they save.
const splitTrialBytes = 64 << 10

// apart says whether the encoding that keeps bytes apart, of lengths and texts or of one value, makes
// pages no larger than PLAIN does. It is tried on the end of a page now and then.
type apart struct {
	pays bool
	left int
}

// keepsApart says whether the open page is to be stored in the column's own encoding. All but two
// always are.
func (c *column) keepsApart(work *scratch) bool {
	switch c.encoding.Values {
	case parquet.Encodings.DeltaLengthByteArray, parquet.Encodings.ByteStreamSplit:
	default:
		return true
	}
	if c.codec.apart.left == 0 {
		c.codec.apart.left = trialPages
		if c.kind == kindBytes {
			c.codec.apart.pays = c.lengthsPay(work)
		} else {
			c.codec.apart.pays = c.splitPays(work)
		}
	}
	c.codec.apart.left--
	return c.codec.apart.pays
}

// splitPays codes each byte of the values by itself, as the blocks of a full page do.
func (c *column) splitPays(work *scratch) bool {
	values := c.values[max(0, len(c.values)-splitTrialBytes):]
	plain := work.trySize(values)
	work.sample = appendSplit(work.sample[:0], values, c.width)
	split, n := 0, len(values)/c.width
	for at := 0; at < len(work.sample); at += n {
		split += len(work.literals(work.sample[at : at+n]))
	}
	return split <= plain
}

func (c *column) lengthsPay(work *scratch) bool {
	first, size := len(c.lengths), 0
	for first > 0 && (size == 0 || size < trialBytes) {
		first--
		size += int(c.lengths[first]) + 4
	}
	lengths := c.lengths[first:]
	values := c.values[len(c.values)-size+4*len(lengths):]
	work.sample = work.sample[:0]
	at := 0
	for _, n := range lengths {
		work.sample = binary.LittleEndian.AppendUint32(work.sample, n)
		work.sample = append(work.sample, values[at:at+int(n)]...)
		at += int(n)
	}
	plain := work.trySize(work.sample)
	if c.open.shortest == c.open.most && c.open.most > 0 {
		frame, ok := work.frames.FixedStrings(work.frame[:0], nil, c.open.most, values)
		if work.frame = frame; ok {
			plain = min(plain, len(frame))
		}
	}
	work.sample = appendLengths(work.sample[:0], lengths)
	work.sample = append(work.sample, values...)
	return work.trySize(work.sample) <= plain
}

// appendLengths appends the lengths of DELTA_LENGTH_BYTE_ARRAY.
func appendLengths(dst []byte, lengths []uint32) []byte {
	return appendDelta[int32, uint32](dst, arrow.Int32Traits.CastFromBytes(arrow.Uint32Traits.CastToBytes(lengths)))
}

// trySize is the size of the smaller frame of body.
func (work *scratch) trySize(body []byte) int {
	work.frame = work.matches.EncodeAll(body, work.frame[:0])
	size := len(work.frame)
	return min(size, len(work.literals(body)))
}
