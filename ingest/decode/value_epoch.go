package decode

// microsPerDay bounds a time of day.
const microsPerDay = 24 * 60 * 60 * 1_000_000

// ticksExponent is the power of ten that turns seconds into the column's unit.
func (n *node) ticksExponent() int64 {
	if n.kind == kindTimestampNs {
		return 9
	}
	return 6
}

// appendEpoch appends a number of seconds, milliseconds, ... since the epoch, or since midnight.
func appendEpoch(c *Column, n *node, v number) Class {
	unit, ok := n.epochExponent(v.digits + v.exponent)
	if !ok {
		return ClassType
	}
	ticks, ok := v.floor(n.ticksExponent() - unit)
	if !ok {
		return ClassRange
	}
	return appendTicks(c, n, ticks)
}

// intPowers are the powers of ten between the units of time.
var intPowers = [...]int64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// appendEpochInteger is appendEpoch for an integer.
func appendEpochInteger(c *Column, n *node, v int64) Class {
	unit, ok := n.epochExponent(integerDigits(v))
	if !ok {
		return ClassType
	}
	shift := n.ticksExponent() - unit
	if shift < 0 {
		ticks := v / intPowers[-shift]
		if v%intPowers[-shift] < 0 {
			ticks--
		}
		return appendTicks(c, n, ticks)
	}
	ticks := v * intPowers[shift]
	if ticks/intPowers[shift] != v {
		return ClassRange
	}
	return appendTicks(c, n, ticks)
}

// integerDigits is the number of digits of v as far as TimeAuto tells units apart.
func integerDigits(v int64) int64 {
	magnitude := uint64(v)
	if v < 0 {
		magnitude = -magnitude
	}
	switch {
	case magnitude < 1e11:
		return 11
	case magnitude < 1e14:
		return 14
	case magnitude < 1e17:
		return 17
	}
	return 20
}

// epochExponent is the power of ten of the unit in which the column's numbers count; false when it
// takes no numbers. digits is the length of the number's integer part.
func (n *node) epochExponent(digits int64) (int64, bool) {
	switch n.options.Time {
	case TimeSeconds:
		return 0, true
	case TimeMillis:
		return 3, true
	case TimeMicros:
		return 6, true
	case TimeNanos:
		return 9, true
	case TimeAuto:
	default:
		return 0, false
	}
	switch {
	case n.kind == kindTime:
		return 0, false
	case digits <= 11:
		return 0, true
	case digits <= 14:
		return 3, true
	case digits <= 17:
		return 6, true
	}
	return 9, true
}

func appendTicks(c *Column, n *node, ticks int64) Class {
	if n.kind == kindTime && (ticks < 0 || ticks >= microsPerDay) {
		return ClassRange
	}
	c.AppendInt64(ticks)
	return ""
}
