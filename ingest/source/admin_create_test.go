package source

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCreateTopicWaitsUntilBrokersKnowIt(t *testing.T) {
	for _, late := range []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable} {
		broker := startBroker(t, EmbeddedOptions{})
		admin := openAdmin(t, broker)
		unaware := broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "events", Err: late,
			Count: 3})
		require.NoError(t, admin.CreateTopic(t.Context(), "events", 4))
		require.Equal(t, 3, unaware.Hits())
		topics, err := admin.Topics(t.Context(), "events")
		require.NoError(t, err)
		require.Len(t, topics[0].Partitions, 4)
		require.NoError(t, admin.CreateTopic(t.Context(), "events", 4), "it is there")
	}
}

func TestCreateTopicTellsWhatItMayNotSee(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{})
	broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "events",
		Err: kerr.TopicAuthorizationFailed, Count: -1})
	err := openAdmin(t, broker).CreateTopic(t.Context(), "events", 4)
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
}

func TestAwaitTopicIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		leaderless := kmsg.MetadataResponseTopic{Partitions: []kmsg.MetadataResponseTopicPartition{
			{Partition: 0, Leader: 1}, {Partition: 1, Leader: -1}}}
		err := awaitTopic(t.Context(), func(context.Context) error { return spreading(leaderless) })
		require.ErrorIs(t, err, errSpreading)
		require.ErrorContains(t, err, "partition 1 has no leader after 30s")
		require.Equal(t, topicWaitMax, time.Since(begun))

		ctx, cancel := context.WithCancel(t.Context())
		err = awaitTopic(ctx, func(context.Context) error { cancel(); return errSpreading })
		require.ErrorIs(t, err, context.Canceled)
	})
}
