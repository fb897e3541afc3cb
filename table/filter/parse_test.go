package filter

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func testSchema() *iceberg.Schema {
	optional := func(id int, name string, typ iceberg.Type) iceberg.NestedField {
		return iceberg.NestedField{ID: id, Name: name, Type: typ}
	}
	return iceberg.NewSchema(0,
		optional(1, "i", iceberg.PrimitiveTypes.Int32),
		optional(2, "l", iceberg.PrimitiveTypes.Int64),
		optional(3, "f", iceberg.PrimitiveTypes.Float32),
		optional(4, "d", iceberg.PrimitiveTypes.Float64),
		optional(5, "amount", iceberg.DecimalTypeOf(12, 2)),
		optional(6, "day", iceberg.PrimitiveTypes.Date),
		optional(7, "ts", iceberg.PrimitiveTypes.Timestamp),
		optional(8, "tz", iceberg.PrimitiveTypes.TimestampTz),
		optional(9, "s", iceberg.PrimitiveTypes.String),
		optional(10, "b", iceberg.PrimitiveTypes.Bool),
		optional(11, "u", iceberg.PrimitiveTypes.UUID),
		optional(12, "bin", iceberg.PrimitiveTypes.Binary),
		optional(13, "t", iceberg.PrimitiveTypes.Time),
		optional(14, "st", &iceberg.StructType{FieldList: []iceberg.NestedField{
			optional(15, "x", iceberg.PrimitiveTypes.Int64),
			optional(16, "in", &iceberg.StructType{FieldList: []iceberg.NestedField{
				optional(17, "y", iceberg.PrimitiveTypes.String),
			}}),
		}}),
		optional(18, "list", &iceberg.ListType{ElementID: 19, Element: iceberg.PrimitiveTypes.Int32}),
		optional(20, "two words", iceberg.PrimitiveTypes.Int32),
		optional(21, "fix", iceberg.FixedTypeOf(2)),
	)
}

func TestParseRendersCanonically(t *testing.T) {
	for text, want := range map[string]string{
		"event_type = 'purchase' AND amount > 10": "(event_type = 'purchase' AND amount > 10)",
		"a=1 or b<>2 and not c":                   "(a = 1 OR (b != 2 AND (NOT c)))",
		"(a=1 or b=2) and c == 3":                 "((a = 1 OR b = 2) AND c = 3)",
		"10 < a.b.c":                              "a.b.c > 10",
		"a between -1 and +2.50":                  "(a >= -1 AND a <= 2.50)",
		"a not in (1, 2,3)":                       "(NOT a IN (1, 2, 3))",
		"a is not null or b is null":              "((NOT a IS NULL) OR b IS NULL)",
		"a is not nan":                            "(NOT a IS NAN)",
		"a like 'it''s%'":                         "a LIKE 'it''s%'",
		`"two words" = 1 and "a""b"."and" = 2`:    `("two words" = 1 AND "a""b"."and" = 2)`,
		"`x y` = 1":                               `"x y" = 1`,
		"d >= date '2024-01-01'":                  "d >= DATE '2024-01-01'",
		"date = timestamp '2024-01-01 00:00:00'":  "date = TIMESTAMP '2024-01-01 00:00:00'",
		"timestamp is null and date > 5":          "(timestamp IS NULL AND date > 5)",
		"b = x'00FF'":                             "b = X'00ff'",
		"true and not false":                      "(TRUE AND (NOT FALSE))",
		"größe > 1e-3":                            "größe > 1e-3",
		"ok = TRUE":                               "ok = TRUE",
	} {
		expr, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, expr.String(), text)
		again, err := Parse(expr.String())
		require.NoError(t, err, text)
		require.Equal(t, want, again.String(), text)
	}
}

func TestParseErrorsNamePositionAndRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "character 1: the filter is empty; leave it out",
		"a = ":             "character 5: expected a literal, found the end",
		"a = b":            `character 5: expected a literal, found "b"; strings are written in single quotes`,
		"a = NULL":         "character 5: nothing equals NULL; write IS NULL",
		"a = 'x":           "character 5: the quote ' is never closed",
		"a = 1 b = 2":      `character 7: expected AND, OR or the end, found "b"`,
		"(a = 1":           "character 7: expected ) for the ( at character 1, found the end",
		"größe = ?":        `character 9: unexpected character '?'`,
		"a in 1":           "character 6: expected ( after IN",
		"a in ()":          `character 7: expected a literal, found ")"`,
		"a in (1 2)":       `character 9: expected , or ) in the list`,
		"a between 1 or 2": "character 13: expected AND of BETWEEN",
		"a is 5":           "character 6: expected NULL or NAN after IS",
		"a not 5":          "character 7: expected IN, BETWEEN or LIKE after NOT",
		"1 = 2":            "character 5: both sides are literals",
		"and = 1":          "character 1: expected a column, found \"and\"; a column of that name",
		"a = 1x":           "character 6: a number is followed by 'x'",
		"a = x'0'":         "is not hexadecimal digits in pairs",
		"a like 5":         "expected a pattern in single quotes",
		"a = - b":          "expected a number after -",
		"a = \xff":         "not UTF-8",
		strings.Repeat("(", 1000) + "a" + strings.Repeat(")", 1000): "nested deeper than 200 levels",
		strings.Repeat("not ", 1000) + "a":                          "nested deeper than 200 levels",
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, want, text)
		var located *Error
		require.True(t, errors.As(err, &located))
	}
}

func TestBindErrorsNamePositionAndRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"i = 1 AND nope = 2":          "character 11: unknown column nope: there are i, l, f",
		"S = 'x'":                     "did you mean s? Names are case-sensitive",
		"st.z = 1":                    `unknown column st.z: there are x, "in"`,
		"i.x = 1":                     "i is a int: only structs have fields",
		"list.element = 1":            "list is a list: only structs",
		"list = 1":                    "column list is a list, which can only be tested by IS [NOT] NULL",
		"i = 'x'":                     "character 5: the column takes a number, not 'x'",
		"s = 5":                       "the column takes a string in single quotes, not 5",
		"b = 1":                       "the column takes TRUE or FALSE",
		"i":                           "column i (int) stands alone",
		"i IS NAN":                    "only float and double",
		"i LIKE 'x'":                  "LIKE needs a string column",
		`s LIKE 'x\'`:                 `the pattern ends in \`,
		"day = 'yesterday'":           "'yesterday' is not a date or timestamp; write '2024-05-31'",
		"ts = '2024-01-01T00Z'":       "is not a date or timestamp",
		"ts = '2024-01-01T00:00:00Z'": "has a zone and the column (timestamp) has none",
		"u = 'x'":                     "a UUID in single quotes",
		"bin = 'x'":                   "bytes written as X'00ff'",
		"fix = X'00'":                 "2 bytes written as X'0000'",
		"t = '25:00'":                 "'25:00' is not a time",
		"l = 1e500":                   "the exponent of 1e500 is beyond",
		"d = 'many'":                  "a number, 'NaN' or 'Infinity'",
	} {
		_, err := ParseAndBind(text, testSchema())
		require.ErrorContains(t, err, want, text)
	}
}

func TestColumnsAreListedOnce(t *testing.T) {
	expr, err := Parse("a.b = 1 OR c IS NULL OR NOT (a.b IN (3)) AND TRUE")
	require.NoError(t, err)
	require.Equal(t, [][]string{{"a", "b"}, {"c"}}, expr.Columns())
	bound, err := ParseAndBind("st.x = 1 OR i IS NULL OR st.x > 3", testSchema())
	require.NoError(t, err)
	require.Equal(t, []int{1, 15}, bound.FieldIDs())
}

func TestLikeMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"%", "", true},
		{"a%", "abc", true},
		{"a%", "ba", false},
		{"%c", "abcc", true},
		{"%b%", "abc", true},
		{"a%c%e", "abcde", true},
		{"a%c%e", "abcd", false},
		{"_", "ä", true},
		{"__", "ä", false},
		{"a_c", "abc", true},
		{"%_%_%", "a", false},
		{`100\%`, "100%", true},
		{`100\%`, "1000", false},
		{`%\_%`, "a_b", true},
		{"%aab", "aaaab", true},
		{"%a%a%a%a%a%b", strings.Repeat("a", 200), false},
	} {
		p, err := parsePattern(tc.pattern)
		require.NoError(t, err)
		require.Equal(t, tc.want, p.matches(tc.text), "%s LIKE %s", tc.text, tc.pattern)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"event_type = 'purchase' AND amount > 10", "a not between 1 and 2", `"x""y".z is not nan`,
		"a in (1, -2.5e3, 'x''', x'ff', date '2024-01-01', TRUE)", "not (a like 'x\\%' or b)",
		"s = 'x' and st.in.y like '%a_' or ts > '2024-01-01T00:00:00.1' and f != 1e-45",
	} {
		f.Add(seed)
	}
	schema := testSchema()
	f.Fuzz(func(t *testing.T, text string) {
		expr, err := Parse(text)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		again, err := Parse(expr.String())
		require.NoError(t, err, "%q renders as %q", text, expr)
		require.Equal(t, expr.String(), again.String())
		if bound, err := Bind(expr, schema); err == nil {
			require.NotEmpty(t, bound.depth)
		} else {
			require.NotEmpty(t, err.Error())
		}
	})
}
