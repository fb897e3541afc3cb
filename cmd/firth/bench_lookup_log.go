package main

import (
	"sort"
	"sync"
	"time"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/gen"
)

// lookupTombstoneEvery is one tombstone in so many records.
const lookupTombstoneEvery = 50

// lookupLog is a topic of versions of keys, and remembers all of them: so an answer can be held against the topic as
// it was at the answer's cut. Record number n of a topic partition has offset n there, which is its version too.
type lookupLog struct {
	rows  *stage.KeyedRows
	draws *stage.KeyDraws
	keys  int
	now   func() time.Time

	mu sync.RWMutex // guards all below
	// versions are, by key, twice the offset of each record, and one more for a tombstone.
	versions [][]int64
	// order are, by topic partition and offset, the keys of the records.
	order [demoPartitions][]uint32
	next  [demoPartitions]int64
	made  [demoPartitions][]lookupMark
}

// lookupMark says when the record of an offset was made.
type lookupMark struct {
	offset int64
	at     time.Time
}

// lookupMarkEvery is how far marks lie apart.
const lookupMarkEvery = 10 * time.Millisecond

func newLookupLog(o lookupOptions, now func() time.Time) (*lookupLog, error) {
	rows, err := stage.NewKeyedRows(stage.Feed{Workload: "events10", Format: "json"})
	if err != nil {
		return nil, err
	}
	return &lookupLog{rows: rows, draws: stage.NewKeyDraws(o.keys, o.distribution), keys: o.keys, now: now,
		versions: make([][]int64, o.keys)}, nil
}

// first makes the first version of each key, one after the other.
func (l *lookupLog) first(number int64) gen.Record { return l.add(number, int(number)) }

// upsert makes a version of a key that is drawn, or a tombstone.
func (l *lookupLog) upsert(number int64) gen.Record {
	key := l.draws.Key(number)
	if number%lookupTombstoneEvery == 0 {
		return l.add(-1, key)
	}
	return l.add(number, key)
}

// add makes the next record of a key with the columns of a row, of none for a tombstone.
func (l *lookupLog) add(row int64, key int) gen.Record {
	partition := key % demoPartitions
	l.mu.Lock()
	offset := l.next[partition]
	l.next[partition]++
	version := 2 * offset
	if row < 0 {
		version++
	}
	l.versions[key] = append(l.versions[key], version)
	l.order[partition] = append(l.order[partition], uint32(key))
	l.mark(partition, offset)
	l.mu.Unlock()
	record := gen.Record{Key: stage.AppendKey(nil, key), Partition: int32(partition)}
	if row >= 0 {
		record.Value = l.rows.Append(nil, row, key, stage.VersionBegin+offset)
	}
	return record
}

// mark remembers when an offset was made.
func (l *lookupLog) mark(partition int, offset int64) {
	now, marks := l.now(), l.made[partition]
	if len(marks) == 0 || now.Sub(marks[len(marks)-1].at) >= lookupMarkEvery {
		l.made[partition] = append(marks, lookupMark{offset, now})
	}
}

// at is the newest version of a key before an offset of its topic partition; false when there is no row.
func (l *lookupLog) at(key int, next int64) (version int64, present bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.before(key, next)
}

// before is at. The caller holds mu.
func (l *lookupLog) before(key int, next int64) (version int64, present bool) {
	versions := l.versions[key]
	i := sort.Search(len(versions), func(i int) bool { return versions[i]/2 >= next })
	if i == 0 || versions[i-1]%2 == 1 {
		return 0, false
	}
	return versions[i-1] / 2, true
}

// age is how long the oldest record of a topic partition that is not before an offset has been there: how old an
// answer is that ends with this offset.
func (l *lookupLog) age(partition int, next int64, now time.Time) time.Duration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if next >= l.next[partition] {
		return 0
	}
	marks := l.made[partition]
	i := sort.Search(len(marks), func(i int) bool { return marks[i].offset > next })
	return max(0, now.Sub(marks[max(0, i-1)].at))
}

// end is how many records a topic partition has.
func (l *lookupLog) end(partition int) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.next[partition]
}
