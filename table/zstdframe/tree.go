package zstdframe

// Sizes of a tree description, section 4.2.1.1.
const (
	treeBytesMax      = 128
	directWeightsMax  = 128
	weightValues      = codeBitsMax + 1
	weightStatesLog   = 6
	weightStates      = 1 << weightStatesLog
	weightProbability = 4 // bits for the accuracy
)

// treeDescription is the weights of a code as the reader wants them: one size byte, then either
// half a byte each or FSE codes (section 4.1) with a table of their own.
type treeDescription struct {
	bytes   [treeBytesMax + 64]byte
	n       int
	weights [256]uint8
	normal  [weightValues]int
	// places are the states of each weight in ascending order.
	places [weightValues][weightStates]uint8
}

// tree is the description that describe made.
func (c *code) tree() []byte { return c.desc.bytes[:c.desc.n] }

// describe writes the shorter description of the code; the greatest byte is left out, as readers
// work it out. It returns false when neither fits.
func (c *code) describe() bool {
	d := &c.desc
	weights := d.weights[:c.symbolMax]
	for symbol := range weights {
		weights[symbol] = c.weight(symbol)
	}
	direct := 1 + (len(weights)+1)/2
	if len(weights) > directWeightsMax {
		direct = treeBytesMax + 1
	}
	d.n = 0
	if len(weights) > 2 {
		d.code(weights)
	}
	if d.n > 0 && d.n < direct && d.n <= treeBytesMax {
		return true
	}
	if direct > treeBytesMax {
		return false
	}
	d.n = direct
	clear(d.bytes[:direct])
	d.bytes[0] = byte(127 + len(weights))
	for i, weight := range weights {
		d.bytes[1+i/2] |= weight << (4 - 4*(i%2))
	}
	return true
}

// code writes the weights, three or more, as FSE codes: two states of one table take turns and
// start at the last two weights, whose symbols are in the states alone. A reader stops where a
// state wants more bits than are left; every start state wants one at least.
func (d *treeDescription) code(weights []uint8) {
	d.normalize(weights)
	w := bitWriter{out: d.bytes[:1]}
	d.writeProbabilities(&w)
	w.align()
	d.spread()

	last := len(weights) - 1
	var states [2]uint
	states[last%2] = weightStates + uint(d.places[weights[last]][0])
	states[(last-1)%2] = weightStates + uint(d.places[weights[last-1]][0])
	for i := last - 2; i >= 0; i-- {
		state := &states[i%2]
		probability := uint(d.normal[weights[i]])
		size := 0
		for *state>>size >= 2*probability {
			size++
		}
		w.write(*state&(1<<size-1), size)
		*state = weightStates + uint(d.places[weights[i]][*state>>size-probability])
	}
	w.write(states[1]-weightStates, weightStatesLog)
	w.write(states[0]-weightStates, weightStatesLog)
	w.write(1, 1)
	w.align()
	d.n = len(w.out)
	d.bytes[0] = byte(d.n - 1)
}

// normalize shares the states out among the weights by how often they occur, one at least to
// each. A table of one weight alone would take no bits and so never end; an idle one joins it.
func (d *treeDescription) normalize(weights []uint8) {
	var counts [weightValues]int
	for _, weight := range weights {
		counts[weight]++
	}
	left, most := weightStates, 0
	for weight, n := range counts {
		d.normal[weight] = 0
		if n > 0 {
			d.normal[weight] = max(1, (n*weightStates+len(weights)/2)/len(weights))
		}
		left -= d.normal[weight]
		if d.normal[weight] > d.normal[most] {
			most = weight
		}
	}
	d.normal[most] += left
	if d.normal[most] == weightStates {
		d.normal[most]--
		d.normal[(most+1)%weightValues]++
	}
}

// writeProbabilities writes the table (section 4.1.1). A number takes as many bits as what is
// left to share asks for, or one less where that tells it apart; after a zero, two bits say how
// many more follow.
func (d *treeDescription) writeProbabilities(w *bitWriter) {
	w.write(weightStatesLog-5, weightProbability)
	left := weightStates
	for weight := 0; left > 0; {
		size := 1
		for 1<<size <= left+1 {
			size++
		}
		value := d.normal[weight] + 1
		short := 1<<size - 1 - (left + 1) // values below it are told by one bit less
		switch {
		case value < short:
			w.write(uint(value), size-1)
		case value < 1<<(size-1):
			w.write(uint(value), size)
		default:
			w.write(uint(value+short), size)
		}
		left -= d.normal[weight]
		weight++
		if value == 1 {
			weight = d.writeZeros(w, weight)
		}
	}
}

// writeZeros writes how many weights from this one on have no state and returns the next that
// has one.
func (d *treeDescription) writeZeros(w *bitWriter, weight int) int {
	zeros := 0
	for d.normal[weight+zeros] == 0 {
		zeros++
	}
	for left := zeros; ; left -= 3 {
		w.write(uint(min(left, 3)), 2)
		if left < 3 {
			return weight + zeros
		}
	}
}

// spread deals the states out (section 4.1.1).
func (d *treeDescription) spread() {
	const step = weightStates>>1 + weightStates>>3 + 3
	var owner [weightStates]uint8
	at := 0
	for weight, n := range d.normal {
		for range n {
			owner[at] = uint8(weight)
			at = (at + step) % weightStates
		}
	}
	var dealt [weightValues]int
	for state, weight := range owner {
		d.places[weight][dealt[weight]] = uint8(state)
		dealt[weight]++
	}
}

// bitWriter appends bits, the lowest first.
type bitWriter struct {
	out  []byte
	bits uint
	n    int
}

func (w *bitWriter) write(value uint, size int) {
	w.bits |= value << w.n
	for w.n += size; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
	}
}

// align fills the last byte with zeros.
func (w *bitWriter) align() {
	if w.n > 0 {
		w.out = append(w.out, byte(w.bits))
	}
	w.bits, w.n = 0, 0
}
