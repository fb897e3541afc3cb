package stream

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// What a table's streams share is that of the newest rows: so many bytes, of so many piles. Streams that keep up are at
// the same rows, with few different columns and filters; those that are behind come to the same piles later.
const (
	sharedMax      = 256
	sharedBytesMax = 32 << 20
)

// sharedPile is the rows of a chunk or of some pieces, which many streams want at the same time, and what they send of
// them. It is left to the garbage collector.
type sharedPile struct {
	key      string
	followed *followed
	once     sync.Once
	pile     *pile // nil when it cannot be had so
	bytes    int64 // guarded by the followed table's mu

	mu    sync.Mutex
	forms map[formKey]*form
}

// collect has the pile made by the first stream that wants it; nil says that it could not be.
func (h *sharedPile) collect(make func() (*pile, error)) *pile {
	h.once.Do(func() {
		p, err := make()
		if err != nil {
			return // each stream tries by itself, and learns why not
		}
		p.shared, h.pile = h, p
		h.followed.count(h, p.bytes)
	})
	return h.pile
}

// shared is the rows of a chunk in order that are at or behind the cut, read once for all streams with the same columns
// and filter; nil when this one is before it, or the chunk has too many rows.
func (s *Subscription) shared(ctx context.Context, now *state, chunk *tail.Chunk, tasks []table.Task) *pile {
	w, inside := window{}, false
	for _, id := range slices.SortedFunc(maps.Keys(chunk.Spans), table.TopicPartition.Compare) {
		each := chunk.Spans[id]
		at, some := s.cut[id]
		if some && at < each.From || !some && each.From != 0 && !each.First {
			return nil
		}
		inside = inside || at > each.From
		w.ids, w.spans = append(w.ids, id), append(w.spans, span{each.From, each.Next})
	}
	if len(chunk.Files) == 0 || chunk.Rows > int64(s.streams.bounds.windowRows) {
		return nil
	}
	p := s.followed.sharing(s.keyOf(now, chunk.Files[0].FilePath())).collect(func() (*pile, error) {
		return collect(ctx, s.streams.opts.Objects, tasks, w, s.streams.bounds)
	})
	if p != nil && inside {
		return p.behind(s.cut)
	}
	return p
}

// keyOf names the rows that the subscription wants of what has a name.
func (s *Subscription) keyOf(now *state, name string) string {
	key := now.table.MetadataLocation() + "\n" + name + "\n" + strings.Join(s.request.Columns, "\x00") + "\n"
	if s.request.Filter != nil {
		key += s.request.Filter.String()
	}
	return key
}

// sharing is the place of a pile among those that are kept.
func (f *followed) sharing(key string) *sharedPile {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, held := range f.piles {
		if held.key == key {
			return held
		}
	}
	held := &sharedPile{key: key, followed: f, forms: map[formKey]*form{}}
	f.piles = append(f.piles, held)
	f.dropPiles()
	return held
}

// count notes that a shared pile has become larger.
func (f *followed) count(held *sharedPile, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.piles, held) {
		return // those who still have it are the last
	}
	held.bytes += bytes
	f.sharedBytes += bytes
	f.dropPiles()
}

// dropPiles forgets the oldest piles until the others fit. The newest stays. The caller holds mu.
func (f *followed) dropPiles() {
	for len(f.piles) > 1 && (len(f.piles) > sharedMax || f.sharedBytes > sharedBytesMax) {
		f.sharedBytes -= f.piles[0].bytes
		f.piles = slices.Delete(f.piles, 0, 1)
	}
}
