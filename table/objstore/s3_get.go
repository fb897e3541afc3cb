package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// stallTime is how long a body may stay silent before the connection counts as broken.
const stallTime = 30 * time.Second

// s3Body reads an object, over a new connection when one breaks. It implements io.ReadCloser,
// which has no place for a context, so it keeps the one of its Get.
type s3Body struct {
	ctx    context.Context //nolint:containedctx // bounds the reads of one Get
	store  *S3
	at     place
	next   int64 // offset of the next byte
	left   int64 // bytes to go, negative: to the end
	etag   string
	body   io.ReadCloser // nil when not connected
	cancel context.CancelFunc
	stall  *time.Timer
	breaks int // connections lost in a row without a byte in between
	err    error
}

// connect asks for the rest of the object.
func (b *s3Body) connect(ctx context.Context) error {
	opts := minio.GetObjectOptions{}
	if err := b.setRange(&opts); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	stall := time.AfterFunc(stallTime, cancel)
	body, found, _, err := b.store.client.GetObject(ctx, b.at.bucket, b.at.key, opts)
	if err != nil {
		stall.Stop()
		cancel()
		var answer minio.ErrorResponse
		if errors.As(err, &answer) && (answer.Code == "InvalidRange" ||
			answer.StatusCode == http.StatusRequestedRangeNotSatisfiable) {
			b.err = io.EOF // the object ends before the range
			return nil
		}
		return err
	}
	b.body, b.cancel, b.stall, b.etag = body, cancel, stall, found.ETag
	return nil
}

func (b *s3Body) setRange(opts *minio.GetObjectOptions) error {
	if b.etag != "" {
		if err := opts.SetMatchETag(b.etag); err != nil {
			return err
		}
	}
	switch {
	case b.left > 0:
		return opts.SetRange(b.next, b.next+b.left-1)
	case b.next > 0:
		return opts.SetRange(b.next, 0)
	}
	return nil
}

// Read implements io.Reader.
func (b *s3Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	for {
		if b.body == nil {
			if err := b.store.try(b.ctx, b.connect); err != nil {
				b.err = fmt.Errorf("get %s from byte %d: %w", b.at.location, b.next, b.store.explain(err))
			}
			if b.err != nil {
				return 0, b.err
			}
		}
		n, done := b.readOnce(p)
		if n > 0 || done {
			return n, b.err
		}
	}
}

// readOnce reads from the connection there is. When that broke, it drops it; done says that there
// is no point in another one.
func (b *s3Body) readOnce(p []byte) (n int, done bool) {
	if b.left > 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	b.stall.Reset(stallTime)
	n, err := b.body.Read(p)
	b.stall.Stop()
	b.next += int64(n)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if n > 0 {
		b.breaks = 0
	}
	switch {
	case err == nil || len(p) == 0:
		return n, len(p) == 0
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		b.err = io.EOF
		return n, true
	case b.ctx.Err() != nil:
		b.err = b.ctx.Err()
		return n, true
	}
	b.disconnect()
	if b.breaks++; b.breaks >= b.store.attempts {
		b.err = fmt.Errorf("get %s: connection lost %d times at byte %d: %w",
			b.at.location, b.breaks, b.next, err)
	}
	return n, b.err != nil
}

func (b *s3Body) disconnect() {
	if b.body == nil {
		return
	}
	b.stall.Stop()
	_ = b.body.Close() // only read from: nothing can be lost
	b.cancel()
	b.body = nil
}

// Close implements io.Closer.
func (b *s3Body) Close() error {
	b.disconnect()
	if b.err == nil {
		b.err = errors.New("read of a closed body")
	}
	return nil
}
