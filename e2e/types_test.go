//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/source"
)

// question is a query, what every row or the count must be, and the part of the test that it belongs to.
type question struct {
	components.Query
	part string
	rows map[string][]string // by id
	// changes says that the table is a changelog, whose changes come to the rows.
	changes bool
	count   int
	skip    []string // engines that lack a type of the columns
}

// everything asks for all rows of some columns.
func (d *dataset) everything(part string, keep func(column) bool, skip ...string) question {
	q := question{part: part, rows: map[string][]string{}, skip: skip}
	q.Table, q.Columns = "db."+d.name, [][2]string{{"id", "long"}}
	var places []int
	for i, c := range d.columns {
		if keep(c) {
			q.Columns, places = append(q.Columns, [2]string{c.name, c.typ}), append(places, i)
		}
	}
	for id, row := range d.all() {
		var want []string
		for _, i := range places {
			want = append(want, row[i].text)
		}
		q.rows[strconv.Itoa(id)] = want
	}
	return q
}

// comparisons asks for the count of rows by every cell of every column. A column's cells are in order.
func (d *dataset) comparisons(part string, ops ...string) []question {
	all := d.all()
	out := []question{{Query: components.Query{Table: "db." + d.name}, part: part, count: len(all)}}
	for i, c := range d.columns {
		order := map[cell]int{}
		counts := make([]int, len(c.cells))
		for at, v := range c.cells {
			order[v] = at
		}
		for _, row := range all {
			counts[order[row[i]]]++
		}
		for at, v := range c.cells {
			for _, op := range ops {
				if v == null() {
					op = map[bool]string{true: "is null", false: "is not null"}[op == "="]
				}
				q := question{part: part, count: count(c, counts, at, op)}
				q.Table = "db." + d.name
				q.Where = components.Condition{Column: c.name, Type: c.typ, Op: op, Value: v.sql}
				out = append(out, q)
			}
		}
	}
	return out
}

func count(c column, counts []int, at int, op string) int {
	n := 0
	for i, rows := range counts {
		isNull := c.cells[i] == null()
		holds := map[string]bool{"=": i == at, "<": i < at, "<=": i <= at, ">": i > at, ">=": i >= at}[op]
		if op == "is null" && isNull || op == "is not null" && !isNull || holds && !isNull {
			n += rows
		}
	}
	return n
}

// lost are columns whose null lists and maps PyIceberg 0.11.1 reads as empty ones.
func lost(c column) bool { return c.name == "deep" || c.name == "ms" }

// engineFaults are conditions that an engine answers wrongly, or not at all, by engine,
// table and column. The other engines answer all of these.
func engineFaults() map[string]string {
	early := "takes the last microsecond of a day before 1970 for the day after"
	return map[string]string{
		"duckdb db.transformed amount": "cannot read a partition of a negative decimal",
		"duckdb db.transformed key":    "hashes uuid in another way than the format says",
		"duckdb db.dated m":            early,
		"duckdb db.dated d":            early,
	}
}

func flat(c column) bool { return !strings.Contains(c.typ, "<") }

// engines, and how often each reads a row: Spark with the batch reader and with the row reader.
func engines() map[string]int {
	return map[string]int{"spark": 2, "trino": 1, "pyiceberg": 1, "duckdb": 1}
}

// TestEveryTypeAndTransformReadsEqualInEveryEngine reads values one by one, and counts rows by conditions on
// partitions and on columns with bounds: what is pruned wrongly shows as a wrong count.
func TestEveryTypeAndTransformReadsEqualInEveryEngine(t *testing.T) {
	t.Parallel()
	wide := &dataset{name: "wide_types", columns: append(types(), shapes()...), rows: 700, seed: 3, profile: "wide"}
	modern := &dataset{name: "modern_types", columns: append(types(), shapes()...), rows: 2000, seed: 4,
		profile: "modern"}
	plain := &dataset{name: "flat_types", columns: types(), rows: 5000, seed: 2}
	values := &dataset{name: "every_type", columns: append(types(), shapes()...), rows: 3000, seed: 1}
	clock := &dataset{name: "clock", columns: clocks(), rows: 30} // Spark has no time and reads no table with it
	tables := []*dataset{values, clock, plain, odd(), transformed(), hashed(), dated(), named(), ranges(), wide,
		modern, special()}
	l := feedDatasets(t, tables)

	asked := []question{
		plain.everything("types", flat),
		values.everything("types", flat),
		wide.everything("encodings", flat),
		modern.everything("encodings", flat),
		modern.everything("encodings", func(c column) bool { return !flat(c) && !lost(c) }),
		clock.everything("types", flat, "spark"),
		special().everything("floats", flat),
		values.everything("nested", func(c column) bool { return !flat(c) && !lost(c) }),
		values.everything("nested", lost, "pyiceberg"),
	}
	for _, d := range tables[3:8] {
		asked = append(asked, d.everything("transforms", flat))
		asked = append(asked, d.comparisons("transforms", "=", "<")...)
	}
	asked = append(asked, numbersAmong()...)
	asked = append(asked, ranges().comparisons("statistics", "=", "<", "<=", ">=")...)
	for _, engine := range []string{"duckdb", "pyiceberg", "spark", "trino"} {
		l.asks(t, engine, asked)
	}
}

// feedDatasets writes the tables by the service and leaves the catalog running.
func feedDatasets(t *testing.T, tables []*dataset) *lake {
	t.Helper()
	topics := map[string]int32{}
	for _, d := range tables {
		topics[d.name] = 2
	}
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: topics})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	brokers := broker.Connection().Brokers
	lab := newLab(t)
	minio, err := lab.MinIO(t.Context(), "warehouse") // this Trino has no local files
	require.NoError(t, err)
	l := newLake(t, lab, settings{brokers: brokers[0], s3: minio.Endpoint, registry: specialRegistry(t)})
	for _, d := range tables {
		l.spec(t, d.name, d.spec())
	}
	l.apply(t)
	l.run(t, "firth")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerBatchMaxBytes(16<<20))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	for n := range waves {
		for _, d := range tables {
			var records []*kgo.Record
			for _, value := range d.records(n) {
				records = append(records, &kgo.Record{Topic: d.name, Value: value})
			}
			require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
		}
		for _, d := range tables {
			have := l.reaches(t, "db."+d.name, int64((n+1)*d.rows), time.Minute)
			require.EqualValues(t, (n+1)*d.rows, have.Rows, "%s has dead letters", d.name)
		}
	}
	return l
}

// asks puts all questions to one engine at once and compares the answers.
func (l *lake) asks(t *testing.T, engine string, asked []question) {
	t.Helper()
	for _, fault := range l.faults(t, engine, asked) {
		t.Error(fault)
	}
}

// faults are what is wrong with the answers of an engine.
func (l *lake) faults(t *testing.T, engine string, asked []question) (out []string) {
	t.Helper()
	begun, reader := time.Now(), l.reader(t)
	if engine == "trino" {
		trino, err := l.lab.Trino(t.Context(), reader)
		require.NoError(t, err)
		defer trino.Stop()
		reader.Trino = trino.Port
	}
	var put []question
	q := components.Question{Program: engine + "_values"}
	for _, one := range asked {
		fault := engineFaults()[engine+" "+one.Table+" "+one.Where.Column]
		if (engine == "spark" || engine == "trino") && strings.HasPrefix(one.Where.Op, "<") {
			continue // they take a tenth of a second to plan a question; the others are asked them all
		}
		if !slices.Contains(one.skip, engine) && fault == "" {
			put, q.Queries = append(put, one), append(q.Queries, one.Query)
		}
	}
	var answers []json.RawMessage
	require.NoError(t, l.lab.Ask(t.Context(), reader, q, &answers))
	require.Len(t, answers, len(put))
	t.Logf("%s answered %d questions after %.0f s", engine, len(put), time.Since(begun).Seconds())
	for i, one := range put {
		if fault := one.judge(answers[i], engines()[engine]); fault != "" {
			out = append(out, fmt.Sprintf("%s, %s: %s %+v: %s", engine, one.part, one.Table, one.Where, fault))
		}
	}
	return out
}

// judge says what is wrong with an answer, which holds every row so many times.
func (q question) judge(answer json.RawMessage, times int) string {
	if q.rows == nil {
		if string(answer) != strconv.Itoa(q.count) {
			return fmt.Sprintf("found %.600s, want %d", answer, q.count)
		}
		return ""
	}
	var rows [][]string
	if err := json.Unmarshal(answer, &rows); err != nil {
		return fmt.Sprintf("found %.600s", answer)
	}
	return q.judgeRows(rows, times)
}

// judgeRows is judge for rows.
func (q question) judgeRows(rows [][]string, times int) string {
	if q.changes {
		var fault string
		if rows, fault = folded(rows, times); fault != "" {
			return fault
		}
		times = 1
	}
	seen := map[string]int{}
	faults := map[string]string{}
	for _, row := range rows {
		seen[row[0]]++
		want := q.rows[row[0]]
		if len(want) != len(row)-1 {
			return fmt.Sprintf("row %s has %d values, want %d", row[0], len(row)-1, len(want))
		}
		for i, have := range row[1:] {
			if have != want[i] {
				faults[q.Columns[i+1][0]] = fmt.Sprintf("%s of row %s is %.300s, want %.300s",
					q.Columns[i+1][0], row[0], have, want[i])
			}
		}
	}
	if len(faults) > 0 {
		return fmt.Sprint(faults)
	}
	for id := range q.rows {
		if seen[id] != times {
			return fmt.Sprintf("row %s is there %d times, want %d", id, seen[id], times)
		}
	}
	if len(seen) != len(q.rows) {
		return fmt.Sprintf("%d rows, want %d", len(seen), len(q.rows))
	}
	return ""
}
