//go:build duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/cell"
)

func openTransforms(t *testing.T) Transforms {
	t.Helper()
	opened, err := OpenTransforms()
	require.NoError(t, err)
	t.Cleanup(opened.Close)
	return opened
}

// wideSchema has a column of every type that can be computed, and some that can only be read.
func wideSchema() *iceberg.Schema {
	id := 0
	next := func() int { id++; return id }
	var fields []iceberg.NestedField
	add := func(name string, typ iceberg.Type) {
		fields = append(fields, iceberg.NestedField{ID: next(), Name: name, Type: typ})
	}
	p := iceberg.PrimitiveTypes
	add("id", p.Int64)
	add("n", p.Int32)
	add("text", p.String)
	add("price", iceberg.DecimalTypeOf(12, 2))
	add("x", p.Float64)
	add("f", p.Float32)
	add("ok", p.Bool)
	add("day", p.Date)
	add("moment", p.TimestampTz)
	add("local", p.Timestamp)
	add("clock", p.Time)
	add("bytes", p.Binary)
	add("uuid", p.UUID)
	add("tags", &iceberg.ListType{ElementID: next(), Element: p.String})
	add("place", &iceberg.StructType{FieldList: []iceberg.NestedField{{ID: next(), Name: "city", Type: p.String},
		{ID: next(), Name: "zip", Type: p.Int32}}})
	add("more", &iceberg.MapType{KeyID: next(), KeyType: p.String, ValueID: next(), ValueType: p.Int64})
	return iceberg.NewSchema(0, fields...)
}

// wideRows are rows of the schema, with nulls.
func wideRows(t *testing.T, schema *iceberg.Schema, rows int) arrow.RecordBatch {
	t.Helper()
	arrowSchema, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
	defer b.Release()
	random := rand.New(rand.NewPCG(1, 2))
	for row := range rows {
		line := fmt.Sprintf(`{"id": %d, "n": %d, "text": "%s", "price": "%d.25", "x": %d.5, "f": 1.5, "ok": %t,
			"day": "2026-01-%02d", "moment": "2026-01-01T00:00:%02dZ", "local": "2026-01-01T00:00:%02d",
			"clock": "00:00:%02d", "bytes": "AQID", "uuid": "AAECAwQFBgcICQoLDA0ODw==", "tags": ["a", "b%d"],
			"place": {"city": "Bern", "zip": %d}, "more": [{"key": "k", "value": %d}]}`, row, random.IntN(100),
			[]string{"alpha", "Zürich", "7"}[random.IntN(3)], random.IntN(1000), random.IntN(9), row%2 == 0,
			1+row%28, row%60, row%60, row%60, row, row, row)
		if random.IntN(5) == 0 {
			line = fmt.Sprintf(`{"id": %d, "text": "7"}`, row)
		}
		require.NoError(t, b.UnmarshalJSON([]byte(line)))
	}
	return b.NewRecordBatch()
}

// reads picks the columns that a transform reads.
func reads(batch arrow.RecordBatch, bound Bound) arrow.RecordBatch {
	var fields []arrow.Field
	var columns []arrow.Array
	for _, f := range bound.Reads {
		at := batch.Schema().FieldIndices(f.Name)[0]
		fields, columns = append(fields, batch.Schema().Field(at)), append(columns, batch.Column(at))
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
}

const wideTransform = `select *, id + 1 as id, cast(n * 2 as int) as n, upper(text) as text,
	cast(price * 2 as decimal(12, 2)) as price, x / 2 as x, cast(f as float) as f, not ok as ok,
	cast(day + interval 1 day as date) as day, date_trunc('minute', moment) as moment, local + interval 1 hour as local,
	cast('01:02:03' as time) as clock, encode(text) as bytes, list_transform(tags, t -> t || '!') as tags,
	struct_pack(city := upper(place.city), zip := place.zip) as place, map {'id': id} as more from rows`

func TestTransformsComputeColumnsOfAllTypesWhateverTheBatches(t *testing.T) {
	schema := wideSchema()
	bound, err := openTransforms(t).Bind(wideTransform, schema, nil)
	require.NoError(t, err)
	require.Len(t, bound.Computes, 15)
	const rows = 5000
	all := wideRows(t, schema, rows)
	defer all.Release()
	e, err := bound.Open()
	require.NoError(t, err)
	defer e.Close()
	none := func(row int, column, message string) { t.Fatalf("row %d, %s: %s", row, column, message) }
	evaluate := func(from, to int64) arrow.RecordBatch {
		part := all.NewSlice(from, to)
		defer part.Release()
		in := reads(part, bound)
		defer in.Release()
		out, err := e.Evaluate(t.Context(), in, none)
		require.NoError(t, err)
		return out
	}
	whole := evaluate(0, rows)
	defer whole.Release()
	id, text := whole.Column(0).(*array.Int64), whole.Column(2).(*array.String)
	for row := range rows {
		require.EqualValues(t, row+1, id.Value(row))
		require.Equal(t, strings.ToUpper(all.Column(2).(*array.String).Value(row)), text.Value(row))
		place := slices.Index(bound.Computes, "place")
		zip := cell.Value(whole.Column(place), row).(map[string]any)["zip"]
		require.True(t, zip == nil || zip == int32(row), "row %d has the zip %v", row, zip)
	}
	arrowSchema, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	for i, name := range bound.Computes {
		want := arrowSchema.Field(arrowSchema.FieldIndices(name)[0])
		have := whole.Column(i).DataType()
		require.True(t, arrow.TypeEqual(want.Type, have), "%s: %s", name, have)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for from := int64(0); from < rows; {
		to := min(rows, from+1+random.Int64N(3000))
		part := evaluate(from, to)
		expected := whole.NewSlice(from, to)
		for i, name := range bound.Computes {
			for row := range int(to - from) {
				require.Equal(t, cell.Value(expected.Column(i), row), cell.Value(part.Column(i), row),
					"%s of row %d, in rows %d to %d", name, row, from, to)
			}
		}
		part.Release()
		expected.Release()
		from = to
	}
}

func TestRowsThatATransformCannotComputeAreToldAlone(t *testing.T) {
	schema := wideSchema()
	bound, err := openTransforms(t).Bind("select *, cast(text as int) as n, case when id = 4 then error('no ' || id) "+
		"else id end as id from rows", schema, nil)
	require.NoError(t, err)
	all := wideRows(t, schema, 3000)
	defer all.Release()
	in := reads(all, bound)
	defer in.Release()
	e, err := bound.Open()
	require.NoError(t, err)
	defer e.Close()
	faults := map[int]string{}
	out, err := e.Evaluate(t.Context(), in, func(row int, column, message string) {
		faults[row] = column + ": " + message
	})
	require.NoError(t, err)
	defer out.Release()
	text := all.Column(2).(*array.String)
	for row := range 3000 {
		fault, failed := faults[row]
		switch {
		case row == 4:
			require.True(t, failed)
		case text.Value(row) == "7":
			require.False(t, failed, fault)
			require.EqualValues(t, 7, out.Column(0).(*array.Int32).Value(row))
			require.EqualValues(t, row, out.Column(1).(*array.Int64).Value(row))
			continue
		default:
			require.Contains(t, fault, "n: Could not convert string")
		}
		require.True(t, out.Column(0).IsNull(row) && out.Column(1).IsNull(row))
	}
	require.Greater(t, len(faults), 100)

	ended, end := context.WithCancel(t.Context())
	end()
	_, err = e.Evaluate(ended, in, func(int, string, string) {})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTransformsReadWhatTheyNeedAlone(t *testing.T) {
	schema := wideSchema()
	input := []iceberg.NestedField{{ID: 100, Name: "cents", Type: iceberg.PrimitiveTypes.Int64}}
	transforms := openTransforms(t)
	bound, err := transforms.Bind("SELECT *, cast(cents / 100 as decimal(12, 2)) AS price, rows.text || place.city AS "+
		"text FROM rows", schema, input)
	require.NoError(t, err)
	require.Equal(t, []string{"price", "text"}, bound.Computes)
	var names []string
	for _, f := range bound.Reads {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{"text", "place", "cents"}, names)
	bound, err = transforms.Bind("select * from rows", schema, input)
	require.NoError(t, err)
	require.Empty(t, bound.Computes)
	bound, err = transforms.Bind("select *, CAST(uuid AS varchar) as text from rows", schema, nil)
	require.NoError(t, err)
	all := wideRows(t, schema, 3)
	defer all.Release()
	e, err := bound.Open()
	require.NoError(t, err)
	defer e.Close()
	in := reads(all, bound)
	defer in.Release()
	out, err := e.Evaluate(t.Context(), in, nil)
	require.NoError(t, err)
	defer out.Release()
	require.Contains(t, out.Column(0).String(), "00010203-0405-0607-0809-0a0b0c0d0e0f")
}

func TestTransformsThatAreNotRowByRowAreRefused(t *testing.T) {
	transforms := openTransforms(t)
	for sql, want := range map[string]string{
		"select *, count(*) as id from rows":                           "count_star: it is an aggregate",
		"select *, max(id) as id from rows":                            "max: it is an aggregate",
		"select *, row_number() over () as id from rows":               "a window is about several rows",
		"select *, (select 1) as id from rows":                         "a subquery reads more",
		"select *, id in (select 1) as ok from rows":                   "a subquery reads more",
		"select *, random() as x from rows":                            "random: its answer depends",
		"select *, now() as moment from rows":                          "now: its answer depends",
		"select *, current_timestamp as moment from rows":              "rows have no column current_timestamp",
		"select *, list_transform(tags, t -> now()) as tags from rows": "now: its answer depends",
		"select *, ago(interval 1 day) as moment from rows":            "ago",
		"select *, current_date() as day from rows":                    "its answer depends",
		"select *, age(local) as text from rows":                       "age of one moment",
		"select *, uuid() as text from rows":                           "uuid: its answer depends",
		"select *, nextval('s') as id from rows":                       "nextval",
		"select *, getvariable('s') as id from rows":                   "tells of the server",
		"select *, current_setting('threads') as text from rows":       "tells of the server",
		"select *, unnest(tags) as text from rows":                     "unnest",
		"select *, generate_subscripts(tags, 1) as id from rows":       "generate_subscripts",
		"select *, geomean(x) as x from rows":                          "geomean",
		"select *, get_block_size('a') as id from rows":                "get_block_size",
		"select *, nonsense(x) as x from rows":                         "there is no function nonsense",
		"select * from rows where id > 1":                              "as the source's filter",
		"select distinct * from rows":                                  "DISTINCT",
		"select * from rows order by id":                               "ORDER BY",
		"select * from rows limit 1":                                   "LIMIT",
		"select id from rows group by id":                              "GROUP BY",
		"select id from rows group by all":                             "GROUP BY",
		"select * from rows qualify true":                              "QUALIFY",
		"select * from rows using sample 10%":                          "sample",
		"with a as (select 1) select * from rows":                      "WITH",
		"select * from rows, rows as b":                                "selects from rows and nothing else",
		"select * from other":                                          "selects from rows and nothing else",
		"select * from firth.main.rows":                                "selects from rows and nothing else",
		"select * from read_csv('/etc/passwd')":                        "selects from rows and nothing else",
		"select * from '/etc/passwd'":                                  "selects from rows and nothing else",
		"select 1 as id":                                               "selects from rows and nothing else",
		"select * from rows union all select * from rows":              "selects from rows and nothing else",
		"select * from rows; select 1":                                 "one statement",
		"set threads = 1":                                              "a transform is a select",
		"insert into rows values (1)":                                  "a transform is a select",
		"selec":                                                        "syntax error",
		"select *, * from rows":                                        "write * once",
		"select * exclude (id) from rows":                              "write * once",
		"select columns('i.*') from rows":                              "write * once",
		"select *, $1 as id from rows":                                 "parameters",
		"select *, id + 1 from rows":                                   "has no name",
		"select *, 1 as id, 2 as ID from rows":                         "gives column ID twice",
		"select *, 1 as other from rows":                               "which the table does not have: add it",
		"select *, 1 as cents from rows":                               "is input of the transform",
		"select *, lower(nothing) as text from rows":                   "rows have no column nothing",
		"select *, 'x' as uuid from rows":                              "cannot be computed",
		"select id from rows":                                          "does not give column n",
		"select *, x as n from rows":                                   "gives DOUBLE: write CAST(... AS INTEGER)",
		"select *, id as n from rows":                                  "the transform gives BIGINT",
		"select *, 'a' as price from rows":                             "the transform gives VARCHAR",
		"select *, upper(n, 1) as text from rows":                      "upper",
		"select *, read_text('/etc/passwd') as text from rows":         "read_text",
		"select *, query('select 1') as text from rows":                "query",
		"select *, write_log('x') as text from rows":                   "write_log",
		"select *, setseed(0.5) as text from rows":                     "setseed",
	} {
		_, err := transforms.Bind(sql, wideSchema(), []iceberg.NestedField{{ID: 100, Name: "cents",
			Type: iceberg.PrimitiveTypes.Int64}})
		require.ErrorContains(t, err, want, sql)
		told := errors.Is(err, query.ErrInvalid) || errors.Is(err, query.ErrRefused)
		require.True(t, told, "%s: %v", sql, err)
	}
	for _, sql := range []string{
		"select *, n as id from rows", "select *, nullif(text, '') as text from rows",
		"select *, split_part(text, '-', 1) as text from rows", "select *, null as x from rows",
		"select *, list_sum([n, 1]) as id from rows where true is null or 1 = 1", "select *, text[1] as text from rows",
		"select *, [t || u for t in tags] as tags from rows",
	} {
		_, err := transforms.Bind(sql, wideSchema(), nil)
		if strings.Contains(sql, "where") || strings.Contains(sql, "|| u") {
			require.Error(t, err, sql)
			continue
		}
		require.NoError(t, err, sql)
	}
}

func TestWidening(t *testing.T) {
	for _, pair := range []string{"INTEGER BIGINT", "FLOAT DOUBLE", "INTEGER DOUBLE", "INTEGER DECIMAL(12,2)",
		"DECIMAL(5,1) DECIMAL(12,2)", "\"NULL\" DATE", "SMALLINT INTEGER"} {
		from, to, _ := strings.Cut(pair, " ")
		require.True(t, widens(from, to), pair)
	}
	for _, pair := range []string{"BIGINT INTEGER", "DOUBLE FLOAT", "BIGINT DOUBLE", "BIGINT DECIMAL(12,2)",
		"DECIMAL(12,2) DECIMAL(12,1)", "DECIMAL(12,2) DOUBLE", "VARCHAR INTEGER", "UINTEGER INTEGER",
		"DATE TIMESTAMP"} {
		from, to, _ := strings.Cut(pair, " ")
		require.False(t, widens(from, to), pair)
	}
}
