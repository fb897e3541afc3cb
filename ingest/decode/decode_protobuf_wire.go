package decode

import (
	"fmt"
	"math"
)

// The wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireGroup   = 3
	wireEnd     = 4
	wireFixed32 = 5
)

// fieldNumberMax is the largest number a field can have.
const fieldNumberMax = math.MaxInt32 >> 2

// tag reads the tag of a field, whose number must be one that fields can have.
func (r *protoRun) tag(c *cursor) (uint64, bool) {
	tag, ok := c.varint()
	if !ok || tag>>3 == 0 || tag>>3 > fieldNumberMax {
		return 0, r.truncated()
	}
	return tag, true
}

// wireValue reads a value of the wire type that the field must have: bits, or bytes.
func (r *protoRun) wireValue(wire byte, c *cursor, tag uint64) (uint64, []byte, bool) {
	if byte(tag&7) != wire {
		return 0, nil, r.stop(ClassSyntax, fmt.Sprintf("field %d has wire type %d instead of %d",
			tag>>3, tag&7, wire))
	}
	var bits uint64
	var payload []byte
	ok := true
	switch wire {
	case wireVarint:
		bits, ok = c.varint()
	case wireFixed64:
		bits, ok = c.fixed64()
	case wireFixed32:
		var narrow uint32
		narrow, ok = c.fixed32()
		bits = uint64(narrow)
	case wireBytes:
		var length uint64
		length, ok = c.varint()
		if ok && length <= uint64(c.left()) {
			payload, ok = c.take(int(length))
		} else {
			ok = false
		}
	case wireGroup:
		start := c.pos
		var end int
		if end, ok = r.skipGroup(c, tag>>3); !ok {
			return 0, nil, false
		}
		payload = c.data[start:end]
	}
	if !ok {
		return 0, nil, r.truncated()
	}
	return bits, payload, true
}

// skip passes over a field that no column takes.
func (r *protoRun) skip(c *cursor, tag uint64) bool {
	var ok bool
	switch tag & 7 {
	case wireVarint:
		_, ok = c.varint()
	case wireFixed64:
		_, ok = c.take(8)
	case wireFixed32:
		_, ok = c.take(4)
	case wireBytes:
		var length uint64
		length, ok = c.varint()
		ok = ok && length <= uint64(c.left())
		if ok {
			_, ok = c.take(int(length))
		}
	case wireGroup:
		_, ok = r.skipGroup(c, tag>>3)
		return ok
	default:
		return r.stop(ClassSyntax, fmt.Sprintf("field %d has wire type %d", tag>>3, tag&7))
	}
	if !ok {
		return r.truncated()
	}
	return true
}

// skipGroup passes over a group whose start has been read, and returns where its content ends.
func (r *protoRun) skipGroup(c *cursor, number uint64) (int, bool) {
	if r.depth == 0 {
		return 0, r.stop(ClassTooDeep, "groups nested too deep")
	}
	r.depth--
	defer func() { r.depth++ }()
	for {
		end := c.pos
		tag, ok := r.tag(c)
		if !ok {
			return 0, false
		}
		if tag&7 == wireEnd {
			if tag>>3 != number {
				return 0, r.stop(ClassSyntax, "the end of a group that is not open")
			}
			return end, true
		}
		if !r.skip(c, tag) {
			return 0, false
		}
	}
}
