//go:build e2e

package zstdframe

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOtherDecodersReadTheFrames hands frames to libzstd, as pyarrow and most engines have it, and
// to aircompressor, the decoder of Trino, which shares no code with it.
func TestOtherDecodersReadTheFrames(t *testing.T) {
	dir := t.TempDir()
	writeFrames(t, dir)
	cache := os.Getenv("FIRTH_E2E_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		require.NoError(t, err)
		cache = filepath.Join(home, ".cache", "firth-e2e")
	}
	jars, err := filepath.Glob(filepath.Join(cache, "trino", "lib", "aircompressor-2*.jar"))
	require.NoError(t, err)
	require.NotEmpty(t, jars)
	python := filepath.Join(cache, "py-iceberg", "bin", "python")
	for _, command := range []*exec.Cmd{
		exec.CommandContext(t.Context(), python, "testdata/decode.py", dir),
		exec.CommandContext(t.Context(), "java", "-cp", jars[0], "testdata/Decode.java", dir),
	} {
		out, err := command.CombinedOutput()
		t.Logf("%s", out)
		require.NoError(t, err)
	}
}

// writeFrames writes random frames of every kind and their contents.
func writeFrames(t *testing.T, dir string) {
	random := rand.New(rand.NewPCG(5, 5))
	e := NewEncoder()
	frames := 0
	keep := func(content, frame []byte, ok bool) {
		if ok {
			path := filepath.Join(dir, fmt.Sprint(frames))
			require.NoError(t, os.WriteFile(path+".zst", frame, 0o600))
			require.NoError(t, os.WriteFile(path+".raw", content, 0o600))
			frames++
		}
	}
	for _, src := range contents() {
		frame, ok := e.Literals(nil, src)
		keep(src, frame, ok)
		keep(src, Raw(nil, src), true)
	}
	all := everyByte()
	alphabets := []string{"0123456789abcdef-", all, all[:129], all[:200], "ab"}
	for i := range 600 {
		src := uniform(1+random.IntN(200_000), alphabets[i%len(alphabets)])
		frame, ok := e.Literals(nil, src)
		keep(src, frame, ok)

		width := 1 + random.IntN([]int{20, 300, widthMax}[i%3])
		head := src[:min(len(src), []int{0, 3, 64, 65, 200, 140_000}[random.IntN(6)])]
		front, tail := random.IntN(10)-4, random.IntN(10)-4
		values := fixed(append([]byte{}, src...), width, max(front, 0), max(tail, 0))
		frame, ok = e.FixedStrings(nil, head, width, values)
		keep(plain(head, width, values), frame, ok)
	}
}
