package registry

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
)

func TestFrameAgreesWithConfluentHeader(t *testing.T) {
	for _, path := range [][]int{{0}, {1}, {0, 0}, {3, 1, 200}} {
		want, err := sr.Encode([]byte("payload"), new(sr.ConfluentHeader), 77, path,
			func(v any) ([]byte, error) { return v.([]byte), nil })
		require.NoError(t, err)
		got := append(AppendIndexes(AppendHeader(nil, 77), path...), "payload"...)
		require.Equal(t, want, got)

		id, rest, err := ParseHeader(got)
		require.NoError(t, err)
		require.EqualValues(t, 77, id)
		parsed, rest, err := ParseIndexes(nil, rest)
		require.NoError(t, err)
		require.Equal(t, path, parsed)
		require.Equal(t, "payload", string(rest))
	}
}

func TestBrokenFramesAreRefused(t *testing.T) {
	for _, value := range [][]byte{nil, {0}, {0, 0, 0, 1}, {1, 0, 0, 0, 1, 5}, []byte(`{"a":1}`)} {
		_, _, err := ParseHeader(value)
		require.ErrorIs(t, err, ErrNoFrame)
	}
	for _, value := range [][]byte{
		nil, {1}, {2}, {4, 0}, {0x80}, {2, 1}, bytes.Repeat([]byte{0xff}, 11), {0x80, 0x80, 0x80, 0x10},
	} {
		_, _, err := ParseIndexes(nil, value)
		require.ErrorIs(t, err, ErrIndexes, "%x", value)
	}
}

func FuzzWire(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 'x'})
	f.Add([]byte{0, 0, 0, 0, 1, 4, 2, 6, 'x'})
	f.Fuzz(func(t *testing.T, value []byte) {
		id, rest, err := ParseHeader(value)
		if err != nil {
			return
		}
		path, payload, err := ParseIndexes(nil, rest)
		if err != nil {
			return
		}
		again := append(AppendIndexes(AppendHeader(nil, id), path...), payload...)
		id2, rest2, err := ParseHeader(again)
		require.NoError(t, err)
		path2, payload2, err := ParseIndexes(nil, rest2)
		require.NoError(t, err)
		if id != id2 || !slices.Equal(path, path2) || !bytes.Equal(payload, payload2) {
			t.Fatalf("%x does not survive the round trip", value)
		}
	})
}
