package keyindex

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
)

const (
	manifestName  = "manifest"
	manifestMagic = "firth-keyindex-3"
)

// manifest is what the file of that name says: which cold files and which log make up the index.
type manifest struct {
	table      [16]byte
	identifier string
	seed       Seed
	tag        Tag    // at the beginning of the log; cold files may be ahead of it
	log        uint64 // salt
	// folded is how much of the log cold files may have: a shorter one does not tell of which snapshot they
	// are.
	folded int64
	last   uint32 // number of a data file
	files  map[uint32]string
	groups [groups]coldEntry
}

// coldEntry describes a cold file; the zero value is none.
type coldEntry struct {
	salt   uint64
	counts [groupSegments]int64
}

func (m *manifest) encode() []byte {
	b := append([]byte(manifestMagic), m.table[:]...)
	b = appendText(b, m.identifier)
	b = binary.LittleEndian.AppendUint64(b, m.seed.High)
	b = binary.LittleEndian.AppendUint64(b, m.seed.Low)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.tag.SnapshotID))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.tag.SequenceNumber))
	b = binary.LittleEndian.AppendUint64(b, m.log)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.folded))
	b = binary.AppendUvarint(b, uint64(m.last))
	b = binary.AppendUvarint(b, uint64(len(m.files)))
	numbers := make([]uint32, 0, len(m.files))
	for n := range m.files {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		b = appendText(binary.AppendUvarint(b, uint64(n)), m.files[n])
	}
	for _, g := range m.groups {
		b = binary.LittleEndian.AppendUint64(b, g.salt)
		for _, n := range g.counts {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return binary.LittleEndian.AppendUint64(b, seededSum(manifestSeed, b))
}

// manifestSeed keeps a manifest apart from other checksummed bytes.
const manifestSeed = 0x6b65

func decodeManifest(b []byte) (manifest, error) {
	m := manifest{files: map[uint32]string{}}
	if len(b) < len(manifestMagic)+16+8 || string(b[:len(manifestMagic)]) != manifestMagic ||
		binary.LittleEndian.Uint64(b[len(b)-8:]) != seededSum(manifestSeed, b[:len(b)-8]) {
		return m, fmt.Errorf("manifest of key index: %w", ErrDamaged)
	}
	p := parser{rest: b[len(manifestMagic) : len(b)-8]}
	copy(m.table[:], p.bytes(16))
	m.identifier = p.text()
	m.seed = Seed{High: p.word(), Low: p.word()}
	m.tag = Tag{SnapshotID: int64(p.word()), SequenceNumber: int64(p.word())}
	m.log, m.folded, m.last = p.word(), int64(p.word()), uint32(p.uvarint())
	for range p.count() {
		n := uint32(p.uvarint())
		m.files[n] = p.text()
		p.broken = p.broken || n == 0 || n > m.last
	}
	for i := range m.groups {
		m.groups[i].salt = p.word()
		for k := range m.groups[i].counts {
			m.groups[i].counts[k] = int64(p.uvarint() & (1<<48 - 1))
		}
	}
	if p.broken || len(p.rest) > 0 {
		return m, fmt.Errorf("manifest of key index: %w", ErrDamaged)
	}
	return m, nil
}

// writeManifest makes the index on disk what it is in memory, but for changes that the log has.
func (x *Index) writeManifest() error {
	m := manifest{table: x.opts.Table, identifier: x.opts.Identifier, seed: x.seed, tag: x.saved, log: x.log.salt,
		folded: x.folded, last: x.files.logged, files: make(map[uint32]string, len(x.files.paths))}
	for n, path := range x.files.paths {
		if n <= x.files.logged {
			m.files[n] = path
		}
	}
	for i := range x.groups {
		if c := x.groups[i].cold; c != nil {
			m.groups[i] = coldEntry{salt: c.salt, counts: c.counts}
		}
	}
	temporary := filepath.Join(x.opts.Dir, manifestName+".new")
	if err := writeFile(x.opts.Disk, temporary, m.encode()); err != nil {
		return fmt.Errorf("write manifest of key index: %w", err)
	}
	if err := x.opts.Disk.Rename(temporary, filepath.Join(x.opts.Dir, manifestName)); err != nil {
		return fmt.Errorf("replace manifest of key index: %w", err)
	}
	return nil
}
