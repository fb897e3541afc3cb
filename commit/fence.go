package commit

import "github.com/google/uuid"

// fence checks that every range begins where the position stands, and that no topic partition the
// table does not know is one it knows by another identity. declared skips the second check: the
// change is a transition.
func fence(position Position, ranges map[TopicPartition]Range, declared bool) error {
	var unknown []TopicPartition
	for _, tp := range sortedTopicPartitions(ranges) {
		_, replays := ReplayedBy(tp)
		switch at, known := position[tp]; {
		case !known && replays: // nothing was resolved yet
			if from := ranges[tp].From; from != 0 {
				return &FencedError{TopicPartition: tp, From: from}
			}
		case !known:
			unknown = append(unknown, tp)
		case at != ranges[tp].From:
			return &FencedError{TopicPartition: tp, From: ranges[tp].From, Position: at}
		}
	}
	if len(unknown) == 0 || declared {
		return nil
	}
	return identify(position, unknown)
}

// pinned refuses a change that is for one snapshot alone when the table has gone on.
func pinned(h *head, change *Change) error {
	var head int64
	if h.snapshot != nil {
		head = h.snapshot.SnapshotID
	}
	if !change.Pinned || change.Base == head {
		return nil
	}
	return &StaleError{Base: change.Base, Head: head, Pinned: true}
}

// identify refuses topic partitions that the table knows under another topic id or cluster.
func identify(position Position, unknown []TopicPartition) error {
	type incarnation struct {
		cluster, topic string
		id             uuid.UUID
	}
	type place struct {
		cluster, topic string
		partition      int32
	}
	incarnations := map[incarnation]bool{}
	places := map[place]TopicPartition{}
	topics := map[string]TopicPartition{}
	for _, tp := range sortedTopicPartitions(position) {
		incarnations[incarnation{tp.Cluster, tp.Topic, tp.TopicID}] = true
		places[place{tp.Cluster, tp.Topic, tp.Partition}] = tp
		if known, ok := topics[tp.Topic]; !ok || known.Cluster != tp.Cluster {
			topics[tp.Topic] = tp
		}
	}
	for _, tp := range unknown {
		if known, ok := places[place{tp.Cluster, tp.Topic, tp.Partition}]; ok {
			return &IdentityError{Known: known, Offered: tp}
		}
		if incarnations[incarnation{tp.Cluster, tp.Topic, tp.TopicID}] {
			continue // a partition that was added to a topic we read
		}
		if known, ok := topics[tp.Topic]; ok {
			return &IdentityError{Known: known, Offered: tp}
		}
	}
	return nil
}
