package filecache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func content(text string) Fill {
	return func(_ context.Context, to io.Writer) error {
		_, err := io.WriteString(to, text)
		return err
	}
}

func never(context.Context, io.Writer) error { return errors.New("filled again") }

func TestAFileIsFilledOnceForAll(t *testing.T) {
	c := New(t.TempDir(), 100)
	var fills atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			f, err := c.Get(t.Context(), "a", func(ctx context.Context, to io.Writer) error {
				fills.Add(1)
				return content("hello")(ctx, to)
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Release()
			if text, err := os.ReadFile(f.Path()); err != nil || string(text) != "hello" {
				t.Errorf("%q %v", text, err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, fills.Load())
}

func TestTheLongestUnusedFileLeaves(t *testing.T) {
	c := New(t.TempDir(), 10)
	get := func(key string, fill Fill) *File {
		t.Helper()
		f, err := c.Get(t.Context(), key, fill)
		require.NoError(t, err)
		return f
	}
	a, b := get("a", content("aaaa")), get("b", content("bbbb"))
	a.Release()
	b.Release()
	get("a", never).Release()
	get("c", content("cccc")).Release()
	require.NoFileExists(t, b.Path())
	get("a", never).Release()
	get("b", content("bbbb")).Release()
	left, err := os.ReadDir(c.dir)
	require.NoError(t, err)
	require.Len(t, left, 2)
}

func TestFilesThatAreHeldStay(t *testing.T) {
	c := New(t.TempDir(), 10)
	a, err := c.Get(t.Context(), "a", content("aaaaaaaa"))
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "b", content("bbb"))
	require.ErrorIs(t, err, ErrFull)
	require.FileExists(t, a.Path())
	a.Release()
	b, err := c.Get(t.Context(), "b", content("bbb"))
	require.NoError(t, err)
	require.NoFileExists(t, a.Path())
	b.Release()
}

func TestAFileThatFailsLeavesNothing(t *testing.T) {
	c := New(t.TempDir(), 10)
	fault := errors.New("no network")
	for i := range 3 {
		_, err := c.Get(t.Context(), "a", func(_ context.Context, to io.Writer) error {
			_, _ = io.WriteString(to, strings.Repeat("x", 8))
			return fmt.Errorf("attempt %d: %w", i, fault)
		})
		require.ErrorIs(t, err, fault)
	}
	left, err := os.ReadDir(c.dir)
	require.NoError(t, err)
	require.Empty(t, left)
	f, err := c.Get(t.Context(), "b", content("0123456789"))
	require.NoError(t, err)
	f.Release()
}

func TestWhoWaitsTakesOverFromWhoGivesUp(t *testing.T) {
	c := New(t.TempDir(), 10)
	first, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := c.Get(first, "a", func(ctx context.Context, _ io.Writer) error {
			close(started)
			<-ctx.Done()
			return ctx.Err()
		})
		done <- err
	}()
	<-started
	second := make(chan error)
	go func() {
		f, err := c.Get(t.Context(), "a", content("aaa"))
		if err == nil {
			f.Release()
		}
		second <- err
	}()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.NoError(t, <-second)
}

func TestAFileForOnceLeavesWithItsHolder(t *testing.T) {
	c := New(t.TempDir(), 10)
	one, err := c.Once(t.Context(), content("aaaa"))
	require.NoError(t, err)
	two, err := c.Once(t.Context(), content("bbbb"))
	require.NoError(t, err)
	require.NotEqual(t, one.Path(), two.Path())
	_, err = c.Once(t.Context(), content("cccc"))
	require.ErrorIs(t, err, ErrFull)
	text, err := os.ReadFile(one.Path())
	require.NoError(t, err)
	require.Equal(t, "aaaa", string(text))
	one.Release()
	two.Release()
	left, err := os.ReadDir(c.dir)
	require.NoError(t, err)
	require.Empty(t, left)
	f, err := c.Get(t.Context(), "whole", content("0123456789"))
	require.NoError(t, err, "the room is free again")
	f.Release()
}
