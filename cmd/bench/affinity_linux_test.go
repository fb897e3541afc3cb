package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowed is the line of proc(5) that names a process's cores.
func allowed(status string) string {
	for line := range strings.Lines(status) {
		if name, cores, ok := strings.Cut(line, ":"); ok && name == "Cpus_allowed_list" {
			return strings.TrimSpace(cores)
		}
	}
	return ""
}

func TestStartOnKeepsACommandOnItsCores(t *testing.T) {
	own, err := ownCores()
	require.NoError(t, err)
	before, err := os.ReadFile("/proc/thread-self/status")
	require.NoError(t, err)
	var out bytes.Buffer
	cmd := exec.Command("cat", "/proc/self/status")
	cmd.Stdout = &out
	require.NoError(t, startOn(cmd, own.first(1)))
	require.NoError(t, cmd.Wait())
	require.Regexp(t, `^\d+$`, allowed(out.String()), "one core")
	after, err := os.ReadFile("/proc/thread-self/status")
	require.NoError(t, err)
	require.Equal(t, allowed(string(before)), allowed(string(after)))
}

func TestPinMovesARunningProcess(t *testing.T) {
	own, err := ownCores()
	require.NoError(t, err)
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { require.NoError(t, cmd.Wait()) }()
	defer func() { require.NoError(t, stdin.Close()) }()
	require.NoError(t, pin(cmd.Process.Pid, own.first(1)))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	require.NoError(t, err)
	require.Regexp(t, `^\d+$`, allowed(string(status)))
	require.NoError(t, pin(cmd.Process.Pid, own))
	require.Error(t, pin(1<<30, own), "there is no such process")
}

func TestFirstTakesTheLowestCores(t *testing.T) {
	set := coreSet{0b1010_0000, 0b11}
	require.Equal(t, coreSet{0b0010_0000}, set.first(1))
	require.Equal(t, coreSet{0b1010_0000, 0b1}, set.first(3))
	require.Equal(t, set, set.first(9))
	require.Equal(t, 4, set.count())
}
