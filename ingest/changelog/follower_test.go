package changelog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/table/changes"
	"github.com/firthlake/firth/table/images"
	"github.com/firthlake/firth/table/images/imagestest"
	"github.com/firthlake/firth/table/objstore"
)

// check folds the changelog and wants it to give the rows of the source at every snapshot, with no image too
// many.
func (k *sink) check() {
	s := k.source
	s.T.Helper()
	rows := k.read()
	bySnapshot := map[int64][]told{}
	for i, r := range rows {
		require.Equal(s.T, int64(i), r.ordinal, "ordinals have no gap and no double")
		bySnapshot[r.snapshot] = append(bySnapshot[r.snapshot], r)
	}
	table := map[imagestest.Item]int{}
	var line []*icetable.Snapshot
	for snapshot := range commit.Ancestry(s.Meta) {
		line = append(line, snapshot)
	}
	slices.Reverse(line)
	for _, snapshot := range line {
		images := bySnapshot[snapshot.SnapshotID]
		delete(bySnapshot, snapshot.SnapshotID)
		k.checkImages(snapshot, images, table)
		var held []imagestest.Item
		for it, n := range table {
			for range n {
				held = append(held, it)
			}
		}
		slices.SortFunc(held, imagestest.CompareItems)
		require.Equal(s.T, s.Held[snapshot.SequenceNumber], held, "rows at snapshot %d", snapshot.SequenceNumber)
	}
	require.Empty(s.T, bySnapshot)
}

// checkImages applies the images of a snapshot to a table.
func (k *sink) checkImages(snapshot *icetable.Snapshot, images []told, table map[imagestest.Item]int) {
	t := k.source.T
	t.Helper()
	if k.source.Moved[snapshot.SequenceNumber] && snapshot.ParentSnapshotID != nil {
		require.Empty(t, images, "a replace changes nothing")
	}
	went := map[imagestest.Item]bool{}
	for i, r := range images {
		switch r.kind {
		case changes.UpdateBefore:
			require.Less(t, i+1, len(images))
			require.Equal(t, changes.UpdateAfter, images[i+1].kind)
			require.Equal(t, r.item.ID, images[i+1].item.ID, "an update is of one key")
			require.NotEqual(t, r.item, images[i+1].item, "an update changes something")
			fallthrough
		case changes.Delete:
			require.Positive(t, table[r.item], "%v is deleted and not there", r)
			if table[r.item]--; table[r.item] == 0 {
				delete(table, r.item)
			}
			went[r.item] = true
		case changes.UpdateAfter:
			require.Equal(t, changes.UpdateBefore, images[i-1].kind)
			fallthrough
		case changes.Insert:
			require.False(t, went[r.item], "%v went and came unchanged", r)
			table[r.item]++
		default:
			t.Fatalf("change of type %q", r.kind)
		}
	}
}

func TestChangelogFoldsToTheTableAtEverySnapshot(t *testing.T) {
	histories := 24
	if testing.Short() {
		histories = 4
	}
	for n := range histories {
		version, partitioned := []string{"2", "3"}[n%2], n%4 > 1
		t.Run(fmt.Sprintf("v%s %d", version, n), func(t *testing.T) {
			dice := rand.New(rand.NewPCG(uint64(n), 1))
			s := imagestest.New(t, version, partitioned)
			k := newSink(s)
			f, err := k.follower(t.Context(), k.catalog, s.Store)
			require.NoError(t, err)
			for i := range 25 {
				s.Random(dice)
				if i == 12 {
					s.Evolve()
				}
				switch dice.IntN(4) {
				case 0:
					require.NoError(t, steps(t.Context(), f))
				case 1: // another process
					f, err = k.follower(t.Context(), k.catalog, s.Store)
					require.NoError(t, err)
				}
			}
			require.NoError(t, steps(t.Context(), f))
			k.check()
		})
	}
}

func TestEachChangeIsToldOnceWhereverTheProcessDies(t *testing.T) {
	build := func(t *testing.T) (*imagestest.Source, *sink) {
		s := imagestest.New(t, "3", false)
		k := newSink(s)
		dice := rand.New(rand.NewPCG(9, 9))
		for range 6 {
			s.Random(dice)
		}
		return s, k
	}
	stride := int64(1)
	if testing.Short() {
		stride = 7
	}
	for op := int64(0); ; op += stride {
		s, k := build(t)
		crashing := objstore.NewFaulty(s.Store, objstore.FailAt(op, objstore.Fault{Kind: objstore.CrashAfter}))
		f, err := k.follower(t.Context(), k.catalog, crashing)
		if err == nil {
			err = steps(t.Context(), f)
		}
		crashed := crashing.Crashed()
		require.Equal(t, crashed, err != nil)
		f, err = k.follower(t.Context(), k.catalog, s.Store)
		require.NoError(t, err)
		require.NoError(t, steps(t.Context(), f))
		k.check()
		if !crashed {
			return
		}
	}
}

func TestEachChangeIsToldOnceWhateverTheCatalogAnswers(t *testing.T) {
	for _, fault := range []committest.Fault{committest.ErrorBefore, committest.AnswerLost, committest.LandsLate,
		committest.Conflict, committest.CrashBefore, committest.CrashAfter, committest.CrashLate} {
		stride := 1
		if testing.Short() {
			stride = 4
		}
		for op := 0; ; op += stride {
			s := imagestest.New(t, "3", false)
			k := newSink(s)
			dice := rand.New(rand.NewPCG(9, 9))
			s.Random(dice)
			s.Random(dice)
			faulty := committest.NewFaulty(k.catalog, committest.FailAt(op, fault))
			f, err := k.follower(t.Context(), faulty, s.Store)
			for range 4 {
				if err == nil {
					s.Random(dice)
					_ = steps(t.Context(), f) // goes on with the next
				}
			}
			faulty.Settle()
			f, err = k.follower(t.Context(), k.catalog, s.Store)
			require.NoError(t, err)
			require.NoError(t, steps(t.Context(), f))
			k.check()
			if faulty.Ops() <= op {
				break
			}
		}
	}
}

func TestTwoFollowersTellEachChangeOnce(t *testing.T) {
	s := imagestest.New(t, "3", true)
	k := newSink(s)
	dice := rand.New(rand.NewPCG(3, 3))
	var both [2]*Follower
	for i := range both {
		f, err := k.follower(t.Context(), k.catalog, s.Store)
		require.NoError(t, err)
		both[i] = f
	}
	fenced := 0
	for range 30 {
		s.Random(dice)
		err := steps(t.Context(), both[dice.IntN(2)])
		if errors.Is(err, commit.ErrFenced) {
			fenced++
			continue
		}
		require.NoError(t, err)
	}
	require.Positive(t, fenced)
	for _, f := range both {
		if err := steps(t.Context(), f); !errors.Is(err, commit.ErrFenced) {
			require.NoError(t, err)
		}
	}
	k.check()
}

func TestChangelogThatWasRememberedBridgesExpiredSnapshots(t *testing.T) {
	s := imagestest.New(t, "3", false)
	k := newSink(s)
	f, err := k.follower(t.Context(), k.catalog, s.Store)
	require.NoError(t, err)
	s.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1, Value: 1}, {ID: 2, Value: 1}}})
	require.NoError(t, steps(t.Context(), f))
	s.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 3, Value: 1}}})
	s.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1, Value: 2}},
		Remove: map[*imagestest.File][]int{s.Files[0]: {0}}})
	s.Expire(1)

	other, err := k.follower(t.Context(), k.catalog, s.Store)
	require.NoError(t, err)
	require.ErrorIs(t, steps(t.Context(), other), images.ErrGap)

	require.NoError(t, steps(t.Context(), f))
	rows := k.read()
	require.Len(t, rows, 5)
	require.Equal(t, s.Meta.CurrentSnapshot().SnapshotID, rows[4].snapshot)
}

func TestChangelogRefusesAnotherTableUnderItsName(t *testing.T) {
	s := imagestest.New(t, "2", false)
	k := newSink(s)
	f, err := k.follower(t.Context(), k.catalog, s.Store)
	require.NoError(t, err)
	s.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1}}})
	require.NoError(t, steps(t.Context(), f))
	made := imagestest.New(t, "2", false)
	made.Store = s.Store
	made.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 7}}})
	k.source = made
	f, err = k.follower(t.Context(), k.catalog, s.Store)
	require.NoError(t, err)
	require.ErrorContains(t, steps(t.Context(), f), "dropped and made again")
}

func TestChangelogRefusesMainSetBack(t *testing.T) {
	s := imagestest.New(t, "2", false)
	k := newSink(s)
	f, err := k.follower(t.Context(), k.catalog, s.Store)
	require.NoError(t, err)
	s.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 1}}})
	first := s.Meta.CurrentSnapshot().SnapshotID
	s.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 2}}})
	require.NoError(t, steps(t.Context(), f))
	s.Update(icetable.NewSetSnapshotRefUpdate("main", first, icetable.BranchRef, 0, 0, 0))
	require.ErrorIs(t, steps(t.Context(), f), images.ErrGap)
}

func TestVerifyProvesThatChangesMakeTheTable(t *testing.T) {
	s := imagestest.New(t, "3", true)
	k := newSink(s)
	dice := rand.New(rand.NewPCG(5, 5))
	for range 8 {
		s.Random(dice)
	}
	s.Evolve()
	f, err := k.follower(t.Context(), k.catalog, s.Store)
	require.NoError(t, err)
	require.NoError(t, steps(t.Context(), f))
	check := func() *verify.Report {
		current, err := k.catalog.LoadTable(t.Context(), k.ident)
		require.NoError(t, err)
		report, err := verify.Check(t.Context(), current, s.Store,
			verify.Options{Deep: true, ChangesOf: s.Table()})
		require.NoError(t, err)
		return report
	}
	require.Empty(t, check().Faults)

	// A snapshot that was passed over.
	s.Commit(imagestest.Step{Add: []imagestest.Item{{ID: 99, Value: 1}}})
	at := f.opts.Target.Position()[commit.SnapshotsOf(s.Table())]
	_, err = f.opts.Target.Commit(t.Context(), commit.Change{ID: s.NewID(),
		Ranges: map[commit.TopicPartition]commit.Range{commit.SnapshotsOf(s.Table()): {From: at, Next: at + 1,
			Counts: commit.Counts{Absent: 1}}}})
	require.NoError(t, err)
	report := check()
	require.Len(t, report.Faults, 1)
	require.Equal(t, verify.FaultChanges, report.Faults[0].Kind)
}
