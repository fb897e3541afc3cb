package decode

import "unicode/utf8"

// value appends the value at pos, which lies at a depth, to a column. When it is refused or broken
// the column may hold a part of it, which the caller takes back.
func (d *jsonDecoder) value(n *node, c *Column, depth int) status {
	first := d.peek()
	if first == 'n' {
		return d.null(n, c)
	}
	if n.straight == straightFormed {
		return d.formed(n, c, depth)
	}
	switch n.kind {
	case kindString:
		if first == '"' {
			return d.text(n, c)
		}
		if n.options.JSONText {
			return d.jsonText(n, c, depth)
		}
	case kindBool:
		switch first {
		case 't':
			c.AppendBool(true)
			return d.word("true")
		case 'f':
			c.AppendBool(false)
			return d.word("false")
		case '"':
			return d.text(n, c)
		}
	case kindStruct:
		if first == '{' {
			return d.structure(n, c, depth)
		}
	case kindList:
		if first == '[' {
			return d.list(n, c, depth)
		}
	case kindMap:
		if first == '{' {
			return d.mapping(n, c, depth)
		}
	case kindBinary, kindUUID, kindFixed:
		if first == '"' {
			return d.text(n, c)
		}
	case kindUnknown:
		c.AppendNull()
		if !d.skip(depth) {
			return recordBroken
		}
		return valueRead
	default:
		if first == '"' {
			return d.text(n, c)
		}
		if first == '-' || first-'0' <= 9 {
			return d.number(n, c)
		}
	}
	return d.refuse(ClassType, n, d.pos)
}

func (d *jsonDecoder) null(n *node, c *Column) status {
	start := d.pos
	if !d.literal("null") {
		return recordBroken
	}
	if n.required {
		return d.refuse(ClassRequired, n, start)
	}
	c.AppendNull()
	return valueRead
}

func (d *jsonDecoder) word(word string) status {
	if !d.literal(word) {
		return recordBroken
	}
	return valueRead
}

// text appends a string to a column of any kind but the nested ones.
func (d *jsonDecoder) text(n *node, c *Column) status {
	start := d.pos
	t, ok := d.stringToken()
	if !ok {
		return recordBroken
	}
	text := t.text
	if t.escaped {
		var whole bool
		if text, whole = d.unescape(t.text); !whole {
			return d.refuse(ClassUTF8, n, start)
		}
	}
	if n.kind == kindString && t.ascii {
		c.AppendBytes(text)
		return valueRead
	}
	if class := appendText(c, n, text, d.plan.options.quotedNumbers()); class != "" {
		return d.refuse(class, n, start)
	}
	return valueRead
}

// jsonText appends the text of any value to a string column.
func (d *jsonDecoder) jsonText(n *node, c *Column, depth int) status {
	start := d.pos
	if !d.skip(depth) {
		return recordBroken
	}
	text := d.data[start:d.pos]
	if !utf8.Valid(text) {
		return d.refuse(ClassUTF8, n, start)
	}
	c.AppendBytes(text)
	return valueRead
}

// shortDigits is how many digits of a number are read on the way: they fit an int64.
const shortDigits = 18

// number appends a number. Integers and short decimals are made from their digits as they are read;
// what is longer, or has an exponent, is read a second time.
func (d *jsonDecoder) number(n *node, c *Column) status {
	data, start := d.data, d.pos
	pos := start
	if data[pos] == '-' {
		pos++
	}
	first := pos
	var v int64
	for pos < len(data) && data[pos]-'0' <= 9 {
		v = v*10 + int64(data[pos]-'0')
		pos++
	}
	digits, places := pos-first, 0
	if pos < len(data) && data[pos] == '.' {
		pos++
		point := pos
		for pos < len(data) && data[pos]-'0' <= 9 {
			v = v*10 + int64(data[pos]-'0')
			pos++
		}
		if places = pos - point; places == 0 {
			d.pos = pos
			return d.fail(ClassSyntax)
		}
		digits += places
	}
	leadingZero := first < len(data) && data[first] == '0' && digits-places > 1
	if digits == places || leadingZero {
		d.pos = pos
		return d.fail(ClassSyntax)
	}
	if digits > shortDigits || pos < len(data) && data[pos]|0x20 == 'e' {
		return d.longNumber(n, c)
	}
	if first > start {
		v = -v
	}
	d.pos = pos
	return d.shortNumber(n, c, shortNumber{v, places, start})
}

// shortNumber is value · 10^-places, read from start on.
type shortNumber struct {
	value  int64
	places int
	start  int
}

func (d *jsonDecoder) shortNumber(n *node, c *Column, s shortNumber) status {
	var class Class
	switch {
	case s.places > 0 && appendPoint(c, n, s.value, s.places):
		return valueRead
	case n.kind == kindDecimal:
		class = appendDecimal(c, n, newNumber(s.value, s.places))
	case s.places > 0 || s.value == 0: // zero may be negative
		class = appendNumber(c, n, d.data[s.start:d.pos])
	default:
		class = appendInteger(c, n, s.value)
	}
	if class != "" {
		return d.refuse(class, n, s.start)
	}
	return valueRead
}

func (d *jsonDecoder) longNumber(n *node, c *Column) status {
	start := d.pos
	end := numberEnd(d.data, start)
	if end < 0 {
		return d.fail(ClassSyntax)
	}
	d.pos = end
	if class := appendNumber(c, n, d.data[start:end]); class != "" {
		return d.refuse(class, n, start)
	}
	return valueRead
}

// structure appends an object to a struct column.
func (d *jsonDecoder) structure(n *node, c *Column, depth int) status {
	if depth > d.plan.options.DepthMax {
		return d.fail(ClassTooDeep)
	}
	row := c.rows
	it := objectReader{d: d}
	it.enter(n.object, row, depth)
	for it.next(&n.fields) {
		if it.field == skipColumn {
			if !d.skipUnknown(unknownField{parent: n, key: it.key}, depth) {
				return recordBroken
			}
			continue
		}
		if st := d.member(&it, n, c, depth+1); st != valueRead {
			return st
		}
	}
	if it.broken {
		return recordBroken
	}
	for i, child := range c.children {
		if child.rows > row {
			continue
		}
		if n.children[i].required {
			return d.refuse(ClassRequired, n.children[i], d.pos)
		}
		child.AppendNull()
	}
	c.AppendStruct()
	return valueRead
}

// member appends the value at pos to the field of a struct that the reader is at.
func (d *jsonDecoder) member(it *objectReader, n *node, c *Column, depth int) status {
	child, start := c.children[it.field], d.pos
	last := d.plan.options.DuplicateKeys == DuplicateLast
	if child.rows > c.rows {
		if !last {
			return d.refuse(ClassDuplicateKey, n, start)
		}
		child.Truncate(c.rows)
	}
	st := d.value(n.children[it.field], child, depth)
	if st != valueRefused || !last {
		return st
	}
	d.pos = start
	if !d.skip(depth) {
		return recordBroken
	}
	end := d.pos
	if !d.comesAgain(*it, n, depth) {
		return valueRefused
	}
	d.pos = end
	child.Truncate(c.rows)
	return valueRead
}

// comesAgain looks ahead in the object that the reader is in: the last of two equal keys counts, so
// that a bad value before it does no harm.
func (d *jsonDecoder) comesAgain(it objectReader, n *node, depth int) bool {
	field := it.field
	it.order, it.at, it.guesses = nil, nil, false
	for it.next(&n.fields) {
		if it.field == field {
			return true
		}
		if !d.skip(depth) {
			return false
		}
	}
	return false
}

// list appends an array to a list column.
func (d *jsonDecoder) list(n *node, c *Column, depth int) status {
	if depth > d.plan.options.DepthMax {
		return d.fail(ClassTooDeep)
	}
	r := objectReader{d: d}
	for !r.open('[', ']') {
		if end := readStraight(c.children[0], n.children[0], d.data, d.pos); end >= 0 {
			d.pos = end
			continue
		}
		if st := d.value(n.children[0], c.children[0], depth+1); st != valueRead {
			return st
		}
	}
	if r.broken {
		return recordBroken
	}
	c.AppendList()
	return valueRead
}
