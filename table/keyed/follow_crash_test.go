package keyed

import (
	"cmp"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/keyindex/disktest"
	"github.com/firthlake/firth/table/objstore"
)

// life is the life of a keeper that the sweeps below disturb: a rebuild of a table that others wrote, with
// doubles, own checkpoints, a catch-up, folds and a restart. Errors of the keeper are met as ingest meets
// them: it is opened again, and asked to follow.
type life struct {
	*lake
	opts Options
	k    *Keeper
}

const lifeIDs = 40

func (h *life) reopen() error {
	if h.k != nil {
		_ = h.k.Close() // as a kill does
	}
	var err error
	if h.k, err = Open(h.ctx(), h.store, h.table(), h.opts); err == nil {
		h.k.chunk = cmp.Or(h.chunk, h.k.chunk)
	}
	return err
}

// follow tries again, for a while, from the disk.
func (h *life) follow() error {
	var err error
	for range 3 {
		if h.k != nil {
			if err = h.k.Follow(h.ctx(), h.table()); err == nil {
				return nil
			}
		}
		if again := h.reopen(); again != nil {
			h.k, err = nil, again
		}
	}
	return err
}

func numbered(from, to, value int64) (rows []row) {
	for id := from; id < to; id++ {
		rows = append(rows, row{id, []string{"a", "b"}[id%2], value + id})
	}
	return rows
}

func (h *life) insert(rows []row) {
	files, _, _ := h.write(h.newID(), rows)
	h.commit(lakeChange{files: files})
}

// prepare makes the table that the life begins with.
func (h *life) prepare() {
	h.insert(numbered(0, 20, 100))
	h.insert(numbered(15, 25, 200)) // five doubles
}

// run lives; check looks at the index after each step.
func (h *life) run(check func()) error {
	if err := h.follow(); err != nil {
		return err
	}
	check()
	for n := range int64(3) {
		landing := h.run1(n)
		if err := h.k.Landed(h.ctx(), h.table(), landing); err != nil && !disturbed(err) {
			return err
		}
		if n == 1 {
			h.insert(numbered(25, 30, 300))
			if err := h.k.index.Save(h.ctx()); err != nil && !disturbed(err) {
				return err
			}
		}
		if err := h.follow(); err != nil {
			return err
		}
		check()
	}
	h.insert(numbered(28, 33, 400)) // two doubles, found by a catch-up
	if err := h.follow(); err != nil {
		return err
	}
	check()
	return nil
}

func (h *life) run1(n int64) Landing {
	return h.lake.run(h.k, checkpoint{rows: numbered(n, 10+n, 1000*n), deleted: []int64{12 + n}})
}

func disturbed(err error) bool {
	return errors.Is(err, disktest.ErrFault) || errors.Is(err, objstore.ErrInjected)
}

func newLife(t *testing.T, n uint64) *life {
	form := lakeOptions{version: []string{"3", "2"}[n%2], partitioned: n%2 == 1}
	h := &life{lake: newLake(t, form), opts: testOptions("index", 9)}
	h.opts.MemoryBytes = []int64{1 << 10, 1 << 20}[n%2]
	h.opts.Parallel = 1
	h.chunk = []int{0, 0, 4}[n%3]
	h.prepare()
	return h
}

// TestIndexSurvivesAKillAtEveryStep stops before, in the middle and at the end of every change to the disk
// that a keeper makes, opens what is there, and wants Follow to make it that of the table.
func TestIndexSurvivesAKillAtEveryStep(t *testing.T) {
	type image struct {
		disk *disktest.Memory
		lake lake
	}
	for n := range uint64(3) {
		h := newLife(t, n)
		var images []image
		d := disktest.NewMemory()
		every := 0
		d.Before = func(torn func(share int) *disktest.Memory) disktest.Fault {
			if every++; every%3 == 0 {
				at := *h.lake
				at.live = slices.Clone(h.live)
				images = append(images, image{torn(every % 5), at})
			}
			return disktest.NoFault
		}
		h.opts.Disk = d
		require.NoError(t, h.run(func() { h.checkIndex(h.k, lifeIDs) }))
		require.NoError(t, h.k.Close())
		require.Greater(t, len(images), 30)
		for i, im := range images {
			if testing.Short() && i%4 > 0 {
				continue
			}
			found := &life{lake: &im.lake, opts: h.opts}
			found.opts.Disk = im.disk
			require.NoError(t, found.reopen())
			require.NoError(t, found.k.Follow(t.Context(), found.table()))
			found.checkIndex(found.k, lifeIDs)
			require.NoError(t, found.k.Close())
		}
	}
}

// TestFollowIsRightWhateverChangeOfTheDiskFails lets changes to the disk fail once, in three ways.
func TestFollowIsRightWhateverChangeOfTheDiskFails(t *testing.T) {
	step := 11
	if testing.Short() {
		step = 37
	}
	for _, kind := range []disktest.Fault{disktest.Refused, disktest.Torn, disktest.Unsaid} {
		for at, done := 0, false; !done; at += step {
			h := newLife(t, uint64(at))
			d := disktest.NewMemory()
			steps := 0
			d.Before = func(func(int) *disktest.Memory) disktest.Fault {
				if steps++; steps == at+1 {
					return kind
				}
				return disktest.NoFault
			}
			h.opts.Disk = d
			require.NoError(t, h.run(func() { h.checkIndex(h.k, lifeIDs) }), "fault %d at %d", kind, at)
			done = steps <= at
			if h.reopen() != nil {
				h.k = nil
			}
			require.NoError(t, h.follow())
			h.checkIndex(h.k, lifeIDs)
			require.NoError(t, h.k.Close())
		}
	}
}

// TestFollowIsRightWhateverReadFails lets reads of the store fail once while the keeper follows.
func TestFollowIsRightWhateverReadFails(t *testing.T) {
	for at, done := int64(0), false; !done; at += 3 {
		h := newLife(t, uint64(at))
		h.opts.Disk = disktest.NewMemory()
		sound := h.store
		var reads atomic.Int64
		var failing atomic.Bool
		faulty := objstore.NewFaulty(sound, func(op objstore.Op) objstore.Fault {
			if failing.Load() && op.Kind == objstore.OpGet && reads.Add(1) == at+1 {
				return objstore.Fault{Kind: objstore.ErrorBefore}
			}
			return objstore.Fault{}
		})
		h.store = faulty
		require.NoError(t, h.reopen())
		for n := range 3 {
			failing.Store(true)
			err := h.k.Follow(t.Context(), h.table())
			failing.Store(false)
			if err != nil {
				require.ErrorIs(t, err, objstore.ErrInjected, "read %d", at)
				require.NoError(t, h.k.Follow(t.Context(), h.table()))
			}
			h.checkIndex(h.k, lifeIDs)
			switch n {
			case 0:
				h.insert(numbered(18, 35, 500))
			case 1:
				h.run1(1)
			}
		}
		done = reads.Load() <= at
		require.NoError(t, h.k.Close())
	}
}
