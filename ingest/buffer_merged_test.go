package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// summary is what rows of a country come to.
type summary struct {
	newest             arrow.Timestamp
	orders, quantities int64
	largest            float64
}

// summaries reads what the rows of a table come to by country, and how many they are. In orders a column of that
// name is added up, or where there is none rows are counted.
func (w *world) summaries(ident table.Ident) (out map[string]summary, rows int) {
	w.t.Helper()
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	columns := []string{"country", "ts", "quantity", "amount"}
	_, counts := t.Metadata().CurrentSchema().FindFieldByName("orders")
	if counts {
		columns = append(columns, "orders")
	}
	tasks, err := table.Plan(w.t.Context(), t, w.objects, table.Scan{Columns: columns})
	require.NoError(w.t, err)
	out = map[string]summary{}
	for _, task := range tasks {
		for batch, err := range table.Read(w.t.Context(), w.objects, task) {
			require.NoError(w.t, err)
			at := func(name string) arrow.Array { return batch.Column(batch.Schema().FieldIndices(name)[0]) }
			for i := range int(batch.NumRows()) {
				rows++
				country := textAt(at("country"), i)
				s := out[country]
				s.newest = max(s.newest, at("ts").(*array.Timestamp).Value(i))
				s.quantities += int64(at("quantity").(*array.Int32).Value(i))
				if s.largest = max(s.largest, at("amount").(*array.Float64).Value(i)); counts {
					s.orders += longAt(at("orders"), i)
				} else {
					s.orders++
				}
				out[country] = s
			}
		}
	}
	return out, rows
}

// throughCrashes takes all records of a broker into a keyed table of one row a country, by processes of which
// three are killed.
func (w *world) throughCrashes(
	b *source.Embedded, name string, records int64, keyed func() *KeyedOptions,
) table.Ident {
	w.t.Helper()
	fields := append(genFields(w.t, "events10"),
		iceberg.NestedField{ID: 1000, Name: "orders", Type: iceberg.PrimitiveTypes.Int64})
	var id []int
	for i := range fields {
		if fields[i].Name == "country" {
			fields[i].Required = true
			id = []int{fields[i].ID}
		}
	}
	ident := table.Ident{"db", name}
	w.createOne(ident, iceberg.NewSchemaWithIdentifiers(0, id, fields...))
	w.createOne(commit.DeadLettersIdent(ident), DeadLetterSchema())
	w.adjust = func(o *TableOptions) { o.Keyed = keyed() }
	for crashes := range 3 {
		var read int64
		for _, covered := range w.check(ident).Covered {
			read += covered.Counts.Sum()
		}
		if read == records {
			break
		}
		r := w.run(b, ident, fmt.Sprint(name, crashes), -1)
		require.Eventually(w.t, func() bool { return r.ingester.Progress().Tables[0].Commits > 0 },
			patience, time.Millisecond, "%+v", r.ingester.Progress())
		_ = r.stop() // as if killed: what is under way is given up
	}
	r := w.run(b, ident, name, patience)
	w.await(r, ident, records)
	require.NoError(w.t, r.stop())
	w.check(ident)
	return ident
}

func TestWorkInParallelLeavesItsContextAndStopsAtAnError(t *testing.T) {
	for _, n := range []int{1, 2} {
		var seen context.Context
		begin := func(ctx context.Context) error { seen = ctx; return nil }
		require.NoError(t, inParallel(t.Context(), n, []func(context.Context) error{begin}))
		require.NoError(t, seen.Err(), "a file that was begun is written on")

		calls := atomic.Int64{}
		fail := func(context.Context) error { calls.Add(1); return errBuffer }
		works := slices.Repeat([]func(context.Context) error{fail}, 100)
		require.ErrorIs(t, inParallel(t.Context(), n, works), errBuffer)
		require.LessOrEqual(t, calls.Load(), int64(n+1), "one may wait already")
	}
}

func TestRunKeepsWhatRecordsComeToThroughCrashes(t *testing.T) {
	w := newWorld(t)
	w.interval = 30 * time.Millisecond
	b, totals := broker(t, 4, 60_000)
	all := w.create("db.events", genFields(t, "events10")...)
	r := w.run(b, all, "all", patience)
	w.await(r, all, totals.Rows)
	require.NoError(t, r.stop())
	want, _ := w.summaries(all)

	got, rows := w.summaries(w.throughCrashes(b, "newest", totals.Rows, func() *KeyedOptions {
		return &KeyedOptions{Sequence: []string{"ts"}, Keys: w.keys()}
	}))
	require.Len(t, want, rows)
	for country, s := range got {
		require.Equal(t, want[country].newest, s.newest)
	}
	got, rows = w.summaries(w.throughCrashes(b, "sums", totals.Rows, func() *KeyedOptions {
		return &KeyedOptions{Keys: w.keys(), Merge: &MergeOptions{Functions: map[string]spec.Function{
			"quantity": spec.FunctionSum, "orders": spec.FunctionCount, "ts": spec.FunctionMax,
			"amount": spec.FunctionMax}}}
	}))
	require.Len(t, want, rows)
	require.Equal(t, want, got)
}
