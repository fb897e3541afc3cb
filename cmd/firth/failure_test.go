package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALogLineHasARemedyOnlyWhenThereIsOne(t *testing.T) {
	plain := errors.New("some text")
	require.Equal(t, []any{"err", plain}, withRemedy(plain))
	known := couldNot(plain, "do this")
	require.Equal(t, []any{"err", known, "remedy", "do this"}, withRemedy(known))
}

func TestAnErrorNamesItsActOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "")
	for _, store := range []string{"file/catalog.db", "."} {
		config := write(t, dir, "firth.yaml", "catalog: {store: "+store+"}\n")
		out := firth(t, "tables", "-c", config)
		require.Equal(t, exitCouldNot, out.code)
		require.Equal(t, 1, strings.Count(out.stderr, "open catalog"), out.stderr)
		require.Contains(t, out.stderr, filepath.Join(dir, store))
	}
}

func TestFlagsOfADeepProofNeedOne(t *testing.T) {
	for _, flag := range []string{"--files-only", "--require-log"} {
		out := firth(t, "verify", "db.events", flag)
		require.Equal(t, exitCouldNot, out.code)
		require.Contains(t, out.stderr, "add --deep")
	}
}
