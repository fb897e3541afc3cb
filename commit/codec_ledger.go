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

// EncodePosition codes a position; equal positions give equal bytes.
func EncodePosition(p Position) []byte {
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

// DecodePosition is the inverse of EncodePosition; its error is ErrDamaged.
func DecodePosition(coded []byte) (Position, error) {
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

// EncodeRanges codes the ranges of one commit. It panics on a range that Validate refuses.
func EncodeRanges(ranges map[TopicPartition]Range) []byte {
	e := newEncoder(kindRanges)
	var prev Range
	encodeTopics(e, ranges, func(_ TopicPartition, r Range, fresh bool) {
		if fresh {
			prev = Range{}
		}
		encodeRange(e, prev, r, 0)
		prev = r
	})
	return e.finish()
}

// DecodeRanges is the inverse of EncodeRanges; its error is ErrDamaged.
func DecodeRanges(coded []byte) (map[TopicPartition]Range, error) {
	d := newDecoder(kindRanges, coded)
	ranges := map[TopicPartition]Range{}
	var prev Range
	for tp, fresh := range decodeTopics(d) {
		if fresh {
			prev = Range{}
		}
		var missing int64
		prev, missing = decodeRange(d, prev)
		if missing != 0 {
			d.fail("range of a commit with missing offsets")
		}
		ranges[tp] = prev
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return ranges, nil
}

// EncodeFolded codes the totals of expired snapshots.
func EncodeFolded(folded map[TopicPartition]Folded) []byte {
	e := newEncoder(kindFolded)
	var prev Range
	encodeTopics(e, folded, func(_ TopicPartition, f Folded, fresh bool) {
		if fresh {
			prev = Range{}
		}
		encodeRange(e, prev, f.Range, f.Missing)
		prev = f.Range
	})
	return e.finish()
}

// DecodeFolded is the inverse of EncodeFolded; its error is ErrDamaged.
func DecodeFolded(coded []byte) (map[TopicPartition]Folded, error) {
	d := newDecoder(kindFolded, coded)
	folded := map[TopicPartition]Folded{}
	var prev Range
	for tp, fresh := range decodeTopics(d) {
		if fresh {
			prev = Range{}
		}
		var f Folded
		f.Range, f.Missing = decodeRange(d, prev)
		prev = f.Range
		folded[tp] = f
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return folded, nil
}

// checksumBit and missingBit stand above the bits of the counts in a range's mask.
const (
	checksumBit = 10
	missingBit  = 11
	maskBits    = 12
)

// others are the counts in the order of their bits, all but Inserted, which is what remains.
func (c *Counts) others() [10]*int64 {
	return [10]*int64{&c.Updated, &c.Deleted, &c.Superseded, &c.Filtered, &c.Tombstones,
		&c.SampledOut, &c.DeadLetters, &c.Skipped, &c.Lost, &c.Absent}
}

// encodeRange writes From and length as differences to the partition before, a mask of what is not
// zero, and that. Inserted is not written: the counts add up to the length.
func encodeRange(e *encoder, prev, r Range, missing int64) {
	if r.Counts.Sum()+missing != int64(r.Next-r.From) {
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
	if missing != 0 {
		mask |= 1 << missingBit
	}
	e.uvarint(mask)
	for _, count := range counts {
		if *count != 0 {
			e.uvarint(uint64(*count))
		}
	}
	if missing != 0 {
		e.uvarint(uint64(missing))
	}
	if r.Checksum != 0 {
		e.fixed64(r.Checksum)
	}
}

func decodeRange(d *decoder, prev Range) (r Range, missing int64) {
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
	if mask&(1<<missingBit) != 0 {
		missing = d.natural()
		left = d.plus(left, -missing)
	}
	r.Counts.Inserted = left
	if mask&(1<<checksumBit) != 0 {
		r.Checksum = d.fixed64()
	}
	return r, missing
}
