package decode

import "fmt"

// connectForm is what the text of a JSON value means where its column does not tell.
type connectForm uint8

const (
	formPlain     connectForm = iota
	formUnscaled              // base64 of a decimal's unscaled value, at writtenAs.scale
	formVariable              // an object of scale and unscaled value
	formZonedTime             // a time of day with a zone, for a column without one
	formRefused               // no value of the writer's type can go into the column
)

// writtenAs is what the writer's schema, or Envelope.Unscaled, says of a column's values.
type writtenAs struct {
	form  connectForm
	scale int32  // formUnscaled
	name  string // the writer's word for its type, for messages
}

// formed appends a value of a form to its column.
func (d *jsonDecoder) formed(n *node, c *Column, depth int) status {
	start := d.pos
	switch {
	case n.written.form == formVariable && d.peek() == '{':
		return d.variableDecimal(n, c, depth)
	case n.written.form == formRefused || n.written.form == formVariable || d.peek() != '"':
		return d.refuse(ClassType, n, start)
	}
	t, ok := d.stringToken()
	if !ok {
		return recordBroken
	}
	text := t.text
	if t.escaped {
		text, _ = d.unescape(t.text)
	}
	var class Class
	if n.written.form == formUnscaled {
		class = appendUnscaled(c, n, text, n.written.scale)
	} else {
		class = appendZonedTime(c, text)
	}
	if class != "" {
		return d.refuse(class, n, start)
	}
	return valueRead
}

// unscaledBytesMax is far beyond what 38 digits need, and bounds what is decoded on the stack.
const unscaledBytesMax = 48

// appendUnscaled appends a decimal that is base64 of its unscaled value at a scale.
func appendUnscaled(c *Column, n *node, text []byte, scale int32) Class {
	encoding := base64Encoding(text)
	if encoding.DecodedLen(len(text)) > unscaledBytesMax {
		return ClassRange
	}
	var buffer [unscaledBytesMax]byte
	length, err := encoding.Decode(buffer[:], text)
	if err != nil || length == 0 {
		return ClassType
	}
	v, ok := decimalOf(buffer[:length])
	if ok {
		v, ok = rescale(v, scale, n.scale)
	}
	if !ok || !digitsFit(v, n.precision) {
		return ClassRange
	}
	c.AppendDecimal(v)
	return ""
}

// variableDecimal appends a decimal that is an object: {"scale": 2, "value": "base64"}.
func (d *jsonDecoder) variableDecimal(n *node, c *Column, depth int) status {
	if depth > d.plan.options.DepthMax {
		return d.fail(ClassTooDeep)
	}
	start := d.pos
	scale, value := absent, absent
	r := objectReader{d: d}
	for !r.open('{', '}') {
		if d.peek() != '"' {
			r.fail()
			return recordBroken
		}
		key, ok := d.keyText()
		if !ok {
			return recordBroken
		}
		isScale, isValue := string(key) == "scale", string(key) == "value"
		if !r.colon() {
			return recordBroken
		}
		if at := d.pos; isScale {
			scale = at
		} else if isValue {
			value = at
		}
		if !d.skip(depth + 1) {
			return recordBroken
		}
	}
	if r.broken {
		return recordBroken
	}
	end := d.pos
	if scale == absent || value == absent || d.data[value] != '"' {
		return d.refuse(ClassType, n, start)
	}
	digits := readNumber(d.data, scale)
	d.pos = value
	t, _ := d.stringToken()
	d.pos = end
	switch {
	case digits.end < 0 || digits.places > 0 || t.escaped:
		return d.refuse(ClassType, n, start)
	case digits.mantissa < -decimalDigits || digits.mantissa > decimalDigits:
		return d.refuse(ClassRange, n, start)
	}
	if class := appendUnscaled(c, n, t.text, int32(digits.mantissa)); class != "" {
		return d.refuse(class, n, start)
	}
	return valueRead
}

// appendZonedTime appends a time of day with a zone to a time column, in UTC.
func appendZonedTime(c *Column, text []byte) Class {
	k := clock{text: text}
	seconds, nanos := k.time()
	seconds -= k.zone()
	if class := k.class(); class != "" {
		return class
	}
	const day = 24 * 60 * 60
	c.AppendInt64((seconds%day+day)%day*1e6 + nanos/1e3)
	return ""
}

// refusedForm says why no value can go into a column.
func (n *node) refusedForm() string {
	return fmt.Sprintf("%s: %s cannot go into a column of %s", n.path, n.written.name, n.typeName)
}

// unscale makes the decimals in a column be read from their unscaled values, at the column's scale.
func (n *node) unscale() {
	if n.kind == kindDecimal {
		n.written.form, n.written.scale = formUnscaled, n.scale
	}
	for _, child := range n.children {
		child.unscale()
	}
}
