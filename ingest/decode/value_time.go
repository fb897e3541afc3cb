package decode

import "math"

// civil is a moment as ISO 8601 text gives it.
type civil struct {
	days    int64 // since 1970-01-01
	seconds int64 // of the day, less the zone's offset
	nanos   int64
}

// clock reads fields of fixed width out of a text; bad says that one was not there, off that one was
// out of its range.
type clock struct {
	text     []byte
	bad, off bool
}

// digits takes so many digits, which must make a number in [low, high].
func (k *clock) digits(count int, low, high int64) int64 {
	if len(k.text) < count {
		k.bad = true
		return 0
	}
	var v int64
	for _, c := range k.text[:count] {
		if c-'0' > 9 {
			k.bad = true
			return 0
		}
		v = v*10 + int64(c-'0')
	}
	k.text = k.text[count:]
	k.off = k.off || v < low || v > high
	return v
}

// sign takes one of the bytes and tells which, or 0.
func (k *clock) sign(bytes string) byte {
	if len(k.text) == 0 {
		return 0
	}
	for i := range len(bytes) {
		if k.text[0] == bytes[i] {
			k.text = k.text[1:]
			return bytes[i]
		}
	}
	return 0
}

// class is the verdict on the whole text.
func (k *clock) class() Class {
	switch {
	case k.bad || len(k.text) > 0:
		return ClassType
	case k.off:
		return ClassRange
	}
	return ""
}

// date takes YYYY-MM-DD and returns days since 1970-01-01.
func (k *clock) date() int64 {
	year := k.digits(4, 1, 9999)
	k.bad = k.bad || k.sign("-") == 0
	month := k.digits(2, 1, 12)
	k.bad = k.bad || k.sign("-") == 0
	day := k.digits(2, 1, 31)
	if k.bad || k.off {
		return 0
	}
	k.off = day > daysIn(year, month)
	return daysSinceEpoch(year, month, day)
}

// time takes HH:MM, with seconds and a fraction if they are there.
func (k *clock) time() (seconds, nanos int64) {
	seconds = 3600 * k.digits(2, 0, 23)
	k.bad = k.bad || k.sign(":") == 0
	seconds += 60 * k.digits(2, 0, 59)
	if k.sign(":") == 0 {
		return seconds, 0
	}
	seconds += k.digits(2, 0, 59)
	if k.sign(".,") != 0 {
		nanos = k.fraction()
	}
	return seconds, nanos
}

// fraction takes the digits of a fraction of a second; what is finer than nanoseconds is dropped.
func (k *clock) fraction() int64 {
	end := digitsEnd(k.text, 0)
	if end < 0 {
		k.bad = true
		return 0
	}
	var nanos int64
	for i := range 9 {
		nanos *= 10
		if i < end {
			nanos += int64(k.text[i] - '0')
		}
	}
	k.text = k.text[end:]
	return nanos
}

// zone takes Z, ±HH, ±HHMM or ±HH:MM, if there, and returns the offset east of UTC in seconds.
func (k *clock) zone() int64 {
	sign := k.sign("Zz+-")
	if sign != '+' && sign != '-' {
		return 0
	}
	offset := 3600 * k.digits(2, 0, 23)
	if k.sign(":") != 0 || len(k.text) > 0 {
		offset += 60 * k.digits(2, 0, 59)
	}
	if sign == '-' {
		return -offset
	}
	return offset
}

// parseTimestamp reads an ISO 8601 date, or date and time with or without zone. A text without zone
// is taken as UTC.
func parseTimestamp(text []byte) (civil, Class) {
	k := clock{text: text}
	v := civil{days: k.date()}
	if len(k.text) == 0 {
		return v, k.class()
	}
	k.bad = k.bad || k.sign("Tt ") == 0
	v.seconds, v.nanos = k.time()
	v.seconds -= k.zone()
	return v, k.class()
}

// appendISO appends a text to a date, time or timestamp column.
func appendISO(c *Column, n *node, text []byte) Class {
	switch n.kind {
	case kindDate:
		k := clock{text: text}
		days := k.date()
		if class := k.class(); class != "" {
			return class
		}
		c.AppendInt32(int32(days))
		return ""
	case kindTime:
		k := clock{text: text}
		seconds, nanos := k.time()
		if class := k.class(); class != "" {
			return class
		}
		c.AppendInt64(seconds*1e6 + nanos/1e3)
		return ""
	}
	v, class := parseTimestamp(text)
	if class != "" {
		return class
	}
	seconds := v.days*86400 + v.seconds
	if n.kind == kindTimestamp {
		c.AppendInt64(seconds*1e6 + v.nanos/1e3)
		return ""
	}
	if seconds <= math.MinInt64/1_000_000_000 || seconds >= math.MaxInt64/1_000_000_000 {
		return ClassRange
	}
	c.AppendInt64(seconds*1e9 + v.nanos)
	return ""
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSinceEpoch counts days in years that begin on the first of March, so that the leap day is the
// last of its year.
func daysSinceEpoch(year, month, day int64) int64 {
	month -= 3
	if month < 0 {
		month += 12
		year--
	}
	return year*365 + year/4 - year/100 + year/400 + (153*month+2)/5 + day - 1 - daysToEpoch
}

// daysToEpoch is the number of days from the first of March of the year 0 to 1970-01-01.
const daysToEpoch = 719468
