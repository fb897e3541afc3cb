package filter

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Evaluator runs a filter over batches. It keeps its memory between batches and belongs to one
// goroutine.
type Evaluator struct {
	bound   *Bound
	scratch []Selection // one for each level of the expression
}

// Evaluator returns a new evaluator of the filter.
func (b *Bound) Evaluator() *Evaluator {
	return &Evaluator{bound: b, scratch: make([]Selection, b.depth)}
}

// Select returns the rows of batch that match. The selection is valid until the next call.
func (e *Evaluator) Select(batch arrow.RecordBatch) (*Selection, error) {
	if err := e.eval(e.bound.root, batch, 0); err != nil {
		return nil, fmt.Errorf("evaluate filter: %w", err)
	}
	return &e.scratch[0], nil
}

// eval leaves the rows that match t in scratch[level].
func (e *Evaluator) eval(t *test, batch arrow.RecordBatch, level int) error {
	out := &e.scratch[level]
	out.resize(int(batch.NumRows()))
	if t.leaf != nil {
		return t.leaf.eval(batch, out)
	}
	if t.or {
		clear(out.words)
	} else {
		fillOnes(out.words, out.rows)
	}
	for _, term := range t.terms {
		if err := e.eval(term, batch, level+1); err != nil {
			return err
		}
		for i, word := range e.scratch[level+1].words {
			if t.or {
				out.words[i] |= word
			} else {
				out.words[i] &= word
			}
		}
	}
	return nil
}

func (l *leaf) eval(batch arrow.RecordBatch, out *Selection) error {
	if l.kind == leafConstant {
		clear(out.words)
		if l.negate {
			fillOnes(out.words, out.rows)
		}
		return nil
	}
	if l.path[0] >= int(batch.NumCols()) {
		return fmt.Errorf("batch has %d columns and not the filter's schema", batch.NumCols())
	}
	values, err := l.find(batch.Column(l.path[0]))
	if err != nil {
		return err
	}
	if l.kind == leafNull {
		fillOnes(out.words, out.rows)
		l.dropNulls(batch, out.words)
		if !l.negate {
			out.invert()
		}
		return nil
	}
	if err := l.match(values, out.words); err != nil {
		return err
	}
	if l.negate {
		out.invert()
	}
	l.dropNulls(batch, out.words)
	return nil
}

// find goes down the structs to the column.
func (l *leaf) find(column arrow.Array) (arrow.Array, error) {
	for _, at := range l.path[1:] {
		inside, ok := column.(*array.Struct)
		if !ok || at >= inside.NumField() {
			return nil, fmt.Errorf("batch has %s and not the filter's schema", column.DataType())
		}
		column = inside.Field(at)
	}
	return column, nil
}

// dropNulls clears the bits of rows in which the column or a struct around it is null.
func (l *leaf) dropNulls(batch arrow.RecordBatch, words []uint64) {
	column := batch.Column(l.path[0])
	andValid(words, column)
	for _, at := range l.path[1:] {
		column = column.(*array.Struct).Field(at)
		andValid(words, column)
	}
}

func andValid(words []uint64, column arrow.Array) {
	if column.DataType().ID() == arrow.NULL {
		clear(words)
		return
	}
	if column.NullN() == 0 {
		return
	}
	valid, offset := column.NullBitmapBytes(), column.Data().Offset()
	for i := range words {
		words[i] &= bitsAt(valid, offset+i*64)
	}
}

// bitsAt is the 64 bits of a bitmap from one position on; those behind its end are anything.
func bitsAt(bitmap []byte, at int) uint64 {
	first, shift := at>>3, at&7
	var window [9]byte
	if first+9 <= len(bitmap) {
		word := binary.LittleEndian.Uint64(bitmap[first:])
		if shift == 0 {
			return word
		}
		return word>>shift | uint64(bitmap[first+8])<<(64-shift)
	}
	if first < len(bitmap) {
		copy(window[:], bitmap[first:])
	}
	word := binary.LittleEndian.Uint64(window[:])
	if shift == 0 {
		return word
	}
	return word>>shift | uint64(window[8])<<(64-shift)
}

// match sets the bits of the rows whose value is in the leaf's span, set or pattern; those of
// nulls may be anything.
func (l *leaf) match(column arrow.Array, words []uint64) error {
	switch c := column.(type) {
	case *array.Int32:
		matchWholes(l, c.Int32Values(), words)
	case *array.Int64:
		matchWholes(l, c.Int64Values(), words)
	case *array.Date32:
		matchWholes(l, c.Date32Values(), words)
	case *array.Time64:
		matchWholes(l, c.Time64Values(), words)
	case *array.Timestamp:
		matchWholes(l, c.TimestampValues(), words)
	case *array.Float32:
		matchFloats(l, c.Float32Values(), words)
	case *array.Float64:
		matchFloats(l, c.Float64Values(), words)
	case *array.Boolean:
		matchRows(words, c.Len(), func(i int) bool {
			whole := int64(0)
			if c.Value(i) {
				whole = 1
			}
			return l.matchWhole(whole)
		})
	case *array.Decimal128:
		values := c.Values()
		matchRows(words, len(values), func(i int) bool { return l.matchDecimal(values[i]) })
	case *array.String:
		matchRows(words, c.Len(), func(i int) bool { return l.matchText(c.Value(i)) })
	case *array.Binary:
		matchRows(words, c.Len(), func(i int) bool { return l.matchText(c.ValueString(i)) })
	case *array.FixedSizeBinary:
		matchRows(words, c.Len(), func(i int) bool { return l.matchBytes(c.Value(i)) })
	case array.ExtensionArray: // uuid
		return l.match(c.Storage(), words)
	case *array.Null:
		clear(words)
	default:
		return fmt.Errorf("column of type %s cannot be compared", column.DataType())
	}
	return nil
}

// matchRows sets one bit for each row. The closure does not escape.
func matchRows(words []uint64, rows int, matches func(int) bool) {
	for w := range words {
		var word uint64
		for bit, i := 0, w*64; bit < 64 && i < rows; bit, i = bit+1, i+1 {
			if matches(i) {
				word |= 1 << bit
			}
		}
		words[w] = word
	}
}

func matchWholes[T ~int32 | ~int64](l *leaf, values []T, words []uint64) {
	if l.kind == leafSet {
		matchRows(words, len(values), func(i int) bool { return l.matchWhole(int64(values[i])) })
		return
	}
	low, width := l.wholeRange()
	for w := range words {
		var word uint64
		for bit, v := range values[w*64 : min(w*64+64, len(values))] {
			word |= one(uint64(int64(v))-low <= width) << (bit & 63)
		}
		words[w] = word
	}
}

func matchFloats[T float32 | float64](l *leaf, values []T, words []uint64) {
	if l.kind == leafSet {
		matchRows(words, len(values), func(i int) bool {
			return l.matchWhole(floatKey(float64(values[i])))
		})
		return
	}
	low, width := l.wholeRange()
	for w := range words {
		var word uint64
		for bit, v := range values[w*64 : min(w*64+64, len(values))] {
			word |= one(uint64(floatKey(float64(v)))-low <= width) << (bit & 63)
		}
		words[w] = word
	}
}

// one is 1 for true. It compiles to an instruction and no branch, which would often be mispredicted.
func one(is bool) uint64 {
	var bit uint64
	if is {
		bit = 1
	}
	return bit
}

// wholeRange is the span such that v is in it when uint64(v)-low <= width, without overflow.
func (l *leaf) wholeRange() (low, width uint64) {
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !l.span.openLow {
		from = l.span.low.whole
	}
	if !l.span.openHigh {
		to = l.span.high.whole
	}
	return uint64(from), uint64(to) - uint64(from)
}

func (l *leaf) matchWhole(v int64) bool {
	if l.kind == leafSet {
		_, found := slices.BinarySearch(l.wholes, v)
		return found
	}
	return l.span.contains(wholes, value{whole: v})
}

func (l *leaf) matchDecimal(v decimal128.Num) bool {
	if l.kind == leafSet {
		_, found := slices.BinarySearchFunc(l.decimals, v, decimal128.Num.Cmp)
		return found
	}
	return (l.span.openLow || l.span.low.decimal.Cmp(v) <= 0) &&
		(l.span.openHigh || v.Cmp(l.span.high.decimal) <= 0)
}

func (l *leaf) matchText(v string) bool {
	switch l.kind {
	case leafSet:
		_, found := l.texts[v]
		return found
	case leafPattern:
		return l.pattern.matches(v)
	}
	return (l.span.openLow || l.span.low.text <= v) && (l.span.openHigh || v < l.span.high.text)
}

func (l *leaf) matchBytes(v []byte) bool {
	if l.kind == leafSet {
		_, found := l.texts[string(v)]
		return found
	}
	return (l.span.openLow || l.span.low.text <= string(v)) &&
		(l.span.openHigh || string(v) < l.span.high.text)
}
