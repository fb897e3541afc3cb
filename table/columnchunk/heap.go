package columnchunk

import "io"

// segmentBytes is what a heap grows by: enough for large writes, little for a small file.
const segmentBytes = 256 << 10

// heap holds the finished pages of a row group, all columns together in the order of their ends, as a
// file has them one column after the other.
type heap struct {
	buffers  *Buffers
	segments []*[segmentBytes]byte
	size     int
}

func (h *heap) heldBytes() int64 { return int64(len(h.segments)) * segmentBytes }

// append puts b behind what is there.
func (h *heap) append(b []byte) {
	for len(b) > 0 {
		at := h.size % segmentBytes
		if h.size == len(h.segments)*segmentBytes {
			h.segments = append(h.segments, h.buffers.takeSegment())
		}
		n := copy(h.segments[h.size/segmentBytes][at:], b)
		h.size += n
		b = b[n:]
	}
}

// write puts size bytes from on to a writer.
func (h *heap) write(to io.Writer, from, size int) error {
	for size > 0 {
		part := h.segments[from/segmentBytes][from%segmentBytes:]
		part = part[:min(len(part), size)]
		if _, err := to.Write(part); err != nil {
			return err
		}
		from += len(part)
		size -= len(part)
	}
	return nil
}

// drop empties the heap and hands its memory on.
func (h *heap) drop() {
	for i, segment := range h.segments {
		h.buffers.segments.Put(segment)
		h.segments[i] = nil
	}
	h.segments, h.size = h.segments[:0], 0
}
