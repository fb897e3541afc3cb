package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFoldersOfKilledProcessesAreRemoved(t *testing.T) {
	parent := t.TempDir()
	begin := time.Now()
	alive, err := newScratch(parent, begin)
	require.NoError(t, err)
	killed, err := newScratch(parent, begin)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(killed.dir, "rows"), []byte("rows"), 0o600))
	require.NoError(t, killed.lock.Close()) // as the system does
	foreign := filepath.Join(parent, "firth-spill-1")
	require.NoError(t, os.Mkdir(foreign, 0o700))

	soon, err := newScratch(parent, begin.Add(scratchAge/2))
	require.NoError(t, err)
	require.DirExists(t, killed.dir, "its owner may be about to lock it")
	later, err := newScratch(parent, begin.Add(2*scratchAge))
	require.NoError(t, err)
	require.NoDirExists(t, killed.dir)
	for _, s := range []*scratch{alive, soon, later} {
		require.DirExists(t, s.dir)
		require.NoError(t, s.close())
		require.NoDirExists(t, s.dir)
	}
	require.DirExists(t, foreign)
}
