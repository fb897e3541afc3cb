package keyed

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/firthlake/firth/table/keyindex/disktest"
	"github.com/firthlake/firth/table/objstore"
)

// told is a log that can be read.
func told() (*slog.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	return slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})), &text
}

// own is a checkpoint that the keeper is told of.
func (l *lake) own(k *Keeper, c checkpoint) {
	l.t.Helper()
	landing := l.run(k, c)
	require.NoError(l.t, k.Landed(l.ctx(), l.table(), landing))
}

func (l *lake) follow(k *Keeper) {
	l.t.Helper()
	require.NoError(l.t, k.Follow(l.ctx(), l.table()))
}

// openInMemory opens an index on a disk in memory.
func (l *lake) openInMemory() (*Keeper, *bytes.Buffer) {
	opts := testOptions("index", 1)
	opts.Disk = disktest.NewMemory()
	log, text := told()
	opts.Log = log
	return l.open(opts), text
}

func insert(l *lake, rows []row) {
	files, _, _ := l.write(l.newID(), rows)
	l.commit(lakeChange{files: files})
}

func TestNewestRowOfADoubledKeyStays(t *testing.T) {
	for name, rebuilt := range map[string]bool{"catch-up": false, "rebuild": true} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, lakeOptions{version: "3"})
			k, log := l.openInMemory()
			l.own(k, checkpoint{rows: []row{{1, "a", 1}, {2, "a", 1}, {3, "a", 1}}})
			if !rebuilt {
				l.follow(k)
			}
			insert(l, []row{{1, "a", 2}, {2, "a", 2}})
			insert(l, []row{{1, "a", 3}, {4, "a", 3}, {4, "a", 4}})
			if rebuilt {
				require.NoError(t, k.Close())
				k, log = l.openInMemory()
			}
			l.follow(k)
			require.Equal(t, 4, k.Doubles())
			require.Contains(t, log.String(), "keys have more than one row")
			require.Contains(t, log.String(), "rows=4 places=")
			l.checkIndex(k, 8)

			// A kill forgets nothing.
			disk := k.opts.Disk
			require.NoError(t, k.Close())
			k = l.open(k.opts)
			require.Equal(t, disk, k.opts.Disk)
			l.follow(k)
			require.Equal(t, 4, k.Doubles())

			l.own(k, checkpoint{})
			l.follow(k)
			require.Zero(t, k.Doubles())
			require.ElementsMatch(t, rowsOf(l.read()),
				[]row{{1, "a", 3}, {2, "a", 2}, {3, "a", 1}, {4, "a", 4}})
			require.NoError(t, k.Close())
			k = l.open(k.opts)
			require.Equal(t, l.meta.CurrentSnapshot().SnapshotID, k.Snapshot(), "no doubles, a tag")
			l.follow(k)
			l.checkIndex(k, 8)
			require.NoError(t, k.Close())
		})
	}
}

// TestIndexesAgreeOnTheRowOfADoubledKey has a rewritten file come with the sequence number of another one, which
// an index that catches up knows already and one that is built anew does not.
func TestIndexesAgreeOnTheRowOfADoubledKey(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	first, _, _ := l.write(l.newID(), []row{{1, "a", 1}, {1, "a", 2}})
	second, _, _ := l.write(l.newID(), []row{{1, "a", 3}, {1, "a", 4}})
	require.Less(t, first[0].FilePath(), second[0].FilePath())
	l.commit(lakeChange{files: second})
	k, _ := l.openInMemory()
	l.follow(k)
	l.commit(lakeChange{files: first, sequence: l.meta.CurrentSnapshot().SequenceNumber})
	l.follow(k)
	anew, _ := l.openInMemory()
	l.follow(anew)
	for _, each := range []*Keeper{k, anew} {
		require.Equal(t, 3, each.Doubles())
		l.checkIndex(each, 4)
		places := make([]keyindex.Place, 1)
		require.NoError(t, each.Resolve(t.Context(), l.keysOf(each, []int64{1}), places))
		require.Equal(t, second[0].FilePath(), each.Index().Path(places[0].File))
		require.EqualValues(t, 1, places[0].Row)
		require.NoError(t, each.Close())
	}
}

// TestOlderDoubleTakesOverWhenTheNewestGoes deletes the row that the index has, by others.
func TestOlderDoubleTakesOverWhenTheNewestGoes(t *testing.T) {
	l := newLake(t, lakeOptions{version: "2"})
	k, _ := l.openInMemory()
	l.own(k, checkpoint{rows: []row{{1, "a", 1}}})
	insert(l, []row{{1, "a", 2}})
	files, _, _ := l.write(l.newID(), []row{{1, "a", 3}})
	l.commit(lakeChange{files: files})
	l.follow(k)
	require.Equal(t, 2, k.Doubles())
	l.commit(lakeChange{removed: []string{files[0].FilePath()}})
	l.follow(k)
	require.Equal(t, 1, k.Doubles())
	l.checkIndex(k, 4)
	l.own(k, checkpoint{})
	require.Equal(t, []row{{1, "a", 2}}, rowsOf(l.read()))
	require.NoError(t, k.Close())
}

// dataReads counts reads of data files by location.
type dataReads struct {
	objstore.Store
	mu   sync.Mutex // guards data
	data map[string]int
}

func (s *dataReads) Get(ctx context.Context, location string, from, length int64,
) (io.ReadCloser, error) {
	if strings.HasSuffix(location, ".parquet") {
		s.mu.Lock()
		s.data[location]++
		s.mu.Unlock()
	}
	return s.Store.Get(ctx, location, from, length)
}

func TestCatchUpOfUpdatesReadsNoOldFile(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	k, log := l.openInMemory()
	l.own(k, checkpoint{rows: numbered(0, 100, 0)})
	l.follow(k)
	old := l.read()[0].path
	l.run(k, checkpoint{rows: numbered(10, 60, 1000)}) // it landed, and nobody was told
	require.NoError(t, k.Close())
	l.store = &dataReads{Store: l.store, data: map[string]int{}}
	k = l.open(k.opts)
	l.follow(k)
	reads := l.store.(*dataReads).data
	require.Len(t, reads, 1)
	require.Zero(t, reads[old])
	require.Contains(t, log.String(), "key index caught up")
	l.checkIndex(k, 120)

	l.run(k, checkpoint{rows: numbered(10, 20, 2000), deleted: []int64{5}})
	clear(reads)
	l.follow(k)
	require.Positive(t, reads[old], "which key was deleted lies in the old file alone")
	l.checkIndex(k, 120)
	require.NoError(t, k.Close())
}

func TestExpiredSnapshotMeansARebuild(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	k, log := l.openInMemory()
	l.own(k, checkpoint{rows: numbered(0, 10, 0)})
	require.NoError(t, k.Close())
	insert(l, numbered(10, 20, 0))
	l.expire()
	k = l.open(k.opts)
	l.follow(k)
	require.Contains(t, log.String(), "the snapshot that the key index mirrors is gone")
	l.checkIndex(k, 30)

	// A process that lives on remembers what was live.
	log.Reset()
	insert(l, numbered(20, 25, 0))
	l.expire()
	l.follow(k)
	require.NotContains(t, log.String(), "built anew")
	l.checkIndex(k, 30)
	require.NoError(t, k.Close())
}

func TestIndexOfAnotherTableIsBuiltAnew(t *testing.T) {
	l, other := newLake(t, lakeOptions{version: "3"}), newLake(t, lakeOptions{version: "3"})
	k, log := l.openInMemory()
	l.own(k, checkpoint{rows: numbered(0, 10, 0)})
	require.ErrorContains(t, k.Follow(t.Context(), other.table()), "dropped and made again")
	require.NoError(t, k.Close())
	insert(other, numbered(3, 7, 0))
	k = other.open(k.opts)
	require.Contains(t, log.String(), "key index of another table")
	other.follow(k)
	other.checkIndex(k, 12)
	require.NoError(t, k.Close())
}

func TestResolveBuildsADamagedIndexAnew(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	opts := testOptions("index", 1)
	disk := disktest.NewMemory()
	opts.Disk, opts.MemoryBytes = disk, 1<<10
	log, text := told()
	opts.Log = log
	k := l.open(opts)
	l.own(k, checkpoint{rows: numbered(0, 200, 0)})
	l.follow(k)
	require.NoError(t, k.index.Save(t.Context()))
	require.NoError(t, k.Close())
	k = l.open(opts)
	l.follow(k)
	for _, name := range disk.Names() {
		if strings.HasSuffix(name, ".cold") {
			for i := range disk.Text(name) {
				disk.Text(name)[i] ^= 1
			}
		}
	}
	l.checkIndex(k, 210)
	require.Contains(t, text.String(), "key index is damaged and is built anew")
	require.NoError(t, k.Close())
}

// TestDeletesBehindTheEndOfAFileAreNone: others' position deletes may point anywhere.
func TestDeletesBehindTheEndOfAFileAreNone(t *testing.T) {
	h := newHistory(t, lakeOptions{version: "2"}, 0)
	h.own(h.k, checkpoint{rows: numbered(0, 10, 0)})
	h.follow(h.k)
	r := h.read()[4]
	h.commit(lakeChange{deletes: h.looseDeletes(map[string][]int64{r.path: {4, 10, 1 << 33}})})
	h.follow(h.k)
	h.checkIndex(h.k, historyIDs)
	require.NoError(t, h.k.Close())
}

func TestEqualityDeletesOfOthersMeanARebuild(t *testing.T) {
	h := newHistory(t, lakeOptions{version: "3"}, 0)
	log, text := told()
	h.opts.Log = log
	require.NoError(t, h.k.Close())
	h.k = h.open(h.opts)
	h.own(h.k, checkpoint{rows: numbered(0, historyIDs, 0)})
	h.follow(h.k)
	h.removeEqual()
	h.follow(h.k)
	require.Contains(t, text.String(), "equality deletes of another engine")
	require.Less(t, len(h.read()), historyIDs)
	h.checkIndex(h.k, historyIDs)
	text.Reset()
	h.own(h.k, checkpoint{rows: numbered(0, 5, 100)})
	insert(h.lake, numbered(40, 45, 0))
	h.follow(h.k)
	require.NotContains(t, text.String(), "built anew")
	h.checkIndex(h.k, 50)
	require.NoError(t, h.k.Close())
}

func TestOpenRefusesATableWithoutIdentifier(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	meta, err := icetable.NewMetadata(schema, iceberg.UnpartitionedSpec, icetable.UnsortedSortOrder, lakeRoot,
		iceberg.Properties{"format-version": "3"})
	require.NoError(t, err)
	l := newLake(t, lakeOptions{version: "3"})
	plain := table.New(table.Ident{"db", "plain"}, meta, "")
	_, err = Open(t.Context(), l.store, plain, testOptions(t.TempDir(), 1))
	require.ErrorContains(t, err, "the schema has no identifier fields")
}

func TestDeletesTakeAPlaceTwice(t *testing.T) {
	l := newLake(t, lakeOptions{version: "3"})
	k, _ := l.openInMemory()
	l.own(k, checkpoint{rows: numbered(0, 10, 0)})
	l.follow(k)
	places := make([]keyindex.Place, 2)
	require.NoError(t, k.Resolve(t.Context(), l.keysOf(k, []int64{4, 4}), places))
	files, err := k.Deletes(t.Context(), l.newID(), places)
	require.NoError(t, err)
	require.EqualValues(t, 1, files[0].Count())
	_, err = k.Deletes(t.Context(), uuid.New(), []keyindex.Place{{File: 77, Row: 1}})
	require.ErrorContains(t, err, "BUG: ")
	require.NoError(t, k.Close())
}
