//go:build e2e

package e2e

import (
	"encoding/binary"
	"math"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// specialSchema writes numbers that JSON has no words for.
const specialSchema = `{"type": "record", "name": "special", "fields": [{"name": "id", "type": "long"},
	{"name": "f", "type": ["null", "float"]}, {"name": "d", "type": ["null", "double"]}]}`

// special are floats and doubles that are no numbers, or of no size.
func special() *dataset {
	cells := []cell{floatCell("-Inf"), floatCell("-1.5"), floatCell("-0"), floatCell("0"), floatCell("2.25"),
		floatCell("Inf"), floatCell("NaN"), null()}
	return &dataset{name: "special", rows: 45, avro: true,
		columns: []column{{"f", "float", cells, nil}, {"d", "double", cells, nil}}}
}

// floatCell keeps the bits of a double where others keep JSON.
func floatCell(literal string) cell {
	c := floating(literal)[0]
	v, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	if math.IsNaN(v) {
		c.text = "nan"
	}
	return cell{json: strconv.FormatUint(math.Float64bits(v), 10), text: c.text}
}

// avroRecord is a row as a record of specialSchema, framed as a registry's clients do.
func avroRecord(schemaID uint32, id int, row []cell) []byte {
	out := binary.BigEndian.AppendUint32([]byte{0}, schemaID)
	out = binary.AppendVarint(out, int64(id))
	for i, c := range row {
		if c == null() {
			out = append(out, 0) // the first type of the union
			continue
		}
		out = append(out, 2)
		word, err := strconv.ParseUint(c.json, 10, 64)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		if i == 0 {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(math.Float64frombits(word))))
		} else {
			out = binary.LittleEndian.AppendUint64(out, word)
		}
	}
	return out
}

// numbersAmong asks for numbers in files whose bounds must leave out what is no number.
func numbersAmong() []question {
	d := special()
	var out []question
	for i, c := range d.columns {
		for _, want := range []string{"-1.5", "2.25"} {
			q := question{part: "floats"}
			for _, row := range d.all() {
				if row[i] == floatCell(want) {
					q.count++
				}
			}
			q.Table = "db." + d.name
			q.Where.Column, q.Where.Type, q.Where.Op, q.Where.Value = c.name, c.typ, "=", want
			out = append(out, q)
		}
	}
	return out
}

// specialID is the schema's id in the registry.
const specialID = 7

// specialRegistry has the one schema.
func specialRegistry(t *testing.T) string {
	t.Helper()
	registry := srfake.New()
	t.Cleanup(registry.Close)
	registry.SeedSchema("special-value", 1, specialID, sr.Schema{Schema: specialSchema, Type: sr.TypeAvro})
	return registry.URL()
}
