package upsert

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// reduce makes a column of new values. Row of its error is a row of fresh.
func (l *lines) reduce(mem memory.Allocator, f Function, column int) (arrow.Array, *OverflowError) {
	old, fresh := l.old.Column(column), l.fresh.Column(column)
	r := reduction{lines: l, oldCells: old, freshCells: fresh, function: "sum"}
	if f == Count {
		r.function, r.count = "count", true
	}
	var failed int32
	var out arrow.ArrayData
	switch a := fresh.(type) {
	case *array.Int32:
		out, failed = reduceWith(mem, &r, old.(*array.Int32).Int32Values(), a.Int32Values(), addIntegers)
	case *array.Int64:
		out, failed = reduceWith(mem, &r, old.(*array.Int64).Int64Values(), a.Int64Values(), addIntegers)
	case *array.Float32:
		out, failed = reduceWith(mem, &r, old.(*array.Float32).Float32Values(), a.Float32Values(), addFloats)
	case *array.Float64:
		out, failed = reduceWith(mem, &r, old.(*array.Float64).Float64Values(), a.Float64Values(), addFloats)
	case *array.Decimal128:
		precision := a.DataType().(*arrow.Decimal128Type).Precision
		out, failed = reduceWith(mem, &r, old.(*array.Decimal128).Values(), a.Values(),
			func(a, b decimal128.Num) (decimal128.Num, bool) {
				sum := a.Add(b) // what goes round lies beyond 38 digits too
				return sum, sum.FitsInPrecision(precision)
			})
	default:
		panic(fmt.Sprintf("BUG: values of type %s cannot be added", fresh.DataType()))
	}
	if failed >= 0 {
		return nil, &OverflowError{Column: l.fresh.ColumnName(column), Function: r.function, Type: fresh.DataType(),
			Row: uint32(failed)}
	}
	defer out.Release()
	return array.MakeFromData(out), nil
}

// reduction is what is added up.
type reduction struct {
	*lines
	oldCells, freshCells arrow.Array
	function             string
	// count adds 1 for each version, and not its value.
	count bool
}

// reduceWith adds up a column. failed is the row of fresh that does not fit, or -1.
func reduceWith[T arrow.FixedWidthType](
	mem memory.Allocator, r *reduction, old, fresh []T, add func(a, b T) (sum T, fits bool),
) (out arrow.ArrayData, failed int32) {
	rows := len(r.ends)
	width := r.freshCells.DataType().(arrow.FixedWidthDataType).Bytes()
	sums := memory.NewBufferWithAllocator(mem.Allocate(rows*width), mem)
	defer sums.Release()
	valid := memory.NewBufferWithAllocator(mem.Allocate(int(bitutil.BytesForBits(int64(rows)))), mem)
	defer valid.Release()
	clear(valid.Bytes())
	cells := arrow.GetData[T](sums.Bytes())
	whole, nulls := r.freshCells.NullN() == 0, 0
	var one T
	if r.count {
		one = oneOf[T]()
	}
	begin := int32(0)
	for line, end := range r.ends {
		var sum T
		found := false
		if row := r.oldRows[line]; row >= 0 && r.oldCells.IsValid(int(row)) {
			sum, found = old[row], true
		}
		for at := begin; at < end; at++ {
			value := one
			if !r.count {
				if !whole && r.freshCells.IsNull(int(at)) {
					continue
				}
				value = fresh[at]
			}
			if !found {
				sum, found = value, true
				continue
			}
			var fits bool
			if sum, fits = add(sum, value); !fits {
				return nil, at
			}
		}
		if cells[line] = sum; found {
			bitutil.SetBit(valid.Bytes(), line)
		} else {
			nulls++
		}
		begin = end
	}
	if nulls == 0 {
		return array.NewData(r.freshCells.DataType(), rows, []*memory.Buffer{nil, sums}, nil, 0, 0), -1
	}
	return array.NewData(r.freshCells.DataType(), rows, []*memory.Buffer{valid, sums}, nil, nulls, 0), -1
}

// oneOf is the number 1 of the types that count.
func oneOf[T any]() T {
	var one T
	switch p := any(&one).(type) {
	case *int32:
		*p = 1
	case *int64:
		*p = 1
	default:
		panic(fmt.Sprintf("BUG: values of type %T do not count", one))
	}
	return one
}

func addIntegers[T int32 | int64](a, b T) (T, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

func addFloats[T float32 | float64](a, b T) (T, bool) { return a + b, true }
