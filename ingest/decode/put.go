package decode

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/uuid"
)

// scalar is what a value of a writer schema means once its bytes are read.
type scalar struct {
	kind scalarKind
	// perSecond is the unit of times and timestamps: how many make a second.
	perSecond int64
	scale     int32  // decimal
	name      string // the writer's word for the type, for messages
}

type scalarKind uint8

const (
	scalarBool scalarKind = iota
	scalarLong            // integers that fit 64 bits with sign
	scalarUnsigned
	scalarFloat
	scalarDouble
	scalarText
	scalarBytes
	scalarDecimal // unscaled, two's complement, big-endian
	scalarUUID    // 16 bytes
	scalarDate    // days since 1970-01-01
	scalarTime
	scalarTimestamp
	scalarZoned // a timestamp as text
)

// put appends a writer's scalars to one column. How is decided when it is made.
type put struct {
	code     putCode
	column   *Column
	node     *node
	from     scalar
	mul, div int64 // putScaled
	// most is the largest number, of either sign, that a timestamp's unit changes without overflow,
	// or a decimal of 64 bits may be; -1 for none.
	most int64
}

type putCode uint8

const (
	putMismatch putCode = iota
	putBool
	putInt
	putLong
	putFloat
	putDouble
	putScaled
	putAutoTime
	putDecimal
	putText
	putBinary
	putFixed
	putUUIDText
	putZoned
)

// fault is the first thing wrong with the value of a column. The column's place is kept by a null, so
// that columns stay in step, until the whole value is taken back.
type fault struct {
	class   Class
	message string
}

func (f *fault) set(class Class, message string) {
	if f.class == "" {
		f.class, f.message = class, message
	}
}

// newPut chooses how values of from go into column. When they cannot, each fails.
func newPut(from scalar, n *node, column *Column) put {
	p := put{column: column, node: n, from: from}
	switch from.kind {
	case scalarBool:
		p.pick(kindBool, putBool)
	case scalarLong, scalarUnsigned:
		p.pick(kindInt, putInt)
		p.pick(kindLong, putLong)
		p.pick(kindFloat, putFloat)
		p.pick(kindDouble, putDouble)
		p.pick(kindDecimal, putDecimal)
		p.pick(kindDate, putInt)
		p.number(n)
	case scalarFloat, scalarDouble:
		p.pick(kindFloat, putFloat)
		p.pick(kindDouble, putDouble)
	case scalarText:
		p.pick(kindString, putText)
		p.pick(kindBinary, putBinary)
		p.pick(kindUUID, putUUIDText)
	case scalarZoned:
		p.pick(kindString, putText)
		p.pick(kindBinary, putBinary)
		p.pick(kindTimestamp, putZoned)
		p.pick(kindTimestampNs, putZoned)
	case scalarBytes:
		p.pick(kindString, putText)
		p.pick(kindBinary, putBinary)
		p.pick(kindFixed, putFixed)
		p.pick(kindUUID, putFixed)
	case scalarUUID:
		p.pick(kindUUID, putFixed)
		p.pick(kindBinary, putBinary)
		p.pick(kindFixed, putFixed)
	case scalarDecimal:
		p.pick(kindDecimal, putDecimal)
		p.most = int64(unscaledMax(n.precision))
		p.pick(kindBinary, putBinary)
	case scalarDate:
		p.pick(kindDate, putInt)
		p.pick(kindInt, putInt)
		p.pick(kindLong, putLong)
	case scalarTime:
		p.scaled(n, kindTime)
	case scalarTimestamp:
		p.scaled(n, kindTimestamp)
		p.scaled(n, kindTimestampNs)
	}
	return p
}

func (p *put) pick(k kind, code putCode) {
	if p.node.kind == k {
		p.code = code
	}
}

// number lets plain numbers into time columns in the unit that the column's option names.
func (p *put) number(n *node) {
	switch n.options.Time {
	case TimeSeconds:
		p.from.perSecond = 1
	case TimeMillis:
		p.from.perSecond = 1e3
	case TimeMicros:
		p.from.perSecond = 1e6
	case TimeNanos:
		p.from.perSecond = 1e9
	case TimeAuto:
		p.pick(kindTimestamp, putAutoTime)
		p.pick(kindTimestampNs, putAutoTime)
		return
	case TimeISO:
		return
	}
	p.scaled(n, kindTime)
	p.scaled(n, kindTimestamp)
	p.scaled(n, kindTimestampNs)
}

// scaled converts between the units of writer and column, or keeps the number for a long column.
func (p *put) scaled(n *node, k kind) {
	if n.kind == kindLong {
		p.code = putLong
	}
	if n.kind == kindInt && p.from.kind == scalarTime {
		p.code = putInt
	}
	if n.kind != k {
		return
	}
	p.code = putScaled
	p.mul, p.div = scaleFactors(p.from.perSecond, unitsPerSecond(n.kind))
	if p.most = -1; p.div == 1 && k != kindTime {
		p.most = math.MaxInt64 / p.mul
	}
}

func unitsPerSecond(k kind) int64 {
	if k == kindTimestampNs {
		return 1e9
	}
	return 1e6
}

// scaleFactors are what a number in one unit is multiplied with and then divided by for another.
func scaleFactors(from, to int64) (mul, div int64) {
	if to >= from {
		return to / from, 1
	}
	return 1, from / to
}

func (p *put) null(f *fault) {
	if p.node.required {
		f.set(ClassRequired, p.node.path+": required and null")
	}
	p.column.AppendNull()
}

// fail keeps the place of a value that is no value of the column.
func (p *put) fail(f *fault, class Class, message string) {
	f.set(class, p.node.path+": "+message)
	p.column.AppendNull()
}

// mismatch fails a value of a type that the column's type cannot take.
func (p *put) mismatch(f *fault) {
	p.fail(f, ClassSchemaChanged, fmt.Sprintf("the writer's %s cannot go into a column of %s",
		p.from.name, p.column.dataType))
}

func (p *put) bool(f *fault, v bool) {
	if p.code != putBool {
		p.mismatch(f)
		return
	}
	p.column.AppendBool(v)
}

// long appends an integer, a date, a time or a timestamp.
func (p *put) long(f *fault, v int64) {
	switch p.code {
	case putLong:
		p.column.AppendInt64(v)
	case putInt:
		if v != int64(int32(v)) {
			p.outOfRange(f, v)
			return
		}
		p.column.AppendInt32(int32(v))
	case putFloat:
		p.column.AppendFloat32(float32(v))
	case putDouble:
		p.column.AppendFloat64(float64(v))
	case putScaled:
		p.scale(f, v, p.mul, p.div)
	case putAutoTime:
		mul, div := scaleFactors(guessUnit(v), unitsPerSecond(p.node.kind))
		p.scale(f, v, mul, div)
	case putDecimal:
		p.decimal(f, decimal128.FromI64(v))
	default:
		p.mismatch(f)
	}
}

func (p *put) unsigned(f *fault, v uint64) {
	switch {
	case p.code == putDecimal:
		p.decimal(f, decimal128.FromU64(v))
	case p.code == putDouble:
		p.column.AppendFloat64(float64(v))
	case p.code == putFloat:
		p.column.AppendFloat32(float32(v))
	case v > math.MaxInt64:
		p.fail(f, ClassRange, fmt.Sprintf("%d is out of range", v))
	default:
		p.long(f, int64(v))
	}
}

func (p *put) outOfRange(f *fault, v int64) {
	p.fail(f, ClassRange, fmt.Sprintf("%d is out of range", v))
}

// scale appends v in the column's unit; what is finer than the unit is cut off towards the past.
func (p *put) scale(f *fault, v, mul, div int64) {
	scaled := v * mul
	if mul != 1 && scaled/mul != v {
		p.outOfRange(f, v)
		return
	}
	if div != 1 {
		scaled = v / div
		if v%div < 0 {
			scaled--
		}
	}
	const day = 24 * 60 * 60 * 1e6
	if p.node.kind == kindTime && (scaled < 0 || scaled >= day) {
		p.outOfRange(f, v)
		return
	}
	p.column.AppendInt64(scaled)
}

// guessUnit tells the unit of a timestamp by its magnitude, as TimeAuto says.
func guessUnit(v int64) int64 {
	switch {
	case -1e11 < v && v < 1e11:
		return 1
	case -1e14 < v && v < 1e14:
		return 1e3
	case -1e17 < v && v < 1e17:
		return 1e6
	}
	return 1e9
}

func (p *put) double(f *fault, v float64) {
	switch p.code {
	case putDouble:
		p.column.AppendFloat64(v)
	case putFloat:
		narrow := float32(v)
		if float64(narrow) != v && v == v {
			p.fail(f, ClassRange, fmt.Sprintf("%g does not fit a float", v))
			return
		}
		p.column.AppendFloat32(narrow)
	default:
		p.mismatch(f)
	}
}

func (p *put) float(f *fault, v float32) {
	switch p.code {
	case putFloat:
		p.column.AppendFloat32(v)
	case putDouble:
		p.column.AppendFloat64(float64(v))
	default:
		p.mismatch(f)
	}
}

// bytes appends a text, bytes, a fixed, a uuid or a decimal.
func (p *put) bytes(f *fault, v []byte) {
	switch p.code {
	case putText:
		if !p.column.appendText(v) {
			p.fail(f, ClassUTF8, "not UTF-8: "+shorten(v))
		}
	case putBinary:
		p.column.AppendBytes(v)
	case putFixed:
		if len(v) != p.node.width {
			p.fail(f, ClassRange, fmt.Sprintf("%d bytes instead of %d", len(v), p.node.width))
			return
		}
		copy(p.column.AppendFixed(), v)
	case putUUIDText:
		id, err := uuid.ParseBytes(v)
		if err != nil {
			p.fail(f, ClassType, "not a uuid: "+shorten(v))
			return
		}
		copy(p.column.AppendFixed(), id[:])
	case putZoned:
		if class := appendISO(p.column, p.node, v); class != "" {
			p.fail(f, class, "not a timestamp: "+shorten(v))
		}
	case putDecimal:
		n, ok := decimalOf(v)
		if !ok {
			p.fail(f, ClassRange, fmt.Sprintf("a decimal of %d bytes", len(v)))
			return
		}
		p.decimal(f, n)
	default:
		p.mismatch(f)
	}
}

// decimal appends an unscaled value of the writer's scale, at the column's scale.
func (p *put) decimal(f *fault, v decimal128.Num) {
	v, ok := rescale(v, p.from.scale, p.node.scale)
	if !ok || !digitsFit(v, p.node.precision) {
		p.fail(f, ClassRange, fmt.Sprintf("a decimal with more digits than %s", p.column.dataType))
		return
	}
	p.column.AppendDecimal(v)
}

// decimalDigits is the precision of a decimal in 128 bits.
const decimalDigits = 38

func digitsFit(v decimal128.Num, digits int32) bool {
	lowest := decimal128.New(math.MinInt64, 0) // the one number whose absolute value overflows
	return v != lowest && v.FitsInPrecision(digits)
}

// rescale changes the digits behind the point; false says that digits would be lost.
func rescale(v decimal128.Num, from, to int32) (decimal128.Num, bool) {
	switch {
	case from == to:
		return v, true
	case from < to:
		if to-from >= decimalDigits || !digitsFit(v, decimalDigits-(to-from)) {
			return v, v == decimal128.Num{}
		}
		return v.Mul(decimal128.GetScaleMultiplier(int(to - from))), true
	case from-to > decimalDigits:
		return v, false
	}
	quotient, rest := v.Div(decimal128.GetScaleMultiplier(int(from - to)))
	return quotient, rest == decimal128.Num{}
}

// decimalOf reads two's complement, big-endian; false says that 128 bits are too few.
func decimalOf(v []byte) (decimal128.Num, bool) {
	if len(v) == 0 {
		return decimal128.Num{}, true
	}
	sign := byte(int8(v[0]) >> 7)
	for len(v) > 16 {
		if v[0] != sign || (v[1]^sign)&0x80 != 0 {
			return decimal128.Num{}, false
		}
		v = v[1:]
	}
	hi, lo := uint64(int64(int8(sign))), uint64(int64(int8(sign)))
	for _, b := range v {
		hi, lo = hi<<8|lo>>56, lo<<8|uint64(b)
	}
	return decimal128.New(int64(hi), lo), true
}
