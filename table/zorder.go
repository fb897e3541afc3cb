package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/apache/iceberg-go"
)

// ZOrder is an order of rows in which those lie close together that are close in several columns at once: the bits
// of the columns' keys take turns. Files cut from such rows have narrow bounds in all of the columns, where a sort
// by one after the other leaves those behind the first as wide as the table. It is an immutable value.
//
// A key is the place of a value between the least and the greatest one of its column, as those are known, so columns
// of any types and magnitudes weigh the same. Nulls come first, and floats have their total order. Iceberg has no
// name for the order, so files say that they are unsorted.
type ZOrder struct{ columns []zColumn }

// zColumn is a column of a ZOrder: what is in front of all its values and which bits tell them apart.
type zColumn struct {
	fieldID   int
	skip      int // bytes of text that all values begin with
	low, high zPoint
	shift     int    // of the distance from low
	span      uint64 // from low to high, shifted
}

// zPoint is a value as an unsigned number of 128 bits.
type zPoint struct{ high, low uint64 }

// zColumnsMax is how many columns may take turns: with more, each has too few bits to tell rows apart.
const zColumnsMax = 8

// PropertyZOrder is the table property that names the columns of its z-order, with commas between.
const PropertyZOrder = "firth.zorder"

// ZOrderOf are the columns of the z-order that a table's properties ask for; there may be none.
func ZOrderOf(properties iceberg.Properties) []string {
	text := properties[PropertyZOrder]
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// NewZOrder returns the z-order of columns, which are names of top-level columns, for rows of files.
func NewZOrder(schema *iceberg.Schema, columns []string, files []iceberg.DataFile) (*ZOrder, error) {
	if len(columns) < 2 || len(columns) > zColumnsMax {
		return nil, fmt.Errorf("z-order of %d columns: name 2 to %d; for one there is a sort order", len(columns),
			zColumnsMax)
	}
	z := &ZOrder{}
	seen := map[int]bool{}
	for _, name := range columns {
		field, ok := schema.FindFieldByName(name)
		if !ok {
			return nil, fmt.Errorf("z-order: there is no column %s", name)
		}
		if seen[field.ID] {
			return nil, fmt.Errorf("z-order: column %s is in it twice", name)
		}
		seen[field.ID] = true
		if _, err := compileTransform(schema, []int{field.ID}, iceberg.IdentityTransform{}); err != nil {
			return nil, fmt.Errorf("z-order: %w", err)
		}
		z.columns = append(z.columns, newZColumn(field, files))
	}
	return z, nil
}

// newZColumn finds between which values those of files lie. Where one file does not say, they lie anywhere.
func newZColumn(field iceberg.NestedField, files []iceberg.DataFile) zColumn {
	c := zColumn{fieldID: field.ID, high: zPoint{math.MaxUint64, math.MaxUint64}}
	kind, err := kindOf(field.Type)
	if err != nil {
		panic("BUG: a column that cannot be a key is in a z-order")
	}
	var lows, highs [][]byte
	for _, f := range files {
		low, high := f.LowerBoundValues()[field.ID], f.UpperBoundValues()[field.ID]
		if nulls, known := f.NullValueCounts()[field.ID]; known && nulls == f.Count() {
			continue
		}
		if low == nil || high == nil {
			return c
		}
		lows, highs = append(lows, low), append(highs, high)
	}
	if len(lows) == 0 {
		return c
	}
	if kind == keyText {
		c.skip = sharedPrefix(append(lows, highs...))
	}
	low, high := c.high, zPoint{}
	for i := range lows {
		a, err1 := c.bound(kind, lows[i])
		b, err2 := c.bound(kind, highs[i])
		if err1 != nil || err2 != nil {
			return zColumn{fieldID: field.ID, high: c.high}
		}
		if a.less(low) {
			low = a
		}
		if high.less(b) {
			high = b
		}
	}
	if high.less(low) {
		return zColumn{fieldID: field.ID, high: c.high}
	}
	c.low, c.high = low, high
	c.shift = high.minus(low).leadingZeros()
	c.span = high.minus(low).shifted(c.shift)
	return c
}

// sharedPrefix is how many bytes all texts begin with.
func sharedPrefix(texts [][]byte) int {
	n := len(texts[0])
	for _, text := range texts[1:] {
		n = min(n, len(text))
		for i := range n {
			if text[i] != texts[0][i] {
				n = i
				break
			}
		}
	}
	return n
}

var errBound = errors.New("bound of another form")

// bound is the point of a bound as a manifest has it; files from before a promotion have narrower ones.
func (c *zColumn) bound(kind keyKind, bound []byte) (zPoint, error) {
	switch kind {
	case keyText:
		return textPoint(bound[min(c.skip, len(bound)):]), nil
	case keyDecimals:
		return decimalBound(bound)
	}
	switch n := len(bound); {
	case n == 1 && kind == keyInts:
		return intPoint(int64(bound[0])), nil
	case n == 4 && kind == keyInts:
		return intPoint(int64(int32(binary.LittleEndian.Uint32(bound)))), nil
	case n == 8 && kind == keyInts:
		return intPoint(int64(binary.LittleEndian.Uint64(bound))), nil
	case n == 4:
		return floatPoint(float64(math.Float32frombits(binary.LittleEndian.Uint32(bound)))), nil
	case n == 8:
		return floatPoint(math.Float64frombits(binary.LittleEndian.Uint64(bound))), nil
	}
	return zPoint{}, errBound
}

// decimalBound reads a big-endian number of up to 16 bytes.
func decimalBound(bound []byte) (zPoint, error) {
	if len(bound) == 0 || len(bound) > 16 {
		return zPoint{}, errBound
	}
	var whole [16]byte
	if bound[0]&0x80 != 0 {
		for i := range whole {
			whole[i] = 0xff
		}
	}
	copy(whole[16-len(bound):], bound)
	return zPoint{binary.BigEndian.Uint64(whole[:8]) ^ 1<<63, binary.BigEndian.Uint64(whole[8:])}, nil
}

func intPoint(v int64) zPoint     { return zPoint{high: uint64(v) ^ 1<<63} }
func floatPoint(v float64) zPoint { return zPoint{high: orderedFloat(v)} }

// textPoint is the first 16 bytes.
func textPoint(text []byte) zPoint {
	var head [16]byte
	copy(head[:], text)
	return zPoint{binary.BigEndian.Uint64(head[:8]), binary.BigEndian.Uint64(head[8:])}
}

func (p zPoint) less(o zPoint) bool { return p.high < o.high || p.high == o.high && p.low < o.low }

func (p zPoint) minus(o zPoint) zPoint {
	low, borrow := bits.Sub64(p.low, o.low, 0)
	high, _ := bits.Sub64(p.high, o.high, borrow)
	return zPoint{high, low}
}

func (p zPoint) leadingZeros() int {
	if p.high != 0 {
		return bits.LeadingZeros64(p.high)
	}
	return min(127, 64+bits.LeadingZeros64(p.low))
}

// shifted are the 64 bits from a place on.
func (p zPoint) shifted(by int) uint64 {
	if by >= 64 {
		return p.low << (by - 64)
	}
	return p.high<<by | p.low>>(64-by)
}

// key is the place of a value among those of the column in 64 bits, in the order of values; 0 is a null's. Values
// outside of what is known of the column are at its ends.
func (c *zColumn) key(v zPoint) uint64 {
	switch {
	case v.less(c.low):
		v = c.low
	case c.high.less(v):
		v = c.high
	}
	at := v.minus(c.low).shifted(c.shift)
	if c.span == 0 || c.span == math.MaxUint64 {
		return 1<<63 | at>>1
	}
	// All of the keys are used, so that rows that are cut in equal parts are cut where bits change.
	key, _ := bits.Div64(at>>1, at<<63, c.span+1)
	return 1<<63 | key
}

// point is the value of a row, which is no null.
func (c *zColumn) point(kind keyKind, k *keys, row int) zPoint {
	switch kind {
	case keyText:
		return c.textPoint(k.text(row))
	case keyDecimals:
		v := k.decimals[row]
		return zPoint{uint64(v.HighBits()) ^ 1<<63, v.LowBits()}
	case keyFloats32:
		return floatPoint(float64(math.Float32frombits(uint32(k.ints[row]))))
	case keyFloats64:
		return floatPoint(math.Float64frombits(uint64(k.ints[row])))
	}
	return intPoint(k.ints[row])
}

// textPoint is that of a text without what all texts begin with.
func (c *zColumn) textPoint(text []byte) zPoint { return textPoint(text[min(c.skip, len(text)):]) }

// zSpread are bytes with their bits apart, as many places as there are columns: one table serves every column.
type zSpread struct {
	columns int
	words   [256]uint64
}

func newZSpread(columns int) *zSpread {
	s := &zSpread{columns: columns}
	for b := range s.words {
		for bit := range 8 {
			if b&(0x80>>bit) != 0 {
				s.words[b] |= 1 << (63 - bit*columns)
			}
		}
	}
	return s
}

// append appends the bits of keys in turns.
func (s *zSpread) append(out []byte, keys []uint64) []byte {
	var buf [8]byte
	for shift := 56; shift >= 0; shift -= 8 {
		word := uint64(0)
		for i, key := range keys {
			word |= s.words[byte(key>>shift)] >> i
		}
		binary.BigEndian.PutUint64(buf[:], word)
		out = append(out, buf[:s.columns]...)
	}
	return out
}
