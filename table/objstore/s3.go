package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// attemptsMax tries with pauses of 0.1, 0.2, ... 3 s ride out about 10 s of a store that is
	// away, which covers the restart of a MinIO and the usual throttling.
	attemptsMax = 8
	pauseMin    = 100 * time.Millisecond
	pauseMax    = 3 * time.Second
	// attemptTime bounds one try without a body; a body adds its size over the slowest rate that
	// is still taken for alive.
	attemptTime        = 30 * time.Second
	bytesPerSecondSlow = 128 << 10
	// listPage and removePage are what S3 allows in one request.
	listPage   = 1000
	removePage = 1000
)

// S3 keeps objects in buckets, under locations "s3://bucket/key" (s3a and s3n are taken too). Keys
// are used verbatim. Every operation is retried here, within bounds, and nowhere else.
type S3 struct {
	client   minio.Core
	attempts int
	proof    proofLearned
	parts    partPool
}

// NewS3 returns a store of buckets. It makes no request, so wrong keys show at first use.
func NewS3(cfg S3Config) (*S3, error) {
	client, err := cfg.connect()
	if err != nil {
		return nil, err
	}
	attempts := cfg.Attempts
	if attempts == 0 {
		attempts = attemptsMax
	}
	return &S3{client: client, attempts: attempts}, nil
}

// place is a location taken apart.
type place struct {
	location    string
	root        string // "s3://bucket/"
	bucket, key string
}

func parsePlace(location string) (place, error) {
	scheme, rest, found := strings.Cut(location, "://")
	if !found || scheme != "s3" && scheme != "s3a" && scheme != "s3n" {
		return place{}, fmt.Errorf("%w: want s3://bucket/key", ErrBadLocation)
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" {
		return place{}, fmt.Errorf("%w: want s3://bucket/key", ErrBadLocation)
	}
	return place{
		location: location, root: scheme + "://" + bucket + "/", bucket: bucket, key: key,
	}, nil
}

func parseObject(location string) (place, error) {
	at, err := parsePlace(location)
	if err == nil && at.key == "" {
		err = fmt.Errorf("%w: want s3://bucket/key, the key is missing", ErrBadLocation)
	}
	return at, err
}

// Get implements Store. When the connection breaks while the body is read, reading goes on where
// it broke, on condition that the object is still the same.
func (s *S3) Get(
	ctx context.Context, location string, offset, length int64,
) (io.ReadCloser, error) {
	at, err := parseObject(location)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", location, err)
	}
	if offset < 0 {
		return nil, fmt.Errorf("get %s: negative offset %d", location, offset)
	}
	body := &s3Body{ctx: ctx, store: s, at: at, next: offset, left: length}
	if length == 0 {
		_, err = s.Stat(ctx, location)
		return body, err
	}
	if err := s.try(ctx, body.connect); err != nil {
		return nil, fmt.Errorf("get %s: %w", location, s.explain(err))
	}
	return body, nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, location string) (Object, error) {
	at, err := parseObject(location)
	if err != nil {
		return Object{}, fmt.Errorf("stat %s: %w", location, err)
	}
	found, err := s.stat(ctx, at)
	if err != nil {
		return Object{}, fmt.Errorf("stat %s: %w", location, s.explain(err))
	}
	return at.describe(found), nil
}

func (s *S3) stat(ctx context.Context, at place) (minio.ObjectInfo, error) {
	var found minio.ObjectInfo
	err := s.try(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		found, err = s.client.StatObject(ctx, at.bucket, at.key, minio.StatObjectOptions{})
		return err
	})
	return found, err
}

// Remove implements Store, up to 1,000 objects in a request.
func (s *S3) Remove(ctx context.Context, locations ...string) error {
	byBucket := map[string][]place{}
	for _, location := range locations {
		at, err := parseObject(location)
		if err != nil {
			return fmt.Errorf("remove %s: %w", location, err)
		}
		byBucket[at.bucket] = append(byBucket[at.bucket], at)
	}
	var failures []error
	for _, places := range byBucket {
		for len(places) > 0 {
			page := places[:min(len(places), removePage)]
			places = places[len(page):]
			failures = append(failures, s.removePage(ctx, page))
		}
	}
	return errors.Join(failures...)
}

// removePage removes objects of one bucket; tries after the first take those that are left.
func (s *S3) removePage(ctx context.Context, page []place) error {
	if len(page) == 1 {
		return s.removeOne(ctx, page[0])
	}
	left := make(map[string]error, len(page))
	for _, at := range page {
		left[at.key] = nil
	}
	err := s.try(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		results, err := s.client.RemoveObjectsWithIter(ctx, page[0].bucket,
			func(yield func(minio.ObjectInfo) bool) {
				for key := range left {
					if !yield(minio.ObjectInfo{Key: key}) {
						return
					}
				}
			}, minio.RemoveObjectsOptions{})
		if err != nil {
			return err
		}
		var failed error
		for result := range results {
			if result.Err == nil || minio.ToErrorResponse(result.Err).Code == minio.NoSuchKey {
				delete(left, result.ObjectName)
			} else {
				failed = result.Err
			}
		}
		return failed
	})
	if err != nil {
		return fmt.Errorf("remove %d of %d objects under %s: %w",
			len(left), len(page), page[0].root, s.explain(err))
	}
	return nil
}

func (s *S3) removeOne(ctx context.Context, at place) error {
	err := s.try(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		return s.client.RemoveObject(ctx, at.bucket, at.key, minio.RemoveObjectOptions{})
	})
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return fmt.Errorf("remove %s: %w", at.location, s.explain(err))
	}
	return nil
}

// List implements Store. Each page is one operation with retries of its own.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		at, err := parsePlace(prefix)
		if err != nil {
			yield(Object{}, fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		for after, more := "", true; more; {
			page, err := s.listPage(ctx, at, after)
			if err != nil {
				yield(Object{}, fmt.Errorf("list %s: %w", prefix, s.explain(err)))
				return
			}
			for _, found := range page {
				after = found.Key
				object := at.describe(found)
				object.Location = at.root + found.Key
				if !yield(object, nil) {
					return
				}
			}
			more = len(page) == listPage
		}
	}
}

func (s *S3) listPage(ctx context.Context, at place, after string) ([]minio.ObjectInfo, error) {
	var page []minio.ObjectInfo
	err := s.try(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		page = page[:0]
		for found := range s.client.ListObjectsIter(ctx, at.bucket, minio.ListObjectsOptions{
			Prefix: at.key, Recursive: true, StartAfter: after, MaxKeys: listPage,
		}) {
			if found.Err != nil {
				return found.Err
			}
			if page = append(page, found); len(page) == listPage {
				break
			}
		}
		return ctx.Err()
	})
	return page, err
}

func (at place) describe(found minio.ObjectInfo) Object {
	return Object{
		Location: at.location, Size: found.Size, ETag: found.ETag, Modified: found.LastModified,
	}
}
