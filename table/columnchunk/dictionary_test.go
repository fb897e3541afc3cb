package columnchunk

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKeysMadeToCollideEndTheDictionary feeds values that all want one slot: they must not make each
// look-up a search through all of them.
func TestKeysMadeToCollideEndTheDictionary(t *testing.T) {
	const low = 1<<14 - 1
	var numbers []uint64
	var texts [][]byte
	for key := uint64(0); len(numbers) < 3*probesMax; key++ {
		if hash(key)&low == 0 {
			numbers = append(numbers, key)
		}
	}
	for key := uint64(0); len(texts) < 3*probesMax; key++ {
		if text := binary.BigEndian.AppendUint64(nil, key); hashBytes(text)&low == 0 {
			texts = append(texts, text)
		}
	}
	var d dictionary
	d.reset(1<<20, kindInt64)
	indexes, taken := addNumbers(&d, nil, numbers)
	require.Equal(t, probesMax, taken)
	require.Len(t, indexes, taken)

	d.reset(1<<20, kindBytes)
	taken = 0
	for _, text := range texts {
		if _, ok := d.addBytes(text); !ok {
			break
		}
		taken++
	}
	require.Equal(t, probesMax, taken)
	number, ok := d.addBytes(texts[5])
	require.True(t, ok)
	require.EqualValues(t, 5, number)
	require.Equal(t, texts[5], d.entry(5))
}
