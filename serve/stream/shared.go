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

// sharedMax is how many piles of a table are kept for others. Streams that keep up are at the same rows, with few
// different columns and filters.
const sharedMax = 8

// sharedPile is the rows of a chunk or of some pieces, which many streams want at the same time. It is left to the
// garbage collector.
type sharedPile struct {
	key  string
	once sync.Once
	pile *pile // nil when it cannot be had so
}

// shared is all rows of a chunk in order, read once for all streams that come to its beginning with the same columns
// and filter; nil when this one is elsewhere, or the chunk has too many rows.
func (s *Subscription) shared(ctx context.Context, now *state, chunk *tail.Chunk, tasks []table.Task) *pile {
	w := window{}
	for _, id := range slices.SortedFunc(maps.Keys(chunk.Spans), table.TopicPartition.Compare) {
		each := chunk.Spans[id]
		if at, some := s.cut[id]; some && at != each.From || !some && each.From != 0 && !each.First {
			return nil
		}
		w.ids, w.spans = append(w.ids, id), append(w.spans, span{each.From, each.Next})
	}
	if len(chunk.Files) == 0 || chunk.Rows > int64(s.streams.bounds.windowRows) {
		return nil
	}
	held := s.followed.sharing(s.keyOf(now, chunk.Files[0].FilePath()))
	held.once.Do(func() {
		p, err := collect(ctx, s.streams.opts.Objects, tasks, w, s.streams.bounds)
		if err == nil { // else each reads by itself, and learns why not
			held.pile = p
		}
	})
	return held.pile
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
	held := &sharedPile{key: key}
	if f.piles = append(f.piles, held); len(f.piles) > sharedMax {
		f.piles = slices.Delete(f.piles, 0, 1)
	}
	return held
}
