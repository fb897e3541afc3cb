package keyindex

// hot is a table of entries in memory, ordered by key: a slot is either empty or holds an entry that is
// not before its home, and entries are in order (ordered linear probing, Amble and Knuth 1974). It is
// searched by going on from the key's home, filled by shifting, and read out in order.
type hot struct {
	slots []Entry // behind the homes there is room for what is shifted, and one that stays empty
	homes int
	used  int // slots that hold an entry
}

const (
	// Slots grow by a quarter when four fifths are taken, so that an entry takes 30 to 38 bytes.
	homesMin = 16
	roomMin  = 16
)

// find returns the slot of key, or the one it would be put in.
func (h *hot) find(key Key) (int, bool) {
	if h.homes == 0 {
		return 0, false
	}
	at := spread(key, h.homes)
	for {
		slot := &h.slots[at]
		if slot.Place.File == 0 || !slot.Key.less(key) {
			return at, slot.Place.File != 0 && slot.Key == key
		}
		at++
	}
}

// put sets the place of a key.
func (h *hot) put(e Entry) {
	for {
		at, found := h.find(e.Key)
		switch {
		case found:
			h.slots[at].Place = e.Place
			return
		case (h.used+1)*5 > h.homes*4:
			h.rebuild(max(homesMin, h.homes*5/4), h.room(), h.slots)
		case h.insert(at, e):
			return
		default:
			h.rebuild(h.homes, 2*h.room(), h.slots)
		}
	}
}

// room is how many slots there are behind the homes.
func (h *hot) room() int { return max(roomMin, len(h.slots)-h.homes) }

// insert shifts what is in the way; false when there is no room behind the last home.
func (h *hot) insert(at int, e Entry) bool {
	end := at
	for h.slots[end].Place.File != 0 {
		end++
	}
	if end+1 >= len(h.slots) {
		return false
	}
	copy(h.slots[at+1:end+1], h.slots[at:end])
	h.slots[at] = e
	h.used++
	return true
}

// remove takes a key out.
func (h *hot) remove(key Key) {
	at, found := h.find(key)
	if !found {
		return
	}
	for at+1 < len(h.slots) {
		next := h.slots[at+1]
		if next.Place.File == 0 || spread(next.Key, h.homes) > at {
			break
		}
		h.slots[at] = next
		at++
	}
	h.slots[at] = Entry{}
	h.used--
}

// fill replaces what is held by entries in order.
func (h *hot) fill(entries []Entry) {
	h.rebuild(max(homesMin, len(entries)*25/18), roomMin, entries)
}

// rebuild makes a table of so many homes, with room behind them, of the entries among slots, which are
// in order.
func (h *hot) rebuild(homes, room int, slots []Entry) {
	for {
		h.slots, h.homes, h.used = make([]Entry, homes+room), homes, 0
		if h.refill(slots) {
			return
		}
		room *= 2
	}
}

// refill puts entries in order into an empty table; false when they do not fit.
func (h *hot) refill(slots []Entry) bool {
	next := 0
	for _, e := range slots {
		if e.Place.File == 0 {
			continue
		}
		at := max(spread(e.Key, h.homes), next)
		if at+1 >= len(h.slots) {
			return false
		}
		h.slots[at] = e
		h.used++
		next = at + 1
	}
	return true
}

// bytes is the memory that the table takes.
func (h *hot) bytes() int64 { return int64(cap(h.slots)) * entryBytes }
