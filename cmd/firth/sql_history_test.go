package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHistoryHoldsStatements(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "sql_history")
	h, err := openHistory(path)
	require.NoError(t, err)
	require.Zero(t, h.Len())
	for _, text := range []string{"SELECT 1;", "SELECT\n2;\n", "SELECT 2;", "SELECT 3 -- three\n;"} {
		require.NoError(t, h.remember(text))
	}
	h.Add("a line")
	again, err := openHistory(path)
	require.NoError(t, err)
	for _, each := range []*history{h, again} {
		require.Equal(t, []string{"SELECT 1;", "SELECT 2;", "SELECT 3 -- three", ";"}, each.entries)
		require.Equal(t, ";", each.At(0))
		require.Equal(t, "SELECT 1;", each.At(each.Len()-1))
	}
	about, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, about.Mode().Perm()&0o077, "nobody else reads it")
}

func TestHistoryIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sql_history")
	h, err := openHistory(path)
	require.NoError(t, err)
	for i := range 2*historyMax + 1 {
		require.NoError(t, h.remember(fmt.Sprintf("SELECT %d;", i)))
	}
	require.Equal(t, historyMax, h.Len())
	h, err = openHistory(path)
	require.NoError(t, err)
	require.Equal(t, historyMax, h.Len())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, historyMax, strings.Count(string(text), "\n"))
	require.Equal(t, fmt.Sprintf("SELECT %d;", 2*historyMax), h.At(0))
}

func TestHistoryThatCannotBeReadIsNone(t *testing.T) {
	h, err := openHistory(t.TempDir())
	require.Error(t, err)
	require.NoError(t, h.remember("SELECT 1;"))
	require.Equal(t, 1, h.Len())
}
