package filter

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

func arrowSchema(t testing.TB, schema *iceberg.Schema) *arrow.Schema {
	t.Helper()
	s, err := icetable.SchemaToArrowSchema(schema, nil, true, false)
	require.NoError(t, err)
	return s
}

// batchOf reads rows of JSON, as arrow's own reader takes them.
func batchOf(t testing.TB, schema *iceberg.Schema, rows string) arrow.RecordBatch {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	batch, _, err := array.RecordFromJSON(mem, arrowSchema(t, schema), strings.NewReader(rows))
	require.NoError(t, err)
	t.Cleanup(batch.Release)
	return batch
}

func selected(t testing.TB, text string, schema *iceberg.Schema, batch arrow.RecordBatch) []int {
	t.Helper()
	bound, err := ParseAndBind(text, schema)
	require.NoError(t, err, text)
	selection, err := bound.Evaluator().Select(batch)
	require.NoError(t, err, text)
	rows := []int{}
	for row := range selection.Rows() {
		if selection.Contains(row) {
			rows = append(rows, row)
		}
	}
	require.Len(t, rows, selection.Count())
	return rows
}

func TestEachTypeIsCompared(t *testing.T) {
	schema := testSchema()
	batch := batchOf(t, schema, `[
	{"i": 1, "l": 9007199254740993, "f": 0.1, "d": 0.1, "amount": "10.00", "day": "2024-01-01",
	 "ts": "2024-01-01T00:00:00", "tz": "2024-01-01T00:00:00Z", "s": "abc", "b": true,
	 "u": "00000000-0000-0000-0000-000000000001", "bin": "AP8=", "t": "10:00:00",
	 "st": {"x": 1, "in": {"y": "deep"}}, "list": [1], "two words": 1, "fix": "AAE="},
	{"i": -5, "l": -1, "f": -2.5, "d": -2.5, "amount": "-10.01", "day": "1969-12-31",
	 "ts": "1969-12-31T23:59:59.999999", "tz": "2024-01-01T01:00:00Z", "s": "", "b": false,
	 "u": "ffffffff-0000-0000-0000-000000000001", "bin": "", "t": "23:59:59.999999",
	 "st": {"x": null, "in": null}, "list": [], "two words": 2, "fix": "/wA="},
	{"st": null}]`)
	for text, want := range map[string][]int{
		"i = 1": {0}, "i != 1": {1}, "NOT i = 1": {1}, "i < 1": {1}, "i <= 1": {0, 1}, "i > -5": {0},
		"i < 0.5": {1}, "i = 0.5": {}, "i != 0.5": {0, 1}, "i < 3e9": {0, 1}, "i > 3e9": {},
		"i < 1e30": {0, 1}, "i > -1e30": {0, 1}, "NOT i > 1e30": {0, 1}, "i >= 1e30": {},
		"l = 9007199254740993": {0}, "l = 9007199254740992": {},
		"f = 0.1": {0}, "d = 0.1": {0}, "f < 0": {1}, "d between -3 and 0.1": {0, 1},
		"amount = 10": {0}, "amount > 9.999": {0}, "amount <= 10.001": {0, 1}, "amount = 10.001": {},
		"amount in (10, -10.01, 5)": {0, 1}, "amount not in (10)": {1}, "amount < 1e300": {0, 1},
		"day = '2024-01-01'": {0}, "day < DATE '1970-01-01'": {1}, "day < '2024-01-01 12:00:00'": {0, 1},
		"ts < '1970-01-01'": {1}, "ts = '1969-12-31 23:59:59.999999'": {1},
		"ts > '1969-12-31T23:59:59.9999985'":         {0, 1},
		"tz = TIMESTAMP '2024-01-01T02:00:00+02:00'": {0}, "tz > '2024-01-01'": {1},
		"s = 'abc'": {0}, "s > 'ab'": {0}, "s < 'abc'": {1}, "s <= 'abc'": {0, 1}, "s >= ''": {0, 1},
		"s > ''": {0}, "s LIKE 'a%'": {0}, "s LIKE '%c'": {0}, "s NOT LIKE 'a%'": {1},
		"s NOT LIKE '%c'": {1}, "s IN ('', 'x')": {1}, "s LIKE 'abc'": {0},
		"b": {0}, "NOT b": {1}, "b = FALSE": {1}, "b != TRUE": {1}, "b IN (TRUE, FALSE)": {0, 1},
		"u = '00000000-0000-0000-0000-000000000001'": {0},
		"u > '10000000-0000-0000-0000-000000000001'": {1},
		"bin = X'00ff'": {0}, "bin = X''": {1}, "fix = X'0001'": {0}, "fix > X'0001'": {1},
		"t = '10:00'": {0}, "t > '23:59:59.9999985'": {1}, "t < '10:00:00.000001'": {0},
		"st.x = 1": {0}, "st.x != 1": {}, "st.x IS NULL": {1, 2}, "st IS NULL": {2},
		"st.in.y = 'deep'": {0}, "st.in.y IS NOT NULL": {0}, "st.in IS NULL": {1, 2},
		"list IS NULL": {2}, "list IS NOT NULL": {0, 1}, `"two words" >= 2`: {1},
		"i IS NULL": {2}, "i IS NULL OR i = 1": {0, 2}, "NOT (i IS NULL OR i = 1)": {1},
		"TRUE": {0, 1, 2}, "FALSE": {}, "NOT FALSE AND i = 1": {0}, "i = 1 AND b OR s = ''": {0, 1},
		"i > -6 AND i < 9 AND i < 0": {1}, "i >= 1 AND i < 1": {}, "i > 3e9 AND i < 5": {},
		"i < 9 AND l > -2":      {0, 1},
		"NOT (i > 0 AND i < 9)": {1}, "i > -9 OR i > 0": {0, 1}, "NOT (i < -9 OR i > 0)": {1},
		"i > 0 AND NOT i > 9":       {0},
		"NOT (i = 1 AND s = 'abc')": {1}, "i in (1e30)": {}, "i not in (1e30, 0.5)": {0, 1},
	} {
		require.Equal(t, want, selected(t, text, schema, batch), text)
	}
}

func TestFloatsHaveATotalOrder(t *testing.T) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "d", Type: iceberg.PrimitiveTypes.Float64},
		iceberg.NestedField{ID: 2, Name: "f", Type: iceberg.PrimitiveTypes.Float32})
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	builder := array.NewRecordBuilder(mem, arrowSchema(t, schema))
	defer builder.Release()
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1} {
		builder.Field(0).(*array.Float64Builder).Append(v)
		builder.Field(1).(*array.Float32Builder).Append(float32(v))
	}
	batch := builder.NewRecordBatch()
	defer batch.Release()
	for text, want := range map[string][]int{
		"d > 0": {0, 1, 5}, "d = 0": {3, 4}, "d >= 'Infinity'": {0, 1}, "d = 'NaN'": {0},
		"d IS NAN": {0}, "d IS NOT NAN": {1, 2, 3, 4, 5}, "d < '-inf'": {}, "d <= '-Infinity'": {2},
		"NOT d > 0": {2, 3, 4}, "d != 0": {0, 1, 2, 5}, "d < 1e999": {2, 3, 4, 5},
		"d > 0 AND d < 'NaN'": {1, 5}, "d >= 0 AND d <= 0": {3, 4}, "d > 'NaN' AND d < 1": {},
		"f > 0": {0, 1, 5}, "f IN (0, 'NaN')": {0, 3, 4},
	} {
		require.Equal(t, want, selected(t, text, schema, batch), text)
	}
}

// reference is SQL's three-valued logic, row by row: nil is unknown.
type reference map[string]any // *big.Rat, string or nil, by column

func (r reference) eval(n node) *bool {
	yes := func(b bool) *bool { return &b }
	switch n := n.(type) {
	case *logic:
		unknown := false
		for _, term := range n.terms {
			v := r.eval(term)
			if v == nil {
				unknown = true
			} else if *v == n.or {
				return yes(n.or)
			}
		}
		if unknown {
			return nil
		}
		return yes(!n.or)
	case *not:
		if v := r.eval(n.term); v != nil {
			return yes(!*v)
		}
		return nil
	case *isNull:
		return yes(r[n.column.String()] == nil)
	case *compare:
		v := r[n.column.String()]
		if v == nil {
			return nil
		}
		return yes(holds(n.op, compareAny(v, n.literal)))
	case *in:
		v := r[n.column.String()]
		if v == nil {
			return nil
		}
		return yes(slices.ContainsFunc(n.literals, func(l literal) bool {
			return compareAny(v, l) == 0
		}))
	case *like:
		v := r[n.column.String()]
		if v == nil {
			return nil
		}
		return yes(strings.HasPrefix(v.(string), strings.TrimSuffix(n.pattern.text, "%")))
	}
	panic("BUG")
}

func compareAny(v any, l literal) int {
	if text, ok := v.(string); ok {
		return strings.Compare(text, l.text)
	}
	r, ok := new(big.Rat).SetString(l.text)
	if !ok {
		t, err := time.Parse("2006-01-02", l.text)
		if err != nil {
			panic(err)
		}
		r = new(big.Rat).SetInt64(t.Unix() / 86400)
	}
	return v.(*big.Rat).Cmp(r)
}

func holds(op compareOp, c int) bool {
	return [...]bool{c == 0, c != 0, c < 0, c <= 0, c > 0, c >= 0}[op]
}

// randomCase makes small domains, so that comparisons hit.
type randomCase struct{ *rand.Rand }

var randomColumns = []string{"i", "l", "d", "amount", "day", "s", "st.x"}

func (r randomCase) value(column string) (text string, cell any) {
	switch n := r.IntN(9) - 4; column {
	case "s":
		s := strings.Repeat("a", r.IntN(3)) + strings.Repeat("b", r.IntN(3))
		return "'" + s + "'", s
	case "day":
		day := time.Unix(int64(n)*86400, 0).UTC().Format("2006-01-02")
		return "'" + day + "'", day
	case "d", "amount":
		text := strconv.FormatFloat(float64(n)+0.25*float64(r.IntN(4)), 'f', 2, 64)
		return text, text
	default:
		return strconv.Itoa(n), strconv.Itoa(n)
	}
}

func (r randomCase) expr(depth int) string {
	column := randomColumns[r.IntN(len(randomColumns))]
	literal, _ := r.value(column)
	other, _ := r.value(column)
	switch choice := r.IntN(10); {
	case depth > 0 && choice < 2:
		return "(" + r.expr(depth-1) + " AND " + r.expr(depth-1) + ")"
	case depth > 0 && choice < 4:
		return "(" + r.expr(depth-1) + " OR " + r.expr(depth-1) + ")"
	case depth > 0 && choice < 5:
		return "NOT " + r.expr(depth-1)
	case choice < 6:
		return column + []string{" IS NULL", " IS NOT NULL"}[r.IntN(2)]
	case choice < 7:
		return column + []string{" IN (", " NOT IN ("}[r.IntN(2)] + literal + ", " + other + ")"
	case choice < 8 && column == "s":
		return column + []string{" LIKE '", " NOT LIKE '"}[r.IntN(2)] + strings.Trim(literal, "'") + "%'"
	}
	return column + " " + compareOp(r.IntN(6)).String() + " " + literal
}

// rows makes JSON rows and their reference form.
func (r randomCase) rows(n int) (string, []reference) {
	var json []string
	var rows []reference
	for range n {
		row := reference{}
		var cells []string
		for _, column := range randomColumns {
			text, cell := r.value(column)
			if r.IntN(4) == 0 {
				continue
			}
			row[column] = cell
			if column != "s" {
				row[column] = ratOf(cell.(string))
			}
			if column == "st.x" {
				column, text = "st", `{"x": `+text+`}`
			} else if column == "amount" {
				text = `"` + text + `"`
			}
			cells = append(cells, strconv.Quote(column)+": "+strings.ReplaceAll(text, "'", `"`))
		}
		json, rows = append(json, "{"+strings.Join(cells, ", ")+"}"), append(rows, row)
	}
	return "[" + strings.Join(json, ",\n") + "]", rows
}

func ratOf(text string) *big.Rat {
	if r, ok := new(big.Rat).SetString(text); ok {
		return r
	}
	t, err := time.Parse("2006-01-02", text)
	if err != nil {
		panic(err)
	}
	return new(big.Rat).SetInt64(t.Unix() / 86400)
}

func TestRandomFiltersAgreeWithThreeValuedLogic(t *testing.T) {
	schema := testSchema()
	for seed := range uint64(40) {
		r := randomCase{rand.New(rand.NewPCG(seed, 1))}
		json, rows := r.rows(150)
		whole := batchOf(t, schema, json)
		batch := whole.NewSlice(3, 140) // so that bitmaps begin inside a byte
		for range 100 {
			text := r.expr(3)
			expr, err := Parse(text)
			require.NoError(t, err)
			want := []int{}
			for i, row := range rows[3:140] {
				if v := row.eval(expr.root); v != nil && *v {
					want = append(want, i)
				}
			}
			require.Equal(t, want, selected(t, text, schema, batch), "seed %d: %s", seed, text)
		}
		batch.Release()
	}
}

func TestSelectionAppliesToEveryType(t *testing.T) {
	schema := testSchema()
	r := randomCase{rand.New(rand.NewPCG(7, 7))}
	json, _ := r.rows(100)
	batch := batchOf(t, schema, json)
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	for _, text := range []string{"i > 0", "TRUE", "FALSE", "st.x IS NULL"} {
		bound, err := ParseAndBind(text, schema)
		require.NoError(t, err)
		selection, err := bound.Evaluator().Select(batch)
		require.NoError(t, err)
		kept := selection.Apply(mem, batch)
		require.Equal(t, int64(selection.Count()), kept.NumRows())
		next := 0
		for row := range int(batch.NumRows()) {
			if !selection.Contains(row) {
				continue
			}
			for c := range int(batch.NumCols()) {
				require.Equal(t, batch.Column(c).ValueStr(row), kept.Column(c).ValueStr(next))
			}
			next++
		}
		kept.Release()
	}
}

func TestSelectAllocatesNothing(t *testing.T) {
	schema := testSchema()
	r := randomCase{rand.New(rand.NewPCG(8, 8))}
	json, _ := r.rows(1000)
	batch := batchOf(t, schema, json)
	bound, err := ParseAndBind(`s IN ('a', 'ab') AND amount > 1 OR NOT (i = 3 AND d BETWEEN 0 AND 2)
		OR s LIKE '%b_' AND day > '1970-01-01' AND st.x IS NULL OR amount IN (1, 2) AND l < 3`, schema)
	require.NoError(t, err)
	evaluator := bound.Evaluator()
	require.Zero(t, testing.AllocsPerRun(10, func() {
		if _, err := evaluator.Select(batch); err != nil {
			t.Fatal(err)
		}
	}))
}

func BenchmarkSelect(b *testing.B) {
	schema := testSchema()
	r := randomCase{rand.New(rand.NewPCG(8, 8))}
	json, _ := r.rows(64_000)
	batch := batchOf(b, schema, json)
	for _, text := range []string{
		"i > 1", "d > 1", "s = 'ab'", "s LIKE '%b'", "amount > 1", "s = 'ab' AND i > 1",
	} {
		b.Run(fmt.Sprintf("%q", text), func(b *testing.B) {
			bound, err := ParseAndBind(text, schema)
			require.NoError(b, err)
			evaluator := bound.Evaluator()
			for b.Loop() {
				if _, err := evaluator.Select(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch.NumRows())*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
