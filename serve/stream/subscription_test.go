package stream

import (
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// reader is a client: it holds the rows that it got, and the last token.
type reader struct {
	w       *world
	request Request
	begun   table.Position // where the stream began
	sub     *Subscription  // nil while it is broken off
	token   string
	got     map[table.TopicPartition][]record
}

func (w *world) subscribe(request Request) *reader {
	w.Helper()
	r := &reader{w: w, request: request, got: map[table.TopicPartition][]record{}}
	r.connect()
	token, err := ParseToken(r.token)
	require.NoError(w, err)
	r.begun = token.Cut
	return r
}

// connect begins the stream, or goes on behind the last token.
func (r *reader) connect() {
	r.w.Helper()
	request := r.request
	if r.token != "" {
		from, err := ParseFrom(r.token)
		require.NoError(r.w, err)
		request.From = from
	}
	var err error
	r.sub, err = r.w.streams.Open(r.w.Context(), events, request)
	require.NoError(r.w, err)
	r.token = r.sub.Token()
}

// readOn reads some batches, at most up to what there is now.
func (r *reader) readOn(batches int) {
	w := r.w
	w.Helper()
	if r.sub == nil || r.sub.streams != w.streams {
		r.connect()
	}
	r.look(batches)
	for batch, err := range r.sub.Rows(w.Context()) {
		require.NoError(w, err)
		if batch == nil {
			r.token = r.sub.Token()
			break
		}
		for _, row := range recordsOf(batch) {
			if n := len(r.got[row.at]); n > 0 {
				require.Less(w, r.got[row.at][n-1].offset, row.offset, "%s goes back", row.at)
			}
			r.got[row.at] = append(r.got[row.at], row)
		}
		r.token = r.sub.Token()
		if batches--; batches <= 0 {
			break
		}
		if batches < all/2 { // the table goes on meanwhile
			for range w.rng.IntN(6) {
				w.step()
			}
			r.look(batches)
		}
	}
	if w.rng.IntN(4) == 0 { // it breaks off
		r.sub.Close()
		r.sub = nil
	}
}

// look has the tables looked at, or their tails alone when that is enough.
func (r *reader) look(batches int) {
	w := r.w
	if batches == all || w.rng.IntN(2) == 0 {
		require.NoError(w, w.streams.Step(w.Context()))
	}
	for _, f := range w.streams.tables() {
		f.renew(nil)
		w.pieces += len(f.last().view.Pieces)
	}
}

// all are more batches than there are.
const all = 1 << 20

// check holds the rows against the log.
func (r *reader) check() {
	r.w.Helper()
	for _, id := range r.w.partitions() {
		var want []record
		for _, row := range r.w.log[id] {
			if row.offset >= r.begun[id] && (r.request.Filter == nil || row.region == "eu") {
				want = append(want, row)
			}
		}
		require.Equal(r.w, want, r.got[id], "%s from %d", id, r.begun[id])
	}
}

func TestEachRecordComesOnceAndInOrder(t *testing.T) {
	onlyEU, err := filter.Parse("region = 'eu'")
	require.NoError(t, err)
	kinds := []Request{{}, {From: From{End: true}}, {Filter: onlyEU}, {Rows: RowsCommitted},
		{Rows: RowsCommitted, From: From{End: true}}}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			var readers []*reader
			for range 300 {
				w.step()
				if len(readers) < len(kinds) && w.rng.IntN(30) == 0 {
					readers = append(readers, w.subscribe(kinds[len(readers)]))
				}
				for _, r := range readers {
					if w.rng.IntN(5) == 0 {
						r.readOn(1 + w.rng.IntN(6))
					}
				}
			}
			w.finish()
			for _, r := range readers {
				r.readOn(all)
				r.check()
			}
			require.Greater(t, w.pieces, 100, "hardly any rows were shown from memory")
		})
	}
}

func TestAStreamBeginsBehindASnapshot(t *testing.T) {
	for seed := range uint64(2) {
		w := newWorld(t, seed)
		for range 200 {
			w.step()
		}
		w.finish()
		meta := w.committer.Table().Metadata()
		for _, snapshot := range meta.Snapshots() {
			from := From{SnapshotID: snapshot.SnapshotID}
			r := w.subscribe(Request{From: from, Rows: RowsCommitted})
			r.readOn(all)
			r.check()
			held := 0
			tasks, err := table.Plan(t.Context(), w.committer.Table(), w.store,
				table.Scan{SnapshotID: snapshot.SnapshotID})
			require.NoError(t, err)
			for _, task := range tasks {
				held += int(task.File.Count())
			}
			logged, got := 0, 0
			for id, rows := range w.log {
				logged += len(rows)
				got += len(r.got[id])
			}
			require.Equal(t, logged, held+got, "the snapshot has the others")
		}
		require.Equal(t, maps.Clone(w.ends), maps.Clone(w.committer.Position()))
	}
}
