package point

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/gather"
)

// runRows is how many rows lie together in a copy: at 350 bytes a row they are read in a few microseconds, and the
// place of a run takes 24 bytes of memory.
const runRows = 64

// errNoCopy says that a copy cannot be written: there is no room for it.
var errNoCopy = errors.New("no copy can be written")

// fileCopy has the rows of a data file on the local disk, as an Arrow IPC file without a name whose batches are runs.
type fileCopy struct {
	id    copyID
	bytes int64
	// refs, under the Reader's lock, are those who read it; the Reader is one of them while it keeps the copy.
	refs   int
	file   *os.File
	reader *ipc.FileReader
}

// row returns a row. The caller releases it. It is for any goroutine that has a reference.
func (c *fileCopy) row(row uint32) (arrow.RecordBatch, error) {
	if int(row/runRows) >= c.reader.NumRecords() {
		return nil, table.ErrNoRow
	}
	run, err := c.reader.RecordBatchAt(int(row / runRows))
	if err != nil {
		return nil, fmt.Errorf("read its copy: %w", err)
	}
	defer run.Release()
	at := int64(row % runRows)
	if at >= run.NumRows() {
		return nil, table.ErrNoRow
	}
	return run.NewSlice(at, at+1), nil
}

// close gives the room back.
func (c *fileCopy) close() {
	_ = c.reader.Close() // it holds memory alone
	_ = c.file.Close()   // nothing was written since it was made, and it has no name any more
}

// copier writes a copy.
type copier struct {
	file     *os.File
	out      *bufio.Writer
	written  int64
	bytesMax int64
	runs     *ipc.FileWriter // nil before the first batch
	batches  []arrow.RecordBatch
	rows     int64 // of batches, which are less than a run
}

// copyBufferBytes hold some runs.
const copyBufferBytes = 256 << 10

// newCopier makes a file in a folder. Nobody else sees it, and it is gone with the process, however that ends.
func newCopier(dir string, bytesMax int64) (*copier, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCopy, err)
	}
	file, err := os.CreateTemp(dir, "rows-")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCopy, err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errNoCopy, err), file.Close())
	}
	return &copier{file: file, out: bufio.NewWriterSize(file, copyBufferBytes), bytesMax: bytesMax}, nil
}

// Write counts what goes to the file.
func (c *copier) Write(p []byte) (int, error) {
	if c.written += int64(len(p)); c.written > c.bytesMax {
		return 0, fmt.Errorf("it takes more than %d bytes", c.bytesMax)
	}
	return c.out.Write(p)
}

// add takes in the next rows.
func (c *copier) add(batch arrow.RecordBatch) (err error) {
	if c.runs == nil {
		if c.runs, err = ipc.NewFileWriter(c, ipc.WithSchema(batch.Schema())); err != nil {
			return fmt.Errorf("%w: %w", errNoCopy, err)
		}
	}
	for from := int64(0); from < batch.NumRows(); {
		to := min(batch.NumRows(), from+runRows-c.rows)
		c.batches = append(c.batches, batch.NewSlice(from, to))
		c.rows, from = c.rows+to-from, to
		if c.rows == runRows {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what there is of a run.
func (c *copier) flush() error {
	if len(c.batches) == 0 {
		return nil
	}
	defer c.drop()
	run := c.batches[0]
	if len(c.batches) > 1 {
		parts := make([]gather.Run, len(c.batches))
		for i, batch := range c.batches {
			parts[i] = gather.Run{Batch: uint32(i), Rows: uint32(batch.NumRows())}
		}
		run = gather.New(c.batches).Runs(memory.DefaultAllocator, parts)
		defer run.Release()
	}
	if err := c.runs.Write(run); err != nil {
		return fmt.Errorf("%w: %w", errNoCopy, err)
	}
	return nil
}

// drop lets go of what was gathered.
func (c *copier) drop() {
	for _, batch := range c.batches {
		batch.Release()
	}
	c.batches, c.rows = nil, 0
}

// finish makes a copy of what was written. The copier is of no use any more.
func (c *copier) finish(id copyID) (*fileCopy, error) {
	if c.runs == nil {
		return nil, errors.Join(table.ErrNoRow, c.abort())
	}
	err := c.flush()
	if err == nil {
		err = c.runs.Close()
	}
	if err == nil {
		err = c.out.Flush()
	}
	var reader *ipc.FileReader
	if err == nil {
		reader, err = ipc.NewFileReader(c.file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errNoCopy, err), c.abort())
	}
	return &fileCopy{id: id, bytes: c.written, refs: 1, file: c.file, reader: reader}, nil
}

// abort gives up what was written.
func (c *copier) abort() error {
	c.drop()
	return c.file.Close()
}

// makeCopy decodes a file into a copy.
func (r *Reader) makeCopy(ctx context.Context, t *table.Table, id copyID, size int64) (*fileCopy, error) {
	c, err := newCopier(r.dir, r.bytesMax/copyShare)
	if err != nil {
		return nil, err
	}
	task, err := taskOf(t, id.location, size)
	if err != nil {
		return nil, errors.Join(err, c.abort())
	}
	for batch, err := range table.ReadWith(ctx, r.store, task, table.ReadOptions{BatchRows: copyBatchRows}) {
		if err == nil {
			err = c.add(batch)
		}
		if err != nil {
			return nil, errors.Join(err, c.abort())
		}
	}
	return c.finish(id)
}

// copyBatchRows are rows that are decoded together.
const copyBatchRows = 64 * runRows
