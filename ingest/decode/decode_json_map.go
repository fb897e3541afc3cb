package decode

// mapping appends an object to a map column.
func (d *jsonDecoder) mapping(n *node, c *Column, depth int) status {
	if depth > d.plan.options.DepthMax {
		return d.fail(ClassTooDeep)
	}
	start := d.pos
	var superseded []bool
	if d.plan.options.DuplicateKeys == DuplicateLast {
		var ok bool
		if superseded, ok = d.supersededKeys(depth); !ok {
			return recordBroken
		}
		d.pos = start
	}
	keys, values := c.children[0], c.children[1]
	before := c.offset()
	r := objectReader{d: d}
	for entry := 0; !r.open('{', '}'); entry++ {
		if superseded != nil && superseded[entry] {
			if !d.skip(depth+1) || !r.colon() || !d.skip(depth+1) {
				return recordBroken
			}
			continue
		}
		if st := d.mapKey(n, keys, &r); st != valueRead {
			return st
		}
		if end := readStraight(values, n.children[1], d.data, d.pos); end >= 0 {
			d.pos = end
			continue
		}
		if st := d.value(n.children[1], values, depth+1); st != valueRead {
			return st
		}
	}
	if r.broken {
		return recordBroken
	}
	if d.keys.repeats(keys, before) {
		return d.refuse(ClassDuplicateKey, n, start)
	}
	c.AppendList()
	return valueRead
}

// mapKey appends the key at pos and moves to its value. Keys are always strings in JSON, so that
// numbers are taken from them whatever the options say.
func (d *jsonDecoder) mapKey(n *node, keys *Column, r *objectReader) status {
	start := d.pos
	if d.peek() != '"' {
		return d.fail(ClassSyntax)
	}
	if n.children[0].straight == straightString {
		if end := readString(keys, d.data, start+1); end >= 0 {
			if d.pos = end; !r.colon() {
				return recordBroken
			}
			return valueRead
		}
	}
	t, ok := d.stringToken()
	if !ok {
		return recordBroken
	}
	text, whole := t.text, true
	if t.escaped {
		text, whole = d.unescape(text)
	}
	if !whole {
		return d.refuse(ClassUTF8, n.children[0], start)
	}
	if class := appendText(keys, n.children[0], text, numbersTaken); class != "" {
		return d.refuse(class, n.children[0], start)
	}
	if !r.colon() {
		return recordBroken
	}
	return valueRead
}

// supersededKeys reads the object at pos and tells which of its entries have their key again later.
// It serves DuplicateLast alone, which pays for a table of keys.
func (d *jsonDecoder) supersededKeys(depth int) ([]bool, bool) {
	var superseded []bool
	last := map[string]int{}
	r := objectReader{d: d}
	for entry := 0; !r.open('{', '}'); entry++ {
		if d.peek() != '"' {
			return nil, r.fail()
		}
		key, ok := d.keyText()
		if !ok {
			return nil, r.fail()
		}
		if earlier, again := last[string(key)]; again {
			superseded[earlier] = true
		}
		last[string(key)] = entry
		superseded = append(superseded, false)
		if !r.colon() || !d.skip(depth+1) {
			return nil, false
		}
	}
	return superseded, !r.broken
}
