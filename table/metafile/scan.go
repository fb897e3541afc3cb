package metafile

import (
	"bytes"
	"strconv"
)

// layout is where things stand in a metadata file.
type layout struct {
	list, refs, current span // of the values of snapshots, refs and current-snapshot-id; empty when missing
	snapshots           []snapshotText
}

// span is a piece of the text.
type span struct{ from, to int }

// snapshotText is where a snapshot stands in the text.
type snapshotText struct {
	span
	id, sequence int64
}

// scan looks over a metadata file. It checks every byte of the snapshots, so that what it accepts the
// library accepts too, and passes over the rest, which the library is given. It returns nil when there is
// no list of snapshots, and for all that would be a case of its own: names that are written in another
// way or twice, fields that are unknown or null.
func scan(text []byte) *layout {
	c := cursor{text: text}
	var out layout
	c.object(func(name []byte) {
		var found *span
		switch string(name) {
		case "snapshots":
			found = &out.list
		case "refs":
			found = &out.refs
		case "current-snapshot-id":
			found = &out.current
		default:
			c.skip()
			return
		}
		if found.to > 0 {
			c.fail()
		}
		found.from = c.at
		if found == &out.list {
			out.snapshots = c.snapshots()
		} else {
			c.skip()
		}
		found.to = c.at
	})
	c.space()
	if c.failed || c.at != len(text) || out.list.to == 0 {
		return nil
	}
	return &out
}

// cursor reads JSON. Once it met what it does not know it has failed, and stays where it is.
type cursor struct {
	text   []byte
	at     int
	failed bool
}

func (c *cursor) fail() { c.failed = true }

// peek is the next byte, 0 at the end.
func (c *cursor) peek() byte {
	if c.failed || c.at >= len(c.text) {
		return 0
	}
	return c.text[c.at]
}

func (c *cursor) space() {
	for {
		switch c.peek() {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

// take consumes b, with the space before and behind it, if it is next.
func (c *cursor) take(b byte) bool {
	c.space()
	if c.peek() != b {
		return false
	}
	c.at++
	c.space()
	return true
}

func (c *cursor) want(b byte) {
	if !c.take(b) {
		c.fail()
	}
}

// object reads an object whose names are plain; each reads the value of one.
func (c *cursor) object(each func(name []byte)) {
	c.want('{')
	if c.take('}') {
		return
	}
	for !c.failed {
		name := c.quoted()
		for _, b := range name {
			// The library takes capitals for small letters in the names of fields.
			if b == '\\' || b >= 0x80 || b >= 'A' && b <= 'Z' {
				c.fail()
			}
		}
		c.want(':')
		each(name)
		if !c.take(',') {
			c.wantEnd('}')
			return
		}
	}
}

// wantEnd is want, but leaves the space behind the byte.
func (c *cursor) wantEnd(b byte) {
	c.space()
	if c.peek() != b {
		c.fail()
		return
	}
	c.at++
}

// snapshots reads the list of snapshots.
func (c *cursor) snapshots() []snapshotText {
	var out []snapshotText
	c.want('[')
	if c.take(']') {
		return nil
	}
	for !c.failed {
		out = append(out, c.snapshot())
		if !c.take(',') {
			c.wantEnd(']')
			break
		}
	}
	return out
}

// The fields of a snapshot that scan knows, as bits.
const (
	fieldID = 1 << iota
	fieldParent
	fieldSequence
	fieldTimestamp
	fieldSchema
	fieldFirstRow
	fieldAddedRows
	fieldManifestList
	fieldSummary

	fieldsRequired = fieldID | fieldTimestamp
)

func (c *cursor) snapshot() snapshotText {
	out := snapshotText{span: span{from: c.at}}
	seen := 0
	c.object(func(name []byte) {
		field := snapshotField(name)
		if field == 0 || seen&field != 0 {
			c.fail()
			return
		}
		seen |= field
		switch field {
		case fieldSummary:
			c.summary()
		case fieldManifestList:
			c.quoted()
		case fieldID:
			out.id = c.integer()
		case fieldSequence:
			out.sequence = c.integer()
		case fieldFirstRow:
			if c.integer() < 0 {
				c.fail()
			}
		default:
			c.integer()
		}
	})
	if seen&fieldsRequired != fieldsRequired {
		c.fail()
	}
	out.to = c.at
	return out
}

func snapshotField(name []byte) int {
	switch string(name) {
	case "snapshot-id":
		return fieldID
	case "parent-snapshot-id":
		return fieldParent
	case "sequence-number":
		return fieldSequence
	case "timestamp-ms":
		return fieldTimestamp
	case "schema-id":
		return fieldSchema
	case "first-row-id":
		return fieldFirstRow
	case "added-rows":
		return fieldAddedRows
	case "manifest-list":
		return fieldManifestList
	case "summary":
		return fieldSummary
	}
	return 0
}

// summary reads texts by name, whose names may be anything plain.
func (c *cursor) summary() {
	c.want('{')
	if c.take('}') {
		return
	}
	for !c.failed {
		name := c.quoted()
		if bytes.IndexByte(name, '\\') >= 0 {
			c.fail() // it may be another way to write operation
		}
		c.want(':')
		if text := c.quoted(); len(text) == 0 && string(name) == "operation" {
			c.fail()
		}
		if !c.take(',') {
			c.wantEnd('}')
			return
		}
	}
}

// integer reads a whole number of 64 bits.
func (c *cursor) integer() int64 {
	from := c.at
	if c.peek() == '-' {
		c.at++
	}
	digits := c.at
	for b := c.peek(); b >= '0' && b <= '9'; b = c.peek() {
		c.at++
	}
	if c.failed || c.at > digits+1 && c.text[digits] == '0' {
		c.fail()
		return 0
	}
	n, err := strconv.ParseInt(string(c.text[from:c.at]), 10, 64)
	if err != nil {
		c.fail()
	}
	return n
}

// quoted reads a text and returns what is between its quotes, as it is written.
func (c *cursor) quoted() []byte {
	if c.peek() != '"' {
		c.fail()
		return nil
	}
	from := c.at + 1
	for at := from; at < len(c.text); at++ {
		switch b := c.text[at]; {
		case b == '"':
			c.at = at + 1
			return c.text[from:at]
		case b == '\\':
			n := escapeLen(c.text[at:])
			if n == 0 {
				c.fail()
				return nil
			}
			at += n - 1
		case b < 0x20:
			c.fail()
			return nil
		}
	}
	c.fail()
	return nil
}

// escapeLen is the length of the escape that text begins with, 0 when it is none.
func escapeLen(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(text) < 6 {
			return 0
		}
		for _, b := range text[2:6] {
			if !(b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// skip passes over a value that somebody else checks.
func (c *cursor) skip() {
	depth := 0
	for c.at < len(c.text) && !c.failed {
		switch c.text[c.at] {
		case '"':
			c.pass()
			if depth == 0 {
				return
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return // behind a number or a word
			}
			if depth--; depth == 0 {
				c.at++
				return
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return
			}
		}
		c.at++
	}
	c.fail()
}

// pass passes over a text that somebody else checks.
func (c *cursor) pass() {
	for c.at++; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return
		}
	}
	c.fail()
}
