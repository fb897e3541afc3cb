package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

const warehouse = "mem://wh/main"

var schema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "text", Type: iceberg.PrimitiveTypes.String})

var events = table.Ident{"db", "events"}

func options() catalog.Options {
	return catalog.Options{
		Warehouse: warehouse, TableProperties: catalog.DefaultTableProperties(),
		Now: time.Now, NewID: uuid.New,
	}
}

// fixture is a catalog in memory with the namespace db.
type fixture struct {
	*catalog.Catalog
	store   catalog.Store
	objects objstore.Store
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{store: catalog.NewMemoryStore(), objects: objstore.NewMemory(time.Now)}
	f.Catalog = catalog.New(f.store, f.objects, options())
	require.NoError(t, f.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	return f
}

func (f fixture) files(t *testing.T, prefix string) []string {
	t.Helper()
	var found []string
	for object, err := range f.objects.List(t.Context(), prefix) {
		require.NoError(t, err)
		found = append(found, object.Location)
	}
	return found
}

// appendSnapshot is the change that a commit of new data makes.
func appendSnapshot(meta icetable.Metadata, summary map[string]string) ([]icetable.Requirement, []icetable.Update) {
	id := rand.Int63()
	schemaID := meta.CurrentSchema().ID
	snapshot := &icetable.Snapshot{
		SnapshotID: id, SequenceNumber: meta.LastSequenceNumber() + 1,
		TimestampMs:  max(time.Now().UnixMilli(), meta.LastUpdatedMillis()),
		ManifestList: fmt.Sprintf("%s/metadata/snap-%d.avro", meta.Location(), id), SchemaID: &schemaID,
		Summary: &icetable.Summary{Operation: icetable.OpAppend, Properties: summary},
	}
	var head *int64
	if current := meta.CurrentSnapshot(); current != nil {
		head = &current.SnapshotID
		snapshot.ParentSnapshotID = head
	}
	return []icetable.Requirement{
			icetable.AssertTableUUID(meta.TableUUID()), icetable.AssertRefSnapshotID("main", head),
		}, []icetable.Update{
			icetable.NewAddSnapshotUpdate(snapshot),
			icetable.NewSetSnapshotRefUpdate("main", id, icetable.BranchRef, 0, 0, 0),
		}
}

func TestCommitMakesTheNextVersion(t *testing.T) {
	f := newFixture(t)
	created, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	require.Equal(t, warehouse+"/db/events", created.Metadata().Location())

	requirements, updates := appendSnapshot(created.Metadata(), map[string]string{"firth.commit-id": "1"})
	committed, err := f.CommitTable(t.Context(), events, requirements, updates)
	require.NoError(t, err)
	require.NotEqual(t, created.MetadataLocation(), committed.MetadataLocation())
	require.Equal(t, "1", committed.Metadata().CurrentSnapshot().Summary.Properties["firth.commit-id"])

	// A second catalog over the same stores reads what was written, not what is in memory.
	loaded, err := catalog.New(f.store, f.objects, options()).LoadTable(t.Context(), events)
	require.NoError(t, err)
	require.Equal(t, committed.MetadataLocation(), loaded.MetadataLocation())
	require.True(t, committed.Metadata().Equals(loaded.Metadata()))
}

func TestCommitOnAStaleHeadConflicts(t *testing.T) {
	f := newFixture(t)
	created, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	requirements, updates := appendSnapshot(created.Metadata(), nil)
	_, err = f.CommitTable(t.Context(), events, requirements, updates)
	require.NoError(t, err)
	before := f.files(t, warehouse)
	_, err = f.CommitTable(t.Context(), events, requirements, updates)
	require.ErrorIs(t, err, table.ErrConflict)
	_, err = f.CommitTable(t.Context(), events, nil, updates)
	require.Error(t, err, "a sequence number that is taken")
	require.NotErrorIs(t, err, table.ErrStateUnknown)
	require.Equal(t, before, f.files(t, warehouse), "a refused commit left files")
}

func TestCommitToAMissingTableIsNotFound(t *testing.T) {
	f := newFixture(t)
	_, err := f.CommitTable(t.Context(), events, nil, nil)
	require.ErrorIs(t, err, table.ErrNotFound)
	_, err = f.LoadTable(t.Context(), table.Ident{"gone", "t"})
	require.ErrorIs(t, err, table.ErrNotFound)
}

// rivalStore lets a rival commit right before the first swap.
type rivalStore struct {
	catalog.Store
	rival func()
}

func (s *rivalStore) Apply(ctx context.Context, ops ...catalog.Op) error {
	if rival := s.rival; rival != nil {
		s.rival = nil
		rival()
	}
	return s.Store.Apply(ctx, ops...)
}

func TestLostSwapRemovesOnlyItsOwnFile(t *testing.T) {
	f := newFixture(t)
	created, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	var won *table.Table
	loser := catalog.New(&rivalStore{Store: f.store, rival: func() {
		requirements, updates := appendSnapshot(created.Metadata(), nil)
		won, err = f.CommitTable(t.Context(), events, requirements, updates)
		require.NoError(t, err)
	}}, f.objects, options())
	requirements, updates := appendSnapshot(created.Metadata(), nil)
	_, err = loser.CommitTable(t.Context(), events, requirements, updates)
	require.ErrorIs(t, err, table.ErrConflict)
	require.ElementsMatch(t, []string{created.MetadataLocation(), won.MetadataLocation()},
		f.files(t, warehouse))
}

// faultyStore fails every Apply with err, after or instead of doing it.
type faultyStore struct {
	catalog.Store
	err     error
	applies bool
}

func (s *faultyStore) Apply(ctx context.Context, ops ...catalog.Op) error {
	if s.applies {
		if err := s.Store.Apply(ctx, ops...); err != nil {
			return err
		}
	}
	return s.err
}

func TestUnknownOutcomeRemovesNothing(t *testing.T) {
	for _, applies := range []bool{false, true} {
		f := newFixture(t)
		created, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
		broken := catalog.New(&faultyStore{Store: f.store, err: table.ErrStateUnknown, applies: applies},
			f.objects, options())
		requirements, updates := appendSnapshot(created.Metadata(), nil)
		_, err = broken.CommitTable(t.Context(), events, requirements, updates)
		require.ErrorIs(t, err, table.ErrStateUnknown)
		require.Len(t, f.files(t, warehouse), 2)
		loaded, err := f.LoadTable(t.Context(), events)
		require.NoError(t, err, "the head must be readable whatever happened")
		require.Equal(t, applies, loaded.Metadata().CurrentSnapshot() != nil)
	}
}

func TestFailureBeforeTheSwapChangesNothing(t *testing.T) {
	f := newFixture(t)
	created, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	faulty := objstore.NewFaulty(f.objects, func(op objstore.Op) objstore.Fault {
		if op.Kind == objstore.OpPut {
			return objstore.Fault{Kind: objstore.AnswerLost}
		}
		return objstore.Fault{}
	})
	broken := catalog.New(f.store, faulty, options())
	requirements, updates := appendSnapshot(created.Metadata(), nil)
	_, err = broken.CommitTable(t.Context(), events, requirements, updates)
	require.ErrorIs(t, err, table.ErrConflict)
	require.NotErrorIs(t, err, table.ErrStateUnknown)
	require.Equal(t, []string{created.MetadataLocation()}, f.files(t, warehouse))
}

func TestOldMetadataFilesAreRemoved(t *testing.T) {
	f := newFixture(t)
	head, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	for range 30 {
		requirements, updates := appendSnapshot(head.Metadata(), nil)
		head, err = f.CommitTable(t.Context(), events, requirements, updates)
		require.NoError(t, err)
	}
	require.Len(t, f.files(t, warehouse), 11, "the current file and ten older ones")
}

func TestConcurrentCommitsLoseNoUpdate(t *testing.T) {
	const writers, commits = 4, 20
	f := newFixture(t)
	_, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for n := 0; n < commits; {
				head, err := f.LoadTable(t.Context(), events)
				if err != nil {
					t.Errorf("load: %v", err)
					return
				}
				requirements, updates := appendSnapshot(head.Metadata(), map[string]string{
					"n": fmt.Sprintf("%d-%d", writer, n)})
				_, err = f.CommitTable(t.Context(), events, requirements, updates)
				switch {
				case err == nil:
					n++
				case !errors.Is(err, table.ErrConflict):
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
	head, err := f.LoadTable(t.Context(), events)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, snapshot := range head.Metadata().Snapshots() {
		seen[snapshot.Summary.Properties["n"]] = true
	}
	require.Len(t, seen, writers*commits)
	require.Len(t, f.files(t, warehouse), 11)
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	f := newFixture(t)
	var changes []catalog.TableChange
	for _, name := range []string{"a", "b"} {
		ident := table.Ident{"db", name}
		created, err := f.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
		requirements, updates := appendSnapshot(created.Metadata(), nil)
		changes = append(changes, catalog.TableChange{Ident: ident, Requirements: requirements, Updates: updates})
	}
	before := f.files(t, warehouse)
	stale := changes[1]
	stale.Requirements = []icetable.Requirement{icetable.AssertTableUUID(uuid.New())}
	err := f.CommitTransaction(t.Context(), []catalog.TableChange{changes[0], stale})
	require.ErrorIs(t, err, table.ErrConflict)
	require.Equal(t, before, f.files(t, warehouse))
	require.NoError(t, f.CommitTransaction(t.Context(), changes))
	for _, change := range changes {
		loaded, err := f.LoadTable(t.Context(), change.Ident)
		require.NoError(t, err)
		require.NotNil(t, loaded.Metadata().CurrentSnapshot())
	}
}

func TestStagedTableExistsOnceCommitted(t *testing.T) {
	f := newFixture(t)
	stagedTable, err := f.StageTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	require.Empty(t, f.files(t, warehouse))
	meta := stagedTable.Metadata()
	spec, sortOrder := meta.PartitionSpec(), meta.SortOrder()
	updates := []icetable.Update{
		icetable.NewAssignUUIDUpdate(meta.TableUUID()), icetable.NewUpgradeFormatVersionUpdate(2),
		icetable.NewAddSchemaUpdate(meta.CurrentSchema()), icetable.NewSetCurrentSchemaUpdate(-1),
		icetable.NewAddPartitionSpecUpdate(&spec, true), icetable.NewSetDefaultSpecUpdate(-1),
		icetable.NewAddSortOrderUpdate(&sortOrder), icetable.NewSetDefaultSortOrderUpdate(-1),
		icetable.NewSetLocationUpdate(meta.Location()), icetable.NewSetPropertiesUpdate(meta.Properties()),
	}
	create := []icetable.Requirement{icetable.AssertCreate()}
	committed, err := f.CommitTable(t.Context(), events, create, updates)
	require.NoError(t, err)
	require.Equal(t, meta.TableUUID(), committed.Metadata().TableUUID())
	_, err = f.CommitTable(t.Context(), events, create, updates)
	require.ErrorIs(t, err, table.ErrConflict)
}

func TestExpiryOfASnapshotThatATagHoldsConflicts(t *testing.T) {
	f := newFixture(t)
	created, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	_, updates := appendSnapshot(created.Metadata(), nil)
	first, err := f.CommitTable(t.Context(), events, nil, updates)
	require.NoError(t, err)
	old := first.Metadata().CurrentSnapshot().SnapshotID
	_, updates = appendSnapshot(first.Metadata(), nil)
	tag := icetable.NewSetSnapshotRefUpdate("audit", old, icetable.TagRef, 0, 0, 0)
	_, err = f.CommitTable(t.Context(), events, nil, append(updates, tag))
	require.NoError(t, err)

	expiry := icetable.NewRemoveSnapshotsUpdate([]int64{old}, false)
	_, err = f.CommitTable(t.Context(), events, nil, []icetable.Update{expiry})
	require.ErrorIs(t, err, table.ErrConflict)
	require.ErrorContains(t, err, "tag audit points to it")
	kept, err := f.LoadTable(t.Context(), events)
	require.NoError(t, err)
	require.NotNil(t, kept.Metadata().SnapshotByName("audit"))

	untag := icetable.NewRemoveSnapshotRefUpdate("audit")
	after, err := f.CommitTable(t.Context(), events, nil, []icetable.Update{untag, expiry})
	require.NoError(t, err)
	require.Nil(t, after.Metadata().SnapshotByID(old))
}

func BenchmarkCommitAt100Snapshots(b *testing.B) {
	ctx := b.Context()
	store, err := catalog.OpenSQLite(ctx, b.TempDir()+"/catalog.db")
	require.NoError(b, err)
	defer store.Close()
	objects, err := objstore.NewLocal("")
	require.NoError(b, err)
	opts := options()
	opts.Warehouse = b.TempDir()
	c := catalog.New(store, objects, opts)
	require.NoError(b, c.CreateNamespace(ctx, catalog.Namespace{"db"}, nil))
	head, err := c.CreateTable(ctx, events, catalog.TableSpec{Schema: schema})
	require.NoError(b, err)
	summary := map[string]string{"firth.commit-id": uuid.NewString(), "firth.ranges": fmt.Sprintf("%0600d", 7)}
	commit := func() {
		requirements, updates := appendSnapshot(head.Metadata(), summary)
		if snapshots := head.Metadata().Snapshots(); len(snapshots) >= 100 {
			updates = append(updates, icetable.NewRemoveSnapshotsUpdate([]int64{snapshots[0].SnapshotID}, false))
		}
		head, err = c.CommitTable(ctx, events, requirements, updates)
		require.NoError(b, err)
	}
	for range 100 {
		commit()
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		commit()
		took = append(took, time.Since(start))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	median := func(part []time.Duration) float64 {
		part = slices.Sorted(slices.Values(part))
		return float64(part[len(part)/2].Microseconds()) / 1000
	}
	tenth := max(1, len(took)/10)
	b.ReportMetric(median(took[:tenth]), "ms/first-tenth")
	b.ReportMetric(median(took[len(took)-tenth:]), "ms/last-tenth")
	b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/(1<<20), "MB-heap-growth")
}
