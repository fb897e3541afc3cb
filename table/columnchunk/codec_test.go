package columnchunk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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

// TestHugeValuesReadBackEqual has values that are pages of their own, by each way to make frames.
func TestHugeValuesReadBackEqual(t *testing.T) {
	const n = storageBytesMax + 100
	r := rand.New(rand.NewPCG(1, 1))
	letters, noise := make([]byte, n), make([]byte, n)
	for i := range n {
		letters[i], noise[i] = "0123456789abcdef"[r.IntN(16)], byte(r.Uint32())
	}
	for name, value := range map[string][]byte{
		"literals": letters, "stored": noise, "matches": bytes.Repeat([]byte("firth"), n/5),
	} {
		t.Run(name, func(t *testing.T) {
			values := []string{string(value), string(value[1:]), "", "short", string(value[2:])}
			batch := texts(len(values), func(row int) string { return values[row] })
			defer batch.Release()
			raw, _ := write(t, options(t, batch.Schema()), batch)
			require.Less(t, len(raw), 3*len(value)+5000)
			if name != "stored" {
				require.Less(t, len(raw), len(value)*9/5)
			}
			require.True(t, slices.Equal(linesOf(batch), readRows(t, raw)))
		})
	}
}

// TestLongBoundsOfAChunkAreLeftOut has values in pages of their own that differ far behind what a chunk tells.
func TestLongBoundsOfAChunkAreLeftOut(t *testing.T) {
	long := strings.Repeat("m", 1<<20)
	for name, each := range map[string]struct {
		values     []string
		least, top string
		known      bool
	}{
		"all long":         {values: []string{long + "b", long, long + "c"}},
		"short after long": {values: []string{long + "b", "a", "z", long}, least: "a", top: "z", known: true},
		"long after short": {values: []string{"a", "z", long, long + "a"}, least: "a", top: "z", known: true},
		"longer than a bound": {values: []string{long, long[:sizeChunkBound], "z"},
			least: long[:sizeChunkBound], top: "z", known: true},
	} {
		t.Run(name, func(t *testing.T) {
			batch := texts(len(each.values), func(row int) string { return each.values[row] })
			defer batch.Release()
			raw, _ := write(t, options(t, batch.Schema()), batch)
			chunk, err := open(t, raw).MetaData().RowGroup(0).ColumnChunk(0)
			require.NoError(t, err)
			stats, err := chunk.Statistics()
			require.NoError(t, err)
			require.Equal(t, each.known, stats.HasMinMax())
			if each.known {
				require.True(t, each.least == string(stats.EncodeMin()))
				require.True(t, each.top == string(stats.EncodeMax()))
			}
		})
	}
}
