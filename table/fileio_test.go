package table

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func newMemory() *objstore.Memory {
	return objstore.NewMemory(func() time.Time { return time.Unix(1_700_000_000, 0) })
}

func TestFileIOReadsAndWrites(t *testing.T) {
	files := FileIO(t.Context(), newMemory())
	content := make([]byte, 3*readAheadBytes)
	for i := range content {
		content[i] = byte(i >> 8)
	}
	writer, err := files.Create("mem://t/a")
	require.NoError(t, err)
	_, err = writer.ReadFrom(bytes.NewReader(content))
	require.NoError(t, err)
	_, err = files.Open("mem://t/a")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, writer.Close())

	file, err := files.Open("mem://t/a")
	require.NoError(t, err)
	all, err := io.ReadAll(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, all))
	end, err := file.Seek(-10, io.SeekEnd)
	require.NoError(t, err)
	require.Equal(t, int64(len(content)-10), end)
	tail, err := io.ReadAll(file)
	require.NoError(t, err)
	require.Equal(t, content[len(content)-10:], tail)
	_, err = file.Seek(-1, io.SeekStart)
	require.Error(t, err)
	for _, span := range [][2]int{{0, 10}, {700, 5}, {100_000, 300_000}, {len(content) - 8, 8}, {5, 5}} {
		part := make([]byte, span[1])
		n, err := file.ReadAt(part, int64(span[0]))
		require.NoError(t, err)
		require.Equal(t, span[1], n)
		require.Equal(t, content[span[0]:span[0]+span[1]], part)
	}
	n, err := file.ReadAt(make([]byte, 20), int64(len(content)-5))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 5, n)
	require.NoError(t, file.Close())

	require.NoError(t, files.Remove("mem://t/a"))
	_, err = files.(iceio.StatIO).Stat("mem://t/a")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, err, objstore.ErrNotFound)
}

func TestFileIOReadsFootersWithOneRequest(t *testing.T) {
	memory := newMemory()
	require.NoError(t, FileIO(t.Context(), memory).WriteFile("mem://t/a", make([]byte, 1<<20)))
	store := objstore.NewFaulty(memory, nil)
	file, err := FileIO(t.Context(), store).Open("mem://t/a")
	require.NoError(t, err)
	for _, back := range []int64{8, 100, 5000, 100_000} {
		_, err := file.ReadAt(make([]byte, back), 1<<20-back)
		require.NoError(t, err)
	}
	require.Equal(t, int64(2), store.Ops(), "one stat and one get")
}

func TestFileIOReportsTornReads(t *testing.T) {
	memory := newMemory()
	require.NoError(t, FileIO(t.Context(), memory).WriteFile("mem://t/a", []byte("0123456789")))
	for _, kind := range []objstore.FaultKind{objstore.ShortRead, objstore.TornRead} {
		store := objstore.NewFaulty(memory, objstore.FailAt(1, objstore.Fault{Kind: kind, Bytes: 4}))
		file, err := FileIO(t.Context(), store).Open("mem://t/a")
		require.NoError(t, err)
		_, err = io.ReadAll(file)
		require.True(t, errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, objstore.ErrInjected))
	}
}

func TestFileIOWalks(t *testing.T) {
	files := FileIO(t.Context(), newMemory())
	for _, name := range []string{"mem://t/b", "mem://t/a/x", "mem://u/c"} {
		require.NoError(t, files.WriteFile(name, nil))
	}
	var names []string
	walk := func(name string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(name, entry.Name()))
		names = append(names, name)
		return nil
	}
	require.NoError(t, files.(iceio.ListableIO).WalkDir("mem://t/", walk))
	require.Equal(t, []string{"mem://t/a/x", "mem://t/b"}, names)
	removed, err := files.(iceio.BulkRemovableIO).DeleteFiles(t.Context(), names)
	require.NoError(t, err)
	require.Equal(t, names, removed)
}
