package source

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestATroubleIsToldWhenItBeginsAndWhenItIsOver(t *testing.T) {
	now := time.Unix(0, 0)
	all := newTroubles(func() time.Time { return now })
	a, b := errors.New("a"), errors.New("b")
	all.add(a, time.Second)
	all.add(b, time.Minute)
	all.add(a, time.Second)
	begun, over := all.take()
	require.Equal(t, []error{a, b}, begun)
	require.Empty(t, over)
	now = all.next().Add(-1)
	all.add(a, time.Second) // it lasts
	begun, over = all.take()
	require.Empty(t, begun)
	require.Empty(t, over)
	now = all.next()
	begun, over = all.take()
	require.Empty(t, begun)
	require.Equal(t, []error{a}, over)
	all.add(a, time.Second)
	begun, _ = all.take()
	require.Equal(t, []error{a}, begun, "it came back")
}

func TestARefusedTopicIsAskedSeldomAndToldOnce(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1, "open": 1}})
	produce(t, broker, "events", 0, "a")
	refused := broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "events",
		Err: kerr.TopicAuthorizationFailed, Count: -1})
	var skew atomic.Int64
	r := newReader(openKafka(t, broker, func(o *KafkaOptions) {
		o.Topics, o.Now = []string{"events", "open"}, skewed(&skew)
	}))
	// The other topic goes on, and what it says passes the time until the refused one was asked again.
	for i := 0; refused.Hits() < 4; i++ {
		produce(t, broker, "open", 0, "b")
		r.until(t, func() bool { return r.count() == i+1 })
		require.Less(t, refused.Hits(), 5+i, "it backs off")
	}
	require.Len(t, r.warnings, 1)
	require.ErrorIs(t, r.warnings[0], ErrCredentials)
	require.ErrorContains(t, r.warnings[0], "fetch events: ")
	require.Empty(t, r.recovered)
	refused.Remove()
	skew.Store(int64(time.Hour))
	r.until(t, func() bool { return len(r.recovered) == 1 && len(r.values) == 2 })
	require.Equal(t, r.warnings, r.recovered)
}
