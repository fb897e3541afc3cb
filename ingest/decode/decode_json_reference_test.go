package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// reference decodes slowly and plainly, on encoding/json and math/big, what jsonDecoder must decode.
type reference struct {
	plan    *Plan
	unknown bool
}

// referenceRow is what a record becomes: a value or a class per column, or a class for the record.
type referenceRow struct {
	class   Class
	values  []any
	classes []Class
	set     []bool // the columns that the record has
}

// refusedValue carries a class out of the recursion.
type refusedValue struct{ class Class }

type entry struct {
	key   string
	value json.RawMessage
}

func (r *reference) row(document []byte) referenceRow {
	row := referenceRow{values: make([]any, len(r.plan.columns)), classes: make([]Class, len(r.plan.columns))}
	switch depth := depthOf(document); {
	case !json.Valid(document):
		row.class = ClassSyntax
	case depth > r.plan.options.DepthMax:
		row.class = ClassTooDeep
	case bytes.TrimLeft(document, " \t\r\n")[0] != '{':
		row.class = ClassType
	}
	if row.class != "" {
		return row
	}
	r.unknown = false
	set := make([]bool, len(r.plan.columns))
	row.set = set
	r.object(r.plan.object, document, func(column int, value any, class Class) {
		if !set[column] || row.classes[column] == "" {
			row.values[column], row.classes[column], set[column] = value, class, true
		}
	}, set)
	for i, n := range r.plan.columns {
		if !set[i] && n.required && r.plan.metadata[i] == "" {
			row.classes[i] = ClassRequired
		}
	}
	if r.unknown {
		return referenceRow{class: ClassUnknownField, values: make([]any, len(row.values)), classes: row.classes}
	}
	return row
}

func (r *reference) last() bool { return r.plan.options.DuplicateKeys == DuplicateLast }

func (r *reference) object(o *jsonObject, raw []byte, put func(int, any, Class), set []bool) {
	met := map[string]bool{}
	for _, e := range r.entries(raw) {
		at := o.fields.find([]byte(e.key))
		if at == skipColumn {
			r.unknownField()
			continue
		}
		target := o.targets[at]
		for _, column := range target.columns {
			if met[e.key] {
				put(column, nil, ClassDuplicateKey)
				continue
			}
			value, class := r.try(r.plan.columns[column], e.value)
			put(column, value, class)
		}
		if target.inner != nil {
			switch {
			case met[e.key]:
				for _, column := range target.inner.columns {
					put(column, nil, ClassDuplicateKey)
				}
			case e.value[0] == '{':
				r.object(target.inner, e.value, put, set)
			case e.value[0] != 'n':
				for _, column := range target.inner.columns {
					put(column, nil, ClassType)
				}
			}
		}
		met[e.key] = true
	}
}

func (r *reference) unknownField() {
	r.unknown = r.unknown || r.plan.options.UnknownFields == UnknownDeadLetter
}

// entries are the fields of an object in order; under DuplicateLast without those that come again.
func (r *reference) entries(raw []byte) []entry {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	_, _ = decoder.Token()
	var all []entry
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			panic(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			panic(err)
		}
		all = append(all, entry{key.(string), value})
	}
	if !r.last() {
		return all
	}
	var kept []entry
	for i, e := range all {
		again := false
		for _, later := range all[i+1:] {
			again = again || later.key == e.key
		}
		if !again {
			kept = append(kept, e)
		}
	}
	return kept
}

func (r *reference) try(n *node, raw []byte) (value any, class Class) {
	defer func() {
		if refused, ok := recover().(refusedValue); ok {
			value, class = nil, refused.class
		}
	}()
	return r.value(n, raw), ""
}

func refuseValue(class Class) any { panic(refusedValue{class}) }

func (r *reference) value(n *node, raw []byte) any {
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" {
		if n.required {
			return refuseValue(ClassRequired)
		}
		return nil
	}
	switch {
	case n.kind == kindUnknown:
		return nil
	case n.kind == kindStruct && raw[0] == '{':
		return r.structure(n, raw)
	case n.kind == kindMap && raw[0] == '{':
		return r.mapping(n, raw)
	case n.kind == kindList && raw[0] == '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(raw, &elements); err != nil {
			panic(err)
		}
		list := []any{}
		for _, element := range elements {
			list = append(list, r.value(n.children[0], element))
		}
		return list
	case n.kind == kindString && raw[0] != '"' && n.options.JSONText:
		if !utf8.Valid(raw) {
			return refuseValue(ClassUTF8)
		}
		return string(raw)
	case n.kind >= kindStruct:
		return refuseValue(ClassType)
	case raw[0] == '"':
		return r.text(n, referenceString(raw), r.plan.options.StrictNumbers)
	case raw[0] == 't' || raw[0] == 'f':
		if n.kind != kindBool {
			return refuseValue(ClassType)
		}
		return raw[0] == 't'
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return r.number(n, string(raw))
	}
	return refuseValue(ClassType)
}

var wholeSurrogates = regexp.MustCompile(`^(?:[^\\]|\\[^u]|\\u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|` +
	`[dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*$`)

func referenceString(raw []byte) string {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		panic(err)
	}
	if !wholeSurrogates.Match(raw) {
		refuseValue(ClassUTF8)
	}
	if !utf8.Valid(raw) {
		return "\xff" // refused where a string is wanted; no form of any other type
	}
	return text
}

func (r *reference) structure(n *node, raw []byte) any {
	values, set := make([]any, len(n.children)), make([]bool, len(n.children))
	for _, e := range r.entries(raw) {
		at := n.fields.find([]byte(e.key))
		if at == skipColumn {
			r.unknownField()
			continue
		}
		if set[at] {
			return refuseValue(ClassDuplicateKey)
		}
		values[at], set[at] = r.value(n.children[at], e.value), true
	}
	for i, child := range n.children {
		if !set[i] && child.required {
			return refuseValue(ClassRequired)
		}
	}
	return values
}

func (r *reference) mapping(n *node, raw []byte) any {
	pairs := []any{}
	seen := map[string]bool{}
	again := false
	for _, e := range r.rawEntries(raw) {
		key := r.text(n.children[0], referenceString([]byte(e.key)), false)
		again = again || seen[fmt.Sprint(key)]
		seen[fmt.Sprint(key)] = true
		pairs = append(pairs, []any{key, r.value(n.children[1], e.value)})
	}
	if again {
		return refuseValue(ClassDuplicateKey)
	}
	return pairs
}

// rawEntries are entries whose keys are as they stand in the document, quotes and escapes included.
func (r *reference) rawEntries(raw []byte) []entry {
	kept := r.entries(raw)
	decoder := json.NewDecoder(bytes.NewReader(raw))
	_, _ = decoder.Token()
	var all []entry
	for decoder.More() {
		before := decoder.InputOffset()
		key, _ := decoder.Token()
		text := raw[before:decoder.InputOffset()]
		text = text[bytes.IndexByte(text, '"'):]
		var value json.RawMessage
		_ = decoder.Decode(&value)
		if len(kept) > 0 && kept[0].key == key.(string) && (!r.last() || !r.comesLater(decoder, raw, key.(string))) {
			kept = kept[1:]
			all = append(all, entry{string(text), value})
		}
	}
	return all
}

func (r *reference) comesLater(at *json.Decoder, raw []byte, key string) bool {
	rest := append([]byte("{"), bytes.TrimLeft(raw[at.InputOffset():], " \t\r\n,")...)
	decoder := json.NewDecoder(bytes.NewReader(rest))
	_, _ = decoder.Token()
	for decoder.More() {
		next, _ := decoder.Token()
		if next.(string) == key {
			return true
		}
		var value json.RawMessage
		_ = decoder.Decode(&value)
	}
	return false
}

var (
	numberForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	uuidForm   = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)
	dateForm   = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)$`)
	timeForm   = regexp.MustCompile(`^(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?$`)
	stampForm  = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)(?:[Tt ]` +
		`(\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)([zZ]|[+-]\d\d(?::?\d\d)?)?)?$`)
)

func (r *reference) text(n *node, text string, strict bool) any {
	isNumber := !strict && numberForm.MatchString(text)
	switch n.kind {
	case kindString:
		if !utf8.ValidString(text) {
			return refuseValue(ClassUTF8)
		}
		return text
	case kindBinary, kindFixed:
		encoding := base64Encoding([]byte(text))
		value, err := encoding.DecodeString(text)
		if err != nil || n.kind == kindFixed && len(value) != n.width {
			return refuseValue(ClassType)
		}
		return string(value)
	case kindUUID:
		if !uuidForm.MatchString(text) || len(text) != 36 && len(text) != 32 {
			return refuseValue(ClassType)
		}
		value := uuid.MustParse(text)
		return string(value[:])
	case kindBool:
		if v, err := strconv.ParseBool(text); err == nil && !strict && len(text) > 3 && strings.ToLower(text) == text {
			return v
		}
		return refuseValue(ClassType)
	case kindUnknown:
		return nil
	case kindStruct, kindList, kindMap:
		return refuseValue(ClassType)
	}
	if isNumber {
		return r.number(n, text)
	}
	switch n.kind {
	case kindDate:
		return referenceDate(text)
	case kindTime:
		return referenceTime(text) / 1000
	case kindTimestamp:
		nanos := referenceStamp(text)
		return floorRat(new(big.Rat).SetFrac(nanos, big.NewInt(1000))).Int64()
	case kindTimestampNs:
		if nanos := referenceStamp(text); nanos.IsInt64() {
			return nanos.Int64()
		}
		return refuseValue(ClassRange)
	}
	return refuseValue(ClassType)
}

func integerOf(text string) int64 {
	v, _ := strconv.ParseInt(text, 10, 64)
	return v
}

func referenceDate(text string) any {
	m := dateForm.FindStringSubmatch(text)
	if m == nil {
		return refuseValue(ClassType)
	}
	day, err := time.Parse("2006-01-02", text)
	if err != nil || day.Year() < 1 {
		return refuseValue(ClassRange)
	}
	return day.Unix() / 86400
}

// referenceTime is nanoseconds since midnight.
func referenceTime(text string) int64 {
	m := timeForm.FindStringSubmatch(text)
	if m == nil {
		refuseValue(ClassType)
	}
	hour, minute, second := integerOf(m[1]), integerOf(m[2]), integerOf(m[3])
	if hour > 23 || minute > 59 || second > 59 {
		refuseValue(ClassRange)
	}
	return (hour*3600+minute*60+second)*1e9 + integerOf((m[4] + "000000000")[:9])
}

// referenceStamp is nanoseconds since the epoch.
func referenceStamp(text string) *big.Int {
	m := stampForm.FindStringSubmatch(text)
	if m == nil {
		refuseValue(ClassType)
	}
	seconds := referenceDate(m[1]).(int64) * 86400
	var nanos int64
	if m[2] != "" {
		nanos = referenceTime(m[2])
	}
	if zone := strings.ReplaceAll(m[3], ":", ""); len(zone) > 1 {
		hours, minutes := integerOf(zone[1:3]), integerOf((zone + "00")[3:5])
		if hours > 23 || minutes > 59 {
			refuseValue(ClassRange)
		}
		if zone[0] == '+' {
			seconds -= hours*3600 + minutes*60
		} else {
			seconds += hours*3600 + minutes*60
		}
	}
	v := new(big.Int).Mul(big.NewInt(seconds), big.NewInt(1e9))
	return v.Add(v, big.NewInt(nanos))
}

// rational is the number exactly, or what is as good: exponents beyond 5000 are cut.
func rational(text string) *big.Rat {
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		exponent, ok := new(big.Int).SetString(strings.TrimPrefix(text[at+1:], "+"), 10)
		if !ok {
			panic("exponent " + text)
		}
		switch bound := big.NewInt(5000); {
		case exponent.Cmp(bound) > 0:
			text = text[:at] + "e5000"
		case exponent.CmpAbs(bound) > 0:
			text = text[:at] + "e-5000"
		}
	}
	v, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("number " + text)
	}
	return v
}

func floorRat(v *big.Rat) *big.Int {
	return new(big.Int).Div(v.Num(), v.Denom()) // Euclidean, which is floor here
}

func (r *reference) number(n *node, text string) any {
	switch n.kind {
	case kindDouble, kindFloat:
		bits := map[kind]int{kindDouble: 64, kindFloat: 32}[n.kind]
		v, err := strconv.ParseFloat(text, bits)
		if err != nil {
			return refuseValue(ClassRange)
		}
		return math.Float64bits(v)
	case kindInt, kindLong, kindDate:
		v := rational(text)
		limit := map[kind]uint{kindInt: 31, kindDate: 31, kindLong: 63}[n.kind]
		if !v.IsInt() || !fits(v.Num(), limit) {
			return refuseValue(ClassRange)
		}
		return v.Num().Int64()
	case kindDecimal:
		v := rational(text)
		v.Mul(v, new(big.Rat).SetInt(power10(int64(n.scale))))
		if !v.IsInt() || v.Num().CmpAbs(power10(int64(n.precision))) >= 0 {
			return refuseValue(ClassRange)
		}
		return v.Num().String()
	case kindTime, kindTimestamp, kindTimestampNs:
		return r.epoch(n, rational(text))
	}
	return refuseValue(ClassType)
}

func power10(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }

func fits(v *big.Int, bits uint) bool {
	limit := new(big.Int).Lsh(big.NewInt(1), bits)
	return v.Cmp(limit) < 0 && v.Cmp(limit.Neg(limit)) >= 0
}

func (r *reference) epoch(n *node, v *big.Rat) any {
	unit := map[TimeFormat]int64{TimeSeconds: 0, TimeMillis: 3, TimeMicros: 6, TimeNanos: 9}[n.options.Time]
	switch {
	case n.options.Time == TimeISO || n.options.Time == TimeAuto && n.kind == kindTime:
		return refuseValue(ClassType)
	case n.options.Time == TimeAuto:
		magnitude := new(big.Rat).Abs(v)
		for _, digits := range []int64{11, 14, 17} {
			if magnitude.Cmp(new(big.Rat).SetInt(power10(digits))) >= 0 {
				unit += 3
			}
		}
	}
	ticks := power10(6)
	if n.kind == kindTimestampNs {
		ticks = power10(9)
	}
	v = new(big.Rat).Mul(v, new(big.Rat).SetFrac(ticks, power10(unit)))
	floor := floorRat(v)
	if !fits(floor, 63) || n.kind == kindTime && (floor.Sign() < 0 || floor.Int64() >= 86400e6) {
		return refuseValue(ClassRange)
	}
	return floor.Int64()
}
