package objstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// The errors a caller must tell apart; each implementation wraps them with the act and the location.
var (
	// ErrNotFound says that there is no object at the location.
	ErrNotFound = errors.New("object not found")
	// ErrPrecondition says that a conditional Put found another state than it asked for. Nothing
	// was written.
	ErrPrecondition = errors.New("precondition failed")
	// ErrPermission says that the credentials do not allow the operation.
	ErrPermission = errors.New("permission denied")
	// ErrNoBucket says that the bucket or root folder does not exist.
	ErrNoBucket = errors.New("no such bucket")
	// ErrBadLocation says that a location cannot be one of this store: another scheme, or a path
	// that climbs out of its root.
	ErrBadLocation = errors.New("bad location")
	// ErrFull says that the store has no room left.
	ErrFull = errors.New("no space left")
)

// Object describes a stored object.
type Object struct {
	Location string
	Size     int64
	ETag     string
	Modified time.Time
}

// PutOptions are the preconditions of a Put (RFC 9110, section 13.1).
type PutOptions struct {
	// IfAbsent makes Put fail with ErrPrecondition when the location holds an object.
	IfAbsent bool
	// IfMatch, when not empty, makes Put fail with ErrPrecondition unless the object there has
	// this ETag.
	IfMatch string
}

// Store keeps objects under full locations, the ones that stand in Iceberg metadata:
// "s3://bucket/key", "file:///folder/name" or "/folder/name", "mem://name/key". Locations are taken
// verbatim and never unescaped. All methods may be called from many goroutines. An object appears
// whole or not at all, and reads see it as soon as Put returned.
//
// Operations are retried here and nowhere above; what comes out is final, except that a Put whose
// answer was lost may have landed.
type Store interface {
	// Get reads length bytes from offset, or all to the end when length is negative.
	Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error)
	// Stat describes the object.
	Stat(ctx context.Context, location string) (Object, error)
	// Put stores body; size is its length in bytes or -1 when not known. It reads body once.
	Put(ctx context.Context, location string, body io.Reader, size int64, opts PutOptions) (Object, error)
	// Remove removes objects; one that is not there is no error.
	Remove(ctx context.Context, locations ...string) error
	// List yields the objects whose location begins with prefix, in order of location.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
}
