package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

// Subject is a store under test.
type Subject struct {
	Store objstore.Store
	// Root is a fresh prefix without a trailing slash, such as "mem://test" or "s3://bucket/run1".
	Root string
	// LargeBytes is the size of an object that takes more than one request or buffer.
	LargeBytes int
}

// Run runs the suite. open is called once for each test and returns a subject with nothing under
// its root.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	tests := map[string]func(*testing.T, Subject){
		"GetReturnsWhatWasPut":          getReturnsWhatWasPut,
		"GetReadsRanges":                getReadsRanges,
		"MissingObjectsAreNotFound":     missingObjectsAreNotFound,
		"PutReplaces":                   putReplaces,
		"PutIfAbsentKeepsTheFirst":      putIfAbsentKeepsTheFirst,
		"PutIfAbsentHasOneWinner":       putIfAbsentHasOneWinner,
		"PutIfMatchNeedsTheETag":        putIfMatchNeedsTheETag,
		"PutIfMatchLosesNoUpdate":       putIfMatchLosesNoUpdate,
		"PutOfBrokenBodyLeavesNothing":  putOfBrokenBodyLeavesNothing,
		"PutChecksTheSize":              putChecksTheSize,
		"PutKeepsLargeObjects":          putKeepsLargeObjects,
		"RemoveIsIdempotent":            removeIsIdempotent,
		"RemoveTakesMany":               removeTakesMany,
		"ListIsOrderedAndByPrefix":      listIsOrderedAndByPrefix,
		"ListStopsEarly":                listStopsEarly,
		"LocationsAreVerbatim":          locationsAreVerbatim,
		"BadLocationsAreRefused":        badLocationsAreRefused,
		"CancelledContextEndsCalls":     cancelledContextEndsCalls,
		"UploadAppearsWholeAtClose":     uploadAppearsWholeAtClose,
		"AbortedUploadLeavesNothing":    abortedUploadLeavesNothing,
		"ConditionalUploadKeepsTheRest": conditionalUploadKeepsTheRest,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, s Subject, name, content string) objstore.Object {
	t.Helper()
	object, err := s.Store.Put(t.Context(), s.Root+name, strings.NewReader(content),
		int64(len(content)), objstore.PutOptions{})
	require.NoError(t, err)
	require.Equal(t, s.Root+name, object.Location)
	require.Equal(t, int64(len(content)), object.Size)
	return object
}

func get(t *testing.T, s Subject, name string, offset, length int64) string {
	t.Helper()
	body, err := s.Store.Get(t.Context(), s.Root+name, offset, length)
	require.NoError(t, err)
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	return string(content)
}

func requireAbsent(t *testing.T, s Subject, name string) {
	t.Helper()
	_, err := s.Store.Stat(t.Context(), s.Root+name)
	require.ErrorIs(t, err, objstore.ErrNotFound)
	for object, err := range s.Store.List(t.Context(), s.Root+name) {
		require.NoError(t, err)
		require.NotEqual(t, s.Root+name, object.Location)
	}
}

func list(t *testing.T, s Subject, prefix string) []string {
	t.Helper()
	names := []string{}
	for object, err := range s.Store.List(t.Context(), s.Root+prefix) {
		require.NoError(t, err)
		name, inside := strings.CutPrefix(object.Location, s.Root)
		require.True(t, inside, "%s is not under %s", object.Location, s.Root)
		names = append(names, name)
	}
	return names
}

func getReturnsWhatWasPut(t *testing.T, s Subject) {
	for _, content := range []string{"", "x", "some words"} {
		object := put(t, s, "/a/b/c.txt", content)
		require.Equal(t, content, get(t, s, "/a/b/c.txt", 0, -1))
		stat, err := s.Store.Stat(t.Context(), s.Root+"/a/b/c.txt")
		require.NoError(t, err)
		require.Equal(t, object.ETag, stat.ETag)
		require.Equal(t, int64(len(content)), stat.Size)
		require.False(t, stat.Modified.IsZero())
	}
	_, err := s.Store.Put(t.Context(), s.Root+"/unsized", strings.NewReader("abc"), -1,
		objstore.PutOptions{})
	require.NoError(t, err)
	require.Equal(t, "abc", get(t, s, "/unsized", 0, -1))
}

func getReadsRanges(t *testing.T, s Subject) {
	put(t, s, "/digits", "0123456789")
	require.Equal(t, "345", get(t, s, "/digits", 3, 3))
	require.Equal(t, "789", get(t, s, "/digits", 7, -1))
	require.Equal(t, "89", get(t, s, "/digits", 8, 100))
	require.Equal(t, "", get(t, s, "/digits", 4, 0))
	require.Equal(t, "", get(t, s, "/digits", 10, 5))
	require.Equal(t, "", get(t, s, "/digits", 99, -1))
	_, err := s.Store.Get(t.Context(), s.Root+"/digits", -1, 3)
	require.Error(t, err)
}

func missingObjectsAreNotFound(t *testing.T, s Subject) {
	put(t, s, "/folder/file", "x")
	for _, name := range []string{
		"/none", "/folder", "/folder/none", "/none/none", "/folder/file/x",
	} {
		_, err := s.Store.Get(t.Context(), s.Root+name, 0, -1)
		require.ErrorIs(t, err, objstore.ErrNotFound, name)
		_, err = s.Store.Get(t.Context(), s.Root+name, 0, 0)
		require.ErrorIs(t, err, objstore.ErrNotFound, name)
		_, err = s.Store.Stat(t.Context(), s.Root+name)
		require.ErrorIs(t, err, objstore.ErrNotFound, name)
		require.Contains(t, err.Error(), s.Root+name)
	}
	require.Empty(t, list(t, s, "/none/"))
}

func putReplaces(t *testing.T, s Subject) {
	first := put(t, s, "/a", "first")
	second := put(t, s, "/a", "other")
	require.NotEqual(t, first.ETag, second.ETag)
	require.Equal(t, "other", get(t, s, "/a", 0, -1))
}

func putIfAbsentKeepsTheFirst(t *testing.T, s Subject) {
	opts := objstore.PutOptions{IfAbsent: true}
	_, err := s.Store.Put(t.Context(), s.Root+"/new/a", strings.NewReader("one"), 3, opts)
	require.NoError(t, err)
	_, err = s.Store.Put(t.Context(), s.Root+"/new/a", strings.NewReader("two"), 3, opts)
	require.ErrorIs(t, err, objstore.ErrPrecondition)
	require.Equal(t, "one", get(t, s, "/new/a", 0, -1))
	require.Equal(t, []string{"/new/a"}, list(t, s, "/new/"))
}

func putIfAbsentHasOneWinner(t *testing.T, s Subject) {
	const racers = 8
	var won atomic.Int32
	var winner atomic.Value
	var group sync.WaitGroup
	for i := range racers {
		group.Go(func() {
			content := fmt.Sprintf("racer %d", i)
			_, err := s.Store.Put(t.Context(), s.Root+"/contested", strings.NewReader(content),
				int64(len(content)), objstore.PutOptions{IfAbsent: true})
			if err == nil {
				won.Add(1)
				winner.Store(content)
			} else if !errors.Is(err, objstore.ErrPrecondition) {
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	group.Wait()
	require.Equal(t, int32(1), won.Load())
	require.Equal(t, winner.Load(), get(t, s, "/contested", 0, -1))
}

// putIfMatchLosesNoUpdate lets several writers count in one object by compare and swap.
func putIfMatchLosesNoUpdate(t *testing.T, s Subject) {
	const writers, rounds = 4, 10
	put(t, s, "/counter", "")
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for done := 0; done < rounds; {
				err := appendOne(t.Context(), s, "/counter")
				if err == nil {
					done++
				} else if !errors.Is(err, objstore.ErrPrecondition) {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	require.Equal(t, strings.Repeat("x", writers*rounds), get(t, s, "/counter", 0, -1))
}

// appendOne makes an object longer by one byte, unless somebody else does so meanwhile.
func appendOne(ctx context.Context, s Subject, name string) error {
	before, err := s.Store.Stat(ctx, s.Root+name)
	if err != nil {
		return err
	}
	longer := strings.Repeat("x", int(before.Size)+1)
	_, err = s.Store.Put(ctx, s.Root+name, strings.NewReader(longer), int64(len(longer)),
		objstore.PutOptions{IfMatch: before.ETag})
	return err
}

func putIfMatchNeedsTheETag(t *testing.T, s Subject) {
	first := put(t, s, "/a", "one")
	match := func(name, etag, content string) error {
		_, err := s.Store.Put(t.Context(), s.Root+name, strings.NewReader(content),
			int64(len(content)), objstore.PutOptions{IfMatch: etag})
		return err
	}
	require.NoError(t, match("/a", first.ETag, "two"))
	require.ErrorIs(t, match("/a", first.ETag, "three"), objstore.ErrPrecondition)
	require.Equal(t, "two", get(t, s, "/a", 0, -1))
	require.ErrorIs(t, match("/none", first.ETag, "x"), objstore.ErrPrecondition)
	requireAbsent(t, s, "/none")
}

// brokenBody gives some bytes and then an error that a careless reader takes for the end.
func brokenBody(size int) io.Reader {
	return io.MultiReader(bytes.NewReader(make([]byte, size)), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func putOfBrokenBodyLeavesNothing(t *testing.T, s Subject) {
	for _, bytes := range []int{0, 10, s.LargeBytes} {
		for _, size := range []int64{-1, int64(bytes) + 10} {
			_, err := s.Store.Put(t.Context(), s.Root+"/torn", brokenBody(bytes), size,
				objstore.PutOptions{})
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			requireAbsent(t, s, "/torn")
		}
	}
}

func putChecksTheSize(t *testing.T, s Subject) {
	for _, size := range []int64{2, 4} {
		_, err := s.Store.Put(t.Context(), s.Root+"/three", strings.NewReader("abc"), size,
			objstore.PutOptions{})
		require.Error(t, err)
		requireAbsent(t, s, "/three")
	}
}

func large(size int) []byte {
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i>>16) ^ byte(i)
	}
	return content
}

func putKeepsLargeObjects(t *testing.T, s Subject) {
	content := large(s.LargeBytes)
	for _, size := range []int64{-1, int64(len(content))} {
		object, err := s.Store.Put(t.Context(), s.Root+"/large", bytes.NewReader(content), size,
			objstore.PutOptions{})
		require.NoError(t, err)
		require.Equal(t, int64(len(content)), object.Size)
		require.True(t, get(t, s, "/large", 0, -1) == string(content))
		require.Equal(t, string(content[len(content)-9:len(content)-4]),
			get(t, s, "/large", int64(len(content)-9), 5))
	}
	_, err := s.Store.Put(t.Context(), s.Root+"/large", bytes.NewReader(content[1:]), -1,
		objstore.PutOptions{IfAbsent: true})
	require.ErrorIs(t, err, objstore.ErrPrecondition)
	stat, err := s.Store.Stat(t.Context(), s.Root+"/large")
	require.NoError(t, err)
	require.Equal(t, int64(len(content)), stat.Size)
}

func removeIsIdempotent(t *testing.T, s Subject) {
	put(t, s, "/folder/a", "x")
	put(t, s, "/folder/b", "x")
	require.NoError(t, s.Store.Remove(t.Context()))
	require.NoError(t, s.Store.Remove(t.Context(), s.Root+"/folder"))
	require.NoError(t, s.Store.Remove(t.Context(), s.Root+"/folder/a"))
	require.NoError(t, s.Store.Remove(t.Context(), s.Root+"/folder/a", s.Root+"/none/c"))
	require.Equal(t, []string{"/folder/b"}, list(t, s, "/"))
}

func removeTakesMany(t *testing.T, s Subject) {
	const objects = 30
	var locations []string
	for i := range objects {
		locations = append(locations, put(t, s, fmt.Sprintf("/many/%03d", i), "x").Location)
	}
	require.Len(t, list(t, s, "/many/"), objects)
	for i := range 2100 { // more than one request takes
		locations = append(locations, fmt.Sprintf("%s/none/%04d", s.Root, i))
	}
	require.NoError(t, s.Store.Remove(t.Context(), locations...))
	require.Empty(t, list(t, s, "/"))
}

func listIsOrderedAndByPrefix(t *testing.T, s Subject) {
	names := []string{"/t/a", "/t/a-b", "/t/a.b", "/t/a_/x", "/t/b/c/d", "/t/b/c-d", "/t2/x", "/t/ä"}
	for _, name := range names {
		put(t, s, name, "x")
	}
	put(t, s, "/t/b.d", "x")
	put(t, s, "/t/b/c.d/e", "x")
	want := append(slices.Clone(names), "/t/b.d", "/t/b/c.d/e")
	slices.Sort(want)
	require.Equal(t, want, list(t, s, ""))
	require.Equal(t, want, list(t, s, "/"))
	require.Equal(t, want, list(t, s, "/t"))
	require.Equal(t, []string{"/t/b.d", "/t/b/c-d", "/t/b/c.d/e", "/t/b/c/d"}, list(t, s, "/t/b"))
	require.Equal(t, []string{"/t/b/c-d", "/t/b/c.d/e", "/t/b/c/d"}, list(t, s, "/t/b/"))
	require.Equal(t, []string{"/t2/x"}, list(t, s, "/t2"))
	require.Equal(t, []string{"/t/ä"}, list(t, s, "/t/ä"))
	require.Empty(t, list(t, s, "/x"))
}

func listStopsEarly(t *testing.T, s Subject) {
	put(t, s, "/a", "x")
	put(t, s, "/b", "x")
	for object, err := range s.Store.List(t.Context(), s.Root+"/") {
		require.NoError(t, err)
		require.Equal(t, s.Root+"/a", object.Location)
		break
	}
}

func locationsAreVerbatim(t *testing.T, s Subject) {
	for _, name := range []string{
		"/k=a%2Fb/f", "/k=a b/f", "/k=%2e%2e/f", "/k=a+b/f", "/k=ü?x=1#y/f",
	} {
		put(t, s, name, name)
		require.Equal(t, name, get(t, s, name, 0, -1))
		require.Equal(t, []string{name}, list(t, s, name))
	}
	requireAbsent(t, s, "/k=a/b/f")
	require.Len(t, list(t, s, "/"), 5)
}

func badLocationsAreRefused(t *testing.T, s Subject) {
	for _, location := range []string{"ftp://host/x", "relative/x", ""} {
		_, err := s.Store.Stat(t.Context(), location)
		require.ErrorIs(t, err, objstore.ErrBadLocation, location)
		_, err = s.Store.Get(t.Context(), location, 0, -1)
		require.ErrorIs(t, err, objstore.ErrBadLocation, location)
		_, err = s.Store.Put(t.Context(), location, strings.NewReader(""), 0, objstore.PutOptions{})
		require.ErrorIs(t, err, objstore.ErrBadLocation, location)
		require.ErrorIs(t, s.Store.Remove(t.Context(), location), objstore.ErrBadLocation, location)
		for _, err := range s.Store.List(t.Context(), location) {
			require.ErrorIs(t, err, objstore.ErrBadLocation, location)
		}
	}
}

func cancelledContextEndsCalls(t *testing.T, s Subject) {
	put(t, s, "/a", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Store.Stat(ctx, s.Root+"/a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Store.Put(ctx, s.Root+"/b", strings.NewReader("x"), 1, objstore.PutOptions{})
	require.ErrorIs(t, err, context.Canceled)
	requireAbsent(t, s, "/b")
}

func uploadAppearsWholeAtClose(t *testing.T, s Subject) {
	for _, size := range []int{0, 100, s.LargeBytes} {
		name := fmt.Sprintf("/upload/%d", size)
		content := large(size)
		upload := objstore.Create(t.Context(), s.Store, s.Root+name)
		_, err := upload.Object()
		require.Error(t, err)
		for rest := content; len(rest) > 0; {
			n, err := upload.Write(rest[:min(len(rest), 3<<20+1)])
			require.NoError(t, err)
			rest = rest[n:]
		}
		requireAbsent(t, s, name)
		require.NoError(t, upload.Close())
		upload.Abort() // after Close it must not harm
		object, err := upload.Object()
		require.NoError(t, err)
		require.Equal(t, int64(size), object.Size)
		require.True(t, get(t, s, name, 0, -1) == string(content))
	}
}

func abortedUploadLeavesNothing(t *testing.T, s Subject) {
	for _, size := range []int{0, 100, s.LargeBytes} {
		upload := objstore.Create(t.Context(), s.Store, s.Root+"/aborted")
		_, err := upload.Write(large(size))
		require.NoError(t, err)
		upload.Abort()
		require.Error(t, upload.Close())
		_, err = upload.Write([]byte("x"))
		require.Error(t, err)
		requireAbsent(t, s, "/aborted")
	}
}

func conditionalUploadKeepsTheRest(t *testing.T, s Subject) {
	put(t, s, "/kept", "old")
	for _, size := range []int{100, s.LargeBytes} {
		upload := objstore.CreateIf(t.Context(), s.Store, s.Root+"/kept",
			objstore.PutOptions{IfAbsent: true})
		_, writeErr := upload.Write(large(size))
		require.ErrorIs(t, errors.Join(writeErr, upload.Close()), objstore.ErrPrecondition)
		require.Equal(t, "old", get(t, s, "/kept", 0, -1))
	}
}
