package orphans

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// The objects of the removal itself, under the table's location. Their endings are none that are removed.
const (
	quarantineName = "metadata/firth-orphans.jsonl"
	clockName      = "metadata/firth-orphans.clock"
)

// quarantineHead is the first line of the list of orphans.
type quarantineHead struct {
	Version   int       `json:"version"`
	TableUUID uuid.UUID `json:"table_uuid"`
	ListedAt  time.Time `json:"listed_at"`
}

// Orphan is a line of the list: an object that nothing needed when it was first seen, and none since. Times are
// those of the store.
type Orphan struct {
	Path      string    `json:"path"`
	Size      int64     `json:"size"`
	Modified  time.Time `json:"modified"`
	FirstSeen time.Time `json:"first_seen"`
}

// ListedAt is when the orphans of a table were last listed, by the store's clock; zero when they never were.
func ListedAt(ctx context.Context, store objstore.Store, t *table.Table) (time.Time, error) {
	object, err := store.Stat(ctx, rootOf(t)+quarantineName)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return time.Time{}, fmt.Errorf("look when orphans of %s were listed: %w", t, err)
	}
	return object.Modified, nil
}

// rootOf is a table's location with a slash.
func rootOf(t *table.Table) string { return strings.TrimRight(t.Metadata().Location(), "/") + "/" }

// lineBytesMax bounds a line of the list: S3 has keys of 1,024 bytes, which JSON writes as six times that.
const lineBytesMax = 16 << 10

// errAnotherTable says that a list was written for a table that lay here before.
var errAnotherTable = errors.New("the list is of another table")

// readQuarantine yields the orphans of a list in order of their paths; there may be none.
func readQuarantine(ctx context.Context, store objstore.Store, location string, id uuid.UUID,
) iter.Seq2[Orphan, error] {
	return func(yield func(Orphan, error) bool) {
		fail := func(err error) { yield(Orphan{}, fmt.Errorf("read %s: %w", location, err)) }
		body, err := store.Get(ctx, location, 0, -1)
		if errors.Is(err, objstore.ErrNotFound) {
			return
		}
		if err != nil {
			fail(err)
			return
		}
		defer body.Close() // for reading: the scanner's error says it all
		lines := bufio.NewScanner(body)
		lines.Buffer(make([]byte, 0, 4<<10), lineBytesMax)
		var head quarantineHead
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil || head.Version != 1 {
			fail(errors.Join(lines.Err(), fmt.Errorf("it is no list of orphans: remove it to begin anew")))
			return
		}
		if head.TableUUID != id {
			fail(errAnotherTable)
			return
		}
		for lines.Scan() {
			var o Orphan
			if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
				fail(fmt.Errorf("%w: remove it to begin anew", err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			fail(err)
		}
	}
}

// quarantine writes a new list while the objects are listed.
type quarantine struct {
	pipe *io.PipeWriter
	out  *bufio.Writer
	put  chan error
}

// newQuarantine begins a list, which appears at its location when it is finished, whole or not at all.
func newQuarantine(ctx context.Context, store objstore.Store, location string, head quarantineHead,
) (*quarantine, error) {
	reader, writer := io.Pipe()
	q := &quarantine{pipe: writer, out: bufio.NewWriterSize(writer, 64<<10), put: make(chan error, 1)}
	go func() {
		_, err := store.Put(ctx, location, reader, -1, objstore.PutOptions{})
		if err != nil {
			reader.CloseWithError(err) // so that the next line fails
		}
		q.put <- err
	}()
	return q, q.line(head)
}

func (q *quarantine) line(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = q.out.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write list of orphans: %w", err)
	}
	return nil
}

// end publishes the list, unless cause says why not, and waits for its writing.
func (q *quarantine) end(cause error) error {
	if cause == nil {
		cause = q.out.Flush()
	}
	_ = q.pipe.CloseWithError(cause) // it never fails; nil is the end of the text
	if err := <-q.put; cause == nil && err != nil {
		return fmt.Errorf("write list of orphans: %w", err)
	}
	return cause
}
