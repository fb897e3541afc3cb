package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// uploadBufferMax is how much an Upload holds before it begins to stream: smaller objects, which
// manifests, metadata and most streaming files are, become one plain Put without a goroutine.
const uploadBufferMax = 8 << 20

// What an Upload holds lies in chunks, so that nothing is copied when it grows: small ones first, since
// most objects are small, then each as large as all before it.
const (
	uploadChunkMin = 16 << 10
	uploadChunkMax = 1 << 20
)

var errUploadAborted = errors.New("upload aborted")

// Upload is a writer of one object, built on Store.Put. The object appears when Close returns nil,
// and not at all before. It belongs to one goroutine, and must end in Close or Abort.
type Upload struct {
	put    func(body io.Reader, size int64) (Object, error)
	chunks net.Buffers // what is held; the last one has room
	held   int         // bytes in chunks
	size   int64
	stream *uploadStream // nil until the buffer overflows
	object Object
	err    error // sticky: what ended the upload
	ended  bool
}

// Create begins an upload to location. ctx bounds all of it, Close included.
func Create(ctx context.Context, store Store, location string) *Upload {
	return CreateIf(ctx, store, location, PutOptions{})
}

// CreateIf is Create with preconditions, which are checked when the object is put: a violation may
// show at any Write, and at Close at the latest.
func CreateIf(ctx context.Context, store Store, location string, opts PutOptions) *Upload {
	return &Upload{put: func(body io.Reader, size int64) (Object, error) {
		return store.Put(ctx, location, body, size, opts)
	}}
}

// Write implements io.Writer.
func (u *Upload) Write(p []byte) (int, error) {
	if u.ended {
		return 0, errors.New("write to an upload that has ended")
	}
	if u.err != nil {
		return 0, u.err
	}
	u.size += int64(len(p))
	if u.stream == nil && u.held+len(p) <= uploadBufferMax {
		u.hold(p)
		return len(p), nil
	}
	if u.stream == nil {
		u.stream = startStream(u.put)
		for _, chunk := range u.chunks {
			if err := u.stream.hand(chunk); err != nil {
				return 0, u.fail(err)
			}
		}
		u.drop()
	}
	n, err := u.stream.write(p)
	if err != nil {
		return n, u.fail(err)
	}
	return n, nil
}

// hold copies p into the chunks.
func (u *Upload) hold(p []byte) {
	u.held += len(p)
	for len(p) > 0 {
		last := len(u.chunks) - 1
		if last < 0 || len(u.chunks[last]) == cap(u.chunks[last]) {
			size := max(uploadChunkMin, min(u.held, uploadChunkMax))
			u.chunks = append(u.chunks, make([]byte, 0, size))
			last++
		}
		chunk := u.chunks[last]
		n := min(len(p), cap(chunk)-len(chunk))
		u.chunks[last] = append(chunk, p[:n]...)
		p = p[n:]
	}
}

func (u *Upload) drop() { u.chunks, u.held = nil, 0 }

// HeldBytes is about the memory that the upload holds itself; what the store holds of an object that
// streams is not in it.
func (u *Upload) HeldBytes() int64 {
	if u.stream != nil && !u.ended {
		return u.stream.heldBytes()
	}
	bytes := 0
	for _, chunk := range u.chunks {
		bytes += cap(chunk)
	}
	return int64(bytes)
}

func (u *Upload) fail(err error) error {
	u.err = err
	return err
}

// Size is the number of bytes written so far.
func (u *Upload) Size() int64 { return u.size }

// Close finishes the object. Its error is the upload's: nothing is there, unless the answer of the
// store was lost.
func (u *Upload) Close() error {
	if u.ended {
		return u.err
	}
	u.ended = true
	if u.stream == nil {
		if u.err == nil {
			u.object, u.err = u.put(&u.chunks, int64(u.held))
		}
		u.drop()
		return u.err
	}
	object, err := u.stream.end(u.err)
	if err != nil {
		u.err = err
	}
	u.object = object
	return u.err
}

// Abort gives the upload up; nothing becomes visible. After Close it does nothing.
func (u *Upload) Abort() {
	if u.ended {
		return
	}
	u.ended = true
	u.drop()
	if u.stream != nil {
		if _, err := u.stream.end(errUploadAborted); u.err == nil {
			u.err = err
		}
	}
	if u.err == nil {
		u.err = errUploadAborted
	}
}

// Object describes what was stored. It fails before a successful Close.
func (u *Upload) Object() (Object, error) {
	if !u.ended {
		return Object{}, errors.New("upload is not closed")
	}
	if u.err != nil {
		return Object{}, fmt.Errorf("upload is not complete: %w", u.err)
	}
	return u.object, nil
}
