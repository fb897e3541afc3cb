package live_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// manifests are the manifests of the tail among the objects.
func (w *world) manifests() []string {
	return slices.DeleteFunc(w.objects(), func(location string) bool {
		name := path.Base(location)
		return !strings.HasSuffix(name, ".avro") || strings.HasSuffix(name, "-list.avro")
	})
}

// added are the manifests that a load has written.
func (w *world) added(load func() *table.Table) (*table.Table, int) {
	before := len(w.manifests())
	shown := load()
	return shown, len(w.manifests()) - before
}

// checkRowIDs finds so many rows, each with an id of its own.
func (w *world) checkRowIDs(t *table.Table, rows int) {
	w.Helper()
	ids := map[int64]bool{}
	tasks, err := table.Plan(w.Context(), t, w.store, table.Scan{Columns: []string{"_row_id"}})
	require.NoError(w, err)
	for _, task := range tasks {
		for batch, err := range table.Read(w.Context(), w.store, task) {
			require.NoError(w, err)
			for _, id := range batch.Column(0).(*array.Int64).Int64Values() {
				require.False(w, ids[id], "row id %d twice", id)
				ids[id] = true
			}
		}
	}
	require.Len(w, ids, rows)
}

func TestManifestsOfChunksThatStayAreNotWrittenAgain(t *testing.T) {
	for _, version := range []string{"2", "3"} {
		w := newWorld(t, kind{version, true})
		w.live.SetManifestChunks(4)
		next := func() *table.Table {
			w.pass(time.Second)
			return w.load("live")
		}
		change, rows := uuid.New(), 0
		for range 10 {
			w.read(change, 2)
			rows += 2
		}
		shown, added := w.added(next)
		require.Equal(t, 3, added)
		require.Equal(t, upTo(rows), w.ids(shown, table.Scan{}))
		for chunk := 10; chunk < 14; chunk++ {
			w.read(change, 2)
			rows += 2
			shown, added = w.added(next)
			require.Equal(t, 1, added, "chunk %d", chunk)
			require.Equal(t, upTo(rows), w.ids(shown, table.Scan{}))
		}
		if version == "3" {
			w.checkRowIDs(shown, rows)
		}
		w.commit(change)
		w.read(uuid.New(), 1)
		shown, added = w.added(next)
		require.Equal(t, 1, added)
		require.Equal(t, upTo(rows+1), w.ids(shown, table.Scan{}))
	}
}

func TestManifestsThatAreUsedAgainStay(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	w.live.SetManifestChunks(4)
	change := uuid.New()
	for chunk := range 40 {
		w.read(change, 1)
		w.pass(live.Pin / 2)
		shown := w.load("live")
		require.NoError(t, w.janitor.Step(t.Context()))
		require.Equal(t, upTo(chunk+1), w.ids(shown, table.Scan{}))
	}
	w.pass(3 * live.Pin)
	require.NoError(t, w.janitor.Step(t.Context()))
	require.Len(t, w.manifests(), 10, "those of the version that is left")
	w.pass(time.Hour)
	before := w.manifests()
	require.Equal(t, upTo(40), w.ids(w.load("live"), table.Scan{}))
	require.Len(t, w.manifests(), len(before)+10, "others may remove what is old")
}

func TestAManifestThatWasNotWrittenIsNotUsed(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	w.live.SetManifestChunks(2)
	change := uuid.New()
	for range 5 {
		w.read(change, 1)
	}
	w.fails = func(location string) bool { return strings.HasSuffix(location, "-m1.avro") }
	_, err := w.live.TableJSON(t.Context(), events)
	require.Error(t, err)
	w.fails = nil
	w.pass(time.Second)
	require.Equal(t, upTo(5), w.ids(w.load("live"), table.Scan{}))
}

// What another engine deleted by values before the rows of the tail came does not hide them.
func TestManifestsThatAreUsedAgainComeBehindWhatIsCommitted(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	w.live.SetManifestChunks(2)
	for range 3 {
		change := uuid.New()
		w.read(change, 1)
		w.commit(change)
	}
	change := uuid.New()
	for range 3 {
		w.read(change, 1)
	}
	before := w.load("live")
	policy := compaction.DefaultPolicy(nil)
	policy.FilesMin = 2
	c, err := compaction.New(w.committer, w.store, compaction.Options{NewID: uuid.New, Policy: policy})
	require.NoError(t, err)
	_, err = c.Run(t.Context())
	require.NoError(t, err)
	w.pass(time.Second)
	shown, added := w.added(func() *table.Table { return w.load("live") })
	require.Greater(t, shown.Metadata().LastSequenceNumber(), before.Metadata().LastSequenceNumber())
	require.Zero(t, added)
	body, err := w.store.Get(t.Context(), shown.Metadata().CurrentSnapshot().ManifestList, 0, -1)
	require.NoError(t, err)
	manifests, err := iceberg.ReadManifestList(body)
	require.NoError(t, err)
	for _, m := range manifests {
		if strings.Contains(m.FilePath(), "/"+tail.Folder+"/") {
			require.Equal(t, shown.Metadata().LastSequenceNumber(), m.SequenceNum())
		}
	}
	require.Equal(t, upTo(6), w.ids(shown, table.Scan{}))
}

// BenchmarkVersion makes versions of a table with so many chunks.
func BenchmarkVersion(b *testing.B) {
	for _, chunks := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(chunks), func(b *testing.B) {
			w := newWorld(b, kind{"2", true})
			w.read(uuid.New(), 3)
			w.commit(uuid.New())
			for range chunks {
				w.read(uuid.New(), 1)
			}
			for b.Loop() {
				w.pass(time.Second)
				w.read(uuid.New(), 1)
				_, err := w.live.TableJSON(b.Context(), events)
				require.NoError(b, err)
			}
		})
	}
}
