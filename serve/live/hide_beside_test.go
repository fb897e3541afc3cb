package live_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/tail"
)

// besideReader asks what the tail hides while a checkpoint has the key index and moves it.
type besideReader struct {
	*keyedWorld
	base *table.Table // that was asked for last with the index at it; nil when none was
	told int          // answers while a checkpoint has the index
	news int          // those with chunks that were not asked for before
	rows int64        // that the last one knew of
}

// besideIndex has the reader ask before the checkpoint writes its deletes, before the index moves or once it has.
type besideIndex struct {
	ingest.KeyIndex
	reader *besideReader
}

func (i besideIndex) Deletes(ctx context.Context, id uuid.UUID, old []keyindex.Place) ([]iceberg.DataFile, error) {
	i.reader.ask()
	return i.KeyIndex.Deletes(ctx, id, old)
}

func (i besideIndex) Landed(ctx context.Context, t *table.Table, l keyed.Landing) error {
	i.reader.ask()
	err := i.KeyIndex.Landed(ctx, t, l)
	i.reader.ask()
	return err
}

// ask asks for the base as it was asked for before. What is told is held against the model; the index is not waited
// for.
func (r *besideReader) ask() {
	r.Helper()
	if r.base == nil || r.rng.IntN(2) > 0 { // who asks again has hardly anything to find
		return
	}
	before := r.rows
	ctx, cancel := context.WithTimeout(r.Context(), time.Millisecond)
	defer cancel()
	if err := r.tell(ctx, r.base); err != nil {
		require.True(r, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, tail.ErrMoved), err)
		return
	}
	if r.told++; r.rows > before {
		r.news++
	}
}

// tell asks what the tail hides behind a base, and reads both.
func (r *besideReader) tell(ctx context.Context, base *table.Table) error {
	r.Helper()
	ledger, err := commit.ReadLedger(base.Metadata())
	require.NoError(r, err)
	view := r.process.index.At(ledger.Position)
	found, err := r.process.index.Hider().Hide(ctx, base.MetadataLocation(), view)
	if err != nil {
		return err
	}
	hidden := map[string]*roaring.Bitmap{}
	for _, h := range found {
		hidden[h.Path] = h.Rows
	}
	tasks, err := table.Plan(r.Context(), base, r.store, table.Scan{Columns: []string{"id", "name"}})
	require.NoError(r, err)
	for _, c := range view.Chunks {
		for _, file := range c.Files {
			tasks = append(tasks, table.Task{File: file, Schema: base.Schema()})
		}
	}
	for i := range tasks {
		path := tasks[i].File.FilePath()
		tasks[i].Unseen = hidden[path]
		delete(hidden, path)
	}
	require.Empty(r, hidden, "rows are hidden of files that there are not")
	var cut [keyedPartitions]int
	for id, next := range view.Cut {
		cut[id.Partition] = int(next)
	}
	require.Equal(r, r.model(cut), r.rowsOf(tasks), "at %v, behind %s", cut, base.MetadataLocation())
	r.base, r.rows = base, view.Rows
	return nil
}

// Invariant: what the tail hides behind a base is told right or not at all, at whatever step of a checkpoint it is
// asked for, and it is told while the checkpoint has the key index.
func TestWhatTheTailHidesIsToldBesideACheckpoint(t *testing.T) {
	seeds, steps := uint64(12), 200
	if testing.Short() {
		seeds, steps = 6, 80
	}
	told, news := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &besideReader{keyedWorld: newKeyedWorld(t, seed)}
			r.wrap = func(index ingest.KeyIndex) ingest.KeyIndex { return besideIndex{index, r} }
			r.start()
			for range steps {
				for range r.rng.IntN(8) {
					r.append()
				}
				r.process.index.Follow(r.clock.Add(live.Pin))
				r.step()
				switch r.rng.IntN(20) {
				case 0:
					r.compact(r.process.committer)
				case 1:
					r.compact(r.other)
				case 2:
					r.base = nil
					r.crash()
					r.start()
				}
				if r.rng.IntN(2) == 0 {
					base, err := r.committed.LoadTable(t.Context(), events)
					require.NoError(t, err)
					if err := r.tell(t.Context(), base); err != nil {
						require.ErrorIs(t, err, tail.ErrUnresolved, "as long as there is no index")
					}
				}
			}
			r.crash()
			told, news = told+r.told, news+r.news
		})
	}
	t.Log(told, news)
	require.GreaterOrEqual(t, news, int(seeds)/2, "nobody asks for what was not asked for before")
}
