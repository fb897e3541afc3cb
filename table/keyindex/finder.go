package keyindex

import (
	"errors"
	"fmt"
	"sync"
)

// shared are the locks on what a Finder reads. The index's own goroutine, which alone changes it, takes them
// to change it and reads without. None is held over I/O, nor two of them but by lock.
type shared struct {
	// groups guard the tables in memory and the cold file of a group each.
	groups [groups]sync.RWMutex
	// files guards the numbers of data files.
	files sync.RWMutex
}

func (s *shared) lock() {
	for i := range s.groups {
		s.groups[i].Lock()
	}
	s.files.Lock()
}

func (s *shared) unlock() {
	s.files.Unlock()
	for i := range s.groups {
		s.groups[i].Unlock()
	}
}

// Finder finds single keys, from any goroutine, while the index is applied to, settled and rebuilt by its own.
// While a change is applied each key is at its old or at its new place, and during a rebuild nowhere or at any:
// whoever rebuilds has to keep Finders out.
type Finder struct {
	x          *Index
	shared     *shared
	seed       Seed
	identifier string
}

// Finder returns the index's.
func (x *Index) Finder() *Finder {
	return &Finder{x: x, shared: x.shared, seed: x.seed, identifier: x.opts.Identifier}
}

// Seed is that of the index's keys, and Identifier says what they are made of.
func (f *Finder) Seed() Seed { return f.seed }

// Identifier is the fingerprint of what keys are made of.
func (f *Finder) Identifier() string { return f.identifier }

// findTries is how often a key is looked for anew when its cold file or its data file is replaced meanwhile.
// Each takes a checkpoint, so a second one in a row is rare.
const findTries = 8

// Found is where the row of a key is.
type Found struct {
	// Path is the data file, "" when there is no row.
	Path string
	// Row is its position there, from 0.
	Row uint32
}

// Find looks for a key.
func (f *Finder) Find(key Key) (Found, error) {
	var err error
	var dead Place // in a file that the table no longer has
	for range findTries {
		var place Place
		if place, err = f.place(key); err != nil {
			if errors.Is(err, ErrDamaged) {
				return Found{}, err
			}
			continue // the file was closed
		}
		if place.File == 0 || place.File == gone || place == dead {
			return Found{}, nil
		}
		f.shared.files.RLock()
		path, known := f.x.files.paths[place.File]
		f.shared.files.RUnlock()
		if known {
			return Found{path, place.Row}, nil
		}
		dead = place // or the key has just moved
	}
	return Found{}, fmt.Errorf("look up a key: %w", err)
}

// place finds a key in memory or in the cold file.
func (f *Finder) place(key Key) (Place, error) {
	i := segmentOf(key) / groupSegments
	place, cold := f.hot(i, key)
	if cold.entries == 0 {
		return place, nil
	}
	var r reader
	places := [1]Place{}
	err := r.lookup(cold, []want{{key, 0}}, places[:])
	return places[0], err
}

// hot finds a key in memory, or says where else it may be.
func (f *Finder) hot(group int, key Key) (Place, cold) {
	f.shared.groups[group].RLock()
	defer f.shared.groups[group].RUnlock()
	g, segment := &f.x.groups[group], segmentOf(key)%groupSegments
	h := &g.hots[segment]
	if at, found := h.find(key); found {
		return h.slots[at].Place, cold{}
	}
	if !g.partial {
		return Place{}, cold{}
	}
	return Place{}, g.cold.segment(segment)
}
