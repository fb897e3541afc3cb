package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit/verify"
)

// copyFolder copies a demo's folder to where its files may be damaged: locations in metadata are full, so
// the copy takes the place of the folder and the folder comes back at the end.
func copyFolder(t *testing.T, dir string) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "kept")
	require.NoError(t, os.CopyFS(kept, os.DirFS(dir)))
	t.Cleanup(func() {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.CopyFS(dir, os.DirFS(kept)))
	})
}

func verifyFolder(t *testing.T, dir string, args ...string) (outcome, verify.Report) {
	t.Helper()
	out := firth(t, append([]string{"verify", "db.events", "--dir", dir, "--json"}, args...)...)
	var report verify.Report
	if out.stdout != "" {
		require.NoError(t, json.Unmarshal([]byte(out.stdout), &report), out.stdout)
	}
	return out, report
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "warehouse/db/events", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func TestVerifyNamesTheDamageOfAFolder(t *testing.T) {
	dir := t.TempDir()
	demoOnce(t, dir, "20000")
	out, report := verifyFolder(t, dir, "--deep", "--require-log")
	require.Equal(t, exitOK, out.code, out.stderr)
	require.Empty(t, report.Notes)
	for _, p := range report.Partitions {
		require.EqualValues(t, p.Next, p.Retained, "all of the topic is compared")
		require.EqualValues(t, p.Next, p.Rows)
	}
	for name, d := range map[string]struct {
		damage        func(t *testing.T)
		shallow, deep int
		kind          verify.Kind
	}{
		"removed data file": {damage: func(t *testing.T) {
			require.NoError(t, os.Remove(glob(t, dir, "data/*.parquet")[0]))
		}, shallow: exitFallsShort, deep: exitFallsShort, kind: verify.FaultMissingFile},
		"truncated data file": {damage: func(t *testing.T) {
			require.NoError(t, os.Truncate(glob(t, dir, "data/*.parquet")[0], 200))
		}, shallow: exitFallsShort, deep: exitFallsShort, kind: verify.FaultChangedFile},
		"flipped bytes": {damage: func(t *testing.T) {
			file := glob(t, dir, "data/*.parquet")[0]
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			copy(content[len(content)/2:], bytes.Repeat([]byte{0xA5}, 64))
			require.NoError(t, os.WriteFile(file, content, 0o644))
		}, shallow: exitOK, deep: exitFallsShort},
		"removed manifest": {damage: func(t *testing.T) {
			for _, file := range glob(t, dir, "metadata/*-m*.avro") {
				require.NoError(t, os.Remove(file))
			}
		}, shallow: exitFallsShort, deep: exitFallsShort, kind: verify.FaultMissingFile},
		"garbled manifest lists": {damage: func(t *testing.T) {
			for _, file := range glob(t, dir, "metadata/*-list.avro") {
				require.NoError(t, os.WriteFile(file, []byte("no avro"), 0o644))
			}
		}, shallow: exitFallsShort, deep: exitFallsShort, kind: verify.FaultChangedFile},
		"garbled metadata": {damage: func(t *testing.T) {
			for _, file := range glob(t, dir, "metadata/*.metadata.json") {
				require.NoError(t, os.WriteFile(file, []byte("{"), 0o644))
			}
		}, shallow: exitCouldNot, deep: exitCouldNot},
		"removed catalog": {damage: func(t *testing.T) {
			require.NoError(t, os.Remove(filepath.Join(dir, "catalog.db")))
		}, shallow: exitCouldNot, deep: exitCouldNot},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			copyFolder(t, dir)
			d.damage(t)
			out, report := verifyFolder(t, dir)
			require.Equal(t, d.shallow, out.code, out.stdout+out.stderr)
			require.Equal(t, d.shallow == exitOK, report.Proven)
			if d.kind != "" {
				require.Equal(t, d.kind, report.Faults[0].Kind)
				require.NotZero(t, report.Faults[0].SnapshotID)
			}
			out, report = verifyFolder(t, dir, "--deep")
			require.Equal(t, d.deep, out.code, out.stdout+out.stderr)
			require.False(t, report.Proven)
		})
	}
}

func TestVerifyLeavesOutTopicsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	demoOnce(t, dir, "2000")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "broker")))
	out, report := verifyFolder(t, dir, "--deep")
	require.Equal(t, exitOK, out.code, out.stderr)
	require.Contains(t, strings.Join(report.Notes, "\n"), "topics are left out")
	out, _ = verifyFolder(t, dir, "--deep", "--require-log")
	require.Equal(t, exitCouldNot, out.code)
	out, report = verifyFolder(t, dir, "--deep", "--files-only")
	require.Equal(t, exitOK, out.code)
	require.Empty(t, report.Notes)
}
