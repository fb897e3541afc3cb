package decode

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func csvPlan(t testing.TB, options CSVOptions, fields ...iceberg.NestedField) *Plan {
	t.Helper()
	plan, err := NewPlan(testSchema(fields...), Options{Format: FormatCSV, CSV: options})
	require.NoError(t, err)
	return plan
}

func TestCSVReadsFields(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := csvPlan(t, CSVOptions{}, iceberg.NestedField{Name: "id", Type: prim.Int64, Required: true},
		iceberg.NestedField{Name: "name", Type: prim.String}, iceberg.NestedField{Name: "at", Type: prim.TimestampTz},
		iceberg.NestedField{Name: "price", Type: iceberg.DecimalTypeOf(6, 2)})
	rows, failures := decodeValues(t, plan, `1,plain,2026-11-21T05:00:00Z,9.90`,
		"2,\"a \"\"b\"\", c\r\nd\",1790000000,\r\n",
		`3,"",,`, `x,é,y,1.234`, `,,,`, `1,2,3`, `1,2,3,4,5`, `1,"2,3,4`, `1,"2"x,3,4`, `1,2"3,4,5`,
		"1,2\n3,4,5", ``, "4,\xff,,")
	require.JSONEq(t, `[{"id":1,"name":"plain","at":"2026-11-21T05:00:00Z","price":"9.9"},
	 {"id":2,"name":"a \"b\", c\r\nd","at":"2026-09-21T14:13:20Z","price":null},
	 {"id":3,"name":"","at":null,"price":null}, {"id":null,"name":"é","at":null,"price":null},
	 {"id":null,"name":null,"at":null,"price":null},
	 `+strings.Repeat(`{"id":null,"name":null,"at":null,"price":null},`, 7)+
		`{"id":4,"name":null,"at":null,"price":null}]`, rows)
	require.Equal(t, []string{"3 1 type", "3 3 type", "3 4 range", "4 1 required", "5 0 syntax", "6 0 syntax",
		"7 0 syntax", "8 0 syntax", "9 0 syntax", "10 0 syntax", "11 0 syntax", "12 2 utf8"}, failures)
}

func TestCSVFollowsOptions(t *testing.T) {
	prim := iceberg.PrimitiveTypes
	plan := csvPlan(t, CSVOptions{Columns: []string{"b", "", "a"}, Delimiter: ';', Quote: '\'', Null: `\N`},
		iceberg.NestedField{Name: "a", Type: prim.Int32}, iceberg.NestedField{Name: "b", Type: prim.String})
	rows, failures := decodeValues(t, plan, `'it''s';skipped;5`, `\N;;\N`, `'\N';;1`)
	require.JSONEq(t, `[{"a":5,"b":"it's"},{"a":null,"b":null},{"a":1,"b":"\\N"}]`, rows)
	require.Empty(t, failures)
}

func TestCSVRefusesColumnsItCannotFill(t *testing.T) {
	list := iceberg.NestedField{ID: 1, Name: "l", Type: &iceberg.ListType{ElementID: 2,
		Element: iceberg.PrimitiveTypes.Int32}}
	_, err := NewPlan(testSchema(list), Options{Format: FormatCSV})
	require.ErrorContains(t, err, "column l: csv has no values for list")
	name := iceberg.NestedField{Name: "a", Type: iceberg.PrimitiveTypes.Int32}
	_, err = NewPlan(testSchema(name), Options{Format: FormatCSV, CSV: CSVOptions{Columns: []string{"a", "a"}}})
	require.ErrorContains(t, err, "a")
	_, err = NewPlan(testSchema(name), Options{Format: FormatCSV, CSV: CSVOptions{Columns: []string{"typo"}}})
	require.ErrorContains(t, err, "typo")
	_, err = NewPlan(testSchema(name), Options{Format: FormatCSV, CSV: CSVOptions{Delimiter: '"'}})
	require.ErrorContains(t, err, "same byte")
}

// FuzzCSV compares what is accepted with encoding/csv, which normalises carriage returns and skips
// empty lines; records with either are only decoded.
func FuzzCSV(f *testing.F) {
	for _, line := range []string{`a,b,c`, `"a","b ""c""",`, `,,`, "\"x\ny\",1,2", `"`, `"a"b,c,d`,
		`a"b,c,d`, "\xff,\x00,é", "", "\n", "a,b,c\n\n",
		"a,b,c\r\n", `"",,""`} {
		f.Add([]byte(line))
	}
	prim := iceberg.PrimitiveTypes
	texts := csvPlan(f, CSVOptions{Null: "\x00"}, iceberg.NestedField{Name: "a", Type: prim.String},
		iceberg.NestedField{Name: "b", Type: prim.String}, iceberg.NestedField{Name: "c", Type: prim.String})
	typed := csvPlan(f, CSVOptions{}, iceberg.NestedField{Name: "a", Type: prim.TimestampTz},
		iceberg.NestedField{Name: "b", Type: iceberg.DecimalTypeOf(38, 10)},
		iceberg.NestedField{Name: "c", Type: prim.UUID})
	f.Fuzz(func(t *testing.T, line []byte) {
		decodeValues(t, typed, string(line))
		_, failures := decodeValues(t, texts, string(line))
		emptyLine := bytes.HasPrefix(line, []byte("\n")) || bytes.HasSuffix(line, []byte("\n\n"))
		if bytes.ContainsAny(line, "\r\x00") || len(bytes.TrimSpace(line)) == 0 || emptyLine {
			return
		}
		reader := csv.NewReader(bytes.NewReader(line))
		fields, err := reader.Read()
		_, end := reader.Read()
		good := err == nil && len(fields) == 3 && end != nil && end.Error() == "EOF"
		refused := len(failures) > 0 && strings.HasSuffix(failures[0], "syntax")
		require.Equal(t, good, !refused, "%q %v %v", line, fields, err)
		if good && len(failures) == 0 {
			var r csvReader
			r.options = texts.options.CSV
			r.reset(line)
			for _, want := range fields {
				require.True(t, r.next())
				require.Equal(t, want, string(r.text))
			}
		}
	})
}
