package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The LZ4 frame format: frames and frames to skip, one after the other.
//
//	magic 4 │ FLG 1 │ BD 1 │ content size 8? │ header checksum 1 │ blocks │ 0 4 │ content checksum 4?
//	                                        a block: size 4, high bit set: stored │ bytes │ checksum 4?
const (
	lz4Magic       = 0x184D2204
	lz4MagicLegacy = 0x184C2102
	lz4MagicSkip   = 0x184D2A

	lz4Version         = 0x40
	lz4VersionMask     = 0xC0
	lz4Independent     = 0x20
	lz4BlockChecksum   = 0x10
	lz4ContentSize     = 0x08
	lz4ContentChecksum = 0x04
	lz4Unsupported     = 0x03 // a reserved bit, and a dictionary that nobody has
	lz4ReservedBD      = 0x8F

	lz4Stored = 1 << 31
	lz4Window = 64 << 10
)

var errLz4 = errors.New("malformed LZ4 frame")

func (o *output) lz4(src []byte) error {
	for rest := src; len(rest) > 0; {
		if len(rest) < 4 {
			return errTruncated
		}
		magic := binary.LittleEndian.Uint32(rest)
		switch {
		case magic == lz4MagicLegacy: // nobody's batches, but the client reads them
			o.buf = o.buf[:0]
			return o.readAll(lz4.NewReader(bytes.NewReader(src)))
		case len(rest) < 8:
			return errTruncated
		case magic == lz4Magic:
			var err error
			if rest, err = o.lz4Frame(rest[4:]); err != nil {
				return err
			}
		case magic>>8 == lz4MagicSkip:
			n := int64(binary.LittleEndian.Uint32(rest[4:]))
			if rest = rest[8:]; n > int64(len(rest)) {
				return errTruncated
			}
			rest = rest[n:]
		default:
			return fmt.Errorf("%w: magic number %#08x", errLz4, magic)
		}
	}
	return nil
}

// lz4Frame unpacks the frame whose FLG byte src begins with, and returns what follows it.
func (o *output) lz4Frame(src []byte) ([]byte, error) {
	flags, bd, begin := src[0], src[1], len(o.buf)
	blockMax := 1 << (8 + 2*(bd>>4&7)) // 64 KiB, 256 KiB, 1 MiB, 4 MiB for 4 to 7
	if flags&lz4VersionMask != lz4Version || flags&lz4Unsupported != 0 || bd&lz4ReservedBD != 0 ||
		blockMax < 64<<10 {
		return nil, fmt.Errorf("%w: descriptor %#02x%02x", errLz4, flags, bd)
	}
	src = src[2:]
	size := uint64(0)
	if flags&lz4ContentSize != 0 {
		if len(src) < 8 {
			return nil, errTruncated
		}
		size, src = binary.LittleEndian.Uint64(src), src[8:]
		o.reserve(o.believed(size, len(src)))
	} else if o.buf == nil {
		o.reserve(o.guess)
	}
	if len(src) < 1 {
		return nil, errTruncated
	}
	src, err := o.lz4Blocks(src[1:], flags, blockMax)
	if err != nil {
		return nil, err
	}
	if flags&lz4ContentChecksum != 0 {
		if len(src) < 4 {
			return nil, errTruncated
		}
		src = src[4:]
	}
	if got := uint64(len(o.buf) - begin); flags&lz4ContentSize != 0 && got != size {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", errLz4, got, size)
	}
	return src, nil
}

// lz4Blocks unpacks blocks up to the end mark, and returns what follows it.
func (o *output) lz4Blocks(src []byte, flags byte, blockMax int) ([]byte, error) {
	for {
		if len(src) < 4 {
			return nil, errTruncated
		}
		word := binary.LittleEndian.Uint32(src)
		src = src[4:]
		if word == 0 {
			return src, nil
		}
		n, after := int(word&^lz4Stored), 0
		if flags&lz4BlockChecksum != 0 {
			after = 4
		}
		switch {
		case n > blockMax:
			return nil, fmt.Errorf("%w: block of %d bytes", errLz4, n)
		case n+after > len(src):
			return nil, errTruncated
		}
		var err error
		if word&lz4Stored != 0 {
			o.reserve(n)
			err = o.wrote(copy(o.room(), src[:n]))
		} else {
			err = o.lz4Block(src[:n], flags, blockMax)
		}
		if err != nil {
			return nil, err
		}
		src = src[n+after:]
	}
}

// lz4Block unpacks one block. Its size is not known before: when it does not fit, it gets more room, up
// to what a block may have.
func (o *output) lz4Block(block []byte, flags byte, blockMax int) error {
	o.reserve(min(blockMax, 2*len(block)))
	for {
		var dict []byte
		if flags&lz4Independent == 0 {
			dict = o.buf[max(0, len(o.buf)-lz4Window):]
		}
		room := o.room()
		room = room[:min(len(room), blockMax)]
		n, err := lz4.UncompressBlockWithDict(block, room, dict)
		switch {
		case err == nil:
			return o.wrote(n)
		case len(room) == blockMax:
			return fmt.Errorf("%w: %w", errLz4, err)
		case len(o.buf)+len(room) > o.max:
			return kgo.ErrMaxDecompress
		}
		o.reserve(min(blockMax, 2*len(room)))
	}
}
