package gen

import (
	"fmt"
	"strings"
)

// kind is the type of a field.
type kind int

const (
	kindLong kind = iota
	kindInt
	kindDouble // with two decimals: value.n is the number of hundredths
	kindBool
	kindText
	kindTimestamp // milliseconds since the Unix epoch
	kindRecord
	kindList // of text, or of records when fields is set
	kindMap  // text to text
)

// field is one field of a workload. Its values are drawn in the order of fields.
type field struct {
	name     string
	kind     kind
	optional bool
	fields   []field // of a record, or of a list's records
	draw     func(r *row)

	jsonKey string // `"name":`, made once
}

// value is a drawn value. Records have none of their own, lists and maps have their length in n and
// are followed by their elements.
type value struct {
	n    int64
	text []byte
	null bool
}

// row is where the values of one row are drawn to. Text lies in arena.
type row struct {
	number int64
	random random
	values []value
	arena  []byte
}

func (r *row) reset(seed uint64, number int64) {
	r.number = number
	r.random = newRandom(seed, uint64(number))
	r.values = r.values[:0]
	r.arena = r.arena[:0]
}

func (r *row) number64(n int64) { r.values = append(r.values, value{n: n}) }

// text adds what write appends to the arena. Values hold slices of the arena that stay valid when it
// grows, since it is only appended to.
func (r *row) text(write func(dst []byte) []byte) {
	from := len(r.arena)
	r.arena = write(r.arena)
	r.values = append(r.values, value{text: r.arena[from:len(r.arena):len(r.arena)]})
}

func (r *row) choice(words []string) {
	word := words[r.random.below(uint64(len(words)))]
	from := len(r.arena)
	r.arena = append(r.arena, word...)
	r.values = append(r.values, value{text: r.arena[from:len(r.arena):len(r.arena)]})
}

// null adds a null once in every n rows and says whether it did.
func (r *row) null(n uint64) bool {
	if r.random.below(n) != 0 {
		return false
	}
	r.values = append(r.values, value{null: true})
	return true
}

// workload is a named list of fields. The key of a record is the value at keyField.
type workload struct {
	name     string
	fields   []field
	keyField int
}

// Workloads are the names of all workloads.
func Workloads() []string { return []string{"events10", "nested", "wide50", "logs"} }

func findWorkload(name string) (workload, error) {
	var w workload
	switch name {
	case "events10":
		w = events10()
	case "nested":
		w = nested()
	case "wide50":
		w = wide50()
	case "logs":
		w = logs()
	default:
		return workload{}, fmt.Errorf("no workload %q: choose one of %s", name, strings.Join(Workloads(), ", "))
	}
	setKeys(w.fields)
	return w, nil
}

func setKeys(fields []field) {
	for i := range fields {
		fields[i].jsonKey = `"` + fields[i].name + `":`
		setKeys(fields[i].fields)
	}
}

// firstMillis is the time of row 0, 2026-01-01T00:00:00Z; rows are one millisecond apart.
const firstMillis = 1_767_225_600_000

// users is how many different keys the workloads have.
const users = 1_000_000

func long(name string, draw func(r *row) int64) field {
	return field{name: name, kind: kindLong, draw: func(r *row) { r.number64(draw(r)) }}
}

func integer(name string, limit uint64) field {
	return field{name: name, kind: kindInt, draw: func(r *row) { r.number64(int64(r.random.below(limit))) }}
}

func double(name string, hundredths uint64) field {
	return field{name: name, kind: kindDouble, draw: func(r *row) {
		r.number64(int64(r.random.below(hundredths)))
	}}
}

func boolean(name string) field {
	return field{name: name, kind: kindBool, draw: func(r *row) { r.number64(int64(r.random.below(2))) }}
}

func choice(name string, words []string) field {
	return field{name: name, kind: kindText, draw: func(r *row) { r.choice(words) }}
}

func text(name string, write func(r *row, dst []byte) []byte) field {
	return field{name: name, kind: kindText, draw: func(r *row) {
		r.text(func(dst []byte) []byte { return write(r, dst) })
	}}
}

func timestamp(name string) field {
	return field{name: name, kind: kindTimestamp, draw: func(r *row) { r.number64(firstMillis + r.number) }}
}

// optional makes f null once in every n rows.
func optional(f field, n uint64) field {
	draw := f.draw
	f.optional = true
	f.draw = func(r *row) {
		if !r.null(n) {
			draw(r)
		}
	}
	return f
}

func userID() field {
	return long("user_id", func(r *row) int64 { return int64(r.random.below(users)) })
}

// events10 is the workload of the targets: ten flat columns, 238 bytes of JSON on average.
func events10() workload {
	return workload{name: "events10", keyField: 1, fields: []field{
		text("event_id", writeUUID),
		userID(),
		choice("event_type", eventTypes()),
		timestamp("ts"),
		text("url", writeURL),
		double("amount", 50_000),
		integer("quantity", 20),
		choice("country", countries()),
		boolean("is_mobile"),
		text("session", writeHex32),
	}}
}

// nested has structs in structs, a list of structs, a list, a map and nulls.
func nested() workload {
	geo := field{name: "geo", kind: kindRecord, fields: []field{
		double("lat", 9_000), double("lon", 18_000),
	}}
	address := field{name: "address", kind: kindRecord, fields: []field{
		choice("city", cities()), optional(text("zip", writeZip), 10), geo,
	}}
	return workload{name: "nested", keyField: 1, fields: []field{
		text("event_id", writeUUID),
		userID(),
		timestamp("ts"),
		{name: "user", kind: kindRecord, fields: []field{
			choice("name", names()), optional(integer("age", 90), 5), address,
		}},
		{name: "tags", kind: kindList, draw: func(r *row) {
			n := int64(r.random.below(4))
			r.number64(n)
			for range n {
				r.choice(eventTypes())
			}
		}},
		{name: "items", kind: kindList, fields: []field{
			text("sku", writeZip), integer("quantity", 10), double("price", 100_000),
		}, draw: func(r *row) { r.number64(int64(r.random.below(4))) }},
		{name: "attributes", kind: kindMap, draw: func(r *row) {
			n := int64(r.random.below(3))
			r.number64(n)
			for i := range n {
				r.text(func(dst []byte) []byte { return append(dst, 'a'+byte(i)) })
				r.choice(countries())
			}
		}},
		optional(text("referrer", writeURL), 3),
	}}
}

// wide50 has fifty flat columns, a third of them mostly null.
func wide50() workload {
	fields := []field{text("event_id", writeUUID), userID(), timestamp("ts")}
	for i := range 47 {
		name := fmt.Sprintf("c%02d", i+3)
		var f field
		switch i % 5 {
		case 0:
			f = long(name, func(r *row) int64 { return int64(r.random.next() >> 20) })
		case 1:
			f = double(name, 1_000_000)
		case 2:
			f = choice(name, countries())
		case 3:
			f = boolean(name)
		default:
			f = text(name, writeHex32)
		}
		if i%3 == 0 {
			f = optional(f, 2)
		}
		fields = append(fields, f)
	}
	return workload{name: "wide50", keyField: 1, fields: fields}
}

// logs has few columns and one long text.
func logs() workload {
	return workload{name: "logs", keyField: 2, fields: []field{
		timestamp("ts"),
		choice("level", levels()),
		choice("service", services()),
		text("message", writeMessage),
		optional(text("trace_id", writeHex32), 4),
	}}
}
