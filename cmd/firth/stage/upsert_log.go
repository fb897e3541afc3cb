package stage

import (
	"context"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// The columns of how many versions a row has and of their sum.
const (
	columnCount = "row_count"
	columnSum   = "row_sum"
)

// UpsertKeysMin and UpsertKeysMax bound how many keys there are.
const (
	UpsertKeysMin = upsertPartitions
	UpsertKeysMax = 100_000_000
)

const (
	// upsertPartitions share the keys, so that those of one are in order.
	upsertPartitions = 8
	// tombstoneEvery is one tombstone in so many records.
	tombstoneEvery = 50
	upsertChunk    = rowsReady
)

// keyedLog is a topic of records that are rows of the feed, each with a key and a version. It knows what the
// last record of each key was.
type keyedLog struct {
	opts  UpsertOptions
	rows  *KeyedRows
	draws *KeyDraws
	ids   []commit.TopicPartition
	next  []commit.Offset
	made  int64
	bytes int64
	// last is, by key, what its records come to: zero when the last one was a tombstone or there was none.
	last []keyState
	told bool
	// sought are the topic partitions that reading may begin in.
	sought map[commit.TopicPartition]bool
}

// keyState is the last version of a key, and how many versions there were since a tombstone and their sum.
type keyState struct{ version, count, sum int64 }

// newKeyedLog makes the rows and the keys ready.
func newKeyedLog(o UpsertOptions) (*keyedLog, error) {
	rows, err := NewKeyedRows(o.Feed)
	if err != nil {
		return nil, err
	}
	l := &keyedLog{opts: o, rows: rows, draws: NewKeyDraws(o.Keys, o.Distribution),
		next: make([]commit.Offset, upsertPartitions), last: make([]keyState, o.Keys),
		sought: map[commit.TopicPartition]bool{}}
	for p := range int32(upsertPartitions) {
		l.ids = append(l.ids, commit.TopicPartition{Cluster: "bench", Topic: topic, TopicID: uuid.Max, Partition: p})
	}
	return l, nil
}

// Poll makes the next records of one topic partition after the other.
func (l *keyedLog) Poll(ctx context.Context) (source.Event, error) {
	if !l.told {
		l.told = true
		return source.Event{Assigned: l.ids}, nil
	}
	if l.made == l.opts.Rows || len(l.sought) < upsertPartitions {
		<-ctx.Done()
		return source.Event{}, nil
	}
	p := int(l.made / upsertChunk % upsertPartitions)
	return source.Event{Chunks: []source.Chunk{l.chunk(p, int(min(upsertChunk, l.opts.Rows-l.made)))}}, nil
}

// chunk makes records of one topic partition.
func (l *keyedLog) chunk(p, rows int) source.Chunk {
	chunk := source.Chunk{TopicPartition: l.ids[p], From: l.next[p], Records: make([]source.Record, rows)}
	size := 0
	for i := range rows {
		size += len(l.rows.values[i])
	}
	room := make([]byte, 0, size)
	for i := range chunk.Records {
		key := l.draw(p)
		version := VersionBegin + l.made
		r := &chunk.Records[i]
		r.Offset, r.Timestamp = l.next[p], version/1000
		l.next[p]++
		l.made++
		if l.made%tombstoneEvery == 0 {
			r.Key = AppendKey(nil, key)
			l.last[key] = keyState{}
			continue
		}
		at := len(room)
		room = l.rows.Append(room, int64(i), key, version)
		r.Value = room[at:len(room):len(room)]
		l.last[key] = keyState{version, l.last[key].count + 1, l.last[key].sum + version}
		l.bytes += int64(len(r.Value))
	}
	chunk.Next = l.next[p]
	return chunk
}

// draw returns a key of the topic partition.
func (l *keyedLog) draw(p int) int {
	key := l.draws.Key(l.made)
	if key = key - key%upsertPartitions + p; key >= l.opts.Keys {
		key -= upsertPartitions
	}
	return key
}

// Resolve says that every topic partition begins at 0.
func (l *keyedLog) Resolve(
	_ context.Context, _ source.Start, ids []commit.TopicPartition,
) (commit.Position, error) {
	position := commit.Position{}
	for _, id := range ids {
		position[id] = 0
	}
	return position, nil
}

// Seek lets topic partitions begin; their records are made once and in order.
func (l *keyedLog) Seek(_ context.Context, position commit.Position) error {
	for id := range position {
		l.sought[id] = true
	}
	return nil
}

// Ack does nothing.
func (l *keyedLog) Ack(context.Context, commit.Position) error { return nil }

// Close does nothing.
func (l *keyedLog) Close(context.Context) error { return nil }
