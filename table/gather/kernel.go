package gather

import (
	"encoding/binary"
	"unsafe"
)

// view looks at the bytes of b as values of type T, which holds no pointers.
func view[T any](b []byte) []T {
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(one)))
}

// takeNumbers fills out with values that are as wide as T.
func takeNumbers[T any](out []byte, sources []values, chosen choice) {
	dst := view[T](out)
	if chosen.rows != nil {
		src := view[T](sources[0].fixed)
		dst = dst[:len(chosen.rows)]
		for i, row := range chosen.rows {
			dst[i] = src[row]
		}
		return
	}
	at := 0
	for _, run := range chosen.runs {
		src := view[T](sources[run.Batch].fixed)
		if run.Rows == 1 {
			dst[at] = src[run.Row]
			at++
			continue
		}
		at += copy(dst[at:], src[run.Row:run.Row+run.Rows])
	}
}

// takeWide is takeNumbers for any width.
func takeWide(out []byte, sources []values, chosen choice, width int) {
	for i, row := range chosen.rows {
		copy(out[i*width:(i+1)*width], sources[0].fixed[int(row)*width:])
	}
	at := 0
	for _, run := range chosen.runs {
		first, end := int(run.Row)*width, int(run.Row+run.Rows)*width
		at += copy(out[at:], sources[run.Batch].fixed[first:end])
	}
}

// pickEnds sets ends, whose first is there, to the offsets of rows and returns the last.
func pickEnds(ends, offsets []int32, rows []uint32) int64 {
	size := int64(ends[0])
	ends = ends[1:][:len(rows)]
	for i, row := range rows {
		size += int64(offsets[row+1] - offsets[row])
		ends[i] = int32(size)
	}
	return size
}

// runEnds is pickEnds for runs.
func runEnds(ends []int32, sources []values, runs []Run) int64 {
	size := int64(ends[0])
	at := 1
	for _, run := range runs {
		if run.Rows == 1 {
			offsets := sources[run.Batch].offsets
			size += int64(offsets[run.Row+1] - offsets[run.Row])
			ends[at] = int32(size)
			at++
			continue
		}
		offsets := sources[run.Batch].offsets[run.Row : run.Row+run.Rows+1]
		shift := int32(size) - offsets[0]
		size += int64(offsets[run.Rows] - offsets[0])
		dst := ends[at:][:run.Rows]
		for i, end := range offsets[1:] {
			dst[i] = end + shift
		}
		at += int(run.Rows)
	}
	return size
}

// pickText copies the text of rows to where ends say.
func pickText(out []byte, ends []int32, source *values, rows []uint32) {
	text, offsets := source.text, source.offsets
	for i, row := range rows {
		copyText(out, int(ends[i]), text, int(offsets[row]), int(offsets[row+1]))
	}
}

// runText is pickText for runs.
func runText(out []byte, sources []values, runs []Run) {
	at := 0
	for _, run := range runs {
		source := &sources[run.Batch]
		first, end := int(source.offsets[run.Row]), int(source.offsets[run.Row+run.Rows])
		copyText(out, at, source.text, first, end)
		at += end - first
	}
}

// copyText copies text[first:end] to out[at:]. A short text is copied as three words, together with
// what lies behind it, which the next one overwrites.
func copyText(out []byte, at int, text []byte, first, end int) {
	if end-first > 3*wordLen || first+3*wordLen > len(text) || at+3*wordLen > len(out) {
		copy(out[at:], text[first:end])
		return
	}
	from, to := text[first:first+3*wordLen], out[at:at+3*wordLen]
	// Each is one load and one store; all three as one array would be a call of memmove.
	*(*[wordLen]byte)(to) = [wordLen]byte(from)
	*(*[wordLen]byte)(to[wordLen:]) = [wordLen]byte(from[wordLen:])
	*(*[wordLen]byte)(to[2*wordLen:]) = [wordLen]byte(from[2*wordLen:])
}

// wordLen is the bytes that the processor moves at a time.
const wordLen = 16

// pickBits sets dst, which is clear from bit at on, from there to the bits at rows of src, whose row 0 is
// bit from; all are set when src is nil.
func pickBits(dst []byte, at int, src []byte, from int, rows []uint32) {
	if src == nil {
		setBits(dst, at, len(rows))
		return
	}
	for _, row := range rows {
		bit := from + int(row)
		dst[at>>3] |= src[bit>>3] >> (bit & 7) & 1 << (at & 7)
		at++
	}
}

// setBits sets n bits of dst from bit at on.
func setBits(dst []byte, at, n int) {
	for n > 0 && at&7 != 0 {
		dst[at>>3] |= 1 << (at & 7)
		at++
		n--
	}
	for ; n >= 8; n -= 8 {
		dst[at>>3] = 0xff
		at += 8
	}
	if n > 0 {
		dst[at>>3] |= 1<<n - 1
	}
}

// wordBits is how many bits, wherever they begin in a byte, one word holds.
const wordBits = 56

// copyBits copies n bits of src from bit from on to bit at of dst, which is clear from there on.
func copyBits(dst []byte, at int, src []byte, from, n int) {
	for n > 0 {
		count := min(n, wordBits)
		orBits(dst, at, loadBits(src, from, count))
		at += count
		from += count
		n -= count
	}
}

// loadBits returns count bits, at most wordBits, of src from bit from on.
func loadBits(src []byte, from, count int) uint64 {
	first := from >> 3
	var word uint64
	if first+8 <= len(src) {
		word = binary.LittleEndian.Uint64(src[first:])
	} else {
		for i, b := range src[first:] {
			word |= uint64(b) << (8 * i)
		}
	}
	return word >> (from & 7) & (1<<count - 1)
}

// orBits sets the bits of dst from bit at on that are set in word.
func orBits(dst []byte, at int, word uint64) {
	first := at >> 3
	word <<= at & 7
	if first+8 <= len(dst) {
		word |= binary.LittleEndian.Uint64(dst[first:])
		binary.LittleEndian.PutUint64(dst[first:], word)
		return
	}
	for ; word != 0; word >>= 8 {
		dst[first] |= byte(word)
		first++
	}
}
