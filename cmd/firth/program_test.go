package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// outcome is what a command line gave.
type outcome struct {
	code           int
	stdout, stderr string
}

// firth runs one command line in this process.
func firth(t *testing.T, args ...string) outcome {
	t.Helper()
	return firthWith(t.Context(), strings.NewReader(""), args...)
}

func firthWith(ctx context.Context, stdin *strings.Reader, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	p := &program{self: "firth", stdin: stdin, stdout: &stdout, stderr: &stderr, getenv: os.LookupEnv,
		now: time.Now}
	code := p.run(ctx, args)
	return outcome{code, stdout.String(), stderr.String()}
}

// write puts a file into a folder and returns its path.
func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestEveryCommandShowsExamplesAndExitCodes(t *testing.T) {
	var visit func(cmd *cobra.Command, path []string)
	visit = func(cmd *cobra.Command, path []string) {
		if cmd.Name() == "help" || cmd.Hidden {
			return
		}
		out := firth(t, append(path, "--help")...)
		require.Zero(t, out.code, path)
		require.Contains(t, out.stdout, "Examples:\n  firth", path)
		require.NotEmpty(t, cmd.Short, path)
		if len(path) > 0 {
			require.Contains(t, out.stdout, "Exit codes: 0 ", path)
		}
		for _, each := range cmd.Commands() {
			visit(each, append(path[:len(path):len(path)], each.Name()))
		}
	}
	visit((&program{}).root(), nil)
}

func TestUsageErrorsExitWithTwoAndNameTheHelp(t *testing.T) {
	for _, args := range [][]string{
		{"describe"}, {"describe", "a.b", "c"}, {"read", "--nope", "a.b"}, {"nope"}, {"completion", "tcsh"},
		{"gen"}, {"gen", "--out", "x", "--workload", "nope"}, {"accept-loss", "a.b"}, {"version", "--log",
			"loud", "x"},
	} {
		out := firth(t, args...)
		require.Equal(t, exitCouldNot, out.code, args)
		require.Empty(t, out.stdout, args)
		require.Contains(t, out.stderr, "firth: ", args)
	}
}

func TestErrorsAreJSONWithJSON(t *testing.T) {
	out := firth(t, "tables", "--json", "-c", filepath.Join(t.TempDir(), "none.yaml"))
	require.Equal(t, exitCouldNot, out.code)
	var report struct {
		Error, Remedy string
		ExitCode      int `json:"exit_code"`
	}
	require.NoError(t, json.Unmarshal([]byte(out.stderr), &report), out.stderr)
	require.Contains(t, report.Error, "none.yaml")
	require.Contains(t, report.Remedy, "firth demo")
	require.Equal(t, exitCouldNot, report.ExitCode)
}

func TestWrongFlagBeforeJSONIsReportedAsJSON(t *testing.T) {
	out := firth(t, "gen", "--rows", "many", "--json")
	require.Equal(t, exitCouldNot, out.code)
	require.True(t, json.Valid([]byte(out.stderr)), out.stderr)
}

func TestNumbersBelowZeroAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"gen", "--rows", "-1", "--out", "-"}, {"gen", "--rate", "-1", "--out", "-"},
		{"demo", "--rows", "-1"}, {"demo", "--rate", "-1"},
		{"read", "db.events", "--limit", "-1"}, {"infer", "events", "--records", "0"},
	} {
		out := firth(t, args...)
		require.Equal(t, exitCouldNot, out.code, args)
	}
}

func TestVersionIsOneJSONObject(t *testing.T) {
	out := firth(t, "version", "--json")
	require.Zero(t, out.code)
	var v versionReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &v))
	require.NotEmpty(t, v.Go)
	require.Contains(t, firth(t, "version").stdout, "firth ")
}

func TestCompletionCoversEveryShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out := firth(t, "completion", shell)
		require.Zero(t, out.code, shell)
		require.Contains(t, out.stdout, "firth", shell)
	}
}

func TestGenWritesTheSameRowsTwice(t *testing.T) {
	first := firth(t, "gen", "--rows", "100", "--seed", "7", "--out", "-")
	require.Zero(t, first.code, first.stderr)
	require.Equal(t, 100, strings.Count(first.stdout, "\n"))
	require.Equal(t, first.stdout, firth(t, "gen", "--rows", "100", "--seed", "7", "--out", "-").stdout)

	file := filepath.Join(t.TempDir(), "events.csv")
	out := firth(t, "gen", "--rows", "100", "--format", "csv", "--out", file, "--json")
	require.Zero(t, out.code, out.stderr)
	var report struct{ Rows int64 }
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	require.EqualValues(t, 100, report.Rows)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 101, strings.Count(string(text), "\n"), "a header and a line a row")
}
