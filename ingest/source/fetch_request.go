package source

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

// A broker whose records trickle in waits so long for so many bytes. Without it an answer has a few dozen records,
// whose batches cost three times the memory of their values, and five times as many objects for the collector.
const (
	trickleWait  = 25 * time.Millisecond
	trickleBytes = 64 << 10
)

// fetch asks for committed records, without a fetch session (KIP-227). When only some of the topic
// partitions are asked for, the broker does not wait: the others may have records, and it answers in order.
func (r *request) fetch(bytesMax int32) *kmsg.FetchRequest {
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis = int32(fetchWaitMax / time.Millisecond)
	request.MinBytes, request.MaxBytes = 1, bytesMax
	request.IsolationLevel = 1 // read committed
	request.SessionEpoch = -1
	switch {
	case r.partial:
		request.MaxWaitMillis = 0
	case r.trickles:
		request.MaxWaitMillis, request.MinBytes = int32(trickleWait/time.Millisecond), min(trickleBytes, bytesMax)
	}
	var topic *kmsg.FetchRequestTopic
	for _, c := range r.cursors {
		if topic == nil || topic.Topic != c.id.Topic {
			request.Topics = append(request.Topics, kmsg.NewFetchRequestTopic())
			topic = &request.Topics[len(request.Topics)-1]
			topic.Topic, topic.TopicID = c.id.Topic, [16]byte(c.id.TopicID)
		}
		asked := kmsg.NewFetchRequestTopicPartition()
		asked.Partition, asked.FetchOffset = c.id.Partition, int64(c.next)
		asked.CurrentLeaderEpoch = c.leaderEpoch
		asked.PartitionMaxBytes = min(partitionBytesMax, bytesMax)
		topic.Partitions = append(topic.Partitions, asked)
	}
	return request
}

// epochs asks where the epochs end that records were fetched of last (KIP-320): a leader whose log ends
// before the cursor has cut off what was read.
func (r *request) epochs() *kmsg.OffsetForLeaderEpochRequest {
	request := kmsg.NewPtrOffsetForLeaderEpochRequest()
	request.ReplicaID = -1
	var topic *kmsg.OffsetForLeaderEpochRequestTopic
	for _, c := range r.cursors {
		if topic == nil || topic.Topic != c.id.Topic {
			request.Topics = append(request.Topics, kmsg.NewOffsetForLeaderEpochRequestTopic())
			topic = &request.Topics[len(request.Topics)-1]
			topic.Topic = c.id.Topic
		}
		asked := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		asked.Partition, asked.LeaderEpoch = c.id.Partition, c.epoch
		asked.CurrentLeaderEpoch = c.leaderEpoch
		topic.Partitions = append(topic.Partitions, asked)
	}
	return request
}

// settleEpochs enters where the epochs end. A broker that cannot tell proves nothing, and nothing can be
// done about it.
func (f *fetcher) settleEpochs(r *request, response *kmsg.OffsetForLeaderEpochResponse, a *answer) {
	each := newMatcher(r)
	for _, topic := range response.Topics {
		for _, said := range topic.Partitions {
			c, turn := each.match(topic.Topic, [16]byte{}, said.Partition)
			if c == nil || turn != c.turn {
				continue
			}
			if err := kerr.ErrorForCode(said.ErrorCode); err != nil {
				p := part{cursor: c, turn: turn, from: c.next}
				if f.settleError(&p, err); p.err != nil {
					a.parts = append(a.parts, p)
				}
				continue
			}
			c.unproven = false
			if end := commit.Offset(said.EndOffset); end >= 0 && end < c.next {
				c.silent = true
				a.parts = append(a.parts, part{cursor: c, turn: turn, from: c.next, err: &cutOffError{end: end}})
			}
		}
	}
}

// cutOffError says that a new leader's log ended before what was read of the old one's (an unclean
// election): other records may stand there by now.
type cutOffError struct{ end commit.Offset }

func (e *cutOffError) Error() string { return "the new leader cut the log off" }

// matcher finds the cursors of a request again in the answer, which is in the same order, mostly.
type matcher struct {
	r    *request
	done []bool
	at   int
}

func newMatcher(r *request) *matcher { return &matcher{r: r, done: make([]bool, len(r.cursors))} }

// match returns a cursor that was asked for and the turn in which it was, each once.
func (m *matcher) match(topic string, topicID [16]byte, partition int32) (*cursor, int) {
	for range m.r.cursors {
		i := m.at
		if m.at++; m.at == len(m.r.cursors) {
			m.at = 0
		}
		c := m.r.cursors[i]
		sameTopic := c.id.Topic == topic || topic == "" && [16]byte(c.id.TopicID) == topicID
		if !m.done[i] && c.id.Partition == partition && sameTopic {
			m.done[i] = true
			return c, m.r.turns[i]
		}
	}
	return nil, 0
}
