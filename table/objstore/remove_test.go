package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// paged fails the removal of pages that hold a location, and notes how large pages are.
type paged struct {
	Store
	bad string

	mu    sync.Mutex
	sizes []int
}

func (p *paged) Remove(ctx context.Context, locations ...string) error {
	p.mu.Lock()
	p.sizes = append(p.sizes, len(locations))
	p.mu.Unlock()
	if slices.Contains(locations, p.bad) {
		return errors.New("no")
	}
	return p.Store.Remove(ctx, locations...)
}

func TestRemoveAllGoesOnBehindAPageThatFails(t *testing.T) {
	memory := NewMemory(time.Now)
	store := &paged{Store: memory}
	var locations []string
	for i := range 3500 {
		locations = append(locations, fmt.Sprintf("mem://m/%04d", i))
		_, err := memory.Put(t.Context(), locations[i], bytes.NewReader(nil), 0, PutOptions{})
		require.NoError(t, err)
	}
	store.bad = locations[1500]
	require.ErrorContains(t, RemoveAll(t.Context(), store, 3, locations), "no")
	require.ElementsMatch(t, []int{1000, 1000, 1000, 500}, store.sizes)
	left := 0
	for _, err := range memory.List(t.Context(), "mem://m/") {
		require.NoError(t, err)
		left++
	}
	require.Equal(t, 1000, left)
	store.bad = ""
	require.NoError(t, RemoveAll(t.Context(), store, 1, locations))
	require.Empty(t, memory.collect("mem://m/"))
}
