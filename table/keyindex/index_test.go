package keyindex

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// history is a random table: changes, and what each key's place is after each.
type history struct {
	t       *testing.T
	random  *rand.Rand
	keys    int // how many keys there are to choose from
	changes []Changes
	model   map[Key]string // key to "path row"
	files   []string
	created int
}

func newHistory(t *testing.T, seed uint64, keys int) *history {
	return &history{t: t, random: rand.New(rand.NewPCG(seed, 77)), keys: keys, model: map[Key]string{}}
}

func (h *history) key() Key {
	n := uint64(h.random.IntN(h.keys))
	return keyOf(n)
}

// keyOf spreads numbers as hashes are. A third of them share their first half with hundreds, which
// hashes never do, some of them at the very end.
func keyOf(n uint64) Key {
	k := Key{High: n * 0x9e3779b97f4a7c15, Low: n * 0xd6e8feb86659fd93}
	if n%3 == 0 {
		k.High = -(n / 1500) * (1 << 50)
	}
	return k
}

// change makes the next commit: new places for some keys in new files, keys removed, a file retired.
func (h *history) change(x *Index) Changes {
	c := Changes{Tag: Tag{SnapshotID: int64(len(h.changes) + 1), SequenceNumber: int64(len(h.changes) + 1)}}
	h.created++
	path := fmt.Sprintf("s3://lake/%d.parquet", h.created)
	h.files = append(h.files, path)
	seen := map[Key]bool{}
	for row := range h.random.IntN(400) {
		k := h.key()
		if seen[k] {
			continue
		}
		seen[k] = true
		if h.random.IntN(5) == 0 {
			c.Entries = append(c.Entries, Entry{Key: k})
			delete(h.model, k)
			continue
		}
		c.Entries = append(c.Entries, Entry{k, Place{x.Number(path), uint32(row)}})
		h.model[k] = fmt.Sprint(path, " ", row)
	}
	if h.random.IntN(6) == 0 {
		at := h.random.IntN(len(h.files))
		gone := h.files[at]
		if gone != path {
			h.files = slices.Delete(h.files, at, at+1)
			c.Retired = append(c.Retired, gone)
			for k, place := range h.model {
				if len(place) > len(gone) && place[:len(gone)+1] == gone+" " {
					delete(h.model, k)
				}
			}
		}
	}
	slices.SortFunc(c.Entries, func(a, b Entry) int { return a.Key.Compare(b.Key) })
	h.changes = append(h.changes, c)
	return c
}

// check looks every key up.
func (h *history) check(x *Index) error {
	var keys []Key
	for n := range uint64(h.keys) {
		keys = append(keys, keyOf(n))
	}
	slices.SortFunc(keys, Key.Compare)
	places := make([]Place, len(keys))
	if err := x.Lookup(h.t.Context(), keys, places); err != nil {
		return err
	}
	for i, k := range keys {
		got := ""
		if places[i] != (Place{}) {
			got = fmt.Sprint(x.Path(places[i].File), " ", places[i].Row)
		}
		if got != h.model[k] {
			return fmt.Errorf("key %x: %q, want %q", k, got, h.model[k])
		}
	}
	return nil
}

func testOptions(t *testing.T, seed uint64, memory int64) Options {
	random := rand.New(rand.NewPCG(seed, 5))
	return Options{Dir: filepath.Join(t.TempDir(), "index"), Table: uuid.UUID{1}, Identifier: "1 long",
		MemoryBytes: memory, Parallel: 1 + int(seed%3), Salt: random.Uint64}
}

func TestIndexEqualsAMap(t *testing.T) {
	for seed := range uint64(9) {
		h := newHistory(t, seed, []int{50, 1000, 6000}[seed%3])
		opts := testOptions(t, seed, []int64{1 << 10, 100 << 10, 64 << 20}[seed/3%3])
		x, err := Open(t.Context(), opts)
		require.NoError(t, err)
		for range 40 {
			require.NoError(t, x.Apply(t.Context(), h.change(x)))
			switch h.random.IntN(8) {
			case 0:
				require.NoError(t, x.Save(t.Context()))
			case 1:
				tag := x.Tag()
				require.NoError(t, x.Close())
				x, err = Open(t.Context(), opts)
				require.NoError(t, err)
				require.Equal(t, tag, x.Tag())
			default:
				require.NoError(t, x.Settle(t.Context()))
				require.LessOrEqual(t, x.Bytes(), opts.MemoryBytes)
			}
			require.NoError(t, h.check(x), "seed %d", seed)
		}
		require.NoError(t, x.Close())
	}
}

// TestIndexSurvivesAKill opens what lies on disk after every step, also when the last write was cut off
// or bytes were spoilt, and applies what is missing.
func TestIndexSurvivesAKill(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		h := newHistory(t, seed, 500)
		opts := testOptions(t, seed, 100<<10)
		x, err := Open(t.Context(), opts)
		require.NoError(t, err)
		var images []string
		for i := range 12 {
			require.NoError(t, x.Apply(t.Context(), h.change(x)))
			images = append(images, image(t, opts.Dir))
			if i%3 == 0 {
				require.NoError(t, x.Settle(t.Context()))
			}
			if i%7 == 0 {
				require.NoError(t, x.Save(t.Context()))
			}
			images = append(images, image(t, opts.Dir))
		}
		require.NoError(t, x.Close())
		for i, dir := range images {
			again := opts
			for range 3 {
				again.Dir = image(t, dir)
				spoil(t, h.random, again.Dir)
				require.NoError(t, h.recover(again), "seed %d, image %d, spoilt", seed, i)
			}
			again.Dir = dir
			require.NoError(t, h.recover(again), "seed %d, image %d", seed, i)
		}
	}
}

// recover opens an index, applies what it has missed and compares it with the model.
func (h *history) recover(opts Options) error {
	_, err := h.catchUp(opts)
	if errors.Is(err, ErrDamaged) {
		return nil // found, and built anew by the caller
	}
	return err
}

// catchUp is recover without excuse; it returns the tag of the index that it found.
func (h *history) catchUp(opts Options) (found Tag, err error) {
	x, err := Open(h.t.Context(), opts)
	if err != nil {
		return Tag{}, err
	}
	found = x.Tag()
	defer func() { _ = x.Close() }()
	if found == (Tag{}) && x.Keys() > 0 {
		return found, errors.New("an index without a tag has keys")
	}
	for _, c := range h.changes[x.Tag().SnapshotID:] {
		if err := x.Apply(h.t.Context(), h.renumber(x, c)); err != nil {
			return found, err
		}
	}
	return found, h.check(x)
}

// renumber gives the files of a change the numbers that x knows them by.
func (h *history) renumber(x *Index, c Changes) Changes {
	path := fmt.Sprintf("s3://lake/%d.parquet", c.Tag.SnapshotID)
	entries := slices.Clone(c.Entries)
	for i := range entries {
		if entries[i].Place.File != 0 {
			entries[i].Place.File = x.Number(path)
		}
	}
	c.Entries = entries
	return c
}

func image(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// spoil cuts a file off or changes a byte of it.
func spoil(t *testing.T, random *rand.Rand, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	name := filepath.Join(dir, entries[random.IntN(len(entries))].Name())
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	if len(text) == 0 {
		return
	}
	at := random.IntN(len(text))
	if random.IntN(2) == 0 {
		text = text[:at]
	} else {
		text[at] ^= 1 << random.IntN(8)
	}
	require.NoError(t, os.WriteFile(name, text, 0o600))
}

func TestRebuildEqualsTheRows(t *testing.T) {
	for _, memory := range []int64{1 << 10, 64 << 20} {
		opts := testOptions(t, 2, memory)
		x, err := Open(t.Context(), opts)
		require.NoError(t, err)
		old := newHistory(t, 1, 100)
		require.NoError(t, x.Apply(t.Context(), old.change(x)))
		h := newHistory(t, 3, 20_000)
		b, err := x.Rebuild()
		require.NoError(t, err)
		require.Zero(t, x.Tag())
		for file := range 4 {
			path := fmt.Sprint("file ", file)
			n := x.Number(path)
			var entries []Entry
			for row := range 20_000 {
				k := h.key()
				entries = append(entries, Entry{k, Place{n, uint32(row)}})
				h.model[k] = fmt.Sprint(path, " ", row)
			}
			require.NoError(t, b.Add(entries[:9_000]))
			require.NoError(t, b.Add(entries[9_000:]))
		}
		doubles, err := b.Finish(t.Context(), Tag{9, 9})
		require.NoError(t, err)
		require.EqualValues(t, 80_000-len(h.model), doubles)
		require.Len(t, b.Doubles(), int(doubles))
		for _, e := range b.Doubles() {
			require.NotEqual(t, h.model[e.Key],
				fmt.Sprint(x.Path(e.Place.File), " ", e.Place.Row))
		}
		require.NoError(t, h.check(x))
		require.NoError(t, x.Close())
		x, err = Open(t.Context(), opts)
		require.NoError(t, err)
		require.Equal(t, Tag{9, 9}, x.Tag())
		require.NoError(t, h.check(x))
		require.EqualValues(t, len(h.model), x.Keys())
		require.NoError(t, x.Close())
	}
}

// TestDiskInTroubleLeavesTheIndexRight takes the folder away for a while.
func TestDiskInTroubleLeavesTheIndexRight(t *testing.T) {
	h := newHistory(t, 4, 3000)
	opts := testOptions(t, 4, 30<<10)
	x, err := Open(t.Context(), opts)
	require.NoError(t, err)
	away := opts.Dir + "-away"
	for i := range 20 {
		require.NoError(t, x.Apply(t.Context(), h.change(x)))
		require.NoError(t, os.Rename(opts.Dir, away))
		err := x.Settle(t.Context())
		if i%2 == 0 {
			err = x.Save(t.Context())
		}
		if x.Bytes() > opts.MemoryBytes || i%2 == 0 {
			require.Error(t, err)
		}
		require.NoError(t, h.check(x))
		require.NoError(t, os.Rename(away, opts.Dir))
		require.NoError(t, h.check(x))
		if i%4 == 0 {
			require.NoError(t, x.Settle(t.Context()))
			require.LessOrEqual(t, x.Bytes(), opts.MemoryBytes)
		}
	}
	require.NoError(t, x.Close())
	require.NoError(t, h.recover(opts))
}

func TestIndexOfAnotherTableIsNotTaken(t *testing.T) {
	opts := testOptions(t, 1, 1<<20)
	x, err := Open(t.Context(), opts)
	require.NoError(t, err)
	h := newHistory(t, 1, 100)
	require.NoError(t, x.Apply(t.Context(), h.change(x)))
	require.NoError(t, x.Close())
	for _, change := range []func(*Options){
		func(o *Options) { o.Table = uuid.UUID{2} },
		func(o *Options) { o.Identifier = "2 string" },
	} {
		other := opts
		other.Dir = image(t, opts.Dir)
		change(&other)
		x, err := Open(t.Context(), other)
		require.NoError(t, err)
		require.Zero(t, x.Tag())
		require.Zero(t, x.Keys())
		require.NoError(t, x.Close())
	}
}
