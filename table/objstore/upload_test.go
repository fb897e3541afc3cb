package objstore_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

// TestUploadKeepsWhatIsWrittenInPieces writes objects around every size at which an upload changes the
// way it holds them, in pieces of random sizes from a buffer that is used again.
func TestUploadKeepsWhatIsWrittenInPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 20<<20)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	for _, size := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 1 << 20, 3<<20 + 5,
		8<<20 - 1, 8 << 20, 8<<20 + 1, 20 << 20} {
		store := objstore.NewMemory(time.Now)
		upload := objstore.Create(t.Context(), store, "mem://lake/object")
		piece := make([]byte, 2<<20)
		for at := 0; at < size; {
			n := copy(piece[:1+random.IntN(1<<(1+random.IntN(21)))], content[at:size])
			written, err := upload.Write(piece[:n])
			require.NoError(t, err)
			require.Equal(t, n, written)
			at += n
			require.LessOrEqual(t, upload.HeldBytes(), int64(9<<20))
			require.LessOrEqual(t, upload.HeldBytes(), int64(2*at+16<<10))
			if at > 8<<20 {
				require.LessOrEqual(t, upload.HeldBytes(), int64(2<<20), "a stream has a bound")
			}
		}
		require.NoError(t, upload.Close())
		require.Zero(t, upload.HeldBytes())
		body, err := store.Get(t.Context(), "mem://lake/object", 0, -1)
		require.NoError(t, err)
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content[:size], got), "object of %d bytes", size)
	}
}
