package keyindex

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFinderFindsKeysWhileTheIndexChanges asks for keys from other goroutines while their places move, are folded
// into cold files and are read from there. A key is at the place of one of its commits, never older than one that
// was applied before the question, and never nowhere.
func TestFinderFindsKeysWhileTheIndexChanges(t *testing.T) {
	x, err := Open(t.Context(), testOptions(t, 1, 64<<10)) // most lie in cold files
	require.NoError(t, err)
	defer func() { require.NoError(t, x.Close()) }()
	random := rand.New(rand.NewPCG(1, 2))
	keys := make([]Key, 4000)
	for i := range keys {
		keys[i] = Key{random.Uint64(), random.Uint64()}
	}
	apply := func(round int) {
		file := x.Number("file-" + strconv.Itoa(round))
		entries := make([]Entry, len(keys))
		for i, key := range keys {
			entries[i] = Entry{key, Place{file, uint32(i)}}
		}
		c := Changes{Tag: Tag{SnapshotID: int64(round)}, Entries: entries}
		if round > 1 {
			c.Retired = []string{"file-" + strconv.Itoa(round-1)}
		}
		require.NoError(t, x.Apply(t.Context(), c))
		require.NoError(t, x.Settle(t.Context()))
	}
	apply(1)
	finder := x.Finder()
	var mu sync.Mutex
	applied, done := 1, false // guarded by mu
	var lookers sync.WaitGroup
	for range 2 {
		lookers.Go(func() {
			for i := 0; ; i++ {
				mu.Lock()
				least, end := applied, done
				mu.Unlock()
				if end {
					return
				}
				found, err := finder.Find(keys[i%len(keys)])
				if err != nil {
					t.Errorf("find: %v", err)
					return
				}
				round, err := strconv.Atoi(found.Path[min(len("file-"), len(found.Path)):])
				if err != nil || round < least || found.Row != uint32(i%len(keys)) {
					t.Errorf("key %d is at %q row %d after round %d", i%len(keys), found.Path, found.Row, least)
					return
				}
			}
		})
	}
	for round := 2; round <= 40; round++ {
		apply(round)
		mu.Lock()
		applied = round
		mu.Unlock()
	}
	mu.Lock()
	done = true
	mu.Unlock()
	lookers.Wait()
	found, err := finder.Find(Key{1, 2})
	require.NoError(t, err)
	require.Equal(t, Found{}, found)
}
