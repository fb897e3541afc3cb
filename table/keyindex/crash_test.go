package keyindex

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/keyindex/disktest"
)

// live is the life of an index: commits, folds, saves, a restart and a rebuild. Errors of the disk
// are met as callers meet them: a commit is applied again, the rest is left for the next time.
func (h *history) live(opts Options, applied func(n int)) error {
	x, err := again(func() (*Index, error) { return Open(h.t.Context(), opts) })
	if err != nil {
		return err
	}
	for n := range 8 {
		c := h.change(x)
		_, err := again(func() (int, error) { return 0, x.Apply(h.t.Context(), c) })
		if err != nil {
			return err
		}
		applied(n + 1)
		switch n {
		case 1, 5:
			_ = x.Settle(h.t.Context())
		case 3:
			_ = x.Save(h.t.Context())
		case 4:
			if err := x.Close(); err != nil {
				return err
			}
			x, err = again(func() (*Index, error) { return Open(h.t.Context(), opts) })
			if err != nil {
				return err
			}
			for _, c := range h.changes[x.Tag().SnapshotID:] {
				if err := x.Apply(h.t.Context(), h.renumber(x, c)); err != nil {
					return err
				}
			}
		}
		if err := h.check(x); err != nil {
			return fmt.Errorf("after commit %d: %w", n+1, err)
		}
	}
	if _, err := again(func() (int, error) { return 0, h.rebuild(x) }); err != nil {
		return err
	}
	return errors.Join(h.check(x), x.Close())
}

// again does something a second time when the disk was in trouble.
func again[T any](do func() (T, error)) (T, error) {
	v, err := do()
	if errors.Is(err, disktest.ErrFault) {
		v, err = do()
	}
	return v, err
}

// rebuild builds the index anew from the model.
func (h *history) rebuild(x *Index) error {
	b, err := x.Rebuild()
	if err != nil {
		return err
	}
	var entries []Entry
	for k, place := range h.model {
		path, row, _ := strings.Cut(place, " ")
		var e Entry
		e.Key, e.Place.File = k, x.Number(path)
		if _, err := fmt.Sscan(row, &e.Place.Row); err != nil {
			return err
		}
		entries = append(entries, e)
	}
	b.limited = 10 * entryBytes
	if err := b.Add(entries); err != nil {
		return err
	}
	_, err = b.Finish(h.t.Context(), h.changes[len(h.changes)-1].Tag)
	return err
}

// TestIndexSurvivesAKillAtEveryStep stops before, in the middle and at the end of every change to
// the disk, opens what is there, and wants it to be that of the last commit that was applied.
func TestIndexSurvivesAKillAtEveryStep(t *testing.T) {
	type image struct {
		disk    *disktest.Memory
		applied int
	}
	for seed := range uint64(2) {
		h := newHistory(t, seed, 30)
		opts := testOptions(t, seed, []int64{1 << 10, 1 << 20}[seed])
		opts.Parallel = 1
		applied, points := 0, 0
		var images []image
		d := disktest.NewMemory()
		d.Before = func(torn func(share int) *disktest.Memory) disktest.Fault {
			for share := range 4 {
				if points++; !testing.Short() || points%19 == 0 {
					images = append(images, image{torn(share), applied})
				}
			}
			return disktest.NoFault
		}
		opts.Disk = d
		require.NoError(t, h.live(opts, func(n int) { applied = n }))
		require.Greater(t, points, 400)
		images = append(images, image{d, applied})
		for i, im := range images {
			opts.Disk = im.disk
			found, err := h.catchUp(opts)
			require.NoError(t, err, "seed %d, image %d", seed, i)
			// A commit that is being applied may be there; a rebuild has no tag until its end.
			at := int(found.SnapshotID)
			rebuilding := at == 0 && im.applied == len(h.changes)
			require.True(t, at == im.applied || at == im.applied+1 || rebuilding,
				"seed %d, image %d: at %d, applied %d", seed, i, at, im.applied)
		}
	}
}

// TestIndexIsRightWhateverChangeFails lets every change to the disk fail once, in three ways: without
// an effect, in the middle of a write, and with all of its effect. The index goes on, and is right
// after a restart too.
func TestIndexIsRightWhateverChangeFails(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 5
	}
	for _, kind := range []disktest.Fault{disktest.Refused, disktest.Torn, disktest.Unsaid} {
		for at, done := 0, false; !done; at += step {
			h := newHistory(t, 1, 12)
			opts := testOptions(t, 1, []int64{1 << 10, 1 << 20}[at%2])
			opts.Parallel = 1
			d := disktest.NewMemory()
			steps := 0
			d.Before = func(func(int) *disktest.Memory) disktest.Fault {
				steps++
				if steps == at+1 {
					return kind
				}
				return disktest.NoFault
			}
			opts.Disk = d
			err := h.live(opts, func(int) {})
			require.NoError(t, err, "fault %d at change %d", kind, at)
			done = steps <= at
			_, err = h.catchUp(opts)
			require.NoError(t, err, "fault %d at change %d, opened again", kind, at)
		}
	}
}

// TestFilesCutAnywhereAreNoticed cuts every file at every byte, or nearly, as a power failure may.
func TestFilesCutAnywhereAreNoticed(t *testing.T) {
	h := newHistory(t, 1, 30)
	opts := testOptions(t, 1, 1<<10)
	d := disktest.NewMemory()
	opts.Disk = d
	x, err := Open(t.Context(), opts)
	require.NoError(t, err)
	for n := range 4 {
		require.NoError(t, x.Apply(t.Context(), h.change(x)))
		if n == 1 {
			require.NoError(t, x.Settle(t.Context()))
		}
	}
	colds := 0
	for _, name := range d.Names() {
		text := d.Text(name)
		step := 1
		if strings.HasSuffix(name, ".cold") {
			if colds++; colds > 3 {
				continue
			}
			step = 61
		}
		if testing.Short() {
			step = 8*step + 1
		}
		for size := 0; size < len(text); size += step {
			opts.Disk = d.Clone()
			opts.Disk.(*disktest.Memory).SetText(name, text[:size])
			found, err := h.catchUp(opts)
			require.NoError(t, err, "%s cut to %d", name, size)
			if strings.HasSuffix(name, ".log") && int64(size) >= x.folded {
				continue // as many commits as are whole
			}
			require.Zero(t, found, "%s cut to %d", name, size)
		}
	}
	require.NoError(t, x.Close())
}
