package tail

import (
	"slices"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// topic is the name of one on a cluster.
type topic struct{ cluster, name string }

// readers are who reads a table at a moment. What they read does not change.
type readers struct {
	reads []map[table.TopicPartition]bool
	takes []func(table.TopicPartition) bool // of the feeds here
	feeds int
}

// readers returns those of this moment.
func (x *Index) readers() readers {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := readers{feeds: len(x.feeds)}
	for f := range x.feeds {
		if r.reads = append(r.reads, f.reads); f.takes != nil {
			r.takes = append(r.takes, f.takes)
		}
	}
	for m := range x.mirrors {
		r.reads = append(r.reads, m.reads)
	}
	return r
}

// Elsewhere are the topic partitions of a position that the table has from here and that are read neither here nor at
// a process that tells of them, in order. Those of a topic that was made again do not count.
func (x *Index) Elsewhere(position table.Position) []table.TopicPartition {
	r := x.readers()
	topics := map[topic]uuid.UUID{}
	for _, reads := range r.reads {
		for id := range reads {
			topics[topic{id.Cluster, id.Topic}] = id.TopicID
		}
	}
	var out []table.TopicPartition
	for id := range position {
		now, known := topics[topic{id.Cluster, id.Topic}]
		if known && now != id.TopicID || r.read(id) {
			continue
		}
		// A process that reads nothing itself knows the topics of those that tell it.
		if r.take(id) || r.feeds == 0 && known {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, table.TopicPartition.Compare)
	return out
}

// read says that somebody reads a topic partition.
func (r *readers) read(id table.TopicPartition) bool {
	return slices.ContainsFunc(r.reads, func(reads map[table.TopicPartition]bool) bool { return reads[id] })
}

// take says that the table has a topic partition from here.
func (r *readers) take(id table.TopicPartition) bool {
	return slices.ContainsFunc(r.takes, func(takes func(table.TopicPartition) bool) bool { return takes(id) })
}
