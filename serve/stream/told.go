package stream

import (
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table/images"
	"github.com/firthlake/firth/table/keyindex"
)

// told is changes of a commit in order, left to the garbage collector.
type told struct {
	batch arrow.RecordBatch // nil for none
	bytes int64
	// keys are those of changes that are in the order of keys, next where the row behind each is of others.
	keys []keyindex.Key
	next []images.Place
}

func (t *told) rows() int { return max(len(t.keys), len(t.next)) }

// end is where a batch ends that begins at start: changes of one key stay together.
func (t *told) end(start, rows int) int {
	end := min(start+rows, t.rows())
	for end < len(t.keys) && t.keys[end] == t.keys[end-1] {
		end++
	}
	return end
}

// begin is the first change behind a mark.
func (t *told) begin(m Mark) int {
	if m.stage != stageKeys {
		return 0
	}
	at, _ := slices.BinarySearchFunc(t.keys, m.key, keyindex.Key.Compare)
	for at < len(t.keys) && t.keys[at] == m.key {
		at++
	}
	return at
}

// at is the mark behind the changes before end.
func (t *told) at(m Mark, end int) Mark {
	if t.next != nil {
		m.stage, m.at = stageRows, t.next[end-1]
		return m
	}
	m.stage, m.at, m.key = stageKeys, images.Place{}, t.keys[end-1]
	return m
}

// toldMax is how many commits are kept for others, each of at most a window. Streams that keep up are at the same one,
// with few different columns and filters.
const toldMax = 8

// sharedTold is what a small commit tells, made once for all streams that come to it with the same shape.
type sharedTold struct {
	key  string
	once sync.Once
	told *told // nil when it cannot be had so
}

// telling is the place of what a commit tells among those that are kept.
func (f *followed) telling(key string) *sharedTold {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, held := range f.told {
		if held.key == key {
			return held
		}
	}
	held := &sharedTold{key: key}
	if f.told = append(f.told, held); len(f.told) > toldMax {
		f.told = slices.Delete(f.told, 0, 1)
	}
	return held
}
