package rewrite

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// placesBytesMax is how much of a map stays in memory: some 2 million rows in another order than they
// came, or any number that stayed side by side. The rest waits on disk.
const placesBytesMax = 8 << 20

// Places is where the rows of sources are in the files of a rewrite: its row-position map. It is made
// while the rewrite goes on, and afterwards says which rows of the new files are those that others
// deleted in the sources meanwhile. It is a list of stretches of rows that stayed side by side, in the order of the
// new files, and takes a few bytes a stretch. Close gives up what it holds.
//
//	stretch = source + 1 ─ first row in it, from where its last stretch ended ─ rows     (varints)
//	          0 ─ number of the file that the next stretches are in
type Places struct {
	mu      sync.Mutex // guards what follows while files are written
	sources []sourceRows
	files   []placedFile
	byName  map[string]int
	current int // file of the open stretch
	open    stretch
	coded   []byte
	limit   int // bytes of coded from which it goes to disk
	folder  string
	spilled *os.File
}

// sourceRows is how far a source has come.
type sourceRows struct {
	next int64 // row behind its last stretch
	kept int64 // rows that the new files hold
}

type placedFile struct {
	location string
	rows     int64
}

// stretch is rows of a source that lie side by side in a new file too.
type stretch struct {
	source int
	first  int64
	rows   int64
}

// NewPlaces is the map of so many sources; folder is where what is too large for memory goes, "" the
// system's.
func NewPlaces(sources int, folder string) *Places {
	return &Places{sources: make([]sourceRows, sources), byName: map[string]int{}, current: -1,
		limit: placesBytesMax, folder: folder}
}

// The tag of a row is its source and its position in there.
const tagPositionBits = 40

func tagOf(source int, pos int64) int64 { return int64(source)<<tagPositionBits | pos }

// placed is table.Placed.
func (p *Places) placed(file string, first int64, tags []int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin(file, first); err != nil {
		return err
	}
	for _, tag := range tags {
		source, pos := int(tag>>tagPositionBits), tag&(1<<tagPositionBits-1)
		if source == p.open.source && pos == p.open.first+p.open.rows && p.open.rows > 0 {
			p.open.rows++
			continue
		}
		if err := p.end(); err != nil {
			return err
		}
		p.open = stretch{source, pos, 1}
	}
	p.files[p.current].rows += int64(len(tags))
	return nil
}

// add notes that the next rows of a file are all rows of a source.
func (p *Places) add(file string, source int, rows int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	number, known := p.byName[file]
	first := int64(0)
	if known {
		first = p.files[number].rows
	}
	if err := p.begin(file, first); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	p.open = stretch{source, 0, rows}
	p.files[p.current].rows += rows
	return nil
}

// begin goes on in a file, whose next row must be first.
func (p *Places) begin(file string, first int64) error {
	number, known := p.byName[file]
	if !known {
		number = len(p.files)
		p.byName[file] = number
		p.files = append(p.files, placedFile{location: file})
	}
	if got := p.files[number].rows; got != first {
		return fmt.Errorf("BUG: row %d of %s comes behind %d", first, file, got)
	}
	if number == p.current {
		return nil
	}
	if err := p.end(); err != nil {
		return err
	}
	p.current = number
	p.coded = binary.AppendUvarint(append(p.coded, 0), uint64(number))
	return nil
}

// end writes the open stretch down.
func (p *Places) end() error {
	s := p.open
	if s.rows == 0 {
		return nil
	}
	p.open = stretch{}
	from := &p.sources[s.source]
	p.coded = binary.AppendUvarint(p.coded, uint64(s.source)+1)
	p.coded = binary.AppendVarint(p.coded, s.first-from.next)
	p.coded = binary.AppendUvarint(p.coded, uint64(s.rows))
	from.next = s.first + s.rows
	from.kept += s.rows
	if len(p.coded) < p.limit {
		return nil
	}
	return p.spill()
}

func (p *Places) spill() error {
	if p.spilled == nil {
		file, err := os.CreateTemp(p.folder, "firth-places-")
		if err != nil {
			return fmt.Errorf("make a file for the places of rows that memory has no room for: %w", err)
		}
		p.spilled = file
	}
	if _, err := p.spilled.Write(p.coded); err != nil {
		return fmt.Errorf("put places of rows into %s: %w", p.spilled.Name(), err)
	}
	p.coded = p.coded[:0]
	return nil
}

// finish ends the map: all rows are placed.
func (p *Places) finish() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end()
}

// Close removes what lies on disk. It may be called again.
func (p *Places) Close() error {
	if p.spilled == nil {
		return nil
	}
	name := p.spilled.Name()
	err := errors.Join(p.spilled.Close(), os.Remove(name))
	p.spilled = nil
	if err != nil {
		return fmt.Errorf("remove places of rows: %w", err)
	}
	return nil
}

// Kept is how many rows of a source the new files hold.
func (p *Places) Kept(source int) int64 { return p.sources[source].kept }

// Move finds the rows that are deleted. stays has a bit a row for each source, 1 for rows that stay, as
// KeepMaskBytes of a bitmap makes it, nil when all do; rows that no new file holds do not count. The rows
// come by file, in order, and how many of each source there are.
func (p *Places) Move(stays [][]byte) (gone map[string][]int64, bySource []int64, err error) {
	gone, bySource = map[string][]int64{}, make([]int64, len(p.sources))
	next := make([]int64, len(p.files)) // row of each file
	file := 0
	err = p.stretches(func(number int) { file = number }, func(s stretch) {
		at := next[file]
		next[file] += s.rows
		mask := stays[s.source]
		if mask == nil {
			return
		}
		rows := gone[p.files[file].location]
		before := len(rows)
		rows = appendCleared(rows, mask, s, at)
		if n := len(rows) - before; n > 0 {
			gone[p.files[file].location] = rows
			bySource[s.source] += int64(n)
		}
	})
	return gone, bySource, err
}

// appendCleared appends, for each row of the stretch whose bit is 0, its row in the new file, where the first one
// is row at.
func appendCleared(rows []int64, mask []byte, s stretch, at int64) []int64 {
	for pos, end := s.first, s.first+s.rows; pos < end; {
		if pos&7 == 0 && end-pos >= 8 && mask[pos>>3] == 0xff {
			pos += 8
			continue
		}
		if mask[pos>>3]>>(pos&7)&1 == 0 {
			rows = append(rows, at+pos-s.first)
		}
		pos++
	}
	return rows
}

// stretches goes through the map.
func (p *Places) stretches(file func(number int), each func(s stretch)) error {
	var in io.Reader = bytes.NewReader(p.coded)
	if p.spilled != nil {
		if _, err := p.spilled.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read places of rows: %w", err)
		}
		in = io.MultiReader(p.spilled, in)
	}
	from := bufio.NewReaderSize(in, 64<<10)
	next := make([]int64, len(p.sources))
	for {
		number, err := binary.ReadUvarint(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read places of rows: %w", err)
		}
		if number == 0 {
			to, err := binary.ReadUvarint(from)
			if err != nil {
				return fmt.Errorf("read places of rows: %w", err)
			}
			file(int(to))
			continue
		}
		skip, err := binary.ReadVarint(from)
		if err != nil {
			return fmt.Errorf("read places of rows: %w", err)
		}
		rows, err := binary.ReadUvarint(from)
		if err != nil {
			return fmt.Errorf("read places of rows: %w", err)
		}
		s := stretch{int(number) - 1, next[number-1] + skip, int64(rows)}
		next[s.source] = s.first + s.rows
		each(s)
	}
}
