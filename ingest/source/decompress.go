package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// decompressor unpacks record batches into slabs. It accepts what the client's own does and gives the
// same bytes, but for the checksums inside LZ4 frames: the batch's CRC-32C, which the client verifies
// first, covers all that they cover. It may be used by several goroutines.
type decompressor struct {
	slabs *slabs[byte]
	max   int // bytes of one batch
	gzip  sync.Pool
	zstd  func() *zstd.Decoder
	// expansion is about how many sixteenths of a byte come of each byte, by codec.
	expansion [codecs]atomic.Int64
}

const (
	codecs = 1 + int(kgo.CodecZstd)
	// Sixteenths of a byte that are made room for before any has come of a byte: at first, and at most.
	expansionFirst = 6 * 16
	expansionMax   = 64 * 16
)

var (
	errTruncated = errors.New("compressed batch is cut short")
	errCodec     = errors.New("unknown compression codec")
	errXerial    = errors.New("malformed snappy blocks")
)

func newDecompressor(slabs *slabs[byte], bytesMax int) *decompressor {
	d := &decompressor{slabs: slabs, max: bytesMax}
	d.gzip.New = func() any { return new(gzipReader) }
	d.zstd = sync.OnceValue(func() *zstd.Decoder {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderLowmem(true),
			zstd.WithDecoderConcurrency(0), // as many at a time as there are cores
			zstd.WithDecoderMaxMemory(uint64(bytesMax)))
		if err != nil {
			panic("BUG: zstd options: " + err.Error())
		}
		return decoder
	})
	for i := range d.expansion {
		d.expansion[i].Store(expansionFirst)
	}
	return d
}

// Decompress implements kgo.Decompressor. The result is a slab.
func (d *decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecNone {
		return src, nil
	}
	if codec < 0 || int(codec) >= codecs {
		return nil, errCodec
	}
	expansion := &d.expansion[codec]
	out := output{slabs: d.slabs, max: d.max}
	out.guess = out.believed(uint64(len(src))*uint64(expansion.Load()+1)/16, len(src))
	if err := d.decode(&out, src, codec); err != nil {
		d.slabs.put(out.buf)
		return nil, err
	}
	if len(src) > 0 {
		before, now := expansion.Load(), int64(len(out.buf))*16/int64(len(src))
		expansion.Store(min(expansionMax, max(now, before-(before-now)/8)))
	}
	return out.buf, nil
}

func (d *decompressor) decode(out *output, src []byte, codec kgo.CompressionCodecType) error {
	switch codec {
	case kgo.CodecLz4:
		return out.lz4(src)
	case kgo.CodecZstd:
		return d.decodeZstd(out, src)
	case kgo.CodecSnappy:
		return out.snappy(src)
	default:
		return d.decodeGzip(out, src)
	}
}

func (d *decompressor) decodeZstd(out *output, src []byte) error {
	var header zstd.Header
	size := out.guess
	if err := header.Decode(src); err == nil && header.HasFCS {
		size = out.believed(header.FrameContentSize, len(src))
	}
	out.reserve(size)
	buf, err := d.zstd().DecodeAll(src, out.buf)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, err)
	}
	if err != nil {
		return err
	}
	out.buf = buf // another one, if there was not enough room
	return nil
}

type gzipReader struct {
	inner gzip.Reader
	src   bytes.Reader
}

func (d *decompressor) decodeGzip(out *output, src []byte) error {
	r := d.gzip.Get().(*gzipReader)
	defer d.gzip.Put(r)
	r.src.Reset(src)
	if err := r.inner.Reset(&r.src); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(src[len(src)-4:]) // of the last member
	out.reserve(out.believed(uint64(size), len(src)) + 1)
	return out.readAll(&r.inner)
}

// output grows in slabs.
type output struct {
	slabs      *slabs[byte]
	buf        []byte
	max, guess int
}

// believed is what is made room for at once when n bytes claim that size will come of them.
func (o *output) believed(size uint64, n int) int {
	return int(min(size, uint64(o.max), uint64(n)*expansionMax/16))
}

// reserve makes room for n more bytes.
func (o *output) reserve(n int) {
	if cap(o.buf)-len(o.buf) >= n {
		return
	}
	grown := append(o.slabs.get(max(len(o.buf)+n, 2*cap(o.buf))), o.buf...)
	o.slabs.put(o.buf)
	o.buf = grown
}

// room is what may still be written to.
func (o *output) room() []byte { return o.buf[len(o.buf):cap(o.buf)] }

// wrote takes over n bytes that were written to room.
func (o *output) wrote(n int) error {
	o.buf = o.buf[:len(o.buf)+n]
	if len(o.buf) > o.max {
		return kgo.ErrMaxDecompress
	}
	return nil
}

func (o *output) readAll(r io.Reader) error {
	for {
		o.reserve(1)
		n, err := r.Read(o.room())
		if tooMuch := o.wrote(n); tooMuch != nil {
			return tooMuch
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// xerialMagic begins what Java's snappy streams write, before two version numbers of 4 bytes and blocks
// that each have their length before them.
const (
	xerialMagic     = "\x82SNAPPY\x00"
	xerialHeaderLen = len(xerialMagic) + 8
)

func (o *output) snappy(src []byte) error {
	if len(src) <= xerialHeaderLen || string(src[:len(xerialMagic)]) != xerialMagic {
		return o.snappyBlock(src)
	}
	for src = src[xerialHeaderLen:]; len(src) > 0; {
		if len(src) < 4 {
			return errXerial
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return errXerial
		}
		if err := o.snappyBlock(src[:n]); err != nil {
			return err
		}
		src = src[n:]
	}
	return nil
}

func (o *output) snappyBlock(block []byte) error {
	n, err := s2.DecodedLen(block)
	switch {
	case err != nil:
		return err
	case n > o.max-len(o.buf):
		return kgo.ErrMaxDecompress
	}
	o.reserve(n)
	if _, err := s2.Decode(o.room()[:n], block); err != nil {
		return err
	}
	return o.wrote(n)
}
