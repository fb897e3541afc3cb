package stream

import (
	"context"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// expire takes the files out that hold nothing from offset before on.
func (w *world) expire(before table.Offset) {
	w.Helper()
	t := w.committer.Table()
	columns, err := coordinatesOf(t.Metadata().CurrentSchema())
	require.NoError(w, err)
	tasks, err := table.Plan(w.Context(), t, w.store, table.Scan{})
	require.NoError(w, err)
	change := commit.Change{ID: uuid.New(), Base: t.Metadata().CurrentSnapshot().SnapshotID,
		Expiry: &commit.RowExpiry{Column: "id", Before: "0"},
		Rebase: func(context.Context, *table.Table, []table.Entry) ([]iceberg.DataFile, error) { return nil, nil }}
	for _, task := range tasks {
		if offsetsOf(task, columns).next <= before {
			change.Removed = append(change.Removed, task.File)
		}
	}
	_, err = w.committer.Commit(w.Context(), change)
	require.NoError(w, err)
}

// committedIn is a world with ten commits of ten records.
func committedIn(t *testing.T) *world {
	w := newWorld(t, 1)
	for range 10 {
		w.add(10)
		w.cut()
		w.land()
		w.clock = w.clock.Add(time.Second)
	}
	return w
}

func TestAStreamWhoseRowsHaveLeftEnds(t *testing.T) {
	w := committedIn(t)
	behind := w.subscribe(Request{Rows: RowsCommitted})
	for len(behind.got[partitionOf(0)]) < 50 {
		if behind.sub == nil {
			behind.connect()
		}
		behind.readOn(1)
	}
	ahead := w.subscribe(Request{Rows: RowsCommitted})
	ahead.readOn(1 << 20)
	early := w.subscribe(Request{Rows: RowsCommitted})

	w.expire(30) // all of them were read by both
	behind.readOn(1)
	require.GreaterOrEqual(t, len(behind.got[partitionOf(0)]), 51)

	w.expire(90)
	behind.connect()
	require.NoError(t, w.streams.Step(t.Context()))
	var err error
	for batch, failure := range behind.sub.Rows(t.Context()) {
		if err = failure; err != nil {
			break
		}
		require.NotNil(t, batch, "it goes on")
	}
	require.ErrorIs(t, err, ErrGone)
	require.ErrorContains(t, err, "events-0-0 from offset 5")
	require.ErrorContains(t, err, "the oldest that is left is")

	w.add(10)
	w.cut()
	w.land()
	ahead.readOn(1 << 20)
	ahead.check()
	early.readOn(1 << 20)
	require.Equal(t, upTo(90, 110), offsetsIn(early.got[partitionOf(0)]), "the beginning is what there is")
}

func TestAStreamEndsWhenItsTableIsRolledBack(t *testing.T) {
	w := committedIn(t)
	target := w.committer.Table().Metadata().CurrentSnapshot().SnapshotID
	w.add(10)
	w.cut()
	w.land()
	ahead := w.subscribe(Request{Rows: RowsCommitted})
	ahead.readOn(1 << 20)
	token, err := ParseToken(ahead.sub.Token())
	require.NoError(t, err)
	_, err = w.committer.Rollback(t.Context(), commit.Rollback{SnapshotID: target})
	require.NoError(t, err)
	require.NoError(t, w.streams.Step(t.Context()))
	for batch, failure := range ahead.sub.Rows(t.Context()) {
		if err = failure; err != nil {
			break
		}
		require.Nil(t, batch, "nothing more comes")
	}
	require.ErrorIs(t, err, ErrRolledBack)
	require.ErrorContains(t, err, "begin anew")
	_, err = w.streams.Open(t.Context(), w.committer.Table().Ident(), Request{From: From{Token: &token}})
	require.ErrorIs(t, err, ErrRolledBack)
	anew := w.subscribe(Request{Rows: RowsCommitted})
	anew.readOn(1 << 20)
	require.Equal(t, upTo(0, 100), offsetsIn(anew.got[partitionOf(0)]))
	token, err = ParseToken(anew.sub.Token())
	require.NoError(t, err)
	require.Positive(t, token.RolledBack)
	_, err = w.streams.Open(t.Context(), w.committer.Table().Ident(), Request{From: From{Token: &token}})
	require.NoError(t, err)
}

func offsetsIn(records []record) (out []int64) {
	for _, r := range records {
		out = append(out, int64(r.offset))
	}
	return out
}
