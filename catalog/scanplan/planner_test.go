package scanplan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/catalog/scanplan"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

var items = table.Ident{"db", "items"}

// item is a row; a name or ratio may be missing.
type item struct {
	id    int64
	name  *string
	day   int32
	ratio *float64
}

// lake is a catalog with one table behind a server.
type lake struct {
	testing.TB
	store     *objstore.Memory
	catalog   *catalog.Catalog
	planner   *scanplan.Planner
	server    *httptest.Server
	committer *commit.Committer
	landed    commit.Offset
	files     map[string][]item // by location
}

func fields() []iceberg.NestedField {
	return []iceberg.NestedField{
		{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		{ID: 2, Name: "na\"me", Type: iceberg.PrimitiveTypes.String},
		{ID: 3, Name: "day", Type: iceberg.PrimitiveTypes.Date, Required: true},
		{ID: 4, Name: "ratio", Type: iceberg.PrimitiveTypes.Float64},
	}
}

func by(source int, transform iceberg.Transform) iceberg.PartitionSpec {
	return iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{source}, FieldID: 1000, Name: "p",
		Transform: transform})
}

// paged is a planner that puts so many files into a page.
func (l *lake) paged(files int) *scanplan.Planner {
	return scanplan.New(scanplan.Options{Tables: l.catalog, Objects: l.store, PageFiles: files})
}

// pageFiles are few, so that plans have several pages.
const pageFiles = 2

func newLake(t testing.TB, spec iceberg.PartitionSpec, version string) *lake {
	l := &lake{TB: t, store: objstore.NewMemory(time.Now), files: map[string][]item{}}
	l.catalog = catalog.New(catalog.NewMemoryStore(), l.store, catalog.Options{Warehouse: "mem://wh/main",
		Now: time.Now, NewID: uuid.New, MakeNamespaces: true})
	require.NoError(t, l.catalog.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	_, err := l.catalog.CreateTable(t.Context(), items, catalog.TableSpec{Schema: iceberg.NewSchema(0, fields()...),
		PartitionSpec: &spec, Properties: iceberg.Properties{"format-version": version}})
	require.NoError(t, err)
	l.committer, err = commit.Open(t.Context(), l.catalog, l.store, items, committest.Options(1, "w"))
	require.NoError(t, err)
	l.planner = l.paged(pageFiles)
	handler, err := catalog.NewHandler(catalog.HandlerOptions{Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Warehouses: []catalog.Warehouse{{Name: "main", Reads: l.catalog, Writes: l.catalog, Scans: l.planner}}})
	require.NoError(t, err)
	l.server = httptest.NewServer(handler)
	t.Cleanup(l.server.Close)
	return l
}

// add commits items and remembers in which files they lie.
func (l *lake) add(rows []item, deletes ...committest.Deleted) {
	l.Helper()
	meta, change := l.committer.Table().Metadata(), uuid.New()
	schema := meta.CurrentSchema()
	form, err := table.ArrowSchema(schema)
	require.NoError(l, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(r.id)
		if name := b.Field(1).(*array.StringBuilder); r.name == nil {
			name.AppendNull()
		} else {
			name.Append(*r.name)
		}
		b.Field(2).(*array.Date32Builder).Append(arrow.Date32(r.day))
		if ratio := b.Field(3).(*array.Float64Builder); r.ratio == nil {
			ratio.AppendNull()
		} else {
			ratio.Append(*r.ratio)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	w, err := table.NewWriter(l.store, table.WriterOptions{Schema: schema, Spec: meta.PartitionSpec(),
		Location: meta.Location(), ChangeID: change})
	require.NoError(l, err)
	require.NoError(l, w.Write(l.Context(), batch))
	files, err := w.Close(l.Context())
	require.NoError(l, err)
	sum, err := table.Checksum(schema, batch)
	require.NoError(l, err)
	gone, err := committest.Deletes(l.Context(), l.store, meta, change, deletes)
	require.NoError(l, err)
	var base, taken int64
	for _, d := range deletes {
		taken += d.Rows
	}
	if head := meta.CurrentSnapshot(); len(gone) > 0 {
		base = head.SnapshotID
	}
	next := l.landed + commit.Offset(len(rows))
	_, err = l.committer.Commit(l.Context(), commit.Change{ID: change, Files: files, Deletes: gone, Base: base,
		Uncounted: commit.Uncounted{Taken: taken},
		Ranges: map[commit.TopicPartition]commit.Range{{Cluster: "c", Topic: "t", TopicID: uuid.Max}: {From: l.landed,
			Next: next, Counts: commit.Counts{Inserted: int64(len(rows))}, Checksum: sum}}})
	require.NoError(l, err)
	l.landed = next
	tasks, err := table.Plan(l.Context(), l.committer.Table(), l.store, table.Scan{})
	require.NoError(l, err)
	known := map[int64]item{}
	for _, r := range rows {
		known[r.id] = r
	}
	for _, task := range tasks {
		if l.files[task.File.FilePath()] != nil {
			continue
		}
		task.Deletes = nil
		for batch, err := range table.Read(l.Context(), l.store, task) {
			require.NoError(l, err)
			for _, id := range batch.Column(0).(*array.Int64).Int64Values() {
				l.files[task.File.FilePath()] = append(l.files[task.File.FilePath()], known[id])
			}
		}
	}
}

// plan asks for all pages and returns the data files with the deletes of each.
func (l *lake) plan(r scanplan.Request) map[string][]string {
	l.Helper()
	result, err := l.planner.Plan(l.Context(), items, r)
	require.NoError(l, err)
	require.Equal(l, "completed", result.Status)
	out := map[string][]string{}
	add := func(page scanplan.Result) {
		for _, task := range page.Tasks {
			require.NotContains(l, out, task.DataFile.Path, "each file is in one page")
			out[task.DataFile.Path] = []string{}
			for _, place := range task.Deletes {
				d := page.DeleteFiles[place]
				out[task.DataFile.Path] = append(out[task.DataFile.Path], fmt.Sprintf("%s %v", d.Path, d.Records))
			}
		}
	}
	add(result)
	for _, handle := range result.PlanTasks {
		page, err := l.planner.Tasks(l.Context(), items, handle)
		require.NoError(l, err)
		add(page)
	}
	return out
}

// condition is a filter in the protocol's form, and what it says of a row.
type condition struct {
	text  any
	holds func(item) bool
}

type object = map[string]any

// random makes a condition, or its opposite. A null is less than nothing, greater than nothing and differs from all.
func random(r *rand.Rand, depth int, want bool) condition {
	if depth > 0 && r.IntN(3) > 0 {
		switch r.IntN(3) {
		case 0:
			inside := random(r, depth-1, !want)
			return condition{object{"type": "not", "child": inside.text}, inside.holds}
		case 1:
			a, b := random(r, depth-1, want), random(r, depth-1, want)
			return condition{object{"type": "and", "left": a.text, "right": b.text}, func(i item) bool {
				if want {
					return a.holds(i) && b.holds(i)
				}
				return a.holds(i) || b.holds(i)
			}}
		}
		a, b := random(r, depth-1, want), random(r, depth-1, want)
		return condition{object{"type": "or", "left": a.text, "right": b.text}, func(i item) bool {
			if want {
				return a.holds(i) || b.holds(i)
			}
			return a.holds(i) && b.holds(i)
		}}
	}
	switch r.IntN(4) {
	case 0:
		id := r.Int64N(600)
		return compared(r, want, "id", id, func(i item) *int { return sign(i.id - id) })
	case 1:
		name := names[r.IntN(len(names))]
		return compared(r, want, `na"me`, name, func(i item) *int {
			if i.name == nil {
				return nil
			}
			return sign(int64(strings.Compare(*i.name, name)))
		})
	case 2:
		day := r.Int32N(40)
		var literal any = time.Unix(int64(day)*86400, 0).UTC().Format("2006-01-02")
		if r.IntN(2) == 0 {
			literal = day // as Spark has it
		}
		return compared(r, want, "day", literal, func(i item) *int { return sign(int64(i.day - day)) })
	}
	ratio := float64(r.IntN(20)) / 4
	return compared(r, want, "ratio", ratio, func(i item) *int {
		switch {
		case i.ratio == nil:
			return nil
		case math.IsNaN(*i.ratio) || *i.ratio > ratio:
			return sign(1)
		case *i.ratio < ratio:
			return sign(-1)
		}
		return sign(0)
	})
}

func sign(n int64) *int {
	s := 0
	if n < 0 {
		s = -1
	} else if n > 0 {
		s = 1
	}
	return &s
}

// compared is a condition on a column: compare is nil for a null, else how the value compares with the literal.
func compared(r *rand.Rand, want bool, column string, literal any, compare func(item) *int) condition {
	null := func(i item) bool { return compare(i) == nil }
	is := func(test func(int) bool) func(item) bool {
		return func(i item) bool { c := compare(i); return c != nil && test(*c) == want }
	}
	switch r.IntN(8) {
	case 0:
		return condition{object{"type": "is-null", "term": column}, func(i item) bool { return null(i) == want }}
	case 1:
		return condition{object{"type": "not-null", "term": column}, func(i item) bool { return null(i) != want }}
	case 2:
		return condition{object{"type": "lt", "term": column, "value": literal}, is(func(c int) bool { return c < 0 })}
	case 3:
		return condition{object{"type": "gt-eq", "term": object{"type": "reference", "term": column}, "value": literal},
			is(func(c int) bool { return c >= 0 })}
	case 4:
		return condition{object{"type": "gt", "term": column, "value": literal}, is(func(c int) bool { return c > 0 })}
	case 5:
		return condition{object{"type": "not-in", "term": column, "values": []any{literal}},
			func(i item) bool { c := compare(i); return (c == nil || *c != 0) == want }}
	case 6:
		return condition{object{"type": "in", "term": column, "values": []any{literal, literal}},
			func(i item) bool { c := compare(i); return (c != nil && *c == 0) == want }}
	}
	return condition{object{"type": "eq", "term": column, "value": literal},
		func(i item) bool { c := compare(i); return (c != nil && *c == 0) == want }}
}

var names = []string{"", "ant", "anteater", "bear", "it's", "zebra%", "ü"}

func someItems(r *rand.Rand, from int64, count int) []item {
	var rows []item
	day, part := r.Int32N(40), r.IntN(len(names))
	for n := range count {
		i := item{id: from + int64(n), day: day + r.Int32N(3)}
		if r.IntN(4) > 0 {
			i.name = &names[(part+r.IntN(2))%len(names)]
		}
		if f := float64(r.IntN(20)) / 4; r.IntN(4) > 0 {
			if r.IntN(9) == 0 {
				f = math.NaN()
			}
			i.ratio = &f
		}
		rows = append(rows, i)
	}
	return rows
}

func TestPlansHaveEveryFileWithAMatch(t *testing.T) {
	for name, spec := range map[string]iceberg.PartitionSpec{
		"none": *iceberg.UnpartitionedSpec, "day": by(3, iceberg.IdentityTransform{}),
		"month": by(3, iceberg.MonthTransform{}), "bucket": by(1, iceberg.BucketTransform{NumBuckets: 3}),
		"truncate": by(2, iceberg.TruncateTransform{Width: 2}), "name": by(2, iceberg.IdentityTransform{}),
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(name))))
			l := newLake(t, spec, "2")
			for n := range 12 {
				l.add(someItems(r, int64(n)*50, 20))
			}
			dropped, filters := 0, 100
			if testing.Short() {
				filters = 20
			}
			for range filters {
				c := random(r, 3, true)
				text, err := json.Marshal(c.text)
				require.NoError(t, err)
				got := l.plan(scanplan.Request{Filter: text})
				for path, rows := range l.files {
					if _, planned := got[path]; !planned {
						dropped++
						require.False(t, slices.ContainsFunc(rows, c.holds), "%s leaves out a file with a match", text)
					}
				}
			}
			require.Greater(t, dropped, filters*len(l.files)/10, "filters are pushed down")
		})
	}
}

func TestPagesAreThePlan(t *testing.T) {
	for _, version := range []string{"2", "3"} {
		r := rand.New(rand.NewPCG(2, 2))
		l := newLake(t, by(2, iceberg.IdentityTransform{}), version)
		for n := range 4 {
			l.add(someItems(r, int64(n)*50, 30))
		}
		tasks, err := table.Plan(t.Context(), l.committer.Table(), l.store, table.Scan{})
		require.NoError(t, err)
		l.add(someItems(r, 900, 5), committest.Deleted{File: tasks[0].File, Rows: 1},
			committest.Deleted{File: tasks[2].File, Rows: 2})
		tasks, err = table.Plan(t.Context(), l.committer.Table(), l.store, table.Scan{})
		require.NoError(t, err)
		want := map[string][]string{}
		for _, task := range tasks {
			want[task.File.FilePath()] = []string{}
			for _, d := range task.Deletes {
				want[task.File.FilePath()] = append(want[task.File.FilePath()],
					fmt.Sprintf("%s %v", d.FilePath(), d.Count()))
			}
		}
		for _, files := range []int{1, 2, 3, len(tasks), 1000} {
			l.planner = l.paged(files)
			require.Equal(t, want, l.plan(scanplan.Request{}), "%d files a page", files)
		}
	}
}

// call sends a request to the server and returns the answer, or nil when it is not that status.
func (l *lake) call(method, path string, body any, status int) object {
	l.Helper()
	text, err := json.Marshal(body)
	require.NoError(l, err)
	request, err := http.NewRequestWithContext(l.Context(), method, l.server.URL+path, bytes.NewReader(text))
	require.NoError(l, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(l, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(l, err)
	require.Equal(l, status, response.StatusCode, "%s", content)
	if len(content) == 0 {
		return nil
	}
	var out object
	require.NoError(l, json.Unmarshal(content, &out), "%s", content)
	return out
}

func TestTheProtocol(t *testing.T) {
	const at = "/v1/main/namespaces/db/tables/items/"
	l := newLake(t, by(3, iceberg.IdentityTransform{}), "3")
	for n := range 3 {
		l.add([]item{{id: int64(n), day: int32(n)}})
	}
	config := l.call("GET", "/v1/config", nil, http.StatusOK)
	require.Contains(t, config["endpoints"], "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/plan")
	asked := object{"filter": object{"type": "lt", "term": "id", "value": 3}, "stats-fields": []string{"id"}}
	plan := l.call("POST", at+"plan", asked, http.StatusOK)
	require.Equal(t, "completed", plan["status"])
	first := plan["file-scan-tasks"].([]any)[0].(object)
	require.Equal(t, asked["filter"].(object)["term"], first["residual-filter"].(object)["term"])
	file := first["data-file"].(object)
	require.Equal(t, object{"keys": []any{1.0}, "values": []any{"0200000000000000"}}, file["lower-bounds"])
	require.Equal(t, []any{"1970-01-03"}, file["partition"], "the newest first")
	require.Equal(t, "data parquet", fmt.Sprint(file["content"], " ", file["file-format"]))
	require.Equal(t, 2.0, file["first-row-id"])
	require.Equal(t, 3.0, file["data-sequence-number"])

	require.Equal(t, plan, l.call("GET", at+"plan/"+plan["plan-id"].(string), nil, http.StatusOK))
	l.call("DELETE", at+"plan/"+plan["plan-id"].(string), nil, http.StatusNoContent)
	require.Len(t, plan["plan-tasks"], 1)
	task := object{"plan-task": plan["plan-tasks"].([]any)[0]}
	rest := l.call("POST", at+"tasks", task, http.StatusOK)
	require.Len(t, rest["file-scan-tasks"], 1)
	require.NotContains(t, rest, "status")

	failed := func(answer object) any { return answer["error"].(object)["type"] }
	require.Equal(t, "NoSuchPlanTaskException",
		failed(l.call("POST", at+"tasks", object{"plan-task": "x"}, http.StatusNotFound)))
	require.Equal(t, "NoSuchPlanIdException", failed(l.call("GET", at+"plan/x", nil, http.StatusNotFound)))
	require.Equal(t, "NoSuchTableException",
		failed(l.call("POST", "/v1/main/namespaces/db/tables/none/plan", object{}, http.StatusNotFound)))
	require.Equal(t, "BadRequestException",
		failed(l.call("POST", at+"plan", object{"snapshot-id": 5}, http.StatusBadRequest)))
	require.Equal(t, "UnsupportedOperationException", failed(l.call("POST", at+"plan",
		object{"start-snapshot-id": 5, "end-snapshot-id": 6}, http.StatusNotAcceptable)))
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	l := newLake(t, *iceberg.UnpartitionedSpec, "2")
	l.add([]item{{id: 1}})
	id, deep := int64(5), strings.Repeat(`{"type":"not","child":`, 200)+"true"+strings.Repeat("}", 200)
	for text, r := range map[string]scanplan.Request{
		"no snapshot 5":          {SnapshotID: &id},
		"column nothing":         {Filter: json.RawMessage(`{"type":"eq","term":"nothing","value":1}`)},
		"no expression":          {Filter: json.RawMessage(`[1]`)},
		"between two snapshots":  {StartSnapshotID: &id},
		"min-rows-requested is":  {MinRows: func() *int64 { n := int64(-1); return &n }()},
		"nested deeper than 150": {Filter: json.RawMessage(deep)},
		"no JSON":                {Filter: json.RawMessage("A")},
	} {
		_, err := l.planner.Plan(t.Context(), items, r)
		require.ErrorContains(t, err, text)
	}
	for _, handle := range []string{"", "x", "bm8", "e30"} {
		_, err := l.planner.Tasks(t.Context(), items, handle)
		if handle != "e30" { // {} is the first page of everything
			require.ErrorIs(t, err, scanplan.ErrNoPlan, handle)
		}
	}
	_, err := l.planner.Plan(t.Context(), table.Ident{"db", "none"}, scanplan.Request{})
	require.ErrorIs(t, err, table.ErrNotFound)
	// What is not understood counts as true.
	for _, text := range []string{
		`{"type":"eq","term":{"type":"transform","transform":"bucket[2]","term":"id"},"value":7}`,
		`{"type":"not","child":{"type":"eq","term":"id","value":"seven"}}`, `{"type":"later","term":"id"}`,
		`{"type":"starts-with","term":"na\"me","value":"50%"}`} {
		require.Len(t, l.plan(scanplan.Request{Filter: json.RawMessage(text)}), 1, text)
	}
	rows := int64(1)
	l.add([]item{{id: 2}})
	require.Len(t, l.plan(scanplan.Request{MinRows: &rows}), 1)
	require.Len(t, l.plan(scanplan.Request{}), 2)
}

// FuzzRequest has any filter and any handle asked for.
func FuzzRequest(f *testing.F) {
	l := newLake(f, by(2, iceberg.IdentityTransform{}), "2")
	l.add([]item{{id: 1}, {id: 2, name: &names[1]}})
	f.Add([]byte(`{"type":"and","left":{"type":"in","term":"id","values":[1,2]},"right":true}`), "e30")
	f.Add([]byte("A"), "0")
	f.Add([]byte(`{"type":"not","child":{"type":"lt","term":"day","value":"2020-01-01"}}`), "eyJmcm9tIjoxfQ")
	f.Fuzz(func(t *testing.T, expression []byte, handle string) {
		result, err := l.planner.Plan(t.Context(), items, scanplan.Request{Filter: expression})
		if err == nil && len(result.Tasks) > 0 {
			_, err := json.Marshal(result)
			require.NoError(t, err)
		}
		if _, err = l.planner.Tasks(t.Context(), items, handle); err == nil {
			_, err = l.planner.Result(t.Context(), items, handle)
			require.NoError(t, err)
		}
	})
}
