package columnchunk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// TestValuesThatComeAgainFarOffAreMatched has values that no piece of a page shows twice.
func TestValuesThatComeAgainFarOffAreMatched(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const distinct, rows = 4000, 25_000
	for name, width := range map[string]int{"of one length": 36, "of many": 0} {
		values := make([]string, distinct)
		for i := range values {
			size := width
			if size == 0 {
				size = 30 + r.IntN(12)
			}
			for range size {
				values[i] += string("0123456789abcdef"[r.IntN(16)])
			}
		}
		batch := texts(rows, func(int) string { return values[r.IntN(distinct)] })
		raw, _ := write(t, options(t, batch.Schema()), batch)
		require.Less(t, len(raw), rows*36/3, name)
		require.Equal(t, linesOf(batch), readRows(t, raw))
		batch.Release()
	}
}

// TestFramesAreWhatTheyWereMadeFrom compresses bodies of each kind and reads them with klauspost's
// decoder.
func TestFramesAreWhatTheyWereMadeFrom(t *testing.T) {
	reader, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer reader.Close()
	r := rand.New(rand.NewPCG(2, 2))
	work := new(Buffers).takeScratch()
	bodies := map[string]func(i int) byte{
		"random":  func(int) byte { return byte(r.Uint32()) },
		"letters": func(int) byte { return "aaaabbcdefgh"[r.IntN(12)] },
		"cycles":  func(i int) byte { return byte(i * i % 251) },
		"zeros":   func(int) byte { return 0 },
	}
	chosen := map[choice]bool{}
	for name, at := range bodies {
		for _, size := range []int{0, 1, 100, 70_000, 1 << 20} {
			body := make([]byte, size)
			for i := range body {
				body[i] = at(i)
			}
			var c codec
			frame := bytes.Clone(c.compress(work, body, valueList{}))
			got, err := reader.DecodeAll(frame, nil)
			require.NoError(t, err, fmt.Sprint(name, size))
			require.True(t, bytes.Equal(body, got), "%s of %d bytes", name, size)
			chosen[c.any.choice] = true
		}
	}
	require.Len(t, chosen, 3, "each way is taken")
}

// TestTrialsOfAFileHoldForTheNext writes small files with and without those of the file before.
func TestTrialsOfAFileHoldForTheNext(t *testing.T) {
	batch := texts(2000, func(i int) string { return fmt.Sprint("https://example.com/", i*i%977) })
	defer batch.Release()
	opts := options(t, batch.Schema())
	alone, _ := write(t, opts, batch)
	opts.Trials = new(Trials)
	for file := range trialPages + 2 {
		raw, _ := write(t, opts, batch)
		require.Equal(t, alone, raw, "the same choice for the same rows")
		require.Equal(t, (2*trialPages-1-file)%trialPages, opts.Trials.columns[0].any.left)
	}
}
