package objstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

const (
	// partBytes is the size of a part of a multipart upload, and the size up to which an object is
	// put by one request. S3 wants 5 MiB or more; 16 MiB keeps a request's overhead under 1 % at
	// 100 MB/s and still lets the largest object be 156 GiB.
	partBytes = 16 << 20
	partsMax  = 10_000
	// partsAtOnce parts are sent at a time, which bounds the memory of a Put to 64 MiB with the
	// one being filled.
	partsAtOnce = 3
	// markerKey is the user metadata that holds a random name of the Put that made an object. A
	// retry that finds its own marker knows that the lost answer was "done".
	markerKey = "Firth-Put"
)

// errBody wraps an error of the caller's reader, which no retry cures.
var errBody = errors.New("read body")

// Put implements Store.
func (s *S3) Put(
	ctx context.Context, location string, body io.Reader, size int64, opts PutOptions,
) (Object, error) {
	at, err := parseObject(location)
	if err != nil {
		return Object{}, fmt.Errorf("put %s: %w", location, err)
	}
	if size > partBytes*partsMax {
		return Object{}, fmt.Errorf("put %s: %d bytes are more than the %d that fit",
			location, size, int64(partBytes)*partsMax)
	}
	p := &s3Put{store: s, at: at, opts: opts, marker: rand.Text()}
	object, err := p.run(ctx, body, size)
	if err != nil {
		return Object{}, fmt.Errorf("put %s: %w", location, err)
	}
	return object, nil
}

// s3Put is one Put under way.
type s3Put struct {
	store  *S3
	at     place
	opts   PutOptions
	marker string
}

func (p *s3Put) run(ctx context.Context, body io.Reader, size int64) (Object, error) {
	if content := heldContent(body, size); content != nil {
		return p.single(ctx, content)
	}
	body = sizedReader(body, size)
	var buffer []byte
	if size >= 0 && size < partBytes {
		buffer = make([]byte, size+1) // so that the end is seen
	} else {
		buffer = p.store.parts.get()
	}
	first, err := readPart(body, buffer)
	if err != nil {
		return Object{}, err
	}
	if len(first) == partBytes {
		return p.multipart(ctx, first, body)
	}
	content := newContent(first)
	object, err := p.single(ctx, content)
	if err == nil {
		p.store.parts.put(content)
	}
	return object, err
}

// single puts the object by one request.
func (p *s3Put) single(ctx context.Context, content *s3Content) (Object, error) {
	var done minio.UploadInfo
	err := p.store.send(ctx, content, bodyRequest{
		// One with conditions would fail after it was taken, because of itself.
		signed: p.opts != PutOptions{},
		send: func(ctx context.Context, with proven) (checksum string, err error) {
			opts := p.conditions()
			opts.UserMetadata = map[string]string{markerKey: p.marker}
			if with.crc != "" {
				opts.UserMetadata[checksumHeader] = with.crc
			}
			opts.DisableContentSha256 = with.unsigned
			done, err = p.store.client.PutObject(
				ctx, p.at.bucket, p.at.key, content.reader(), content.size, "", "", opts)
			return done.ChecksumCRC32C, err
		},
	})
	return p.settle(ctx, Object{Location: p.at.location, Size: content.size, ETag: done.ETag}, err)
}

// multipart puts first and what is left of body in parts.
func (p *s3Put) multipart(ctx context.Context, first []byte, body io.Reader) (Object, error) {
	upload, err := p.begin(ctx)
	if err != nil {
		return Object{}, p.store.explain(err)
	}
	parts, size, err := p.sendParts(ctx, upload, first, body)
	if err != nil {
		p.abort(ctx, upload)
		return Object{}, p.store.explain(err)
	}
	var done minio.UploadInfo
	err = p.store.try(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, bodyTime(size)) // some stores copy the parts now
		defer cancel()
		done, err = p.store.client.CompleteMultipartUpload(
			ctx, p.at.bucket, p.at.key, upload, parts, p.conditions())
		return err
	})
	object, err := p.settle(ctx, Object{Location: p.at.location, Size: size, ETag: done.ETag}, err)
	if errors.Is(err, ErrPrecondition) {
		p.abort(ctx, upload)
	}
	return object, err
}

// begin starts a multipart upload, whose parts will have checksums unless the store is known not to
// check them.
func (p *s3Put) begin(ctx context.Context) (upload string, err error) {
	metadata := map[string]string{markerKey: p.marker}
	request := func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		upload, err = p.store.client.NewMultipartUpload(ctx, p.at.bucket, p.at.key,
			minio.PutObjectOptions{UserMetadata: metadata})
		return err
	}
	known := p.store.proof.get()
	if known != proofSignature {
		metadata[checksumAlgorithm] = checksumName
	}
	err = p.store.try(ctx, request)
	if known == proofUnknown && refusesHeader(err) {
		delete(metadata, checksumAlgorithm)
		if err = p.store.try(ctx, request); err == nil {
			p.store.proof.signature()
		}
	}
	return upload, err
}

// sendParts sends a few parts at a time while it reads the next one.
func (p *s3Put) sendParts(
	ctx context.Context, upload string, first []byte, body io.Reader,
) ([]minio.CompletePart, int64, error) {
	var sent []*minio.CompletePart
	var size int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	var readErr error
	for part := first; len(part) > 0 && groupCtx.Err() == nil; {
		if len(sent) == partsMax {
			readErr = fmt.Errorf("%w: it is longer than the %d bytes that fit",
				errBody, int64(partBytes)*partsMax)
			break
		}
		done := &minio.CompletePart{PartNumber: len(sent) + 1}
		sent = append(sent, done)
		size += int64(len(part))
		sending := part
		send := func() error { return p.sendPart(groupCtx, upload, sending, done) }
		if len(sent) > 1 || p.store.proof.get() != proofUnknown {
			group.Go(send)
		} else if readErr = send(); readErr != nil { // its answer tells how the others are sent
			break
		}
		if part, readErr = readPart(body, p.store.parts.get()); readErr != nil {
			break
		}
	}
	if err := errors.Join(readErr, group.Wait()); err != nil {
		return nil, 0, err
	}
	parts := make([]minio.CompletePart, len(sent))
	for i, part := range sent {
		parts[i] = *part
	}
	return parts, size, nil
}

func (p *s3Put) sendPart(
	ctx context.Context, upload string, part []byte, done *minio.CompletePart,
) error {
	content := newContent(part)
	err := p.store.send(ctx, content, bodyRequest{
		send: func(ctx context.Context, with proven) (checksum string, err error) {
			opts := minio.PutObjectPartOptions{DisableContentSha256: with.unsigned}
			if with.crc != "" {
				opts.CustomHeader = http.Header{checksumHeader: {with.crc}}
			}
			taken, err := p.store.client.PutObjectPart(ctx, p.at.bucket, p.at.key, upload,
				done.PartNumber, content.reader(), content.size, opts)
			done.ETag, done.ChecksumCRC32C = taken.ETag, taken.ChecksumCRC32C
			return taken.ChecksumCRC32C, err
		},
	})
	if err == nil {
		p.store.parts.put(content)
	}
	return err
}

// readPart fills buffer from body, as far as it goes.
func readPart(body io.Reader, buffer []byte) ([]byte, error) {
	for n := 0; ; {
		if n == len(buffer) {
			return buffer, nil
		}
		read, err := body.Read(buffer[n:])
		n += read
		if err == io.EOF { // not errors.Is: a torn source may wrap it
			return buffer[:n], nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBody, err)
		}
	}
}

// abort frees the parts. They are invisible, so when this fails nothing but room is lost, which
// the bucket's rule for incomplete uploads gives back.
func (p *s3Put) abort(ctx context.Context, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTime)
	defer cancel()
	_ = p.store.client.AbortMultipartUpload(ctx, p.at.bucket, p.at.key, upload)
}

// settle decides what the last answer means. A failed precondition or a vanished upload may be the
// work of an earlier try of this very Put whose answer was lost.
func (p *s3Put) settle(ctx context.Context, object Object, err error) (Object, error) {
	if err == nil {
		object.Modified = time.Now()
		return object, nil
	}
	err = p.store.explain(err)
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || !errors.Is(err, ErrPrecondition) &&
		!errors.Is(err, ErrNotFound) && answer.Code != "NoSuchUpload" {
		return Object{}, err
	}
	found, statErr := p.store.stat(ctx, p.at)
	switch {
	case statErr == nil && found.UserMetadata[markerKey] == p.marker:
		return p.at.describe(found), nil
	case statErr != nil && !errors.Is(p.store.explain(statErr), ErrNotFound):
		return Object{}, fmt.Errorf("read back after %w: %w", err, statErr)
	case errors.Is(err, ErrNotFound) && p.opts.IfMatch != "":
		return Object{}, fmt.Errorf("%w: there is no object", ErrPrecondition)
	}
	return Object{}, err
}

func (p *s3Put) conditions() minio.PutObjectOptions {
	var opts minio.PutObjectOptions
	if p.opts.IfAbsent {
		opts.SetMatchETagExcept("*")
	}
	if p.opts.IfMatch != "" {
		opts.SetMatchETag(p.opts.IfMatch)
	}
	return opts
}

// bodyTime bounds a try that carries size bytes.
func bodyTime(size int64) time.Duration {
	return attemptTime + time.Duration(size/bytesPerSecondSlow)*time.Second
}
