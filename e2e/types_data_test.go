//go:build e2e

package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// cell is one value: as it stands in a JSON record, as the readers print it, and as SQL writes it.
type cell struct {
	json, text, sql string
}

// null is a cell without a value. Records that leave the column out read the same.
func null() cell { return cell{json: "null", text: "null"} }

// column is a column of a test table. Rows take its cells in turn, and random ones when draw is there.
type column struct {
	name, typ string
	cells     []cell // in ascending order, nulls last, where conditions are asked of them
	draw      func(*rand.Rand) cell
}

func number(literals ...string) []cell {
	out := make([]cell, 0, len(literals))
	for _, l := range literals {
		out = append(out, cell{l, l, l})
	}
	return out
}

// floating are the cells of doubles, and of floats whose literals are exact.
func floating(literals ...string) []cell {
	var out []cell
	for _, l := range literals {
		v, err := strconv.ParseFloat(l, 64)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		out = append(out, cell{l, fmt.Sprintf("%016x", math.Float64bits(v)), l})
	}
	return out
}

// moments are dates, times or timestamps, which the readers print with six digits of a second.
func moments(texts ...string) []cell {
	var out []cell
	for _, text := range texts {
		out = append(out, cell{strconv.Quote(text), text, text})
	}
	return out
}

// zoned are timestamps of a zone: what Kafka holds, and the same in UTC.
func zoned(pairs ...[2]string) []cell {
	var out []cell
	for _, p := range pairs {
		out = append(out, cell{strconv.Quote(p[0]), p[1], p[1] + "+00:00"})
	}
	return out
}

func utc(texts ...string) []cell {
	var out []cell
	for _, text := range texts {
		out = append(out, zoned([2]string{text + "Z", text})...)
	}
	return out
}

// longText is how many characters the readers print; they tell a longer text by its hash.
const longText = 200

func readersText(s string) string {
	if n := utf8.RuneCountInString(s); n > longText {
		sum := sha256.Sum256([]byte(s))
		return fmt.Sprintf("%d %s", n, hex.EncodeToString(sum[:]))
	}
	return "'" + s
}

func texts(values ...string) []cell {
	var out []cell
	for _, v := range values {
		quoted, err := json.Marshal(v)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		out = append(out, cell{string(quoted), readersText(v), v})
	}
	return out
}

func blobs(values ...string) []cell {
	var out []cell
	for _, v := range values {
		quoted, err := json.Marshal([]byte(v)) // base64
		if err != nil {
			panic("BUG: " + err.Error())
		}
		h := hex.EncodeToString([]byte(v))
		out = append(out, cell{string(quoted), "0x" + h, h})
	}
	return out
}

// nested are cells of lists, structs and maps: JSON, and the text of the readers.
func nested(pairs ...[2]string) []cell {
	var out []cell
	for _, p := range pairs {
		out = append(out, cell{json: p[0], text: p[1]})
	}
	return out
}

func plus(cells []cell, more ...cell) []cell { return append(cells, more...) }

// alphabet has characters of one to four bytes.
var alphabet = []rune("abcxyz 09'\"\\/%é☃日𝄞😀")

func randomText(r *rand.Rand, length int) string {
	var s strings.Builder
	for range length {
		s.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return s.String()
}

// types are columns of every type that a spec can express in format version 2.
func types() []column {
	low := func(r *rand.Rand) cell { return texts(fmt.Sprintf("kind %d", r.IntN(20)))[0] }
	return []column{
		{"b", "boolean", plus(number("false", "true"), null()), nil},
		{"i", "int", plus(number("-2147483648", "-1", "0", "2147483647"), null()),
			func(r *rand.Rand) cell { return number(strconv.Itoa(int(int32(r.Uint32()))))[0] }},
		{"l", "long", plus(number("-9223372036854775808", "-1", "0", "9223372036854775807"), null()),
			func(r *rand.Rand) cell { return number(strconv.FormatInt(int64(r.Uint64()), 10))[0] }},
		{"f", "float", plus(floating("-340282346638528859811704183484516925440", "-0.0", "0.0", "0.5",
			"1.40129846432481707e-45", "340282346638528859811704183484516925440"), null()), nil},
		{"d", "double", plus(floating("-1.7976931348623157e308", "-0.0", "0.1", "5e-324",
			"1.7976931348623157e308"), null()),
			func(r *rand.Rand) cell {
				return floating(strconv.FormatFloat(r.NormFloat64()*1e6, 'g', -1, 64))[0]
			}},
		{"d9", "decimal(9, 2)", plus(number("-9999999.99", "-0.01", "0.00", "9999999.99"), null()),
			func(r *rand.Rand) cell { return number(fmt.Sprintf("%d.%02d", r.IntN(9999999), r.IntN(100)))[0] }},
		{"d18", "decimal(18, 4)", plus(number("-99999999999999.9999", "0.0001", "99999999999999.9999"),
			null()), nil},
		{"d38", "decimal(38, 10)", plus(number("-9999999999999999999999999999.9999999999",
			"-18446744073709551616.0000000001", "0.0000000000",
			"9999999999999999999999999999.9999999999"), null()), nil},
		{"dt", "date", plus(moments("0001-01-01", "1582-10-10", "1899-12-31", "1969-12-31", "1970-01-01",
			"2024-02-29", "9999-12-31"), null()), nil},
		{"ts", "timestamp", plus(moments("0001-01-05T00:00:00.000000", "1582-10-10T01:02:03.000004",
			"1969-12-31T23:59:59.999999", "1970-01-01T00:00:00.000000", "2024-02-29T12:00:00.123456",
			"9999-12-30T23:59:59.999999"), null()), nil},
		{"tz", "timestamptz", plus(zoned([2]string{"0001-01-05T00:00:00Z", "0001-01-05T00:00:00.000000"},
			[2]string{"1969-12-31T23:59:59.999999+00:00", "1969-12-31T23:59:59.999999"},
			[2]string{"2024-02-29T12:00:00.5+05:30", "2024-02-29T06:30:00.500000"},
			[2]string{"9999-12-30T23:59:59.999999Z", "9999-12-30T23:59:59.999999"}), null()), nil},
		{"s", "string", plus(texts("", " ", "null", "a'b\"c\\d", "tab\tline\nnul\x00", "é☃日𝄞😀",
			strings.Repeat("long𝄞", 20_000)), null()),
			func(r *rand.Rand) cell { return texts(randomText(r, r.IntN(40)))[0] }},
		{"kind", "string", plus(texts("kind 0"), null()), low},
		{"u", "uuid", plus([]cell{uuidCell("00000000-0000-0000-0000-000000000000"),
			uuidCell("80000000-0000-4000-8000-000000000001"),
			uuidCell("ffffffff-ffff-ffff-ffff-ffffffffffff")}, null()), nil},
		{"fx", "fixed(5)", plus(blobs("\x00\x00\x00\x00\x00", "abcde", "\xff\xff\xff\xff\xff"), null()),
			func(r *rand.Rand) cell { return blobs(string([]byte{byte(r.Uint32()), 1, 2, 3, 4}))[0] }},
		{"bin", "binary", plus(blobs("", "\x00", "\xff\xfe", strings.Repeat("\x80", 300)), null()),
			func(r *rand.Rand) cell { return blobs(string([]byte{byte(r.Uint32())}))[0] }},
		{"nothing", "string", []cell{null()}, nil},
		{"nought", "long", []cell{null()}, nil},
		{"Große Spalte", "string", plus(texts("ein Wert"), null()), nil},
	}
}

// clocks are the columns of the type that Spark lacks.
func clocks() []column {
	return []column{
		{"tm", "time", plus(moments("00:00:00.000000", "12:34:56.000001", "23:59:59.999999"), null()), nil},
	}
}

func uuidCell(text string) cell { return cell{strconv.Quote(text), "'" + text, text} }

// shapes are columns of nested types.
func shapes() []column {
	return []column{
		{"st", "struct<a: int, b: string>", plus(nested([2]string{`{"a":1,"b":""}`, `{a: 1, b: '}`},
			[2]string{`{"a":null}`, `{a: null, b: null}`}, [2]string{`{}`, `{a: null, b: null}`}), null()), nil},
		{"li", "list<long>", plus(nested([2]string{`[]`, `[]`}, [2]string{`[null]`, `[null]`},
			[2]string{`[1,null,-9223372036854775808]`, `[1, null, -9223372036854775808]`}), null()), nil},
		{"ls", "list<string>", plus(nested([2]string{`[]`, `[]`}, [2]string{`["",null,"𝄞"]`, `[', null, '𝄞]`}),
			null()), nil},
		{"mp", "map<string, long>", plus(nested([2]string{`{}`, `{}`}, [2]string{`{"":null}`, `{: null}`},
			[2]string{`{"b":2,"a":1}`, `{a: 1, b: 2}`}), null()), nil},
		{"deep", "list<struct<n: required int, tags: list<map<string, decimal(12, 3)>>>>", plus(nested(
			[2]string{`[]`, `[]`},
			[2]string{`[{"n":1,"tags":[]},null,{"n":2}]`, `[{n: 1, tags: []}, null, {n: 2, tags: null}]`},
			[2]string{`[{"n":3,"tags":[{},null,{"k":1.5,"l":null}]}]`,
				`[{n: 3, tags: [{}, null, {k: 1.500, l: null}]}]`}), null()), nil},
		{"inner", "struct<x: struct<y: struct<z: timestamptz, w: list<boolean>>>>", plus(nested(
			[2]string{`{}`, `{x: null}`}, [2]string{`{"x":{"y":null}}`, `{x: {y: null}}`},
			[2]string{`{"x":{"y":{"z":"1969-12-31T23:59:59Z","w":[true,null]}}}`,
				`{x: {y: {w: [true, null], z: 1969-12-31T23:59:59.000000}}}`}), null()), nil},
		{"ms", "map<string, struct<v: list<double>, on: date>>", plus(nested([2]string{`{}`, `{}`},
			[2]string{`{"k":{"v":[0.5],"on":"1969-12-31"},"n":null}`,
				`{k: {on: 1969-12-31, v: [3fe0000000000000]}, n: null}`}), null()), nil},
		{"empty", "struct<a: int>", []cell{null()}, nil},
	}
}

// dataset is the content of a test table: rows of a few waves, each of which ends in files of its own.
type dataset struct {
	name      string
	columns   []column
	partition []string
	rows      int    // of a wave
	split     bool   // each wave takes its own part of the cells, so that files differ in their bounds
	filters   bool   // bloom filters for all columns
	profile   string // of readers
	avro      bool   // records of specialSchema
	seed      uint64
}

// waves is how often every table is fed.
const waves = 3

// wave returns the rows of a wave as places in the cells of each column; -1 is a drawn cell.
func (d *dataset) wave(n int) [][]cell {
	r := rand.New(rand.NewPCG(d.seed, uint64(n)))
	out := make([][]cell, d.rows)
	for i := range out {
		for _, c := range d.columns {
			low, high := 0, len(c.cells)
			if d.split && high >= waves {
				low, high = n*high/waves, (n+1)*high/waves
			}
			if c.draw != nil && i >= 60 && r.IntN(10) > 0 {
				out[i] = append(out[i], c.draw(r))
				continue
			}
			out[i] = append(out[i], c.cells[low+(i+i/(high-low)/7)%(high-low)])
		}
	}
	return out
}

// all are the rows of all waves; a row's id is its place.
func (d *dataset) all() [][]cell {
	var out [][]cell
	for n := range waves {
		out = append(out, d.wave(n)...)
	}
	return out
}

// records are the JSON documents of a wave.
func (d *dataset) records(n int) [][]byte {
	var out [][]byte
	for i, row := range d.wave(n) {
		if d.avro {
			out = append(out, avroRecord(specialID, n*d.rows+i, row))
			continue
		}
		text := []byte(`{"id":` + strconv.Itoa(n*d.rows+i))
		for j, c := range row {
			if c == null() && i%2 == 0 {
				continue // a field that is not there is null too
			}
			name, err := json.Marshal(d.columns[j].name)
			if err != nil {
				panic("BUG: " + err.Error())
			}
			text = slices.Concat(text, []byte(","), name, []byte(":"+c.json))
		}
		out = append(out, append(text, '}'))
	}
	return out
}

// spec is the table's spec.
func (d *dataset) spec() string {
	var s strings.Builder
	fmt.Fprintf(&s, "name: db.%s\nsources: [{topics: [%s], format: %s}]\nfreshness: {interval: 400ms}\n",
		d.name, d.name, map[bool]string{true: "avro", false: "json"}[d.avro])
	partition, err := json.Marshal(d.partition)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	if d.profile != "" {
		fmt.Fprintf(&s, "reader_profile: %s\n", d.profile)
	}
	if d.filters {
		s.WriteString("properties:\n")
		for _, c := range d.columns {
			fmt.Fprintf(&s, "  write.parquet.bloom-filter-enabled.column.%s: 'true'\n", c.name)
		}
	}
	fmt.Fprintf(&s, "partition: %s\nschema:\n  columns:\n  - {name: id, type: long, required: true}\n",
		cmp.Or(strings.TrimPrefix(string(partition), "null"), "[]"))
	for _, c := range d.columns {
		fmt.Fprintf(&s, "  - {name: %q, type: %q}\n", c.name, c.typ)
	}
	return s.String()
}
