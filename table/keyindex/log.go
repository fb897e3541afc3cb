package keyindex

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"github.com/firthlake/firth/table/keyindex/disk"
)

// changeLog holds what was applied since the cold files that the manifest names, as records:
//
//	 8 bytes  length of the payload
//	16 bytes  tag: snapshot id, sequence number
//	 8 bytes  checksum of the payload and of what is before it, seeded with the log's salt
//	payload   numbered files: count, (number, length, path)...; retired files: count, (length, path)...;
//	          count of entries, entries of 24 bytes
//
// A record that is cut off or spoilt ends the log. Applying a record again does no harm as long as all
// behind it follow, so the cold files may be ahead of the log's beginning.
type changeLog struct {
	name  string
	file  disk.File
	on    disk.Disk
	salt  uint64
	bytes int64
	// buffer is the record under construction.
	buffer []byte
}

const recordHead = 32

func logName(salt uint64) string { return fmt.Sprintf("%016x.log", salt) }

func createLog(on disk.Disk, dir string, salt uint64) (*changeLog, error) {
	name := filepath.Join(dir, logName(salt))
	file, err := on.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("begin log of key index: %w", err)
	}
	return &changeLog{name: name, file: file, on: on, salt: salt}, nil
}

// append writes one record. After an error the log is as before.
func (l *changeLog) append(c Changes, files *fileNumbers) error {
	l.buffer = appendRecord(l.buffer[:0], c, files, l.salt)
	if _, err := l.file.WriteAt(l.buffer, l.bytes); err != nil {
		return errors.Join(fmt.Errorf("write log of key index: %w", err), l.file.Truncate(l.bytes))
	}
	l.bytes += int64(len(l.buffer))
	files.logged = files.last
	return nil
}

func appendRecord(b []byte, c Changes, files *fileNumbers, salt uint64) []byte {
	b = append(b, make([]byte, recordHead)...)
	b = binary.AppendUvarint(b, uint64(files.last-files.logged))
	for n := files.logged + 1; n <= files.last; n++ {
		b = binary.AppendUvarint(b, uint64(n))
		b = appendText(b, files.paths[n])
	}
	b = binary.AppendUvarint(b, uint64(len(c.Retired)))
	for _, path := range c.Retired {
		b = appendText(b, path)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Entries)))
	for _, e := range c.Entries {
		b = append(b, make([]byte, entryBytes)...)
		putEntry(b[len(b)-entryBytes:], e)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-recordHead))
	binary.LittleEndian.PutUint64(b[8:], uint64(c.Tag.SnapshotID))
	binary.LittleEndian.PutUint64(b[16:], uint64(c.Tag.SequenceNumber))
	binary.LittleEndian.PutUint64(b[24:], recordSum(b, salt))
	return b
}

func recordSum(record []byte, salt uint64) uint64 {
	return seededSum(salt, record[:24]) + xxhash.Sum64(record[recordHead:])*3
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// openLog opens a log and calls apply with each of its records, as far as they are whole. What follows
// the last whole one is cut off.
func openLog(on disk.Disk, dir string, salt uint64, apply func(record) error) (*changeLog, error) {
	name := filepath.Join(dir, logName(salt))
	file, err := on.OpenFile(name, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open log of key index: %w: %w", ErrDamaged, err)
	}
	l := &changeLog{name: name, file: file, on: on, salt: salt}
	if err := l.replay(apply); err != nil {
		_ = file.Close()
		return nil, err
	}
	if err := file.Truncate(l.bytes); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("cut log of key index: %w", err)
	}
	return l, nil
}

func (l *changeLog) replay(apply func(record) error) error {
	end, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read log of key index: %w", err)
	}
	in := bufio.NewReaderSize(io.NewSectionReader(l.file, 0, end), 64<<10)
	for {
		l.buffer = append(l.buffer[:0], make([]byte, recordHead)...)
		if _, err := io.ReadFull(in, l.buffer); err != nil {
			return endOfLog(err)
		}
		length := binary.LittleEndian.Uint64(l.buffer)
		if length > uint64(end-l.bytes) {
			return nil // cut off
		}
		l.buffer = append(l.buffer, make([]byte, length)...)
		if _, err := io.ReadFull(in, l.buffer[recordHead:]); err != nil {
			return endOfLog(err)
		}
		if recordSum(l.buffer, l.salt) != binary.LittleEndian.Uint64(l.buffer[24:]) {
			return nil // spoilt
		}
		r, err := parseRecord(l.buffer)
		if err != nil {
			return err
		}
		if err := apply(r); err != nil {
			return err
		}
		l.bytes += int64(recordHead + length)
	}
}

// endOfLog is nil for the end of the file, also in the middle of a record.
func endOfLog(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("read log of key index: %w", err)
}

// record is what one record says.
type record struct {
	numbers []uint32
	paths   []string
	changes Changes
}

func parseRecord(b []byte) (record, error) {
	r := record{changes: Changes{Tag: Tag{
		SnapshotID:     int64(binary.LittleEndian.Uint64(b[8:])),
		SequenceNumber: int64(binary.LittleEndian.Uint64(b[16:])),
	}}}
	p := parser{rest: b[recordHead:]}
	for range p.count() {
		r.numbers = append(r.numbers, uint32(p.uvarint()))
		r.paths = append(r.paths, p.text())
	}
	for range p.count() {
		r.changes.Retired = append(r.changes.Retired, p.text())
	}
	n := p.count()
	if p.broken || len(p.rest) != n*entryBytes {
		return r, fmt.Errorf("record in log of key index: %w", ErrDamaged)
	}
	r.changes.Entries = make([]Entry, n)
	for i := range r.changes.Entries {
		r.changes.Entries[i] = entryAt(p.rest[i*entryBytes:])
	}
	return r, nil
}

// parser takes values from bytes; broken says that they ended too early or make no sense.
type parser struct {
	rest   []byte
	broken bool
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.rest, p.broken = nil, true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// count is a number of things that follow, each at least a byte.
func (p *parser) count() int {
	n := p.uvarint()
	if n > uint64(len(p.rest)) {
		p.rest, p.broken = nil, true
		return 0
	}
	return int(n)
}

func (p *parser) bytes(n int) []byte {
	if n > len(p.rest) {
		p.rest, p.broken = nil, true
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

func (p *parser) text() string { return string(p.bytes(p.count())) }

func (p *parser) word() uint64 {
	b := p.bytes(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (l *changeLog) close() error { return l.file.Close() }

// drop closes and removes the log.
func (l *changeLog) drop() {
	_ = l.file.Close()
	_ = l.on.Remove(l.name)
}
