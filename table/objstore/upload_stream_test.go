package objstore

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// takes is a Put that reads its body in one of the ways stores do.
func takes(into *bytes.Buffer, read func(io.Writer, io.Reader) error) func(io.Reader, int64) (Object, error) {
	return func(body io.Reader, _ int64) (Object, error) {
		err := read(into, body)
		return Object{Size: int64(into.Len())}, err
	}
}

func TestStreamArrivesInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	content := make([]byte, 5<<20+17)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	ways := map[string]func(io.Writer, io.Reader) error{
		"in chunks": func(w io.Writer, r io.Reader) error {
			_, err := io.Copy(w, r)
			return err
		},
		"in small pieces": func(w io.Writer, r io.Reader) error {
			_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 1001))
			return err
		},
		"a few bytes and the rest": func(w io.Writer, r io.Reader) error {
			_, err := io.CopyN(w, r, 300_001)
			if err == nil {
				_, err = io.Copy(w, r)
			}
			return err
		},
	}
	for name, read := range ways {
		var got bytes.Buffer
		s := startStream(takes(&got, read))
		require.NoError(t, s.hand(content[:100]), name) // held before
		for at := 100; at < len(content); {
			n, err := s.write(content[at:min(len(content), at+1+random.IntN(700_000))])
			require.NoError(t, err, name)
			at += n
		}
		object, err := s.end(nil)
		require.NoError(t, err, name)
		require.EqualValues(t, len(content), object.Size)
		require.True(t, bytes.Equal(content, got.Bytes()), name)
		require.LessOrEqual(t, s.heldBytes(), int64(streamChunks*streamChunkBytes))
	}
}

// A store that does not read for a while stops the writer only when the chunks are used up.
func TestStreamRunsAheadOfTheStore(t *testing.T) {
	begin := make(chan struct{})
	var got bytes.Buffer
	s := startStream(takes(&got, func(w io.Writer, r io.Reader) error {
		<-begin
		_, err := io.Copy(w, r)
		return err
	}))
	_, err := s.write(make([]byte, streamChunks*streamChunkBytes))
	require.NoError(t, err)
	close(begin)
	_, err = s.write(make([]byte, 3*streamChunks*streamChunkBytes))
	require.NoError(t, err)
	_, err = s.end(nil)
	require.NoError(t, err)
	require.Equal(t, 4*streamChunks*streamChunkBytes, got.Len())
}

func TestStreamTellsWhyThePutEnded(t *testing.T) {
	full := errors.New("disk full")
	for _, read := range []int64{0, 1, streamChunkBytes, 2*streamChunkBytes + 5} {
		var got bytes.Buffer
		s := startStream(takes(&got, func(w io.Writer, r io.Reader) error {
			if _, err := io.CopyN(w, r, read); err != nil {
				return err
			}
			return full
		}))
		var err error
		for range 2 * streamChunks {
			if _, err = s.write(make([]byte, streamChunkBytes)); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, full)
		_, err = s.end(err)
		require.ErrorIs(t, err, full)
	}
}

// A Put that ends without an error and without the whole body has not stored the object.
func TestStreamThatIsNotReadToItsEndIsNoObject(t *testing.T) {
	s := startStream(func(io.Reader, int64) (Object, error) { return Object{Size: 1}, nil })
	var err error
	for err == nil {
		_, err = s.write(make([]byte, streamChunkBytes))
	}
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = s.end(err)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestStreamThatIsGivenUpFailsThePut(t *testing.T) {
	for _, written := range []int{0, 10, 3 * streamChunkBytes} {
		var got bytes.Buffer
		var seen error
		s := startStream(func(body io.Reader, _ int64) (Object, error) {
			_, seen = io.Copy(&got, body)
			return Object{}, seen
		})
		_, err := s.write(make([]byte, written))
		require.NoError(t, err)
		_, err = s.end(errUploadAborted)
		require.ErrorIs(t, err, errUploadAborted)
		require.ErrorIs(t, seen, errUploadAborted)
	}
}
