package verify

import (
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// replay makes rows of the dead letters [first, first+n) of a partition.
func (w *world) replay(partition int32, first commit.Offset, n int) {
	w.t.Helper()
	change, log := commit.Change{ID: w.ids()}, commit.ReplaysOf(tp(partition))
	batch := w.rows(events, partition, first, n, "fixed")
	sum, err := table.Checksum(w.load(events).Metadata().CurrentSchema(), batch)
	require.NoError(w.t, err)
	ledger, err := commit.ReadLedger(w.load(events).Metadata())
	require.NoError(w.t, err)
	from := ledger.Position[log]
	change.Files = w.write(events, change.ID, batch)
	change.DeadLetters = w.marks(partition, first, n)
	change.Ranges = map[commit.TopicPartition]commit.Range{log: {From: from, Next: from + commit.Offset(n),
		Counts: commit.Counts{Inserted: int64(n)}, Checksum: sum}}
	_, err = w.committer.Commit(w.t.Context(), change)
	require.NoError(w.t, err)
	w.changes = append(w.changes, change)
}

// marks are files of rows that say that letters are resolved.
func (w *world) marks(partition int32, first commit.Offset, n int) []iceberg.DataFile {
	dead := commit.DeadLettersIdent(events)
	return w.write(dead, w.ids(), w.rows(dead, partition, first, n, commit.ClassResolved))
}

func TestRowsOfReplaysAreProvenAndExpire(t *testing.T) {
	w := newWorld(t)
	w.replay(0, 10, 2)
	w.replay(0, 23, 1)
	for range 2 {
		for _, deep := range []bool{false, true} {
			r := w.check(deep)
			require.Empty(t, r.Faults)
			require.Empty(t, r.Notes)
			require.Equal(t, DeadLetters{Table: "db.events__dead_letters", Counted: 4, Resolved: 3, Rows: 7},
				r.DeadLetters)
			require.Equal(t, "events#resolved", r.Partitions[2].Topic)
			if deep {
				require.EqualValues(t, 3, r.Partitions[2].Rows)
			}
		}
		for range 20 { // the commits of the replays expire
			w.commit(1, 3, 0)
		}
	}
}

func TestDamagedReplaysAreFound(t *testing.T) {
	dead := commit.DeadLettersIdent(events)
	addLetters := func(w *world, files []iceberg.DataFile) {
		w.foreign(dead, func(tx *icetable.Transaction) error {
			return tx.AddDataFiles(w.t.Context(), files, nil, icetable.WithoutDuplicateCheck(),
				icetable.WithoutAutoNameMapping())
		})
	}
	for name, c := range map[string]struct {
		do   func(w *world)
		deep []string
		note string
	}{
		"edited value": {do: func(w *world) {
			w.put(w.file(4), w.get(w.write(events, w.ids(), w.rows(events, 0, 10, 2, "fixee"))[0].FilePath()))
		}, deep: []string{"checksum"}},
		"row twice": {do: func(w *world) {
			w.foreignAppend(w.write(events, w.ids(), w.rows(events, 0, 11, 1, "fixed"))...)
		}, deep: []string{"doubled_row", "rows"}},
		"row of a letter that is not resolved": {do: func(w *world) {
			w.foreignAppend(w.write(events, w.ids(), w.rows(events, 0, 22, 1, "forged"))...)
		}, deep: []string{"rows"}},
		"file gone":      {do: func(w *world) { w.remove(w.file(4)) }, deep: []string{"missing_file", "missing_row"}},
		"resolved twice": {do: func(w *world) { addLetters(w, w.marks(0, 10, 1)) }, deep: []string{"dead_letters"}},
		"resolved by others": {do: func(w *world) { addLetters(w, w.marks(0, 22, 2)) },
			note: "2 dead letters are marked as resolved by others"},
		"letters of others gone": {do: func(w *world) {
			w.foreign(dead, func(tx *icetable.Transaction) error {
				return tx.Delete(w.t.Context(), iceberg.AlwaysTrue{}, nil)
			})
		}, note: "all its rows are compared as one sum"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.replay(0, 10, 2)
			c.do(w)
			r := w.check(true)
			require.ElementsMatch(t, c.deep, kinds(r), "%v", r.Faults)
			if c.note != "" {
				require.Contains(t, r.Notes[len(r.Notes)-1]+r.Notes[0], c.note)
			}
		})
	}
}
