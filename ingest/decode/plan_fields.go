package decode

import (
	"fmt"
	"strings"
)

// fieldTable finds a field by the name a record gives it. It is an open-addressed table of small
// integers, so that a look-up reads two cache lines and allocates nothing.
type fieldTable struct {
	names []string
	// quoted is each name as JSON has it before a value ("name":), or empty when it needs escapes.
	quoted []string
	slots  []uint16 // index into names plus one; 0 is free
	mask   uint32
}

// fieldsMax is the number of fields a table can have: indices are 16 bits.
const fieldsMax = 1 << 15

func newFieldTable(names []string) (fieldTable, error) {
	if len(names) > fieldsMax {
		return fieldTable{}, fmt.Errorf("%d fields: at most %d can be decoded", len(names), fieldsMax)
	}
	size := 4
	for size < 2*len(names) {
		size *= 2
	}
	t := fieldTable{names: names, slots: make([]uint16, size), mask: uint32(size - 1)}
	for i, name := range names {
		t.quoted = append(t.quoted, quotedName(name))
		at := hashName([]byte(name)) & t.mask
		for t.slots[at] != 0 {
			if names[t.slots[at]-1] == name {
				return fieldTable{}, fmt.Errorf("%w: %s", errAmbiguous, name)
			}
			at = (at + 1) & t.mask
		}
		t.slots[at] = uint16(i + 1)
	}
	return t, nil
}

// find returns the index of name, or skipColumn.
func (t *fieldTable) find(name []byte) int {
	at := hashName(name) & t.mask
	for t.slots[at] != 0 {
		i := int(t.slots[at]) - 1
		if t.names[i] == string(name) {
			return i
		}
		at = (at + 1) & t.mask
	}
	return skipColumn
}

// hashName is FNV-1a. The table's own names choose its shape and a record cannot add to it, so that
// chosen names in records cannot slow it down.
func hashName(name []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range name {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

func quotedName(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r == '"' || r == '\\' || r < ' ' }) {
		return ""
	}
	return `"` + name + `":`
}
