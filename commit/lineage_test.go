package commit_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table/objstore"
)

// stranger commits to events as another engine would: it knows nothing of the ledger. It rewrites all
// manifests into one, removes the data files in remove and adds one file of the given rows.
func (w *world) stranger(t testing.TB, id int64, rows int64, remove map[string]bool) string {
	t.Helper()
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	meta := tbl.Metadata()
	parent := meta.CurrentSnapshot()
	var live []iceberg.ManifestEntry
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(w.object(t, parent.ManifestList)))
	require.NoError(t, err)
	var deletes []iceberg.ManifestFile // which the stranger leaves alone
	for _, m := range manifests {
		if m.ManifestContent() == iceberg.ManifestContentDeletes {
			deletes = append(deletes, m)
			continue
		}
		entries, err := iceberg.ReadManifest(m, bytes.NewReader(w.object(t, m.FilePath())), true)
		require.NoError(t, err)
		live = append(live, entries...)
	}
	file, err := committest.DataFile(t.Context(), w.store, meta,
		committest.File{Change: w.ids(), Rows: rows, Region: "s"})
	require.NoError(t, err)
	var removed, removedRows, removedSize, kept, keptRows int64
	s := w.foreign(t, foreign{meta, parent, id}, deletes, func(mw *iceberg.ManifestWriter) int64 {
		for _, e := range live {
			if remove[e.DataFile().FilePath()] {
				removed, removedRows = removed+1, removedRows+e.DataFile().Count()
				removedSize += e.DataFile().FileSizeBytes()
				require.NoError(t, mw.Delete(e))
				continue
			}
			kept, keptRows = kept+1, keptRows+e.DataFile().Count()
			require.NoError(t, mw.Existing(e))
		}
		require.NoError(t, mw.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &id, nil, nil, file)))
		return keptRows + rows
	})
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	size, err := strconv.ParseInt(parent.Summary.Properties["total-files-size"], 10, 64)
	require.NoError(t, err)
	s.Summary = &icetable.Summary{Operation: icetable.OpOverwrite, Properties: iceberg.Properties{
		"added-data-files": "1", "added-records": n(rows), "deleted-data-files": n(removed),
		"deleted-records": n(removedRows), "total-data-files": n(kept + 1), "total-records": n(keptRows + rows),
		"total-files-size":       n(size - removedSize + file.FileSizeBytes()),
		"total-position-deletes": parent.Summary.Properties["total-position-deletes"]}}
	_, err = w.catalog.CommitTable(t.Context(), events, nil, []icetable.Update{icetable.NewAddSnapshotUpdate(s),
		icetable.NewSetSnapshotRefUpdate(icetable.MainBranch, id, icetable.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
	return file.FilePath()
}

// foreign is what others begin a snapshot with.
type foreign struct {
	meta   icetable.Metadata
	parent *icetable.Snapshot
	id     int64
}

// foreign writes a manifest, which fill fills and says the rows of, and a list of it and of other manifests.
func (w *world) foreign(t testing.TB, f foreign, others []iceberg.ManifestFile,
	fill func(*iceberg.ManifestWriter) int64) *icetable.Snapshot {
	t.Helper()
	var buf bytes.Buffer
	mw, err := iceberg.NewManifestWriter(f.meta.Version(), &buf, f.meta.PartitionSpec(), f.meta.CurrentSchema(), f.id)
	require.NoError(t, err)
	first, added := f.meta.NextRowID(), fill(mw)
	require.NoError(t, mw.Close())
	location := fmt.Sprintf("%s/metadata/foreign-%d.avro", f.meta.Location(), f.id)
	m, err := mw.ToManifestFile(location, int64(buf.Len()))
	require.NoError(t, err)
	w.put(t, location, buf.Bytes())
	buf.Reset()
	seq := f.meta.LastSequenceNumber() + 1
	require.NoError(t, iceberg.WriteManifestList(f.meta.Version(), &buf, f.id, &f.parent.SnapshotID, &seq, first,
		append(others, m)))
	list := fmt.Sprintf("%s/metadata/foreign-list-%d.avro", f.meta.Location(), f.id)
	w.put(t, list, buf.Bytes())
	s := &icetable.Snapshot{SnapshotID: f.id, ParentSnapshotID: &f.parent.SnapshotID, SequenceNumber: seq,
		TimestampMs: f.meta.LastUpdatedMillis() + 1, ManifestList: list}
	if f.meta.Version() == 3 {
		s.FirstRowID, s.AddedRows = &first, &added
	}
	return s
}

func (w *world) object(t testing.TB, location string) []byte {
	body, err := w.store.Get(t.Context(), location, 0, -1)
	require.NoError(t, err)
	var buf bytes.Buffer
	_, err = buf.ReadFrom(body)
	require.NoError(t, err)
	return buf.Bytes()
}

func (w *world) put(t testing.TB, location string, body []byte) {
	_, err := w.store.Put(t.Context(), location, bytes.NewReader(body), int64(len(body)), objstore.PutOptions{})
	require.NoError(t, err)
}

func TestForeignCommitsAreTakenOverCountedAndFolded(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		opts := committest.Options(1, "a")
		opts.SnapshotsKeep = 6
		c := w.open(t, opts)
		next := commit.Offset(0)
		ours := func(n int) {
			for range n {
				_, err := w.commit(t, c, step{from: next, rows: 2, other: 1})
				require.NoError(t, err)
				next += 3
				w.check(t)
			}
		}
		ours(9)
		var gone string
		for location := range w.check(t).Files {
			gone = location
			break
		}
		theirs := w.stranger(t, 77, 5, map[string]bool{gone: true})
		ours(3)
		report := w.check(t)
		require.Contains(t, report.Files, theirs)
		require.NotContains(t, report.Files, gone)
		require.EqualValues(t, 2*12-2+5, report.Rows)
		ours(20) // the stranger's snapshot expires
		report = w.check(t)
		require.EqualValues(t, commit.Foreign{Through: report.Ledger.Foreign.Through,
			TotalRecords: report.Rows, Snapshots: 1, AddedDataFiles: 1,
			RemovedDataFiles: 1, AddedRecords: 5, RemovedRecords: 2}, report.Ledger.Foreign)
		_, err := w.store.Stat(t.Context(), gone)
		require.ErrorIs(t, err, objstore.ErrNotFound) // nothing needs it any more
		require.NoError(t, w.noOrphans(t))
	})
}

func TestRemovedFileStaysWhileTagNeedsIt(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	opts := committest.Options(1, "a")
	opts.SnapshotsKeep = 4
	c := w.open(t, opts)
	done, err := w.commit(t, c, step{rows: 2})
	require.NoError(t, err)
	_, err = w.catalog.CommitTable(t.Context(), events, nil, []icetable.Update{
		icetable.NewSetSnapshotRefUpdate("v1", done.SnapshotID, icetable.TagRef, 0, 0, 0)})
	require.NoError(t, err)
	var gone string
	for location := range w.check(t).Files {
		gone = location
	}
	w.stranger(t, 77, 5, map[string]bool{gone: true})
	for i := range commit.Offset(20) {
		_, err := w.commit(t, c, step{from: 2 + i, rows: 1})
		require.NoError(t, err)
	}
	w.check(t)
	_, err = w.store.Stat(t.Context(), gone)
	require.NoError(t, err)
}

func TestEditedLedgerIsRefused(t *testing.T) {
	for name, edit := range map[string]func(w *world, t *testing.T){
		"no totals": func(w *world, t *testing.T) {
			w.setProperty(t, commit.PropertyFolded, "")
		},
		"totals behind the position and nobody left to tell": func(w *world, t *testing.T) {
			w.stranger(t, 77, 5, nil)
			w.expireAllButHead(t)
			other := newWorld(t, shape{version: 2})
			_, err := other.commit(t, other.open(t, committest.Options(5, "x")), step{rows: 1})
			require.NoError(t, err)
			w.setProperty(t, commit.PropertyFolded, other.property(t, commit.PropertyFolded))
		},
		"main set back where firth has no snapshot left": func(w *world, t *testing.T) {
			w.stranger(t, 77, 5, nil)
			_, err := w.commit(t, w.open(t, committest.Options(5, "x")), step{from: 3, rows: 1})
			require.NoError(t, err)
			_, err = w.catalog.CommitTable(t.Context(), events, nil, []icetable.Update{
				icetable.NewSetSnapshotRefUpdate(icetable.MainBranch, 77, icetable.BranchRef, 0, 0, 0)})
			require.NoError(t, err)
			w.expireAllButHead(t)
		},
		"edited position": func(w *world, t *testing.T) {
			w.setProperty(t, commit.PropertyPosition, w.property(t, commit.PropertyPosition)[1:])
		},
		"other position": func(w *world, t *testing.T) {
			other := newWorld(t, shape{version: 2})
			_, err := other.commit(t, other.open(t, committest.Options(5, "x")), step{from: 7, rows: 1})
			require.NoError(t, err)
			w.setProperty(t, commit.PropertyPosition, other.property(t, commit.PropertyPosition))
		},
		"main set back": func(w *world, t *testing.T) {
			tbl, err := w.catalog.LoadTable(t.Context(), events)
			require.NoError(t, err)
			_, err = w.catalog.CommitTable(t.Context(), events, nil, []icetable.Update{icetable.NewSetSnapshotRefUpdate(
				icetable.MainBranch, *tbl.Metadata().CurrentSnapshot().ParentSnapshotID, icetable.BranchRef, 0, 0, 0)})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shape{version: 2})
			c := w.open(t, committest.Options(1, "a"))
			for i := range commit.Offset(3) {
				_, err := w.commit(t, c, step{from: i, rows: 1})
				require.NoError(t, err)
			}
			edit(w, t)
			_, err := commit.Open(t.Context(), w.catalog, w.store, events, committest.Options(2, "b"))
			require.ErrorIs(t, err, commit.ErrDamaged)
			t.Log(err)
		})
	}
}

// expireAllButHead takes out every snapshot that can be, as another engine does.
func (w *world) expireAllButHead(t testing.TB) {
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	var gone []int64
	for _, s := range tbl.Metadata().Snapshots() {
		if s.SnapshotID != tbl.Metadata().CurrentSnapshot().SnapshotID {
			gone = append(gone, s.SnapshotID)
		}
	}
	_, err = w.catalog.CommitTable(t.Context(), events, nil,
		[]icetable.Update{icetable.NewRemoveSnapshotsUpdate(gone, false)})
	require.NoError(t, err)
}

// TestExpiryByOthersTakesNothingOfTheLedger lets others commit and expire everything between commits.
func TestExpiryByOthersTakesNothingOfTheLedger(t *testing.T) {
	shapes(t, func(t *testing.T, s shape) {
		w := newWorld(t, s)
		c := w.open(t, committest.Options(1, "a"))
		for i := range int64(6) {
			_, err := w.commit(t, c, step{from: commit.Offset(3 * i), rows: 2, other: 1})
			require.NoError(t, err)
			var gone string
			for location := range w.check(t).Files {
				gone = location
			}
			w.stranger(t, 70+2*i, 5, map[string]bool{gone: true})
			w.stranger(t, 71+2*i, 4, nil)
			w.expireAllButHead(t)
			report := w.check(t)
			require.EqualValues(t, 2*(i+1), report.Covered[partition(0)].Counts.Inserted)
		}
		foreign := w.check(t).Ledger.Foreign
		require.EqualValues(t, 5, foreign.Snapshots) // the last two are not taken in yet
		require.EqualValues(t, 5, foreign.Unseen)
	})
}

func (w *world) property(t testing.TB, name string) string {
	tbl, err := w.catalog.LoadTable(t.Context(), events)
	require.NoError(t, err)
	return tbl.Metadata().Properties()[name]
}

func (w *world) setProperty(t testing.TB, name, value string) {
	_, err := w.catalog.CommitTable(t.Context(), events, nil, []icetable.Update{
		icetable.NewSetPropertiesUpdate(iceberg.Properties{name: value})})
	require.NoError(t, err)
}
