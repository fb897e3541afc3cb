package source

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/commit"
)

func TestSpanReadsItsOffsetsOnce(t *testing.T) {
	broker, err := StartEmbedded(EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	require.NoError(t, err)
	defer broker.Close()
	opts, err := broker.Connection().ClientOptions()
	require.NoError(t, err)
	producer, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("events"))...)
	require.NoError(t, err)
	defer producer.Close()
	for i := range 100 {
		require.NoError(t, producer.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(i))).FirstErr())
	}

	tp := commit.TopicPartition{Cluster: broker.ClusterID(), Topic: "events"}
	span, err := OpenSpan(broker.Connection(), tp, 10, 60)
	require.NoError(t, err)
	defer func() { require.NoError(t, span.Close(t.Context())) }()
	event, err := span.Poll(t.Context())
	require.NoError(t, err)
	require.Equal(t, []commit.TopicPartition{tp}, event.Assigned)
	require.NoError(t, span.Seek(t.Context(), commit.Position{tp: 10}))
	require.Error(t, span.Seek(t.Context(), commit.Position{tp: 11}))
	next := commit.Offset(10)
	for !span.Done() {
		event, err := span.Poll(t.Context())
		require.NoError(t, err)
		for _, chunk := range event.Chunks {
			require.Equal(t, next, chunk.From)
			for i, r := range chunk.Records {
				require.Equal(t, chunk.From+commit.Offset(i), r.Offset)
				require.Equal(t, fmt.Sprint(r.Offset), string(r.Value))
			}
			next = chunk.Next
		}
	}
	require.EqualValues(t, 60, next)
}
