package sourcetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// Log is a cluster in memory. It belongs to one goroutine, and so do its readers; only Ack may come
// from others.
type Log struct {
	cluster string
	topics  map[string]*topic
	groups  map[string]*group
	made    int
}

type topic struct {
	id         uuid.UUID
	partitions []*partition
}

type partition struct {
	id          commit.TopicPartition
	first, next commit.Offset
	records     []source.Record // in offset order
}

// group shares partitions among readers.
type group struct {
	readers []*Reader
	// owners are who has or is giving up a partition.
	owners map[commit.TopicPartition]*Reader
}

// NewLog returns an empty cluster.
func NewLog(cluster string) *Log {
	return &Log{cluster: cluster, topics: map[string]*topic{}, groups: map[string]*group{}}
}

// Create makes a topic, or makes it anew when it exists, with another topic id and no records.
func (l *Log) Create(name string, partitions int32) {
	l.made++
	t := &topic{id: uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s/%s/%d", l.cluster, name, l.made))}
	for i := range partitions {
		t.partitions = append(t.partitions, &partition{id: commit.TopicPartition{
			Cluster: l.cluster, TopicID: t.id, Topic: name, Partition: i,
		}})
	}
	if was := l.topics[name]; was != nil {
		for _, p := range was.partitions {
			for _, g := range l.groups {
				if owner := g.owners[p.id]; owner != nil {
					owner.lose(p.id)
				}
			}
		}
	}
	l.topics[name] = t
	l.balance()
}

// Grow adds partitions to a topic.
func (l *Log) Grow(name string, partitions int32) {
	t := l.topics[name]
	for range partitions {
		id := commit.TopicPartition{
			Cluster: l.cluster, TopicID: t.id, Topic: name, Partition: int32(len(t.partitions)),
		}
		t.partitions = append(t.partitions, &partition{id: id})
	}
	l.balance()
}

// TopicPartition is the identity of a partition as it stands.
func (l *Log) TopicPartition(topic string, index int32) commit.TopicPartition {
	return l.topics[topic].partitions[index].id
}

// Append adds a record and returns its offset; the record's own offset is ignored.
func (l *Log) Append(topic string, index int32, record source.Record) commit.Offset {
	p := l.topics[topic].partitions[index]
	record.Offset = p.next
	p.next++
	p.records = append(p.records, record)
	return record.Offset
}

// Skip makes the next n offsets of a partition hold no record, as compaction and transactions do.
func (l *Log) Skip(topic string, index int32, n int64) {
	l.topics[topic].partitions[index].next += commit.Offset(n)
}

// Truncate removes the records before first, as retention does.
func (l *Log) Truncate(topic string, index int32, first commit.Offset) {
	p := l.topics[topic].partitions[index]
	p.first = min(max(p.first, first), p.next)
	at, _ := slices.BinarySearchFunc(p.records, p.first, func(r source.Record, o commit.Offset) int {
		return cmp.Compare(r.Offset, o)
	})
	p.records = p.records[at:]
}

// End is the end of a partition's log.
func (l *Log) End(topic string, index int32) commit.Offset {
	return l.topics[topic].partitions[index].next
}

// Records are a partition's records, for a test to compare with.
func (l *Log) Records(topic string, index int32) []source.Record {
	return l.topics[topic].partitions[index].records
}

// Join makes a reader of topics in a group. recordsMax bounds the chunks it gets.
func (l *Log) Join(groupName string, recordsMax int, topics ...string) *Reader {
	g := l.groups[groupName]
	if g == nil {
		g = &group{owners: map[commit.TopicPartition]*Reader{}}
		l.groups[groupName] = g
	}
	r := &Reader{
		log: l, group: g, topics: topics, recordsMax: recordsMax,
		next: map[commit.TopicPartition]commit.Offset{},
	}
	g.readers = append(g.readers, r)
	l.balance()
	return r
}

// Expire does what the group does to a reader that was silent for too long: its partitions go to
// others at once, and it learns of that with its next Poll, joining anew.
func (l *Log) Expire(r *Reader) {
	for _, id := range r.owned() {
		r.lose(id)
	}
	l.balance()
}

// Crash removes a reader without a word; its session ends at once.
func (l *Log) Crash(r *Reader) {
	r.closed = true
	r.group.readers = slices.DeleteFunc(r.group.readers, func(o *Reader) bool { return o == r })
	for _, id := range r.owned() {
		delete(r.group.owners, id)
	}
	l.balance()
}

// balance gives partitions to the readers of each group: sorted, in turn. What is to move is revoked
// first, and given away when it is released.
func (l *Log) balance() {
	for _, g := range l.groups {
		if len(g.readers) == 0 {
			continue
		}
		turn := 0
		for _, id := range l.all() {
			var takers []*Reader
			for _, r := range g.readers {
				if slices.Contains(r.topics, id.Topic) {
					takers = append(takers, r)
				}
			}
			if len(takers) == 0 {
				continue
			}
			wanted := takers[turn%len(takers)]
			turn++
			switch owner := g.owners[id]; {
			case owner == nil:
				g.owners[id] = wanted
				wanted.pending.Assigned = append(wanted.pending.Assigned, id)
			case owner != wanted:
				owner.revoke(id)
			}
		}
	}
}

func (l *Log) all() []commit.TopicPartition {
	var ids []commit.TopicPartition
	for _, t := range l.topics {
		for _, p := range t.partitions {
			ids = append(ids, p.id)
		}
	}
	slices.SortFunc(ids, commit.TopicPartition.Compare)
	return ids
}

// find returns the partition if it still exists under the same topic id.
func (l *Log) find(id commit.TopicPartition) *partition {
	t := l.topics[id.Topic]
	if t == nil || t.id != id.TopicID || int(id.Partition) >= len(t.partitions) {
		return nil
	}
	return t.partitions[id.Partition]
}

// Reader is a member of a group. It is a source.Source.
type Reader struct {
	log        *Log
	group      *group
	topics     []string
	recordsMax int
	closed     bool

	next    map[commit.TopicPartition]commit.Offset // of partitions that were sought
	pending source.Event
	leaving []commit.TopicPartition // revoked and not released
	failed  map[commit.TopicPartition]bool
}

var _ source.Source = (*Reader)(nil)

func (r *Reader) owned() []commit.TopicPartition {
	var ids []commit.TopicPartition
	for id, owner := range r.group.owners {
		if owner == r {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, commit.TopicPartition.Compare)
	return ids
}

// withdraw takes back an assignment that Poll has not told.
func (r *Reader) withdraw(id commit.TopicPartition) bool {
	before := len(r.pending.Assigned)
	r.pending.Assigned = slices.DeleteFunc(r.pending.Assigned, func(o commit.TopicPartition) bool { return o == id })
	return len(r.pending.Assigned) < before
}

func (r *Reader) lose(id commit.TopicPartition) {
	delete(r.group.owners, id)
	delete(r.next, id)
	if !r.withdraw(id) {
		r.pending.Lost = append(r.pending.Lost, id)
	}
}

func (r *Reader) revoke(id commit.TopicPartition) {
	if slices.Contains(r.leaving, id) {
		return
	}
	delete(r.next, id)
	if r.withdraw(id) {
		delete(r.group.owners, id)
		return
	}
	r.leaving = append(r.leaving, id)
	r.pending.Revoked = append(r.pending.Revoked, id)
}

// Poll implements source.Source. It never waits: when there is nothing, the event is empty.
func (r *Reader) Poll(context.Context) (source.Event, error) {
	if r.closed {
		return source.Event{}, source.ErrClosed
	}
	event := r.pending
	r.pending = source.Event{}
	if len(event.Revoked) > 0 {
		given := slices.Clone(event.Revoked)
		event.Release = func() { r.release(given) }
	}
	for _, id := range r.owned() {
		next, sought := r.next[id]
		p := r.log.find(id)
		if !sought || p == nil || r.failed[id] {
			continue
		}
		if next < p.first || next > p.next {
			r.fail(id)
			event.OutOfRange = append(event.OutOfRange, &source.OutOfRangeError{
				TopicPartition: id, Wanted: next, First: p.first, End: p.next,
			})
			continue
		}
		if chunk := p.read(next, r.recordsMax); len(chunk.Records) > 0 {
			lend(&chunk)
			r.next[id] = chunk.Next
			event.Chunks = append(event.Chunks, chunk)
		}
	}
	return event, nil
}

func (r *Reader) fail(id commit.TopicPartition) {
	if r.failed == nil {
		r.failed = map[commit.TopicPartition]bool{}
	}
	r.failed[id] = true
}

func (r *Reader) release(ids []commit.TopicPartition) {
	for _, id := range ids {
		if r.group.owners[id] == r {
			delete(r.group.owners, id)
		}
		r.leaving = slices.DeleteFunc(r.leaving, func(o commit.TopicPartition) bool { return o == id })
	}
	r.log.balance()
}

func (p *partition) read(from commit.Offset, recordsMax int) source.Chunk {
	at, _ := slices.BinarySearchFunc(p.records, from, func(r source.Record, o commit.Offset) int {
		return cmp.Compare(r.Offset, o)
	})
	records := slices.Clone(p.records[at:min(len(p.records), at+recordsMax)])
	chunk := source.Chunk{TopicPartition: p.id, From: from, Next: from, Records: records, End: p.next}
	if len(records) > 0 {
		chunk.Next = records[len(records)-1].Offset + 1
	}
	return chunk
}

// Resolve implements source.Source.
func (r *Reader) Resolve(
	_ context.Context, start source.Start, ids []commit.TopicPartition,
) (commit.Position, error) {
	position := commit.Position{}
	for _, id := range ids {
		p := r.log.find(id)
		if p == nil {
			return nil, fmt.Errorf("list offsets of %s: the topic is gone", id)
		}
		switch start.Kind {
		case source.StartEarliest:
			position[id] = p.first
		case source.StartLatest:
			position[id] = p.next
		case source.StartAtTime:
			position[id] = p.next
			for _, record := range p.records {
				if record.Timestamp >= start.Time.UnixMilli() {
					position[id] = record.Offset
					break
				}
			}
		}
	}
	return position, nil
}

// Seek implements source.Source.
func (r *Reader) Seek(_ context.Context, position commit.Position) error {
	for id, next := range position {
		if r.group.owners[id] == r && !slices.Contains(r.leaving, id) {
			r.next[id] = next
			delete(r.failed, id)
		}
	}
	return nil
}

// Ack implements source.Source. Nobody looks at it.
func (r *Reader) Ack(context.Context, commit.Position) error { return nil }

// Close implements source.Source: the reader leaves its group.
func (r *Reader) Close(context.Context) error {
	if !r.closed {
		r.log.Crash(r)
	}
	return nil
}
