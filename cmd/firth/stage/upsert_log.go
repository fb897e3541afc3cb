package stage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// The columns of the key and of the version of a row, and of how many versions it has and their sum.
const (
	columnKey     = "row_key"
	columnVersion = "row_version"
	columnCount   = "row_count"
	columnSum     = "row_sum"
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
	// drawsReady are keys that are drawn beforehand and taken again and again, each time elsewhere.
	drawsReady = 1 << 20
	// zipfExponent is that of the benchmarks of key-value stores, rounded up to what the generator takes.
	zipfExponent = 1.1
	// versionBegin makes all versions equally long.
	versionBegin = 1_000_000_000
	keyDigits    = 9
	upsertChunk  = 8 << 10
)

// keyedLog is a topic of records that are rows of the feed, each with a key and a version. It knows what the
// last record of each key was.
type keyedLog struct {
	opts   UpsertOptions
	values [][]byte // rows with room for key and version
	draws  []uint32
	ids    []commit.TopicPartition
	next   []commit.Offset
	made   int64
	bytes  int64
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
	g, err := o.Generator()
	if err != nil {
		return nil, err
	}
	l := &keyedLog{opts: o, next: make([]commit.Offset, upsertPartitions), last: make([]keyState, o.Keys),
		draws: make([]uint32, drawsReady), sought: map[commit.TopicPartition]bool{}}
	for p := range int32(upsertPartitions) {
		l.ids = append(l.ids, commit.TopicPartition{Cluster: "bench", Topic: topic, TopicID: uuid.Max, Partition: p})
	}
	random := rand.New(rand.NewPCG(1, uint64(o.Keys)))
	zipf := rand.NewZipf(random, zipfExponent, 1, uint64(o.Keys-1))
	for i := range l.draws {
		if l.draws[i] = uint32(random.IntN(o.Keys)); o.Zipf {
			l.draws[i] = uint32(zipf.Uint64())
		}
	}
	head := fmt.Sprintf(`{"%s":"%s","%s":%d,`, columnKey, keyText(0), columnVersion, versionBegin)
	for i := range int64(upsertChunk) {
		row := g.Append(nil, i)
		if len(row) < 2 || row[0] != '{' {
			return nil, fmt.Errorf("rows of workload %s as %s are no JSON objects", o.Workload, o.Format)
		}
		l.values = append(l.values, append([]byte(head), row[1:]...))
	}
	return l, nil
}

func keyText(key int) string { return fmt.Sprintf("k%0*d", keyDigits, key) }

// keyNumber reads what keyText wrote.
func keyNumber(text string) (int, error) {
	if len(text) != keyDigits+1 || text[0] != 'k' {
		return 0, fmt.Errorf("%q is no key", text)
	}
	return strconv.Atoi(text[1:])
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
		size += len(l.values[i])
	}
	room := make([]byte, 0, size)
	for i := range chunk.Records {
		key := l.draw(p)
		version := versionBegin + l.made
		r := &chunk.Records[i]
		r.Offset, r.Timestamp = l.next[p], version/1000
		l.next[p]++
		l.made++
		if l.made%tombstoneEvery == 0 {
			r.Key = fmt.Appendf(nil, `{"%s":"%s"}`, columnKey, keyText(key))
			l.last[key] = keyState{}
			continue
		}
		at := len(room)
		room = append(room, l.values[i]...)
		r.Value = room[at:len(room):len(room)]
		digits(r.Value[bytes.IndexByte(r.Value, ':')+3:][:keyDigits], int64(key))
		digits(r.Value[len(columnKey)+keyDigits+len(columnVersion)+11:][:10], version)
		l.last[key] = keyState{version, l.last[key].count + 1, l.last[key].sum + version}
		l.bytes += int64(len(r.Value))
	}
	chunk.Next = l.next[p]
	return chunk
}

// draw returns a key of the topic partition. Each round of the draws is shifted, so that more keys are drawn
// than were made ready; few that are drawn often stay so.
func (l *keyedLog) draw(p int) int {
	round := int(l.made / drawsReady)
	key := int(l.draws[l.made%drawsReady])
	if !l.opts.Zipf {
		key = (key + round*7919) % l.opts.Keys
	}
	if key = key - key%upsertPartitions + p; key >= l.opts.Keys {
		key -= upsertPartitions
	}
	return key
}

// digits writes a number into all of dst.
func digits(dst []byte, n int64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
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
