package changelog

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
	at  place
}

// place is where a row is: a portion, and a position in its file.
type place struct{ portion, row uint32 }

// entryBytes is the memory of an entry, and of the image that becomes of it.
const entryBytes = 32 + 16

// image is a row that is to be written.
type image struct {
	at      place
	kind    kind
	ordinal int64 // from 0 in what is paired together
}

// kind is a type of change.
type kind uint8

const (
	inserted kind = iota
	updatedBefore
	updatedAfter
	deleted
)

// text is what the kind is called in the changelog.
func (k kind) text() string {
	return [...]string{changes.Insert, changes.UpdateBefore, changes.UpdateAfter, changes.Delete}[k]
}

// pair tells what becomes of rows that went and rows that came, all those of their keys: equal ones cancel out,
// one that went and one that came are an update, and what is left are deletes or inserts. Images are ordered by
// key, and each before image lies right ahead of its after image. It sorts went and came.
func pair(went, came []entry) []image {
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
	images    []image
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
		p.add(e, deleted)
	}
	for i := range both {
		p.add(p.old[more+i], updatedBefore)
		p.add(p.left[i], updatedAfter)
	}
	for _, e := range p.left[both:] {
		p.add(e, inserted)
	}
}

func (p *pairing) add(e entry, k kind) {
	p.images = append(p.images, image{at: e.at, kind: k, ordinal: int64(len(p.images))})
}

func (a place) compare(b place) int {
	return cmp.Or(cmp.Compare(a.portion, b.portion), cmp.Compare(a.row, b.row))
}
