package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table/objstore"
)

// doorLookup are look-ups by key, which have a cut of their own.
const doorLookup = "lookup"

// keyedTable is a table that has one row a key. Its log knows what each key has at each offset, so that a read can be
// held against the topic as it was at the cut of the read.
type keyedTable struct {
	opts seamOptions
	log  *lookupLog
}

func (k *keyedTable) topic() string { return lookupTopic }

func (k *keyedTable) spec() (string, error) {
	return lookupSpec(lookupOptions{interval: k.opts.checkpoint})
}

func (k *keyedTable) produce(ctx context.Context, connection source.Connection) (int64, error) {
	err := gen.ProduceRecords(ctx, connection, lookupTopic, gen.Run{Rate: k.opts.rate}, k.log.upsert)
	var records int64
	for partition := range demoPartitions {
		records += k.log.end(partition)
	}
	return records, err
}

func (k *keyedTable) ways(s *benchService, objects objstore.Store) map[string]func(int32) seamWay {
	ways := map[string]func(int32) seamWay{
		doorLive: func(partition int32) seamWay {
			return &liveKeys{liveDoor{url: s.url, store: objects}, k.log, int(partition)}
		},
		doorStream: func(partition int32) seamWay {
			return &streamKeys{log: k.log, rows: map[int]int64{}, streamDoor: streamDoor{url: s.url, table: lookupTable,
				partition: partition, columns: keyedColumns}}
		},
		doorLookup: func(partition int32) seamWay { return newLookupKeys(s.url, k.log, int(partition)) },
	}
	if s.flight != "" {
		ways[doorFlight] = func(partition int32) seamWay {
			return &flightKeys{flightDoor: s.sql(), log: k.log, partition: int(partition)}
		}
	}
	return ways
}

// keyedColumns are what readers ask for.
const keyedColumns = stage.ColumnKey + "," + stage.ColumnVersion + "," + decode.ColumnTimestamp

// keyedRows are the rows of a topic partition as a read finds them: by key the version, which is the offset.
type keyedRows struct {
	seamRead
	log       *lookupLog
	partition int
	rows      map[int]int64
	last      int64 // the greatest version
}

func (l *lookupLog) found(partition int) *keyedRows {
	return &keyedRows{log: l, partition: partition, rows: map[int]int64{}, last: -1}
}

// take takes in a row.
func (k *keyedRows) take(key string, version, micros int64) {
	k.seamRead.rows++
	k.newest = max(k.newest, micros)
	number, err := stage.KeyNumber(key)
	switch version -= stage.VersionBegin; {
	case err != nil || number >= k.log.keys || number%demoPartitions != k.partition:
		k.gap(fmt.Sprintf("key %q is none of its topic partition", key))
		return
	case k.has(number):
		k.duplicates++
		k.say(fmt.Sprintf("key %d is there as version %d and as %d", number, k.rows[number], version))
	}
	k.rows[number], k.last = version, max(k.last, version)
}

func (k *keyedRows) has(key int) bool {
	_, has := k.rows[key]
	return has
}

func (k *keyedRows) gap(text string) {
	k.gaps++
	k.say(text)
}

// say keeps the first that is wrong.
func (s *seamRead) say(text string) {
	if s.wrong == "" {
		s.wrong = ": " + text
	}
}

// holdAt holds the rows of keys against the topic at a cut that is known.
func (k *keyedRows) holdAt(cut int64, keys iter.Seq[int]) {
	k.cut = cut
	for key := range keys {
		version, present := k.log.at(key, cut)
		if is, has := k.rows[key]; has != present || has && is != version {
			k.gap(fmt.Sprintf("key %d is version %d, %t, and should be %d, %t", key, is, has, version, present))
		}
	}
}

// keysOf are all keys of a topic partition.
func (l *lookupLog) keysOf(partition int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for key := partition; key < l.keys; key += demoPartitions {
			if !yield(key) {
				return
			}
		}
	}
}

// hold holds the rows against the topic at the cut that they are of, which a reader does not know: not before the
// newest row, and at no offset that some key would tell. Where several will do it is the first that is not before
// the cut that was seen last.
func (k *keyedRows) hold(seen int64) {
	cut, wrong := k.log.cutOf(k.partition, k.rows, k.last+1, seen)
	if k.cut = cut; wrong > 0 {
		k.holdAt(cut, k.log.keysOf(k.partition))
	}
}

// cutOf is the cut that rows are of, not before from. Where there is none, it is that at which the fewest keys are
// wrong.
func (l *lookupLog) cutOf(partition int, rows map[int]int64, from, seen int64) (cut int64, wrong int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	differ := map[int]bool{}
	compare := func(key int, at int64) {
		version, present := l.before(key, at)
		if is, has := rows[key]; has != present || has && is != version {
			differ[key] = true
			return
		}
		delete(differ, key)
	}
	for key := range l.keysOf(partition) {
		compare(key, from)
	}
	cut, wrong = from, len(differ)
	for at := from; at < l.next[partition] && (wrong > 0 || cut < seen); {
		key := l.order[partition][at]
		at++
		compare(int(key), at)
		if n := len(differ); n == 0 || n < wrong {
			cut, wrong = at, n
		}
	}
	return cut, wrong
}
