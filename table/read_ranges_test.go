package table

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNeighbouringChunksShareARequest(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct{ chunks, want []byteRange }{
		{nil, nil},
		{[]byteRange{{4, 100}}, nil},
		{[]byteRange{{100, 200}, {4, 100}}, []byteRange{{4, 200}}},
		{[]byteRange{{0, 100}, {100 + fetchGapMax, 2 * mib}}, []byteRange{{0, 2 * mib}}},
		{[]byteRange{{0, 100}, {101 + fetchGapMax, 2 * mib}}, nil},
		{
			[]byteRange{{0, 3 * mib}, {3 * mib, 6 * mib}, {6 * mib, 9 * mib}, {9 * mib, 10 * mib}},
			[]byteRange{{0, 6 * mib}, {6 * mib, 10 * mib}},
		},
	} {
		require.Equal(t, tc.want, mergeRanges(tc.chunks))
	}
}
