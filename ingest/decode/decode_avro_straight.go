package decode

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// avroStep is how a plain value is read straight into its column: the frequent pairs of a writer's and
// a column's type have steps of their own.
type avroStep uint8

const (
	avroStepNone avroStep = iota // as avroRun.run does it
	avroStepLong
	avroStepInt
	avroStepTime
	avroStepBool
	avroStepDouble
	avroStepFloat
	avroStepText
	avroStepBinary
	avroStepDecimal
	avroStepEnum
	avroStepOptional // a union of null and what has a step
	avroStepSkipVarint
	avroStepSkipBytes
	avroStepSkipFixed
)

// avroStepOf chooses the step of a compiled op.
func avroStepOf(op *avroOp) avroStep {
	type pair struct {
		code avroCode
		put  putCode
	}
	switch (pair{op.code, op.put.code}) {
	case pair{avroLong, putLong}:
		return avroStepLong
	case pair{avroLong, putInt}:
		return avroStepInt
	case pair{avroLong, putScaled}, pair{avroLong, putAutoTime}:
		return avroStepTime
	case pair{avroBool, putBool}:
		return avroStepBool
	case pair{avroDouble, putDouble}:
		return avroStepDouble
	case pair{avroFloat, putFloat}:
		return avroStepFloat
	case pair{avroBytes, putText}:
		return avroStepText
	case pair{avroBytes, putBinary}:
		return avroStepBinary
	case pair{avroBytes, putDecimal}:
		return avroStepDecimal
	case pair{avroEnum, putText}:
		return avroStepEnum
	}
	switch op.code {
	case avroSkipVarint:
		return avroStepSkipVarint
	case avroSkipBytes:
		return avroStepSkipBytes
	case avroSkipFixed:
		return avroStepSkipFixed
	case avroUnion:
		return avroUnionStep(op)
	default:
		return avroStepNone
	}
}

// avroUnionStep is the step of a union whose null goes into a column that may be null.
func avroUnionStep(op *avroOp) avroStep {
	if len(op.inside) != 2 {
		return avroStepNone
	}
	for i, branch := range op.inside {
		value := op.inside[1-i]
		if branch.code == avroNull && !branch.put.node.required && value.step != avroStepNone {
			return avroStepOptional
		}
	}
	return avroStepNone
}

// straight appends the plain value at pos and returns the place behind it, or -1 when it has appended
// nothing and the value takes a closer look.
func (op *avroOp) straight(data []byte, pos int) int {
	switch op.step {
	case avroStepText:
		value, end := avroLengthAt(data, pos)
		if end < 0 || !op.put.column.appendText(value) {
			return -1
		}
		return end
	case avroStepLong, avroStepInt, avroStepTime:
		v, end := varintAt(data, pos)
		if end < 0 || !op.straightNumber(unzigzag(v)) {
			return -1
		}
		return end
	case avroStepDouble:
		if len(data)-pos < 8 {
			return -1
		}
		op.put.column.AppendInt64(int64(binary.LittleEndian.Uint64(data[pos:])))
		return pos + 8
	case avroStepFloat:
		if len(data)-pos < 4 {
			return -1
		}
		op.put.column.AppendInt32(int32(binary.LittleEndian.Uint32(data[pos:])))
		return pos + 4
	case avroStepBool:
		if pos >= len(data) || data[pos] > 1 {
			return -1
		}
		op.put.column.AppendBool(data[pos] == 1)
		return pos + 1
	case avroStepOptional:
		if pos >= len(data) || data[pos]&^2 != 0 {
			return -1
		}
		branch := op.inside[data[pos]>>1]
		if branch.code == avroNull {
			branch.put.column.AppendNull()
			return pos + 1
		}
		return branch.straight(data, pos+1)
	default:
		return op.straightOther(data, pos)
	}
}

func (op *avroOp) straightNumber(v int64) bool {
	switch op.step {
	case avroStepLong:
		op.put.column.AppendInt64(v)
	case avroStepInt:
		if v != int64(int32(v)) {
			return false
		}
		op.put.column.AppendInt32(int32(v))
	default:
		return op.put.appendTime(v)
	}
	return true
}

// straightOther is straight for what is less frequent.
func (op *avroOp) straightOther(data []byte, pos int) int {
	switch op.step {
	case avroStepSkipVarint:
		_, end := varintAt(data, pos)
		return end
	case avroStepSkipFixed:
		if op.size > len(data)-pos {
			return -1
		}
		return pos + op.size
	case avroStepEnum:
		if pos >= len(data) || data[pos]&1 != 0 || data[pos] >= 0x80 {
			return -1
		}
		at := int(data[pos] >> 1)
		if at >= len(op.symbols) || len(op.symbols[at]) > symbolFree {
			return -1
		}
		op.put.column.AppendBytes(op.symbols[at])
		return pos + 1
	}
	value, end := avroLengthAt(data, pos)
	switch {
	case end < 0:
		return -1
	case op.step == avroStepBinary:
		op.put.column.AppendBytes(value)
	case op.step == avroStepDecimal && !op.put.appendSmallDecimal(value):
		return -1
	}
	return end
}

// avroLengthAt reads the length at pos and so many bytes, and returns the place behind them, or -1.
func avroLengthAt(data []byte, pos int) ([]byte, int) {
	v, pos := varintAt(data, pos)
	length := v >> 1
	if pos < 0 || v&1 != 0 || length > uint64(len(data)-pos) {
		return nil, -1
	}
	end := pos + int(length)
	return data[pos:end:end], end
}

// appendTime appends a timestamp in another unit where that takes no division and no overflow can be,
// and reports whether it did.
func (p *put) appendTime(v int64) bool {
	mul := p.mul
	if p.code == putAutoTime {
		switch {
		case p.node.kind != kindTimestamp || v <= -1e17 || v >= 1e17:
			return false
		case -1e11 < v && v < 1e11:
			mul = 1e6
		case -1e14 < v && v < 1e14:
			mul = 1e3
		default:
			mul = 1
		}
	} else if v > p.most || v < -p.most {
		return false
	}
	p.column.AppendInt64(v * mul)
	return true
}

// appendSmallDecimal appends a decimal of up to 8 bytes at the writer's scale, and reports whether it
// did.
func (p *put) appendSmallDecimal(v []byte) bool {
	if len(v) == 0 || len(v) > 8 || p.from.scale != p.node.scale {
		return false
	}
	n := int64(int8(v[0]))
	for _, b := range v[1:] {
		n = n<<8 | int64(b)
	}
	if n > p.most || n < -p.most {
		return false
	}
	p.column.AppendDecimal(decimal128.FromI64(n))
	return true
}
