package upkeep

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/compaction/orphans"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// broken is a table whose snapshots do not expire.
type broken struct{ Committer }

func (broken) Expire(context.Context, commit.Expiry) (commit.Expired, error) {
	return commit.Expired{}, errors.New("no")
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// TestTablesAreLookedAfterByTheirPolicies lets days go by over three tables: one with a grace, one without, one
// that fails.
func TestTablesAreLookedAfterByTheirPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		catalog, store := committest.NewCatalog(), objstore.NewMemory(time.Now)
		var tables []Table
		for _, name := range []string{"bad", "keep", "clean"} {
			ident := table.Ident{"db", name}
			for _, each := range []table.Ident{ident, commit.DeadLettersIdent(ident)} {
				meta, err := committest.Metadata(2, "mem://lake/"+table.FormatIdent(each), false)
				require.NoError(t, err)
				require.NoError(t, catalog.Create(each, meta))
				_, err = store.Put(t.Context(), meta.Location()+"/data/lost.parquet", strings.NewReader("x"), 1,
					objstore.PutOptions{})
				require.NoError(t, err)
			}
			c, err := commit.Open(t.Context(), catalog, store, ident, committest.Options(1, "a"))
			require.NoError(t, err)
			tables = append(tables, Table{Committer: c, Expiry: commit.Expiry{Keep: 1}, Grace: 48 * time.Hour})
		}
		tables[0].Committer = broken{tables[0].Committer}
		tables[1].Grace = 0
		metrics := NewMetrics(nil)
		lists := 0
		u, err := New(Options{Catalog: catalog, Store: store, Now: time.Now, NewID: uuid.New, Sleep: sleep,
			Metrics: metrics,
			Tables:  func(context.Context) ([]Table, error) { return tables, nil },
			Others:  func(context.Context, *table.Table) ([]orphans.Place, error) { lists++; return nil, nil }})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 4*24*time.Hour)
		defer cancel()
		require.ErrorIs(t, u.Run(ctx), context.DeadlineExceeded)
		left := map[string]bool{}
		for o, err := range store.List(t.Context(), "mem://lake/") {
			require.NoError(t, err)
			if strings.HasSuffix(o.Location, "lost.parquet") {
				left[strings.Split(o.Location, "/")[3]] = true
			}
		}
		require.Equal(t, map[string]bool{"db.bad": true, "db.bad__dead_letters": true, "db.keep": true,
			"db.keep__dead_letters": true}, left)
		require.Equal(t, 8, lists, "once a day, two tables")
		require.Equal(t, 1.0, testutil.ToFloat64(metrics.removed.WithLabelValues("db.clean")))
		require.Positive(t, testutil.ToFloat64(metrics.failed.WithLabelValues("db.bad")))
	})
}

// aged is a table that is only asked for its rows.
type aged struct {
	Committer
	asked int
}

func (a *aged) Refresh(context.Context) error { a.asked++; return errors.New("enough") }

func TestRowsWaitATurnWhenTheClockJumps(t *testing.T) {
	store := objstore.NewMemory(time.Now)
	catalog := committest.NewCatalog()
	ident := table.Ident{"db", "events"}
	meta, err := committest.Metadata(2, "mem://lake/events", false)
	require.NoError(t, err)
	require.NoError(t, catalog.Create(ident, meta))
	c, err := commit.Open(t.Context(), catalog, store, ident, committest.Options(1, "a"))
	require.NoError(t, err)
	a := &aged{Committer: c}
	now := time.Now()
	u, err := New(Options{Catalog: catalog, Store: store, NewID: uuid.New, Sleep: sleep,
		Now: func() time.Time { return now },
		Tables: func(context.Context) ([]Table, error) {
			return []Table{{Committer: a, Expiry: commit.Expiry{Keep: 1},
				Rows: commit.RowAge{Column: "at", After: 1}}}, nil
		},
		Others: func(context.Context, *table.Table) ([]orphans.Place, error) { return nil, nil }})
	require.NoError(t, err)
	for i, step := range []struct {
		to   time.Time
		asks int
	}{
		{now, 1},
		{now.Add(time.Hour), 2},
		{now.Add(48 * time.Hour), 2}, // after an hour's sleep
		{now.Add(49 * time.Hour), 3},
	} {
		now = step.to
		require.NoError(t, u.Step(t.Context()))
		require.Equal(t, step.asks, a.asked, "step %d", i)
	}
}

func TestNewWantsItsFunctions(t *testing.T) {
	_, err := New(Options{})
	require.ErrorContains(t, err, "must be set")
}
