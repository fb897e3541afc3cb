package table

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// Offset is a position in the log of one topic partition.
type Offset int64

// TopicPartition names one partition of one incarnation of a topic on one cluster. The cluster's own
// id and the topic's id (KIP-516) are its identity, so a re-created topic or another cluster behind
// the same address is another TopicPartition; Topic is for people.
type TopicPartition struct {
	Cluster   string
	TopicID   uuid.UUID
	Topic     string
	Partition int32
}

// String is "topic-partition" as Kafka's tools print it.
func (tp TopicPartition) String() string { return fmt.Sprintf("%s-%d", tp.Topic, tp.Partition) }

// Compare orders topic partitions by cluster, topic, topic id and number, as they are coded.
func (tp TopicPartition) Compare(o TopicPartition) int {
	return cmp.Or(
		cmp.Compare(tp.Cluster, o.Cluster),
		cmp.Compare(tp.Topic, o.Topic),
		slices.Compare(tp.TopicID[:], o.TopicID[:]),
		cmp.Compare(tp.Partition, o.Partition),
	)
}

// Position is a cut: the next offset of each topic partition that a table has taken in.
type Position map[TopicPartition]Offset
