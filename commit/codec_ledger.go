package commit

import (
	"iter"
	"math"
)

// A coded value over topic partitions is a table of strings (clusters and topics, in order of first
// use), then one group a topic: cluster, topic, topic id, how many partitions, and these in order.

// encodeTopics writes the string table and the groups; each writes one partition's value. fresh says
// that a new topic begins, so that predictions start anew.
func encodeTopics[V any](e *encoder, m map[TopicPartition]V, each func(tp TopicPartition, v V, fresh bool)) {
	keys := sortedTopicPartitions(m)
	index := map[string]uint64{}
	var table []string
	for _, tp := range keys {
		for _, s := range [2]string{tp.Cluster, tp.Topic} {
			if _, ok := index[s]; !ok {
				index[s] = uint64(len(table))
				table = append(table, s)
			}
		}
	}
	e.uvarint(uint64(len(table)))
	for _, s := range table {
		e.string(s)
	}
	groups := topicGroups(keys)
	e.uvarint(uint64(len(groups)))
	for _, group := range groups {
		e.uvarint(index[group[0].Cluster])
		e.uvarint(index[group[0].Topic])
		e.id(group[0].TopicID)
		e.uvarint(uint64(len(group)))
		next := int64(0)
		for i, tp := range group {
			e.uvarint(uint64(int64(tp.Partition) - next))
			next = int64(tp.Partition) + 1
			each(tp, m[tp], i == 0)
		}
	}
}

// topicGroups cuts sorted keys where cluster, topic or topic id changes.
func topicGroups(keys []TopicPartition) [][]TopicPartition {
	var groups [][]TopicPartition
	for i, tp := range keys {
		tp.Partition = 0
		if i > 0 {
			prev := keys[i-1]
			prev.Partition = 0
			if prev == tp {
				last := len(groups) - 1
				groups[last] = append(groups[last], keys[i])
				continue
			}
		}
		groups = append(groups, []TopicPartition{keys[i]})
	}
	return groups
}

// decodeTopics yields the topic partitions in order; the loop body reads each one's value. It stops
// at the first fault, which d keeps.
func decodeTopics(d *decoder) iter.Seq2[TopicPartition, bool] {
	return func(yield func(TopicPartition, bool) bool) {
		strings := make([]string, d.count())
		for i := range strings {
			strings[i] = d.string()
		}
		pick := func() string {
			i := d.uvarint()
			if i >= uint64(len(strings)) {
				d.fail("string %d of %d", i, len(strings))
				return ""
			}
			return strings[i]
		}
		prev := TopicPartition{Partition: -1}
		first := true
		for range d.count() {
			tp := TopicPartition{Cluster: pick(), Topic: pick(), TopicID: d.id()}
			next := int64(0)
			for i := range d.count() {
				partition := d.plus(next, d.natural())
				if partition > math.MaxInt32 {
					d.fail("partition %d is out of range", partition)
				}
				tp.Partition = int32(partition)
				if d.err == nil && !first && prev.Compare(tp) >= 0 {
					d.fail("topic partitions are not in order")
				}
				if d.err != nil || !yield(tp, i == 0) || d.err != nil {
					return
				}
				next, prev, first = partition+1, tp, false
			}
		}
	}
}

// encodePosition codes a position; equal positions give equal bytes.
func encodePosition(p Position) []byte {
	e := newEncoder(kindPosition)
	var predicted Offset
	encodeTopics(e, p, func(_ TopicPartition, next Offset, fresh bool) {
		if fresh {
			predicted = 0
		}
		e.varint(int64(next - predicted))
		predicted = next
	})
	return e.finish()
}

// decodePosition is the inverse of encodePosition; its error is ErrDamaged.
func decodePosition(coded []byte) (Position, error) {
	d := newDecoder(kindPosition, coded)
	p := Position{}
	var predicted int64
	for tp, fresh := range decodeTopics(d) {
		if fresh {
			predicted = 0
		}
		predicted = d.plus(predicted, d.varint())
		p[tp] = Offset(predicted)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// encodeRanges codes the ranges of one commit or, of another kind, folded totals. It panics on a range
// that Validate refuses.
func encodeRanges(kind byte, ranges map[TopicPartition]Range) []byte {
	e := newEncoder(kind)
	var prev Range
	encodeTopics(e, ranges, func(_ TopicPartition, r Range, fresh bool) {
		if fresh {
			prev = Range{}
		}
		encodeRange(e, prev, r)
		prev = r
	})
	return e.finish()
}

// decodeRanges is the inverse of encodeRanges; its error is ErrDamaged.
func decodeRanges(kind byte, coded []byte) (map[TopicPartition]Range, error) {
	d := newDecoder(kind, coded)
	ranges := map[TopicPartition]Range{}
	var prev Range
	for tp, fresh := range decodeTopics(d) {
		if fresh {
			prev = Range{}
		}
		prev = decodeRange(d, prev)
		ranges[tp] = prev
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return ranges, nil
}

// checksumBit stands above the bits of the counts in a range's mask.
const (
	checksumBit = 10
	maskBits    = 11
)

// others are the counts in the order of their bits, all but Inserted, which is what remains.
func (c *Counts) others() [10]*int64 {
	return [10]*int64{&c.Updated, &c.Deleted, &c.Superseded, &c.Filtered, &c.Tombstones,
		&c.SampledOut, &c.DeadLetters, &c.Skipped, &c.Lost, &c.Absent}
}

// encodeRange writes From and length as differences to the partition before, a mask of what is not
// zero, and that. Inserted is not written: the counts add up to the length.
func encodeRange(e *encoder, prev, r Range) {
	if r.Counts.Sum() != int64(r.Next-r.From) {
		panic("BUG: coding a range whose counts do not add up")
	}
	e.varint(int64(r.From - prev.From))
	e.varint(int64((r.Next - r.From) - (prev.Next - prev.From)))
	counts := r.Counts.others()
	mask := uint64(0)
	for bit, count := range counts {
		if *count != 0 {
			mask |= 1 << bit
		}
	}
	if r.Checksum != 0 {
		mask |= 1 << checksumBit
	}
	e.uvarint(mask)
	for _, count := range counts {
		if *count != 0 {
			e.uvarint(uint64(*count))
		}
	}
	if r.Checksum != 0 {
		e.fixed64(r.Checksum)
	}
}

func decodeRange(d *decoder, prev Range) (r Range) {
	r.From = Offset(d.plus(int64(prev.From), d.varint()))
	length := d.plus(int64(prev.Next-prev.From), d.varint())
	r.Next = Offset(d.plus(int64(r.From), length))
	mask := d.uvarint()
	if mask >= 1<<maskBits {
		d.fail("mask %x", mask)
	}
	left := length
	for bit, count := range r.Counts.others() {
		if mask&(1<<bit) != 0 {
			*count = d.natural()
			left = d.plus(left, -*count)
		}
	}
	r.Counts.Inserted = left
	if mask&(1<<checksumBit) != 0 {
		r.Checksum = d.fixed64()
	}
	return r
}
