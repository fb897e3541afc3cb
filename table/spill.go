package table

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

const (
	// runsMax bounds the open files of a merge and its memory: runsMax times spillBatchBytes.
	runsMax = 64
	// spillBatchBytes is how much of a run is in memory while it is merged.
	spillBatchBytes = 512 << 10
	spillFileBuffer = 256 << 10
)

// spill holds the sorted runs of one writer, in a folder of its own on local disk that is there as
// long as there are runs.
type spill struct {
	writer   *Writer
	folder   string
	runs     []*run
	rowBytes int64 // average of the last run
}

// run is a file of sorted rows in Arrow's IPC stream format, compressed with LZ4.
type run struct {
	name   string
	file   *os.File
	reader *ipc.Reader
}

// add writes the groups, in their order, as a new run.
func (s *spill) add(by *sorter, groups []group, rowBytes int64) error {
	if s.folder == "" {
		folder, err := os.MkdirTemp(s.writer.opts.SpillDir, "firth-spill-")
		if err != nil {
			return fmt.Errorf("make a folder for rows that memory has no room for: %w", err)
		}
		s.folder = folder
	}
	r := &run{name: filepath.Join(s.folder, strconv.Itoa(len(s.runs))+".arrows")}
	s.runs = append(s.runs, r)
	s.rowBytes = rowBytes
	bytes, err := s.write(by, r, groups, rowBytes)
	if err != nil {
		return fmt.Errorf("put rows that memory has no room for into %s: %w", s.folder, err)
	}
	s.writer.opts.Metrics.spilled(bytes)
	return nil
}

func (s *spill) write(
	by *sorter, r *run, groups []group, rowBytes int64,
) (bytes int64, err error) {
	from, err := by.newSource()
	if err != nil {
		return 0, err
	}
	file, err := os.OpenFile(r.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffer := bufio.NewWriterSize(file, spillFileBuffer)
	sink := &countingSink{to: buffer}
	out := ipc.NewWriter(sink, ipc.WithSchema(s.writer.layout.schema), ipc.WithLZ4(),
		ipc.WithAllocator(s.writer.opts.Allocator))
	pieces := piecer{
		room: newArena(s.writer.opts.Allocator), rowsMax: spillRows(rowBytes),
		emit: func(batch arrow.RecordBatch) error { return writeSmall(out, batch, rowBytes) },
	}
	defer pieces.room.drop()
	for _, g := range groups { // small partitions share a batch
		if err := from.pass(g, &pieces); err != nil {
			return 0, errors.Join(err, out.Close())
		}
	}
	if err := pieces.gather(from.all); err != nil {
		return 0, errors.Join(err, out.Close())
	}
	if err := out.Close(); err != nil {
		return 0, err
	}
	return sink.bytes, buffer.Flush()
}

func spillRows(rowBytes int64) int {
	return int(max(1, min(gatherRowsMax, spillBatchBytes/rowBytes)))
}

// writeSmall cuts a batch, which may be a long slice, into pieces that a merge can hold.
func writeSmall(out *ipc.Writer, batch arrow.RecordBatch, rowBytes int64) error {
	step := int64(spillRows(rowBytes))
	for from := int64(0); from < batch.NumRows(); from += step {
		slice := batch.NewSlice(from, min(from+step, batch.NumRows()))
		err := out.Write(slice)
		slice.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// open begins to read all runs.
func (s *spill) open() error {
	for _, r := range s.runs {
		file, err := os.Open(r.name)
		if err != nil {
			return err
		}
		r.file = file
		r.reader, err = ipc.NewReader(bufio.NewReaderSize(file, spillFileBuffer),
			ipc.WithSchema(s.writer.layout.schema), ipc.WithAllocator(s.writer.opts.Allocator))
		if err != nil {
			return fmt.Errorf("read %s: %w", r.name, err)
		}
	}
	return nil
}

// read returns the next batch of the run, which the caller releases, or nil at the end.
func (r *run) read() (arrow.RecordBatch, error) {
	batch, err := r.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.name, err)
	}
	batch.Retain()
	return batch, nil
}

// drop removes the runs and their folder. What cannot be removed lies in a temporary folder and
// harms nothing.
func (s *spill) drop() {
	for _, r := range s.runs {
		if r.reader != nil {
			r.reader.Release()
		}
		if r.file != nil {
			_ = r.file.Close()
		}
	}
	s.runs = nil
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
		s.folder = ""
	}
}
