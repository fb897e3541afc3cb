package images

import (
	"cmp"
	"slices"

	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/keyindex"
)

// entry is a row that went or came.
type entry struct {
	key keyindex.Key
	sum uint64 // its row checksum
	at  Place
}

// Place is where a row is: a portion, and a position in its file.
type Place struct{ Portion, Row uint32 }

// EntryBytes is the memory of a row that is paired, and of the image that becomes of it.
const EntryBytes = 32 + 40

// Image is what became of a row.
type Image struct {
	// Key is that of the row; of a row without one it is made of its content.
	Key keyindex.Key
	// At is where the row is.
	At   Place
	Kind Kind
	// Ordinal counts from 0 in what is paired together.
	Ordinal int64
}

// Kind is a type of change.
type Kind uint8

// The kinds. A before image is followed by its after image.
const (
	Inserted Kind = iota
	UpdatedBefore
	UpdatedAfter
	Deleted
)

// String is what the kind is called in a table of changes.
func (k Kind) String() string {
	return [...]string{changes.Insert, changes.UpdateBefore, changes.UpdateAfter, changes.Delete}[k]
}

// pair tells what becomes of rows that went and rows that came, all those of their keys: equal ones cancel out,
// one that went and one that came are an update, and what is left are deletes or inserts. Images are ordered by
// key, and each before image lies right ahead of its after image. It sorts went and came.
func pair(went, came []entry) []Image {
	order := func(a, b entry) int {
		return cmp.Or(a.key.Compare(b.key), cmp.Compare(a.sum, b.sum), a.at.compare(b.at))
	}
	slices.SortFunc(went, order)
	slices.SortFunc(came, order)
	p := pairing{}
	for len(went)+len(came) > 0 {
		key := least(went, came)
		var old, now []entry
		old, went = ofKey(went, key)
		now, came = ofKey(came, key)
		p.key(old, now)
	}
	return p.images
}

// least is the first key of both lists, one of which is not empty.
func least(went, came []entry) keyindex.Key {
	switch {
	case len(came) == 0:
		return went[0].key
	case len(went) == 0 || came[0].key.Compare(went[0].key) < 0:
		return came[0].key
	}
	return went[0].key
}

// ofKey cuts the entries of key off the head of a list.
func ofKey(list []entry, key keyindex.Key) (of, rest []entry) {
	n := 0
	for n < len(list) && list[n].key == key {
		n++
	}
	return list[:n], list[n:]
}

// pairing gathers images.
type pairing struct {
	images    []Image
	old, left []entry // scratch
}

// key pairs the rows of one key, which are in order of their checksums.
func (p *pairing) key(old, now []entry) {
	p.old, p.left = p.old[:0], p.left[:0]
	for len(old) > 0 && len(now) > 0 {
		switch c := cmp.Compare(old[0].sum, now[0].sum); {
		case c == 0:
			old, now = old[1:], now[1:]
		case c < 0:
			p.old, old = append(p.old, old[0]), old[1:]
		default:
			p.left, now = append(p.left, now[0]), now[1:]
		}
	}
	p.old, p.left = append(p.old, old...), append(p.left, now...)
	byPlace := func(a, b entry) int { return a.at.compare(b.at) }
	slices.SortFunc(p.old, byPlace)
	slices.SortFunc(p.left, byPlace)
	both := min(len(p.old), len(p.left))
	more := len(p.old) - both
	for _, e := range p.old[:more] { // first, so that what is told last of a key is what the table has
		p.add(e, Deleted)
	}
	for i := range both {
		p.add(p.old[more+i], UpdatedBefore)
		p.add(p.left[i], UpdatedAfter)
	}
	for _, e := range p.left[both:] {
		p.add(e, Inserted)
	}
}

func (p *pairing) add(e entry, k Kind) {
	p.images = append(p.images, Image{Key: e.key, At: e.at, Kind: k, Ordinal: int64(len(p.images))})
}

func (a Place) compare(b Place) int {
	return cmp.Or(cmp.Compare(a.Portion, b.Portion), cmp.Compare(a.Row, b.Row))
}
