package source

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// dieInGroup leaves a member in the group that never answers again. Its session is longer than any
// test waits: who waits for its end fails.
func dieInGroup(t *testing.T, broker *Embedded, instance string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Connection().Brokers...), kgo.ConsumerGroup("g"),
		kgo.ConsumeTopics("events"), kgo.InstanceID(instance), kgo.SessionTimeout(2*time.Minute),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	require.NoError(t, client.PollFetches(t.Context()).Err())
	client.Close() // a static member does not leave
}

func TestADeadMemberIsPutOutByItsSuccessor(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	produce(t, broker, "events", 0, numbered(0, 5)...)
	dieInGroup(t, broker, "dead")
	successor := newReader(openKafka(t, broker, nil))
	successor.until(t, func() bool { return successor.count() == 5 })
	require.Len(t, members(t, broker), 1)
}

func TestALivingMemberIsNotPutOut(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	first := newReader(openKafka(t, broker, nil))
	first.until(t, func() bool { return len(first.next) == 2 })
	var skew atomic.Int64
	second := newReader(openKafka(t, broker, func(o *KafkaOptions) { o.Now = skewed(&skew) }))
	require.NotNil(t, second.k.predecessor)
	second.until(t, func() bool { first.poll(t); return len(second.next) == 1 })
	skew.Store(int64(time.Hour))
	second.until(t, func() bool { first.poll(t); return second.k.predecessor == nil })
	require.Len(t, members(t, broker), 2)
	require.Empty(t, first.lost)
}

func TestOfSeveralMembersNoneIsPutOut(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	first := newReader(openKafka(t, broker, nil))
	first.until(t, func() bool { return len(first.next) == 2 })
	second := newReader(openKafka(t, broker, nil))
	second.until(t, func() bool { first.poll(t); return len(second.next) == 1 })
	require.Nil(t, openKafka(t, broker, nil).predecessor)
}

func TestAMemberThatComesBackHasNoPredecessor(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	produce(t, broker, "events", 0, numbered(0, 5)...)
	dieInGroup(t, broker, "one")
	again := newReader(openKafka(t, broker, func(o *KafkaOptions) { o.InstanceID = "one" }))
	require.Nil(t, again.k.predecessor)
	again.until(t, func() bool { return again.count() == 5 })
}
