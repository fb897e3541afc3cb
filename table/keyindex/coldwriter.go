package keyindex

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/firthlake/firth/table/keyindex/disk"
)

// coldWriter writes a cold file: the segments of a group, one after the other.
type coldWriter struct {
	out   *bufio.Writer
	file  *coldFile
	block [blockBytes]byte
	used  int // entries in block
}

// createCold begins a cold file under name, which must not exist, and writes it by a worker's buffer.
func (w *worker) createCold(on disk.Disk, name string, salt uint64) (*coldWriter, error) {
	file, err := on.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("begin cold file of key index: %w", err)
	}
	if w.out == nil {
		w.out = bufio.NewWriterSize(nil, spanBlocks*blockBytes)
	}
	w.out.Reset(file)
	return &coldWriter{
		out: w.out, file: &coldFile{name: name, file: file, on: on, salt: salt},
	}, nil
}

// add appends an entry to a segment; entries come in order, segments too.
func (w *coldWriter) add(segment int, e Entry) error {
	if w.used == 0 {
		w.file.fence = append(w.file.fence, e.Key.High)
	}
	putEntry(w.block[w.used*entryBytes:], e)
	w.used++
	w.file.counts[segment]++
	if w.used == blockEntries {
		return w.flush()
	}
	return nil
}

func (w *coldWriter) flush() error {
	clear(w.block[w.used*entryBytes : blockBytes-16])
	binary.LittleEndian.PutUint64(w.block[blockBytes-16:], uint64(len(w.file.fence)-1))
	binary.LittleEndian.PutUint64(w.block[blockBytes-8:],
		seededSum(w.file.salt, w.block[:blockBytes-8]))
	w.used = 0
	if _, err := w.out.Write(w.block[:]); err != nil {
		return fmt.Errorf("write %s: %w", w.file.name, err)
	}
	return nil
}

// end counts a segment: the next begins with a block of its own.
func (w *coldWriter) end(segment int) error {
	if w.used > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if segment+1 < groupSegments {
		w.file.starts[segment+1] = int64(len(w.file.fence))
	}
	return nil
}

// finish completes the file, which stays open for reading.
func (w *coldWriter) finish() (*coldFile, error) {
	fence := make([]byte, 0, 8*len(w.file.fence)+8)
	for _, high := range w.file.fence {
		fence = binary.LittleEndian.AppendUint64(fence, high)
	}
	fence = binary.LittleEndian.AppendUint64(fence, seededSum(w.file.salt, fence))
	_, err := w.out.Write(fence)
	if err = errors.Join(err, w.out.Flush()); err != nil {
		return nil, fmt.Errorf("write %s: %w", w.file.name, err)
	}
	return w.file, nil
}

// abort removes the file.
func (w *coldWriter) abort() { w.file.drop() }

// drop closes and removes a file. One that cannot be removed is found at the next opening.
func (c *coldFile) drop() {
	_ = c.file.Close()
	_ = c.on.Remove(c.name)
}

// openCold opens a file that a manifest describes and reads its fence.
func openCold(on disk.Disk, name string, salt uint64, entries [groupSegments]int64) (*coldFile, error) {
	file, err := on.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open cold file of key index: %w: %w", ErrDamaged, err)
	}
	c := &coldFile{name: name, file: file, on: on, salt: salt, counts: entries}
	var blocks int64
	for i, n := range entries {
		c.starts[i] = blocks
		blocks += blocksOf(n)
	}
	if err := c.readFence(blocks); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("fence of %s: %w: %w", name, ErrDamaged, err)
	}
	return c, nil
}

var errFence = errors.New("not what its blocks begin with")

func (c *coldFile) readFence(blocks int64) error {
	size, err := c.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size != blocks*(blockBytes+8)+8 {
		return io.ErrUnexpectedEOF
	}
	fence := make([]byte, 8*blocks+8)
	if _, err := c.file.ReadAt(fence, blocks*blockBytes); err != nil {
		return err
	}
	if binary.LittleEndian.Uint64(fence[8*blocks:]) != seededSum(c.salt, fence[:8*blocks]) {
		return errFence
	}
	c.fence = make([]uint64, blocks)
	for i := range c.fence {
		c.fence[i] = binary.LittleEndian.Uint64(fence[8*i:])
	}
	return nil
}

// segment is what the file has of the i-th segment of its group.
func (c *coldFile) segment(i int) cold {
	if c == nil {
		return cold{}
	}
	return cold{in: c, first: c.starts[i], entries: c.counts[i]}
}
