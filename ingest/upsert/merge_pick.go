package upsert

import (
	"bytes"
	"cmp"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/firthlake/firth/table/gather"
)

// newest are the last versions of the lines.
func (l *lines) newest() []gather.Run {
	if l.last == nil {
		for _, end := range l.ends {
			l.last = gather.AppendRun(l.last, gather.Run{Batch: batchFresh, Row: uint32(end - 1), Rows: 1})
		}
	}
	return l.last
}

// grouped are the rows that a group is taken from.
func (l *lines) grouped(group int) []gather.Run { return l.picks[group] }

// pickEach makes runs of one choice a line: a row of fresh, or -1 for the old row, or where there is none the
// line's first version.
func (l *lines) pickEach(choose func(line int, begin, end int32) int32) []gather.Run {
	runs := make([]gather.Run, 0, len(l.ends))
	begin := int32(0)
	for line, end := range l.ends {
		run := gather.Run{Batch: batchFresh, Row: uint32(begin), Rows: 1}
		if at := choose(line, begin, end); at >= 0 {
			run.Row = uint32(at)
		} else if old := l.oldRows[line]; old >= 0 {
			run.Batch, run.Row = batchOld, uint32(old)
		}
		runs = gather.AppendRun(runs, run)
		begin = end
	}
	return runs
}

// lastValues are the last values that are not null of versions that are not older.
func (l *lines) lastValues(column int) []gather.Run {
	fresh := l.fresh.Column(column)
	if fresh.NullN() == 0 && l.older == nil {
		return l.newest()
	}
	return l.pickEach(func(_ int, begin, end int32) int32 {
		for at := end - 1; at >= begin; at-- {
			if fresh.IsValid(int(at)) && (l.older == nil || !l.older[at]) {
				return at
			}
		}
		return -1
	})
}

// firstValues are the first values that are not null.
func (l *lines) firstValues(column int) []gather.Run {
	fresh, old := l.fresh.Column(column), l.old.Column(column)
	return l.pickEach(func(line int, begin, end int32) int32 {
		if row := l.oldRows[line]; row >= 0 && old.IsValid(int(row)) {
			return -1
		}
		for at := begin; at < end; at++ {
			if fresh.IsValid(int(at)) {
				return at
			}
		}
		return -1
	})
}

// extremes are the least or greatest values; of equal ones the first.
func (l *lines) extremes(f Function, column int) []gather.Run {
	old, fresh := l.old.Column(column), l.fresh.Column(column)
	for extension, is := fresh.(array.ExtensionArray); is; extension, is = fresh.(array.ExtensionArray) {
		old, fresh = old.(array.ExtensionArray).Storage(), extension.Storage()
	}
	switch a := fresh.(type) {
	case *array.Int32:
		return extremesOf(l, f, cellsOf[int32](old.(*array.Int32), a), cmp.Compare)
	case *array.Int64:
		return extremesOf(l, f, cellsOf[int64](old.(*array.Int64), a), cmp.Compare)
	case *array.Date32:
		return extremesOf(l, f, cellsOf[arrow.Date32](old.(*array.Date32), a), cmp.Compare)
	case *array.Time64:
		return extremesOf(l, f, cellsOf[arrow.Time64](old.(*array.Time64), a), cmp.Compare)
	case *array.Timestamp:
		return extremesOf(l, f, cellsOf[arrow.Timestamp](old.(*array.Timestamp), a), cmp.Compare)
	case *array.Float32:
		return extremesOf(l, f, cellsOf[float32](old.(*array.Float32), a), compareFloats)
	case *array.Float64:
		return extremesOf(l, f, cellsOf[float64](old.(*array.Float64), a), compareFloats)
	case *array.Boolean:
		return extremesOf(l, f, cellsOf[bool](old.(*array.Boolean), a), compareBooleans)
	case *array.Decimal128:
		return extremesOf(l, f, cellsOf[decimal128.Num](old.(*array.Decimal128), a), decimal128.Num.Cmp)
	case *array.String:
		return extremesOf(l, f, cellsOf[string](old.(*array.String), a), cmp.Compare)
	case *array.Binary:
		return extremesOf(l, f, cellsOf[[]byte](old.(*array.Binary), a), bytes.Compare)
	case *array.FixedSizeBinary:
		return extremesOf(l, f, cellsOf[[]byte](old.(*array.FixedSizeBinary), a), bytes.Compare)
	}
	panic(fmt.Sprintf("BUG: values of type %s are not in order", fresh.DataType()))
}

// valued is an array with values of T.
type valued[T any] interface {
	arrow.Array
	Value(int) T
}

// cells are a column of old and fresh rows.
type cells[T any] struct{ old, fresh valued[T] }

func cellsOf[T any](old, fresh valued[T]) cells[T] { return cells[T]{old, fresh} }

func extremesOf[T any](l *lines, f Function, c cells[T], compare func(a, b T) int) []gather.Run {
	sign := 1
	if f == Max {
		sign = -1
	}
	whole := c.fresh.NullN() == 0
	return l.pickEach(func(line int, begin, end int32) int32 {
		var best T
		chosen, found := int32(-1), false
		if row := l.oldRows[line]; row >= 0 && c.old.IsValid(int(row)) {
			best, found = c.old.Value(int(row)), true
		}
		for at := begin; at < end; at++ {
			if !whole && c.fresh.IsNull(int(at)) {
				continue
			}
			if v := c.fresh.Value(int(at)); !found || sign*compare(v, best) < 0 {
				best, chosen, found = v, at, true
			}
		}
		return chosen
	})
}

// compareFloats puts NaN above all others, and the negative zero below the other one.
func compareFloats[T float32 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a != a || b != b:
		return compareBooleans(a != a, b != b)
	}
	return compareBooleans(math.Signbit(float64(b)), math.Signbit(float64(a)))
}

func compareBooleans(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
