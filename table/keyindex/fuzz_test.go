package keyindex

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/keyindex/disktest"
)

// FuzzManifestFile decodes manifests, as they are and with a checksum that is right.
func FuzzManifestFile(f *testing.F) {
	m := manifest{table: [16]byte{1}, identifier: "1, 1 integer", seed: testSeed, tag: Tag{7, 8}, log: 9,
		last: 3, files: map[uint32]string{3: "a"}}
	m.groups[2] = coldEntry{salt: 4, counts: [groupSegments]int64{5, 6}}
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeManifest(b)
		if len(b) < 8 {
			return
		}
		b = slices.Clone(b)
		binary.LittleEndian.PutUint64(b[len(b)-8:], seededSum(manifestSeed, b[:len(b)-8]))
		m, err := decodeManifest(b)
		if err != nil {
			require.ErrorIs(t, err, ErrDamaged)
			return
		}
		again, err := decodeManifest(m.encode())
		require.NoError(t, err)
		require.Equal(t, m, again)
		// Whatever counts it has, cold files that do not have them are refused.
		d := disktest.NewMemory()
		d.SetText("cold", make([]byte, 100))
		for _, g := range m.groups {
			if g.counts != [groupSegments]int64{} {
				_, err := openCold(d, "cold", g.salt, g.counts)
				require.ErrorIs(t, err, ErrDamaged)
			}
		}
	})
}

// FuzzLogFile replays logs, as they are and with checksums that are right, and again after what was cut.
func FuzzLogFile(f *testing.F) {
	files := newFileNumbers()
	files.number("a")
	one := appendRecord(nil, Changes{Tag: Tag{1, 2}, Retired: []string{"b"},
		Entries: []Entry{{Key{1, 2}, Place{1, 4}}, {Key{2, 3}, Place{}}}}, &files, 5)
	f.Add(one)
	f.Add(append(slices.Clone(one), one[:40]...))
	f.Add(append(slices.Clone(one), one...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range [][]byte{b, withSums(slices.Clone(b), 5)} {
			d := disktest.NewMemory()
			name := logName(5)
			d.SetText(name, slices.Clone(text))
			var tags, again []Tag
			l, err := openLog(d, "", 5, func(r record) error {
				tags = append(tags, r.changes.Tag)
				return nil
			})
			if err != nil {
				require.ErrorIs(t, err, ErrDamaged)
				continue
			}
			require.EqualValues(t, l.bytes, len(d.Text(name)))
			require.True(t, slices.Equal(text[:l.bytes], d.Text(name)))
			_, err = openLog(d, "", 5, func(r record) error {
				again = append(again, r.changes.Tag)
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, tags, again)
		}
	})
}

// withSums gives the records of a log the checksums that they should have.
func withSums(log []byte, salt uint64) []byte {
	for b := log; len(b) >= recordHead; {
		length := binary.LittleEndian.Uint64(b)
		if length > uint64(len(b)-recordHead) {
			length = uint64(len(b) - recordHead)
			binary.LittleEndian.PutUint64(b, length)
		}
		end := recordHead + int(length)
		binary.LittleEndian.PutUint64(b[24:], recordSum(b[:end], salt))
		b = b[end:]
	}
	return log
}

// FuzzColdFile opens cold files, as they are and with checksums that are right, looks every possible key
// up and reads all.
func FuzzColdFile(f *testing.F) {
	d := disktest.NewMemory()
	var work worker
	w, err := work.createCold(d, "cold", 5)
	require.NoError(f, err)
	for i := range 2*blockEntries + 3 {
		require.NoError(f, w.add(0, Entry{Key{uint64(i) << 40, 1}, Place{1, uint32(i)}}))
	}
	require.NoError(f, w.end(0))
	_, err = w.finish()
	require.NoError(f, err)
	f.Add(d.Text("cold"), uint16(2*blockEntries+3), uint64(7)<<40)
	f.Add([]byte{}, uint16(0), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, entries uint16, high uint64) {
		for _, text := range [][]byte{b, withBlockSums(slices.Clone(b), int64(entries))} {
			d := disktest.NewMemory()
			d.SetText("cold", text)
			c, err := openCold(d, "cold", 5, [groupSegments]int64{int64(entries)})
			if err != nil {
				require.ErrorIs(t, err, ErrDamaged)
				continue
			}
			var r reader
			wants := []want{{Key{}, 0}, {Key{high, 1}, 1}, {Key{math.MaxUint64, math.MaxUint64}, 2}}
			places := make([]Place, len(wants))
			if err := r.lookup(c.segment(0), wants, places); err != nil {
				require.ErrorIs(t, err, ErrDamaged)
			}
			n := 0
			err = r.each(c.segment(0), func(Entry) error { n++; return nil })
			if err != nil {
				require.ErrorIs(t, err, ErrDamaged)
				continue
			}
			require.EqualValues(t, entries, n)
		}
	})
}

// withBlockSums gives the blocks and the fence of a cold file the checksums that they should have.
func withBlockSums(b []byte, entries int64) []byte {
	blocks := blocksOf(entries)
	size := int(blocks*(blockBytes+8) + 8)
	b = append(b, make([]byte, max(0, size-len(b)))...)[:size]
	for i := range blocks {
		block := b[i*blockBytes : (i+1)*blockBytes]
		binary.LittleEndian.PutUint64(block[blockBytes-16:], uint64(i))
		binary.LittleEndian.PutUint64(block[blockBytes-8:], seededSum(5, block[:blockBytes-8]))
	}
	fence := b[blocks*blockBytes : size-8]
	binary.LittleEndian.PutUint64(b[size-8:], seededSum(5, fence))
	return b
}
