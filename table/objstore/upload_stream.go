package objstore

import (
	"cmp"
	"io"
)

// What is on its way between the writer of an object and the store lies in chunks of one size, and no
// more of them are made than that: so a file system that is slow for a moment does not stop the writer,
// and a stream has a bound.
const (
	streamChunkBytes = 256 << 10
	streamChunks     = 8
)

// uploadStream hands an object to a Put that runs on a goroutine of its own. One goroutine writes; the
// Put's reads.
type uploadStream struct {
	full chan []byte   // chunks to read, in order; closed at the end
	idle chan []byte   // chunks to fill again
	done chan struct{} // closed when the Put has returned

	chunk []byte // that is filled now
	made  int    // chunks, beside those that were there before the stream
	cause error  // why full was closed, nil at the object's end; set before

	object Object // of the Put; err and it are set before done is closed
	err    error
}

// startStream begins a Put that reads what is written from now on.
func startStream(put func(body io.Reader, size int64) (Object, error)) *uploadStream {
	s := &uploadStream{
		full: make(chan []byte, streamChunks), idle: make(chan []byte, streamChunks),
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		s.object, s.err = put(&streamReader{stream: s}, -1)
	}()
	return s
}

// write copies p. Its error is the Put's.
func (s *uploadStream) write(p []byte) (n int, err error) {
	for n < len(p) {
		if len(s.chunk) == cap(s.chunk) {
			if err := s.turn(); err != nil {
				return n, err
			}
		}
		room := s.chunk[len(s.chunk):cap(s.chunk)]
		copied := copy(room, p[n:])
		s.chunk = s.chunk[:len(s.chunk)+copied]
		n += copied
	}
	return n, nil
}

// turn hands over the full chunk and takes an empty one.
func (s *uploadStream) turn() error {
	if err := s.hand(s.chunk); err != nil {
		return err
	}
	s.chunk = nil
	if s.made < streamChunks {
		select {
		case s.chunk = <-s.idle:
		default:
			s.made++
			s.chunk = make([]byte, 0, streamChunkBytes)
		}
		return nil
	}
	select {
	case s.chunk = <-s.idle:
		return nil
	case <-s.done:
		return s.failure()
	}
}

// hand gives a chunk to the Put, which has it from then on.
func (s *uploadStream) hand(chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	select {
	case s.full <- chunk:
		return nil
	case <-s.done:
		return s.failure()
	}
}

// failure is why a Put ended before the object did.
func (s *uploadStream) failure() error {
	if s.err == nil {
		return io.ErrClosedPipe
	}
	return s.err
}

// end tells the Put that this was all, or why nothing more comes, and waits for it.
func (s *uploadStream) end(cause error) (Object, error) {
	if cause == nil {
		cause = s.hand(s.chunk) // what the Put failed with, if it did
	}
	s.chunk, s.cause = nil, cause
	close(s.full)
	<-s.done
	if s.err == nil && cause == nil && len(s.full) > 0 {
		cause = io.ErrClosedPipe // the Put did not read it all
	}
	if s.err == nil && cause != nil {
		return Object{}, cause
	}
	return s.object, s.err
}

func (s *uploadStream) heldBytes() int64 { return int64(s.made) * streamChunkBytes }

// streamReader is the body of a stream's Put.
type streamReader struct {
	stream *uploadStream
	chunk  []byte // that is read now
	at     int    // in chunk
}

// Read implements io.Reader.
func (r *streamReader) Read(p []byte) (int, error) {
	if r.at == len(r.chunk) {
		chunk, more := <-r.stream.full
		if !more {
			return 0, cmp.Or(r.stream.cause, io.EOF)
		}
		r.chunk, r.at = chunk, 0
	}
	n := copy(p, r.chunk[r.at:])
	if r.at += n; r.at == len(r.chunk) {
		r.recycle()
	}
	return n, nil
}

// WriteTo implements io.WriterTo: it spares a copy.
func (r *streamReader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if r.at < len(r.chunk) {
			n, err := w.Write(r.chunk[r.at:])
			written += int64(n)
			if err != nil {
				return written, err
			}
			r.recycle()
		}
		chunk, more := <-r.stream.full
		if !more {
			return written, r.stream.cause
		}
		r.chunk, r.at = chunk, 0
	}
}

// recycle gives the chunk back that was read. Those that were there before the stream are not of its
// size.
func (r *streamReader) recycle() {
	if cap(r.chunk) == streamChunkBytes {
		select {
		case r.stream.idle <- r.chunk[:0]:
		default:
		}
	}
	r.chunk, r.at = nil, 0
}
