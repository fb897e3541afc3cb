package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFullDiskIsNamed(t *testing.T) {
	found, err := diskOf(t.TempDir())
	require.NoError(t, err)
	require.Positive(t, found.size)
	require.LessOrEqual(t, found.free, found.size)
	_, err = os.Stat(found.mount)
	require.NoError(t, err)

	f := &demoFolder{path: "some/where", disk: func(string) (disk, error) {
		return disk{mount: "/data", free: diskFreeMin, size: 30 << 20}, nil
	}}
	d := &demo{folder: f}
	broken := errors.New("UNKNOWN_SERVER_ERROR")
	require.Equal(t, broken, d.cause(broken), "there is room")
	f.disk = func(string) (disk, error) { return disk{mount: "/data", free: 1 << 20, size: 30 << 20}, nil }
	require.NoError(t, d.cause(nil))
	told := d.cause(broken)
	require.ErrorIs(t, told, syscall.ENOSPC)
	require.EqualError(t, told,
		"no space left: the disk at /data, where folder some/where lies, has 1.0 MiB of 30.0 MiB free")
	var f1 *failure
	require.ErrorAs(t, told, &f1)
	require.Equal(t, exitFallsShort, f1.code)
}

// TestDemoGoesOnAfterAFullDisk needs the right to mount a small file system.
func TestDemoGoesOnAfterAFullDisk(t *testing.T) {
	mount := t.TempDir()
	small := exec.Command("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", mount)
	if out, err := small.CombinedOutput(); err != nil {
		t.Skipf("mount: %v %s", err, out)
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", mount).Run()) })
	dir := filepath.Join(mount, "demo")
	out := firth(t, "demo", "--dir", dir, "--rows", "1000000", "--once")
	require.Equal(t, exitFallsShort, out.code, out.stderr)
	require.Contains(t, out.stderr, "no space left: the disk at "+mount+", where folder "+dir+" lies")
	require.Contains(t, out.stderr, "make room")
	require.NoError(t, exec.Command("mount", "-o", "remount,size=200m", mount).Run())
	report := demoOnce(t, dir, "1000")
	require.True(t, report.Ledger.Proven)
	require.Greater(t, report.RowsInTable, int64(1000), "what was produced before is there")
	proof := firth(t, "verify", "db.events", "--deep", "--dir", dir)
	require.Zero(t, proof.code, proof.stdout+proof.stderr)
}
