package decode

import (
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// number is a decimal number as written, exactly: (-1)^negative · high:low · 10^exponent, without
// trailing zeros in high:low.
type number struct {
	high, low uint64
	digits    int64 // significant digits in high:low
	exponent  int64
	negative  bool
	wide      bool // has more significant digits than high:low can hold
}

// digitsMax is the number of digits that high:low holds, which is also the widest decimal type.
const digitsMax = 38

// exponentMax bounds the exponent that is told apart: a text has far fewer digits, so that nothing
// can bring a larger one back into range.
const exponentMax = 1 << 40

// parseNumber reads a text that is a JSON number.
func parseNumber(text []byte) number {
	var n number
	var zeros int64 // seen behind the last significant digit
	fraction, at := false, 0
	if text[0] == '-' {
		n.negative, at = true, 1
	}
scan:
	for ; at < len(text); at++ {
		switch c := text[at]; {
		case c == '.':
			fraction = true
		case c == 'e' || c == 'E':
			n.exponent += parseExponent(text[at+1:])
			break scan
		default:
			if fraction {
				n.exponent--
			}
			if c == '0' {
				zeros++
				continue
			}
			n.push(uint64(c-'0'), zeros)
			zeros = 0
		}
	}
	n.exponent += zeros
	return n
}

// push appends zeros and then digit. Zeros before the first digit do not count.
func (n *number) push(digit uint64, zeros int64) {
	if n.digits == 0 {
		zeros = 0
	}
	if n.digits += zeros + 1; n.digits > digitsMax {
		n.wide = true
		return
	}
	for ; zeros > 0; zeros-- {
		n.shift(0)
	}
	n.shift(digit)
}

// shift is high:low · 10 + digit.
func (n *number) shift(digit uint64) {
	carry, low := bits.Mul64(n.low, 10)
	low, over := bits.Add64(low, digit, 0)
	n.high, n.low = n.high*10+carry+over, low
}

func parseExponent(text []byte) int64 {
	negative := text[0] == '-'
	if text[0] == '-' || text[0] == '+' {
		text = text[1:]
	}
	var v int64
	for _, c := range text {
		v = min(v*10+int64(c-'0'), exponentMax)
	}
	if negative {
		return -v
	}
	return v
}

// integer is the number as an integer; false when it has a fraction or does not fit.
func (n number) integer() (int64, bool) {
	switch {
	case n.digits == 0:
		return 0, true
	case n.wide || n.exponent < 0:
		return 0, false
	}
	return n.floor(0)
}

// floor is the largest integer that is not above the number · 10^shift; false when it does not fit.
func (n number) floor(shift int64) (int64, bool) {
	if n.digits == 0 {
		return 0, true
	}
	exponent := n.exponent + shift
	if n.wide || n.digits+exponent > 19 {
		return 0, false
	}
	for ; exponent > 0; exponent-- {
		n.shift(0)
	}
	rest := false
	for ; exponent < 0 && n.high|n.low != 0; exponent++ {
		rest = n.unshift() != 0 || rest
	}
	rest = rest || exponent < 0
	magnitude := n.low
	if n.negative && rest {
		magnitude++
	}
	switch {
	case n.high != 0:
		return 0, false
	case n.negative:
		return int64(-magnitude), magnitude <= 1<<63
	}
	return int64(magnitude), magnitude < 1<<63
}

// unshift divides high:low by 10 and returns the remainder.
func (n *number) unshift() uint64 {
	high := n.high / 10
	low, rest := bits.Div64(n.high%10, n.low, 10)
	n.high, n.low = high, low
	return rest
}

// decimal is the unscaled value of the number at a scale; false when it has more digits behind the
// point or more digits in all than the type.
func (n number) decimal(precision, scale int32) (decimal128.Num, bool) {
	if n.digits == 0 {
		return decimal128.Num{}, true
	}
	zeros := n.exponent + int64(scale)
	if n.wide || zeros < 0 || n.digits+zeros > int64(precision) {
		return decimal128.Num{}, false
	}
	for ; zeros > 0; zeros-- {
		n.shift(0)
	}
	v := decimal128.New(int64(n.high), n.low)
	if n.negative {
		v = v.Negate()
	}
	return v, true
}

// exactPowers are the powers of ten that a double holds exactly.
var exactPowers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// exactMantissa is the bound below which a double holds every integer.
const exactMantissa = 1 << 53

// parseFloat reads a JSON number as the nearest floating-point number of so many bits; false when it
// is beyond the largest.
func parseFloat(text []byte, bitSize int) (float64, bool) {
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), bitSize)
	return v, err == nil
}

// isNumber tells whether text is a JSON number and nothing else.
func isNumber(text []byte) bool {
	return len(text) > 0 && numberEnd(text, 0) == len(text)
}

// numberEnd returns the end of the JSON number that begins at pos, or -1 when none does.
func numberEnd(data []byte, pos int) int {
	if pos < len(data) && data[pos] == '-' {
		pos++
	}
	switch {
	case pos < len(data) && data[pos] == '0':
		pos++
	default:
		if pos = digitsEnd(data, pos); pos < 0 {
			return -1
		}
	}
	if pos < len(data) && data[pos] == '.' {
		if pos = digitsEnd(data, pos+1); pos < 0 {
			return -1
		}
	}
	if pos < len(data) && (data[pos] == 'e' || data[pos] == 'E') {
		pos++
		if pos < len(data) && (data[pos] == '+' || data[pos] == '-') {
			pos++
		}
		pos = digitsEnd(data, pos)
	}
	return pos
}

// digitsEnd returns the end of the digits that begin at pos, or -1 when there are none.
func digitsEnd(data []byte, pos int) int {
	start := pos
	for pos < len(data) && data[pos]-'0' <= 9 {
		pos++
	}
	if pos == start {
		return -1
	}
	return pos
}

// appendNumber appends a JSON number to a column of a kind that takes numbers.
func appendNumber(c *Column, n *node, text []byte) Class {
	switch n.kind {
	case kindDouble:
		v, ok := parseFloat(text, 64)
		if !ok {
			return ClassRange
		}
		c.AppendFloat64(v)
		return ""
	case kindFloat:
		v, ok := parseFloat(text, 32)
		if !ok {
			return ClassRange
		}
		c.AppendFloat32(float32(v))
		return ""
	case kindDecimal:
		return appendDecimal(c, n, parseNumber(text))
	case kindTime, kindTimestamp, kindTimestampNs:
		return appendEpoch(c, n, parseNumber(text))
	case kindInt, kindLong, kindDate:
		v, ok := parseNumber(text).integer()
		if !ok {
			return ClassRange
		}
		return appendInteger(c, n, v)
	default:
		return ClassType
	}
}

// appendInteger is appendNumber for a number that is an integer.
func appendInteger(c *Column, n *node, v int64) Class {
	switch n.kind {
	case kindLong:
		c.AppendInt64(v)
	case kindInt, kindDate:
		if v != int64(int32(v)) {
			return ClassRange
		}
		c.AppendInt32(int32(v))
	case kindDouble:
		c.AppendFloat64(float64(v))
	case kindFloat:
		c.AppendFloat32(float32(v))
	case kindTimestamp, kindTimestampNs, kindTime:
		return appendEpochInteger(c, n, v)
	case kindDecimal:
		return appendDecimal(c, n, newNumber(v, 0))
	default:
		return ClassType
	}
	return ""
}

// newNumber is the number value · 10^-places.
func newNumber(value int64, places int) number {
	n := number{low: uint64(value), exponent: -int64(places), negative: value < 0}
	if value == 0 {
		return n
	}
	if n.negative {
		n.low = -n.low
	}
	for n.low%10 == 0 {
		n.low /= 10
		n.exponent++
	}
	for rest := n.low; rest != 0; rest /= 10 {
		n.digits++
	}
	return n
}

func appendDecimal(c *Column, n *node, v number) Class {
	unscaled, ok := v.decimal(n.precision, n.scale)
	if !ok {
		return ClassRange
	}
	c.AppendDecimal(unscaled)
	return ""
}

// appendPoint appends mantissa · 10^-places, where both are small, if it can do so exactly without
// a second look at the text; false asks for that.
func appendPoint(c *Column, n *node, mantissa int64, places int) bool {
	if n.kind != kindDouble || mantissa >= exactMantissa || mantissa <= -exactMantissa ||
		mantissa == 0 || places >= len(exactPowers) {
		return false
	}
	c.AppendFloat64(float64(mantissa) / exactPowers[places])
	return true
}
