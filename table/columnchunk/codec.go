package columnchunk

import (
	"encoding/binary"
	"slices"

	"github.com/firthlake/firth/table/zstdframe"
)

// codec makes the zstd frames of a column. Which way pays is tried on a piece of a page now and then:
// the search for matches is ten times as dear as coding bytes alone, and both are wasted on bytes
// without pattern. A piece does not show values that come again further on, so those are counted.
type codec struct {
	any   trial // pages as they come
	equal trial // pages of strings of one length
}

// Trials are what files have found out about their columns, handed from one file to the next of the
// same columns: a file of a page or two a column costs as much to try out as to write. The zero value
// knows nothing. It belongs to one file at a time.
type Trials struct{ columns []columnTrials }

// columnTrials are those of one column: of its pages and of its dictionary.
type columnTrials struct {
	codec
	dictionary codec
	apart      apart
}

// column is what is known of column i of n.
func (t *Trials) column(i, n int) *columnTrials {
	if len(t.columns) != n {
		t.columns = make([]columnTrials, n)
	}
	return &t.columns[i]
}

// trial is a choice that holds for some pages.
type trial struct {
	choice choice
	left   int
}

type choice uint8

const (
	choiceMatches  choice = iota // matches and entropy: klauspost's fastest level
	choiceLiterals               // entropy alone
	choiceStored
)

const (
	// trialPages is how long a choice holds, in this file and the next; data seldom change faster.
	trialPages = 64
	// trialBytes of a page tell how the whole will do; a file of one page is tried as well.
	trialBytes = 16 << 10
	// lossPercent is how much larger a frame may be for being made ten times as fast.
	lossPercent = 6
	// gainPercent is the least gain that makes it worth while for readers to decompress.
	gainPercent = 3
)

// compress returns a frame of body, valid until the next. The values are what body is made from, nil
// when it is not made from values as they are.
func (c *codec) compress(work *scratch, body []byte, values valueList) []byte {
	if c.any.left == 0 {
		c.any = trial{choice: choiceMatches, left: trialPages}
		if !values.repeat(work) {
			c.any.choice = tryAny(work, body[max(0, len(body)-trialBytes):])
		}
	}
	c.any.left--
	switch c.any.choice {
	case choiceLiterals:
		return work.literals(body)
	case choiceMatches:
		work.frame = work.matches.EncodeAll(body, work.frame[:0])
		return work.frame
	}
	work.frame = zstdframe.Raw(work.room(len(body)), body)
	return work.frame
}

// compressValue returns a frame of head and one huge value behind it, valid until the next. Only for the
// search for matches they are copied into one piece.
func (c *codec) compressValue(work *scratch, head, value []byte) []byte {
	if c.any.left == 0 {
		c.any = trial{choice: tryAny(work, value[len(value)-trialBytes:]), left: trialPages}
	}
	c.any.left--
	if c.any.choice == choiceMatches {
		work.body = append(head, value...)
		work.frame = work.matches.EncodeAll(work.body, work.frame[:0])
		return work.frame
	}
	ok := false
	frame := work.room(len(head) + len(value))
	if c.any.choice == choiceLiterals {
		frame, ok = work.frames.LiteralsBehind(frame, head, value)
	}
	if !ok {
		frame = zstdframe.RawBehind(frame, head, value)
	}
	work.frame = frame
	return frame
}

// room is where the frame of a page of n bytes goes. That of a huge value gets its memory at once: in
// growing it would leave several times as much behind.
func (work *scratch) room(n int) []byte {
	if n > storageBytesMax {
		work.frame = slices.Grow(work.frame[:0], zstdframe.Bound(n))
	}
	return work.frame[:0]
}

// shrink gives up the memory of a huge value.
func (work *scratch) shrink() {
	if cap(work.body) > storageBytesMax {
		work.body = nil
	}
	if cap(work.frame) > storageBytesMax {
		work.frame = nil
	}
}

// literals returns the frame of body without matches, valid until the next.
func (work *scratch) literals(body []byte) []byte {
	frame, ok := work.frames.Literals(work.room(len(body)), body)
	if !ok {
		frame = zstdframe.Raw(frame, body)
	}
	work.frame = frame
	return frame
}

func tryAny(work *scratch, body []byte) choice {
	work.frame = work.matches.EncodeAll(body, work.frame[:0])
	matches := len(work.frame)
	frame, ok := work.frames.Literals(work.frame[:0], body)
	work.frame = frame
	switch {
	case ok && worth(len(frame), len(body)) && len(frame)*100 <= matches*(100+lossPercent):
		return choiceLiterals
	case worth(matches, len(body)):
		return choiceMatches
	}
	return choiceStored
}

func worth(frame, body int) bool { return frame*100 <= body*(100-gainPercent) }

// fixedStrings returns the frame of a page of strings that have width bytes each, or false when the
// page is better made as PLAIN and given to compress.
func (c *codec) fixedStrings(work *scratch, head []byte, width int, values []byte) ([]byte, bool) {
	if width == 0 || width > trialBytes { // such strings are not made into lists
		return nil, false
	}
	if c.equal.left == 0 {
		c.equal = trial{choice: choiceMatches, left: trialPages}
		if list := (valueList{bytes: values, width: width}); !list.repeat(work) {
			c.equal.choice = tryEqual(work, width, values)
		}
	}
	c.equal.left--
	if c.equal.choice != choiceLiterals {
		return nil, false
	}
	frame, ok := work.frames.FixedStrings(work.frame[:0], head, width, values)
	work.frame = frame
	return frame, ok
}

func tryEqual(work *scratch, width int, values []byte) choice {
	values = values[max(0, len(values)-max(trialBytes/(width+4), 1)*width):]
	frame, ok := work.frames.FixedStrings(work.frame[:0], nil, width, values)
	work.frame = frame
	if !ok {
		return choiceMatches
	}
	equal := len(frame)
	work.sample = work.sample[:0]
	for at := 0; at < len(values); at += width {
		work.sample = binary.LittleEndian.AppendUint32(work.sample, uint32(width))
		work.sample = append(work.sample, values[at:at+width]...)
	}
	work.frame = work.matches.EncodeAll(work.sample, work.frame[:0])
	if equal*100 <= len(work.frame)*(100+lossPercent) {
		return choiceLiterals
	}
	return choiceMatches
}
