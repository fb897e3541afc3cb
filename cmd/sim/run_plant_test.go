//go:build !race

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlantedFaultsAreFound builds the simulator with one fault planted into the code under test and
// wants it found within 1,000 seeds. The compiler's overlay does the planting, so the code itself has no
// switch for it. Each file of testdata/plants says what it plants and has "-- file" with the text to
// replace, "--", and the replacement, once or more. Those that begin with "keyed-" need a keyed table. The
// seed that the file says has found it comes before the 1,000: it need no longer find it, but mostly does.
func TestPlantedFaultsAreFound(t *testing.T) {
	plants, err := filepath.Glob("testdata/plants/*")
	require.NoError(t, err)
	require.NotEmpty(t, plants)
	for _, plant := range plants {
		t.Run(filepath.Base(plant), func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), "sim")
			build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-overlay", overlay(t, plant),
				"-o", binary, ".")
			out, err := build.CombinedOutput()
			require.NoError(t, err, "%s", out)
			args := []string{"--failures", "1"}
			if strings.HasPrefix(filepath.Base(plant), "keyed-") {
				args = append(args, "--keyed")
			}
			search := func(more ...string) ([]byte, error) {
				return exec.CommandContext(t.Context(), binary, append(more, args...)...).CombinedOutput()
			}
			if seed := finder(t, plant); seed != "" {
				out, err = search("--seed", seed)
			}
			if err == nil {
				out, err = search("--seeds", "1000")
			}
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "no seed found it:\n%s", out)
			require.Equal(t, 1, exit.ExitCode(), "%s", out)
			t.Logf("%s", out)
		})
	}
}

// finder returns the seed that a plant's file names, or nothing.
func finder(t *testing.T, plant string) string {
	text, err := os.ReadFile(plant)
	require.NoError(t, err)
	if found := regexp.MustCompile(`(?m)^Seed (\d+) has found it\.$`).FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return ""
}

// overlay writes the planted files and the description of them that go build takes.
func overlay(t *testing.T, plant string) string {
	text, err := os.ReadFile(plant)
	require.NoError(t, err)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	replace := map[string]string{}
	for i, edit := range strings.Split(string(text), "\n-- ")[1:] {
		name, edit, _ := strings.Cut(edit, "\n")
		from, to, found := strings.Cut(edit, "\n--\n")
		require.True(t, found, "edit %d of %s has no replacement", i, plant)
		original := filepath.Join(root, name)
		source := replace[original]
		if source == "" {
			source = original
		}
		code, err := os.ReadFile(source)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(code), from), "%s has changed: plant the fault anew\n%s", name, from)
		planted := filepath.Join(dir, filepath.Base(name)+".planted")
		code = []byte(strings.Replace(string(code), from, strings.TrimSuffix(to, "\n"), 1))
		require.NoError(t, os.WriteFile(planted, code, 0o600))
		replace[original] = planted
	}
	description, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, description, 0o600))
	return file
}
