package source

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

// The three functions below are called by the client's group goroutine. They hand what the group says
// to Poll and wait for Release when partitions go, while heartbeats go on: so a partition is never given
// up before its flush. Nothing of a new partition is fetched before Seek says from where.

// adjustOffsets is called before the client would consume newly assigned partitions; offsets are those
// of the group, which are not used. The client consumes nothing: its own fetching is paused.
func (k *Kafka) adjustOffsets(
	ctx context.Context, offsets map[string]map[int32]kgo.Offset,
) (map[string]map[int32]kgo.Offset, error) {
	select {
	case <-k.opened:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	pause, unused := map[string][]int32{}, make(map[string]map[int32]kgo.Offset, len(offsets))
	for topic, partitions := range offsets {
		unused[topic] = map[int32]kgo.Offset{}
		for index := range partitions {
			pause[topic] = append(pause[topic], index)
			unused[topic][index] = kgo.NewOffset().At(0)
		}
	}
	k.client.PauseFetchPartitions(pause)
	return unused, k.assign(ctx, offsets)
}

// assign enters the partitions and tells Poll about those that are new. One that was assigned
// already comes again when an earlier round was cut short by another rebalance.
func (k *Kafka) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	var topics []string
	for topic := range offsets {
		topics = append(topics, topic)
	}
	if len(topics) == 0 {
		return nil
	}
	described, err := describeWith(ctx, k.admin, topics)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for topic, partitions := range offsets {
		for index := range partitions {
			name := topicPartition{topic, index}
			if k.partitions[name] != nil {
				continue
			}
			id := commit.TopicPartition{
				Cluster: k.cluster, TopicID: described.ids[topic], Topic: topic, Partition: index,
			}
			k.partitions[name] = newCursor(id)
			k.seen[topic] = id.TopicID
			k.pending.Assigned = append(k.pending.Assigned, id)
		}
	}
	k.wake()
	return nil
}

// onRevoked is called before partitions go to another member, which waits until this returns.
func (k *Kafka) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	released := make(chan struct{})
	k.mu.Lock()
	ids := k.remove(revoked)
	if len(ids) == 0 || k.closed {
		k.mu.Unlock()
		return
	}
	k.pending.Revoked = append(k.pending.Revoked, ids...)
	earlier := k.pending.Release
	k.pending.Release = sync.OnceFunc(func() {
		if earlier != nil {
			earlier()
		}
		close(released)
	})
	k.wake()
	k.mu.Unlock()
	select {
	case <-released:
	case <-k.closing:
	}
}

// onLost is called when the group has given the partitions away already, after a pause longer than
// the session for example.
func (k *Kafka) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending.Lost = append(k.pending.Lost, k.remove(lost)...)
	k.wake()
}

// remove forgets partitions and returns those that the caller of Poll knows. k.mu is held.
func (k *Kafka) remove(names map[string][]int32) []commit.TopicPartition {
	var known []commit.TopicPartition
	for topic, indexes := range names {
		for _, index := range indexes {
			name := topicPartition{topic, index}
			p := k.partitions[name]
			if p == nil {
				continue
			}
			delete(k.partitions, name)
			k.fetcher.drop(p)
			if !k.withdraw(p.id) {
				known = append(known, p.id)
			}
		}
	}
	return known
}

// withdraw takes back an assignment that Poll has not returned yet. k.mu is held.
func (k *Kafka) withdraw(id commit.TopicPartition) bool {
	for i, assigned := range k.pending.Assigned {
		if assigned == id {
			k.pending.Assigned = append(k.pending.Assigned[:i], k.pending.Assigned[i+1:]...)
			return true
		}
	}
	return false
}

// wake makes a Poll under way return. k.mu is held.
func (k *Kafka) wake() {
	if k.cancelPoll != nil {
		k.cancelPoll()
	}
}

// leave gives a static member's partitions to the others at once, for the client leaves the group of
// dynamic members only. What fails is no matter: the session ends by itself.
func (k *Kafka) leave(ctx context.Context) {
	if k.opts.InstanceID == "" || k.taken {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	id, _ := k.client.GroupMetadata()
	if err := k.client.LeaveGroupContext(ctx); err != nil || id == "" {
		return
	}
	if err := k.putOut(ctx, id, &k.opts.InstanceID); err != nil {
		k.opts.Logger.Debug("leave the consumer group", "err", err)
	}
}

// ackOffsets writes offsets to the group and waits for the answer.
func (k *Kafka) ackOffsets(ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset) error {
	var failed error
	k.client.CommitOffsetsSync(ctx, offsets, func(
		_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error,
	) {
		failed = err
		if err != nil || answer == nil {
			return
		}
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				if failed == nil {
					failed = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("write offsets of group %s: %w", k.opts.Group, failed)
	}
	return nil
}
