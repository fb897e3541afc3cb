package decode

import "unicode/utf8"

// keySet finds repeated keys of a map. Few keys are compared with each other; it holds those of a
// larger one only while it looks.
type keySet struct {
	texts   map[string]struct{}
	numbers map[int64]struct{}
}

// keysCompared is the number of keys up to which comparing all pairs is faster than hashing.
const keysCompared = 16

// repeats tells whether two values of a column, from the first on, are equal.
func (s *keySet) repeats(column *Column, first int) bool {
	if column.rows-first > keysCompared {
		return s.repeatsMany(column, first)
	}
	for i := first; i < column.rows; i++ {
		for k := first; k < i; k++ {
			if column.hasText() {
				if string(column.text(i)) == string(column.text(k)) {
					return true
				}
			} else if column.number(i) == column.number(k) {
				return true
			}
		}
	}
	return false
}

func (s *keySet) repeatsMany(column *Column, first int) bool {
	if s.texts == nil {
		s.texts, s.numbers = map[string]struct{}{}, map[int64]struct{}{}
	}
	defer clear(s.texts)
	defer clear(s.numbers)
	for i := first; i < column.rows; i++ {
		if column.hasText() {
			s.texts[string(column.text(i))] = struct{}{}
		} else {
			s.numbers[column.number(i)] = struct{}{}
		}
	}
	return len(s.texts)+len(s.numbers) < column.rows-first
}

// number is the i-th value of a boolean, int or long column; others count as all different.
func (c *Column) number(i int) int64 {
	switch c.layout {
	case layoutBool:
		return int64(c.bytes[i])
	case layout32:
		return int64(c.int32s[i])
	case layout64:
		return c.int64s[i]
	}
	return int64(i)
}

// hasText tells whether values are bytes, so that text gives them.
func (c *Column) hasText() bool { return c.layout == layoutBytes || c.layout == layoutFixed }

// text is the bytes of the i-th value.
func (c *Column) text(i int) []byte {
	if c.layout == layoutFixed {
		return c.bytes[i*c.width : (i+1)*c.width]
	}
	return c.bytes[c.int32s[i]:c.int32s[i+1]]
}

// appendKey appends the key of a map's entry.
func appendKey(column *Column, key []byte, f *fault) {
	if !utf8.Valid(key) {
		f.set(ClassUTF8, "a map's key is not UTF-8: "+shorten(key))
		key = nil
	}
	column.AppendBytes(key)
}
