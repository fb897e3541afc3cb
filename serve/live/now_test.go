package live_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// hold takes in rows that are in memory alone.
func (w *world) hold(change uuid.UUID, rows int) {
	w.Helper()
	_, known := w.committer.Position()[partition]
	span := tail.Span{From: w.next, Next: w.next + commit.Offset(rows), First: !known && w.next == 0}
	batch := w.batch(rows)
	w.waiting = append(w.waiting, batch)
	w.unwritten = append(w.unwritten, batch)
	w.feed.Add(tail.Piece{Change: change, TopicPartition: partition, Span: span, Rows: batch})
}

// flush makes a chunk of what is in memory alone.
func (w *world) flush(change uuid.UUID) {
	w.Helper()
	rows := commit.Offset(0)
	for _, batch := range w.unwritten {
		rows += commit.Offset(batch.NumRows())
	}
	if rows == 0 {
		return
	}
	_, known := w.committer.Position()[partition]
	span := tail.Span{From: w.next - rows, Next: w.next, First: !known && w.next == rows}
	w.feed.Give(tail.Chunk{Change: change, Rows: int64(rows),
		Spans: map[table.TopicPartition]tail.Span{partition: span},
		Files: w.write(table.WriterOptions{Folder: tail.Folder, ChangeID: uuid.New()}, w.unwritten...)})
	w.unwritten = nil
}

// idsNow are the ids in the table as readers in this process get it.
func (w *world) idsNow() []int64 {
	w.Helper()
	t, view, err := w.live.Now(w.Context(), events)
	require.NoError(w, err)
	var files []iceberg.DataFile
	for _, c := range view.Chunks {
		files = append(files, c.Files...)
	}
	tasks, err := table.PlanFiles(t, table.Scan{}, files)
	require.NoError(w, err)
	var batches []arrow.RecordBatch
	for _, p := range view.Pieces {
		batches = append(batches, p.Rows)
	}
	inMemory, err := table.PlanBatches(t, table.Scan{}, batches)
	require.NoError(w, err)
	ids := w.ids(t, table.Scan{})
	for _, task := range append(tasks, inMemory) {
		for batch, err := range table.Read(w.Context(), w.store, task) {
			require.NoError(w, err)
			ids = append(ids, batch.Column(0).(*array.Int64).Int64Values()...)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestReadersInTheProcessSeeWhatIsInMemory has commits land between two of their steps, too, after which the tail
// behind the table that they have loaded is gone.
func TestReadersInTheProcessSeeWhatIsInMemory(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, kind{[]string{"2", "3"}[seed%2], seed%4 > 1})
		change, seen, raced := uuid.New(), 0, 0
		land := func() {
			if w.next > w.landed {
				w.flush(change)
				w.commit(change)
				change = uuid.New()
			}
		}
		for range 60 {
			w.pass(time.Duration(rng.IntN(300)) * time.Millisecond)
			switch n := rng.IntN(10); {
			case n < 5:
				w.hold(change, 1+rng.IntN(9))
			case n < 7:
				w.flush(change)
			case n < 8:
				land()
			default:
				w.between = func() {
					land()
					w.tails.All()[0].Forget(w.now().Add(time.Hour), w.now().Add(time.Hour))
					raced++
				}
			}
			before := raced
			ids := w.idsNow()
			require.Equal(t, upTo(len(ids)), ids)
			require.GreaterOrEqual(t, len(ids), seen, "rows that were seen are gone")
			if before == raced {
				require.Len(t, ids, int(w.next))
			}
			seen = len(ids)
		}
		require.Greater(t, raced, 5)
		for _, object := range w.objects() {
			require.NotContains(t, object, ".json", "metadata was written for a reader in this process")
		}
	}
}

func TestWhatIsShownInTheProcessDoesNotGoBack(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	change := uuid.New()
	w.hold(change, 10)
	require.Len(t, w.idsNow(), 10)
	w.feed.Withdraw(change, w.now())
	w.next, w.waiting, w.unwritten = 0, nil, nil
	w.pass(time.Second)
	require.Len(t, w.idsNow(), 10, "they come again")
	again := uuid.New()
	w.hold(again, 4)
	w.pass(time.Second)
	require.Len(t, w.idsNow(), 10)
	w.hold(again, 8)
	require.Equal(t, upTo(12), w.idsNow())
	w.feed.Withdraw(again, w.now())
	w.pass(time.Minute)
	require.Empty(t, w.idsNow(), "they do not come again")
}

func TestRowsThatWereShownAreForgotten(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	change := uuid.New()
	w.hold(change, 10)
	require.Len(t, w.idsNow(), 10)
	w.feed.Withdraw(change, w.now())
	w.pass(3 * time.Minute)
	require.NoError(t, w.janitor.Step(t.Context()))
	w.pass(-3 * time.Minute) // so that nothing but that can be why
	require.Empty(t, w.idsNow())
}
