package backfill

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// lake is a table in memory, files beside it, and processes that load them.
type lake struct {
	t       *testing.T
	store   objstore.Store
	catalog *committest.Catalog
	ident   table.Ident
	seed    uint64
}

const location = "mem://lake/events"

var schema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 3, Name: "_kafka_topic", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 4, Name: "_kafka_partition", Type: iceberg.PrimitiveTypes.Int32},
	iceberg.NestedField{ID: 5, Name: "_kafka_offset", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 6, Name: "_kafka_timestamp", Type: iceberg.PrimitiveTypes.TimestampTz},
)

func newLake(t *testing.T, version string) *lake {
	return newLakeOf(t, version, iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000,
		Name: "region", Transform: iceberg.IdentityTransform{}}))
}

func newLakeOf(t *testing.T, version string, spec iceberg.PartitionSpec) *lake {
	l := &lake{t: t, store: objstore.NewMemory(func() time.Time { return time.Unix(1_600_000_000, 0) }),
		catalog: committest.NewCatalog(), ident: table.Ident{"db", "events"}}
	meta, err := icetable.NewMetadata(schema, &spec, icetable.UnsortedSortOrder, location,
		iceberg.Properties{"format-version": version})
	require.NoError(t, err)
	require.NoError(t, l.catalog.Create(l.ident, meta))
	return l
}

func (l *lake) put(name string, text string) {
	l.t.Helper()
	_, err := l.store.Put(l.t.Context(), "mem://lake/in/"+name, strings.NewReader(text), int64(len(text)),
		objstore.PutOptions{})
	require.NoError(l.t, err)
}

// parquet makes a Parquet file of ids; with a region, unless that is empty.
func (l *lake) parquet(name, region string, ids ...int32) {
	fields := []arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int32}}
	if region != "" {
		fields = append(fields, arrow.Field{Name: "region", Type: arrow.BinaryTypes.String, Nullable: true})
	}
	form := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for _, id := range ids {
		b.Field(0).(*array.Int32Builder).Append(id)
		if region != "" {
			b.Field(1).(*array.StringBuilder).Append(region)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(form, &buf, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	require.NoError(l.t, err)
	require.NoError(l.t, w.Write(batch))
	require.NoError(l.t, w.Close())
	l.put(name, buf.String())
}

// fill puts files of all formats there: ids 0 to 59, a third of them in region "b".
func (l *lake) fill() {
	l.parquet("a.parquet", "a", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	var csv, json strings.Builder
	csv.WriteString("region,id\r\n")
	for id := 10; id < 30; id++ {
		fmt.Fprintf(&csv, "\"%s\",%d\r\n", "b", id)
	}
	for id := 30; id < 60; id++ {
		fmt.Fprintf(&json, "{\"id\": %d, \"region\": \"a\"}\n", id)
	}
	l.put("b.csv", csv.String())
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(json.String()))
	require.NoError(l.t, err)
	require.NoError(l.t, w.Close())
	l.put("c.json.gz", packed.String())
}

func (l *lake) options(catalog commit.Catalog, store objstore.Store) (Options, error) {
	l.seed++
	opts := committest.Options(l.seed, fmt.Sprint("process ", l.seed))
	opts.Reads = 1
	committer, err := commit.Open(l.t.Context(), catalog, store, l.ident, opts)
	return Options{Committer: committer, Source: store, Store: store, Now: opts.Now, NewID: opts.NewID,
		Sleep: opts.Sleep, Memory: table.NewBudget(8 << 20)}, err
}

var everything = Plan{Pattern: "mem://lake/in/*", Filter: "id != 13",
	Checks: []string{"rows = 59", "region is not null"}}

// load runs a backfill to its end, in rounds of a file.
func (l *lake) load(catalog commit.Catalog, store objstore.Store, plan Plan) error {
	opts, err := l.options(catalog, store)
	if err != nil {
		return err
	}
	b, err := Open(l.t.Context(), opts, plan)
	if errors.Is(err, ErrPromoted) {
		return nil
	}
	if err != nil {
		return err
	}
	b.roundFiles = 1
	if err := b.Run(l.t.Context()); err != nil {
		return err
	}
	_, _, err = b.Promote(l.t.Context())
	if errors.Is(err, ErrPromoted) {
		return nil
	}
	return err
}

func (l *lake) table() *table.Table {
	t, err := l.catalog.LoadTable(l.t.Context(), l.ident)
	require.NoError(l.t, err)
	return t
}

// ids are those of a branch in order.
func (l *lake) ids(scan table.Scan) (ids []int64) {
	l.t.Helper()
	tasks, err := table.Plan(l.t.Context(), l.table(), l.store, scan)
	require.NoError(l.t, err)
	for _, task := range tasks {
		for batch, err := range table.Read(l.t.Context(), l.store, task) {
			require.NoError(l.t, err)
			ids = append(ids, batch.Column(0).(*array.Int64).Int64Values()...)
		}
	}
	slices.Sort(ids)
	return ids
}

// sound looks that main has each row once, and that the ledger proves it.
func (l *lake) sound() {
	l.t.Helper()
	var want []int64
	for id := range int64(60) {
		if id != 13 {
			want = append(want, id)
		}
	}
	require.Equal(l.t, want, l.ids(table.Scan{}))
	report, err := verify.Check(l.t.Context(), l.table(), l.store, verify.Options{Deep: true})
	require.NoError(l.t, err)
	require.True(l.t, report.Proven, "%v", report.Faults)
	require.EqualValues(l.t, 59, report.Counts.Inserted)
	require.EqualValues(l.t, 1, report.Counts.Filtered)
	held, err := Branches(l.table())
	require.NoError(l.t, err)
	require.Empty(l.t, held)
}

// feed commits progress of a stream, as a process beside the backfill does.
func (l *lake) feed(committer *commit.Committer, to commit.Offset) {
	l.t.Helper()
	tp := commit.TopicPartition{Cluster: "c", Topic: "events"}
	at := committer.Position()[tp]
	opts := committest.Options(uint64(to)+1000, "stream")
	ranges := map[commit.TopicPartition]commit.Range{
		tp: {From: at, Next: to, Counts: commit.Counts{Filtered: int64(to - at)}}}
	_, err := committer.Commit(l.t.Context(), commit.Change{ID: opts.NewID(), Ranges: ranges})
	require.NoError(l.t, err)
}

func TestRowsOfAllFormatsBecomeRowsOfMainOnce(t *testing.T) {
	for _, version := range []string{"2", "3"} {
		l := newLake(t, version)
		l.fill()
		stream, err := l.options(l.catalog, l.store)
		require.NoError(t, err)
		l.feed(stream.Committer, 10)
		opts, err := l.options(l.catalog, l.store)
		require.NoError(t, err)
		opts.Parallel = 2
		b, err := Open(t.Context(), opts, everything)
		require.NoError(t, err)
		b.roundFiles = 2
		more, err := b.Step(t.Context())
		require.NoError(t, err)
		require.True(t, more)
		require.Empty(t, l.ids(table.Scan{}), "nothing is in main before promotion")
		require.Len(t, l.ids(table.Scan{Ref: b.Branch()}), 29)
		l.feed(stream.Committer, 20)
		require.NoError(t, b.Run(t.Context()))
		l.feed(stream.Committer, 30)
		_, verdicts, err := b.Promote(t.Context())
		require.NoError(t, err)
		require.Equal(t, []Verdict{{Check: "rows = 59", Holds: true, Rows: 59},
			{Check: "region is not null", Holds: true, Rows: 59}}, verdicts)
		l.feed(stream.Committer, 40)
		report, err := verify.Check(t.Context(), l.table(), l.store, verify.Options{Deep: true})
		require.NoError(t, err)
		require.True(t, report.Proven, "%v", report.Faults)
		require.Len(t, l.ids(table.Scan{}), 59)

		_, err = Open(t.Context(), opts, everything)
		require.ErrorIs(t, err, ErrPromoted)
		_, _, err = b.Promote(t.Context())
		require.ErrorIs(t, err, ErrPromoted)
		require.Len(t, l.ids(table.Scan{}), 59)
	}
}

// TestRowsThatDoNotFitInMemoryAreWritten has a data file that is open from one file of the source to the next.
func TestRowsThatDoNotFitInMemoryAreWritten(t *testing.T) {
	l := newLakeOf(t, "2", *iceberg.UnpartitionedSpec)
	for file := range 2 {
		var csv strings.Builder
		csv.WriteString("id,region\n")
		for id := range 6000 {
			fmt.Fprintf(&csv, "%d,%0500d\n", file*6000+id, id)
		}
		l.put(fmt.Sprint(file, ".csv"), csv.String())
	}
	opts, err := l.options(l.catalog, l.store)
	require.NoError(t, err)
	opts.Memory = table.NewBudget(1)
	b, err := Open(t.Context(), opts, Plan{Pattern: "mem://lake/in/*", Checks: []string{"rows = 12000"}})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context()))
	_, _, err = b.Promote(t.Context())
	require.NoError(t, err)
	require.Len(t, l.ids(table.Scan{}), 12000)
}

func TestLostRowOfABackfillIsFound(t *testing.T) {
	l := newLake(t, "2")
	l.fill()
	require.NoError(t, l.load(l.catalog, l.store, everything))
	l.sound()
	// A file of main is replaced by a copy of another: its rows are missing and others are doubled.
	var names []string
	head := l.table().Metadata().CurrentSnapshot().SnapshotID
	for entry, err := range table.Entries(t.Context(), l.table(), l.store, head) {
		require.NoError(t, err)
		names = append(names, entry.File.FilePath())
	}
	r, err := l.store.Get(t.Context(), names[0], 0, -1)
	require.NoError(t, err)
	_, err = l.store.Put(t.Context(), names[1], r, -1, objstore.PutOptions{})
	require.NoError(t, err)
	report, err := verify.Check(t.Context(), l.table(), l.store, verify.Options{Deep: true})
	require.NoError(t, err)
	require.False(t, report.Proven)
}

func TestAbandonTakesBranchAndFiles(t *testing.T) {
	l := newLake(t, "2")
	l.fill()
	opts, err := l.options(l.catalog, l.store)
	require.NoError(t, err)
	b, err := Open(t.Context(), opts, everything)
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context()))
	held, err := Branches(opts.Committer.Table())
	require.NoError(t, err)
	require.Len(t, held, 1)
	require.NoError(t, Abandon(t.Context(), opts.Committer, held[0]))
	for object, err := range l.store.List(t.Context(), location+"/data/") {
		require.NoError(t, err)
		require.Fail(t, "a file stays behind", object.Location)
	}
	_, _, err = b.Promote(t.Context())
	require.ErrorIs(t, err, commit.ErrBranch)
	require.Empty(t, l.ids(table.Scan{}))
}

func TestAFailedCheckPromotesNothing(t *testing.T) {
	l := newLake(t, "2")
	l.fill()
	plan := everything
	plan.Checks = []string{"rows >= 100", "region = 'a'"}
	err := l.load(l.catalog, l.store, plan)
	require.ErrorIs(t, err, ErrCheck)
	require.ErrorContains(t, err, "rows >= 100: there are 59")
	require.ErrorContains(t, err, "region = 'a': not true for 19 of 59 rows")
	require.Empty(t, l.ids(table.Scan{}))
	require.Len(t, l.ids(table.Scan{Ref: plan.BranchName(l.table())}), 59)
	require.NoError(t, l.load(l.catalog, l.store, everything), "other checks are the same backfill")
	l.sound()
}

func TestAChangedSourceStops(t *testing.T) {
	l := newLake(t, "2")
	l.fill()
	opts, err := l.options(l.catalog, l.store)
	require.NoError(t, err)
	b, err := Open(t.Context(), opts, everything)
	require.NoError(t, err)
	b.roundFiles = 1
	_, err = b.Step(t.Context())
	require.NoError(t, err)
	l.parquet("d.parquet", "a", 99)
	require.ErrorIs(t, l.load(l.catalog, l.store, everything), ErrChanged)
}

func TestAMovedBranchIsNotPromoted(t *testing.T) {
	l := newLake(t, "2")
	l.fill()
	first, err := l.options(l.catalog, l.store)
	require.NoError(t, err)
	b, err := Open(t.Context(), first, everything)
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context()))
	other, err := l.options(l.catalog, l.store)
	require.NoError(t, err)
	_, err = other.Committer.AppendBranch(t.Context(), commit.BranchChange{Branch: b.Branch(), After: b.held.SnapshotID,
		ID: other.NewID()})
	require.NoError(t, err)
	_, _, err = b.Promote(t.Context())
	require.ErrorIs(t, err, commit.ErrBranch)
	require.ErrorContains(t, err, "was moved")
	require.Empty(t, l.ids(table.Scan{}))
}

func TestASourceThatDoesNotFitIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		plan       Plan
		want       string
	}{
		"nothing": {file: "x.txt", text: "x", plan: Plan{Pattern: "mem://lake/in/*.csv"},
			want: "no file is called so"},
		"no format":      {file: "x.txt", text: "x", want: "its name tells no format"},
		"no parquet":     {file: "x.parquet", text: "id,region\n1,a\n", want: "x.parquet: is no whole Parquet file"},
		"no gzip":        {file: "x.csv.gz", text: "id\n1\n", want: "is not what its name says"},
		"empty csv":      {file: "x.csv", want: "its first line must name the columns"},
		"unknown":        {file: "x.csv", text: "id,area\n1,a\n", want: "no column for area; say with"},
		"unknown member": {file: "x.json", text: `{"id":1,"area":2}`, want: `row 1: no column takes field "area"`},
		"required":       {file: "x.csv", text: "region\na\n", want: "column id is required"},
		"required null":  {file: "x.csv", text: "id,region\n1,a\n,b\n", want: "x.csv: row 2: id: required and null"},
		"value":          {file: "x.csv", text: "id,region\n1,a\nzwei,b\n", want: `x.csv: row 2: id: not long: "zwei"`},
		"fields":         {file: "x.csv", text: "id,region\n1\n", want: "row 1: 1 fields, and 2 columns"},
		"no json":        {file: "x.json", text: "id,region\n", want: "row 1: "},
		"map to nothing": {file: "x.csv", text: "id\n1\n", plan: Plan{Map: []string{"area=id"}},
			want: "the table has no column area"},
		"map of nothing": {file: "x.csv", text: "id\n1\n", plan: Plan{Map: []string{"region=area"}},
			want: "the file has no column area"},
		"coordinates": {file: "x.csv", text: "id\n1\n", plan: Plan{Map: []string{"_kafka_offset=id"}},
			want: "firth fills that column itself"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, "2")
			l.put(c.file, c.text)
			if c.plan.Pattern == "" {
				c.plan.Pattern = "mem://lake/in/*"
			}
			err := l.load(l.catalog, l.store, c.plan)
			require.ErrorIs(t, err, ErrSource)
			require.ErrorContains(t, err, c.want)
			held, err := Branches(l.table())
			require.NoError(t, err)
			require.Empty(t, held)
		})
	}
}

func TestHalfAParquetIsNamed(t *testing.T) {
	l := newLake(t, "2")
	l.parquet("x.parquet", "a", 1, 2, 3)
	r, err := l.store.Get(t.Context(), "mem://lake/in/x.parquet", 0, 200)
	require.NoError(t, err)
	var half bytes.Buffer
	_, err = half.ReadFrom(r)
	require.NoError(t, err)
	l.put("x.parquet", half.String())
	err = l.load(l.catalog, l.store, Plan{Pattern: "mem://lake/in/x.parquet"})
	require.ErrorIs(t, err, ErrSource)
	require.ErrorContains(t, err, "x.parquet")
}

func TestColumnsAreMapped(t *testing.T) {
	l := newLake(t, "2")
	l.put("x.csv", "uid,area,left\n7,north,1\n")
	l.put("y.json", `{"user":{"uid":"8"},"area":"south","more":true}`)
	l.parquet("z.parquet", "", 9)
	require.NoError(t, l.load(l.catalog, l.store, Plan{Pattern: "mem://lake/in/x*",
		Map: []string{"id=uid", "region=area", "-left"}}))
	require.NoError(t, l.load(l.catalog, l.store, Plan{Pattern: "mem://lake/in/y*",
		Map: []string{"id=user.uid", "-*"}}))
	require.NoError(t, l.load(l.catalog, l.store, Plan{Pattern: "mem://lake/in/z*"}))
	require.Equal(t, []int64{7, 8, 9}, l.ids(table.Scan{}))
}

// TestEveryOperationOfABackfillMayFail counts the operations of a backfill with its promotion and runs it again for
// each, recovers with the same command, and finds every row once.
func TestEveryOperationOfABackfillMayFail(t *testing.T) {
	clean := newLake(t, "2")
	clean.fill()
	p := committest.NewProcess(clean.catalog, clean.store, nil, nil)
	require.NoError(t, clean.load(p.Catalog, p.Store, everything))
	clean.sound()
	stride := 1
	if testing.Short() {
		stride = 5
	}
	for n := 0; n < p.Catalog.Ops(); n++ {
		for fault := committest.ErrorBefore; fault <= committest.CrashLate; fault++ {
			sweep(t, committest.FailAt(n, fault), nil, fmt.Sprintf("catalog operation %d fault %d", n, fault))
		}
	}
	for n := int64(0); n < p.Store.Ops(); n += int64(stride) {
		for fault := objstore.ErrorBefore; fault <= objstore.CrashAfter; fault++ {
			sweep(t, nil, objstore.FailAt(n, objstore.Fault{Kind: fault}),
				fmt.Sprintf("store operation %d fault %d", n, fault))
		}
	}
}

func sweep(t *testing.T, catalogPlan func(int) committest.Fault, storePlan objstore.Plan, name string) {
	l := newLake(t, "2")
	l.fill()
	p := committest.NewProcess(l.catalog, l.store, catalogPlan, storePlan)
	err := l.load(p.Catalog, p.Store, everything)
	if !p.Crashed() {
		p.Catalog.Settle()
	}
	for try := 0; err != nil && try < 3; try++ {
		next := committest.NewProcess(l.catalog, l.store, func(op int) committest.Fault {
			if op == 2 { // the next process knows the branch as it was
				p.Catalog.Settle()
			}
			return committest.NoFault
		}, nil)
		err = l.load(next.Catalog, next.Store, everything)
		require.True(t, err == nil || errors.Is(err, commit.ErrBranch), "%s: %v", name, err)
	}
	require.NoError(t, err, name)
	require.NotNil(t, l.table().Metadata().CurrentSnapshot(), name)
	l.sound()
	if t.Failed() {
		t.FailNow()
	}
}
