package keyindex

import (
	"cmp"
	"math"
)

// Key is the 128-bit hash of an identifier. It must be uniform: segments and places in them are chosen
// by its leading bits.
type Key struct{ High, Low uint64 }

// Compare orders keys as unsigned numbers of 128 bits.
func (k Key) Compare(o Key) int {
	if k.High != o.High {
		return cmp.Compare(k.High, o.High)
	}
	return cmp.Compare(k.Low, o.Low)
}

func (k Key) less(o Key) bool {
	return k.High < o.High || k.High == o.High && k.Low < o.Low
}

// Place is a row of a data file. The zero Place is nowhere.
type Place struct {
	// File is the number that Index.File gave the data file.
	File uint32
	// Row is the row's position in the file, from 0.
	Row uint32
}

// Entry is a key and where its row is; a zero Place removes the key.
type Entry struct {
	Key   Key
	Place Place
}

// gone is the file of a key that was removed above a cold one.
const gone = math.MaxUint32

// entryBytes is the size of an Entry in memory and on disk.
const entryBytes = 24

const (
	segmentBits = 10
	groupBits   = 6
	segments    = 1 << segmentBits
)

// segmentOf is the segment that a key belongs to.
func segmentOf(k Key) int { return int(k.High >> (64 - segmentBits)) }

// spread is the place of a key among n of its segment, as far as uniform keys tell.
func spread(k Key, n int) int {
	return int((k.High << segmentBits >> 32) * uint64(n) >> 32)
}
