package source

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

// noise is n bytes that no codec makes shorter.
func noise(n int) string {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return string(b)
}

func TestReadingGoesOnAtTheNewLeader(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	other, _, err := broker.cluster.AddNode(-1, 0)
	require.NoError(t, err)
	first := broker.cluster.LeaderFor("events", 0)
	r := newReader(openKafka(t, broker, nil))
	for i := range 6 {
		to := []int32{first, other}[i%2]
		require.NoError(t, broker.cluster.MoveTopicPartition("events", 0, to))
		produce(t, broker, "events", 0, fmt.Sprint(i))
		produce(t, broker, "events", 1, fmt.Sprint(i))
		r.until(t, func() bool { return r.count() == 2*(i+1) })
	}
	for _, values := range r.values {
		require.Equal(t, numbered(0, 6), values)
	}
	require.Empty(t, r.warnings)
}

func TestALogThatItsNewLeaderCutOffIsTold(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	other, _, err := broker.cluster.AddNode(-1, 0)
	require.NoError(t, err)
	require.NoError(t, broker.cluster.MoveTopicPartition("events", 0, 0))
	produce(t, broker, "events", 0, numbered(0, 10)...)
	r := newReader(openKafka(t, broker, nil))
	r.until(t, func() bool { return r.count() == 10 })
	broker.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(asked kmsg.Request) (kmsg.Response, error, bool) {
		broker.cluster.KeepControl()
		answer := asked.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = "events"
		p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		p.EndOffset = 6
		topic.Partitions = append(topic.Partitions, p)
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	require.NoError(t, broker.cluster.MoveTopicPartition("events", 0, other))
	produce(t, broker, "events", 0, "what stands there now")
	r.until(t, func() bool { return len(r.outOfRange) > 0 })
	require.Equal(t, commit.Offset(10), r.outOfRange[0].Wanted)
	require.ErrorContains(t, r.outOfRange[0], "offset 10 is behind the end of the log (6): the log was cut off")
	require.Equal(t, 10, r.count(), "nothing is read that follows the cut")
}

func TestFetchingIsAheadOfPollButNotFar(t *testing.T) {
	const bytesMax = 64 << 10
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 4}})
	value := noise(20 << 10)
	for p := range int32(4) {
		produce(t, broker, "events", p, value, value, value, value, value, value, value, value)
	}
	r := newReader(openKafka(t, broker, func(o *KafkaOptions) { o.FetchBytesMax = bytesMax }))
	r.until(t, func() bool { return len(r.next) == 4 })
	f := r.k.fetcher
	state := func() (ahead, answers, busy int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.ahead, len(f.answers), len(f.asked)
	}
	require.Eventually(t, func() bool {
		ahead, answers, busy := state()
		return ahead >= bytesMax && answers > 1 && busy == 0
	}, 20*time.Second, time.Millisecond, "it asks before anybody takes")
	ahead, _, _ := state()
	require.Less(t, ahead, 3*bytesMax)
	r.until(t, func() bool { return r.count() == 32 })
}

func TestAllTopicPartitionsGetTheirTurn(t *testing.T) {
	const partitions, records = 24, 18 // an answer holds six of them
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": partitions}})
	value := noise(10 << 10)
	for p := range int32(partitions) {
		produce(t, broker, "events", p, slices.Repeat([]string{value}, records)...)
	}
	var mu sync.Mutex
	var asked []int
	broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1,
		When: func(request kmsg.Request) bool {
			n := 0
			for _, topic := range request.(*kmsg.FetchRequest).Topics {
				n += len(topic.Partitions)
			}
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, n)
			return true
		}})
	r := newReader(openKafka(t, broker, func(o *KafkaOptions) { o.FetchBytesMax = 64 << 10 }))
	r.until(t, func() bool { return len(r.values) == partitions })
	for _, values := range r.values {
		require.Less(t, len(values), records, "each has had its turn before any has its third")
	}
	r.until(t, func() bool { return r.count() == records*partitions })
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, partitions, slices.Max(asked), "who waits is asked all")
	short := 0
	for _, n := range asked {
		if n < partitions/2 {
			short++
		}
	}
	require.Greater(t, short, len(asked)/3, "requests name what an answer has room for")
}

func TestABrokerThatDoesNotAnswerIsToldOnce(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	produce(t, broker, "events", 0, "a")
	var skew atomic.Int64
	r := newReader(openKafka(t, broker, func(o *KafkaOptions) { o.Now = skewed(&skew) }))
	r.until(t, func() bool { return r.count() == 1 })
	fault := broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, TopLevel: true,
		Err: kerr.UnknownServerError, Count: -1})
	r.until(t, func() bool { skew.Add(int64(time.Second)); return len(r.warnings) > 0 })
	require.ErrorContains(t, r.warnings[0], "fetch from broker 0: ")
	fault.Remove()
	produce(t, broker, "events", 1, "b")
	r.until(t, func() bool {
		skew.Add(int64(time.Second))
		return r.count() == 2 && len(r.recovered) == 1
	})
	require.Len(t, r.warnings, 1)
}

func TestABrokerOfAnOldFormatIsRead(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	broker.cluster.ControlKey(int16(kmsg.Fetch), func(asked kmsg.Request) (kmsg.Response, error, bool) {
		broker.cluster.KeepControl()
		at := asked.(*kmsg.FetchRequest).Topics[0].Partitions[0].FetchOffset
		answer := asked.ResponseKind().(*kmsg.FetchResponse)
		topic, p := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		topic.Topic, topic.TopicID = "events", asked.(*kmsg.FetchRequest).Topics[0].TopicID
		for i := at; i < min(at+2, 5); i++ {
			p.RecordBatches = append(p.RecordBatches, oldMessage(i, fmt.Sprint(i))...)
		}
		topic.Partitions = append(topic.Partitions, p)
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	r := newReader(openKafka(t, broker, nil))
	r.until(t, func() bool { return r.count() == 5 })
	for _, values := range r.values {
		require.Equal(t, numbered(0, 5), values)
	}
}

func TestABrokerThatCannotTellOfEpochsIsReadOn(t *testing.T) {
	client, err := kgo.NewClient()
	require.NoError(t, err)
	defer client.Close()
	f := newFetcher(client, &KafkaOptions{FetchBytesMax: fetchBytesMax, Now: time.Now,
		Random: func() float64 { return 0 }})
	c := newCursor(batchesOf)
	c.unproven = true
	r := &request{cursors: []*cursor{c}, turns: []int{0}, proof: true}
	for range fetchFailuresQuiet {
		require.Nil(t, f.settle(r, nil, kerr.UnsupportedVersion))
		require.True(t, c.unproven, "it may be a passing trouble")
	}
	require.Nil(t, f.settle(r, nil, kerr.UnsupportedVersion))
	require.False(t, c.unproven)
	require.False(t, c.silent)
}
