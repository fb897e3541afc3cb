package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/commit"
)

// pollPeriod is how long the tests let one Poll wait. Sessions must outlive it.
const pollPeriod = 200 * time.Millisecond

func startBroker(t *testing.T, opts EmbeddedOptions) *Embedded {
	t.Helper()
	broker, err := StartEmbedded(opts)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	return broker
}

func openAdmin(t *testing.T, broker *Embedded) *Admin {
	t.Helper()
	admin, err := OpenAdmin(t.Context(), broker.Connection())
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	return admin
}

func openKafka(t *testing.T, broker *Embedded, change func(*KafkaOptions)) *Kafka {
	t.Helper()
	opts := KafkaOptions{
		Connection: broker.Connection(), Topics: []string{"events"}, Group: "g",
		MetadataInterval: 100 * time.Millisecond, SessionTimeout: 6 * time.Second,
	}
	if change != nil {
		change(&opts)
	}
	k, err := OpenKafka(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Close(context.WithoutCancel(t.Context()))) })
	return k
}

// produce writes values "topic/partition/i" and waits for the broker.
func produce(t *testing.T, broker *Embedded, topic string, partition int32, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Connection().Brokers...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for _, v := range values {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}
		require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
	}
}

func numbered(from, next int) []string {
	var values []string
	for i := from; i < next; i++ {
		values = append(values, fmt.Sprint(i))
	}
	return values
}

// reader collects what a source brings, seeking to wanted offsets, else to the first.
type reader struct {
	k          *Kafka
	want       map[int32]commit.Offset
	values     map[commit.TopicPartition][]string
	next       map[commit.TopicPartition]commit.Offset
	outOfRange []*OutOfRangeError
	lost       []commit.TopicPartition
	revoked    []commit.TopicPartition
	warnings   []error
	recovered  []error
}

func newReader(k *Kafka) *reader {
	return &reader{
		k: k, want: map[int32]commit.Offset{},
		values: map[commit.TopicPartition][]string{}, next: map[commit.TopicPartition]commit.Offset{},
	}
}

// until polls until done says so, and fails the test when that takes too long.
func (r *reader) until(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		require.True(t, time.Now().Before(deadline), "nothing more came: %v, warnings %v", r.values, r.warnings)
		r.poll(t)
	}
}

func (r *reader) poll(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pollPeriod)
	defer cancel()
	event, err := r.k.Poll(ctx)
	require.NoError(t, err)
	r.lost = append(r.lost, event.Lost...)
	r.revoked = append(r.revoked, event.Revoked...)
	r.outOfRange = append(r.outOfRange, event.OutOfRange...)
	r.warnings = append(r.warnings, event.Warnings...)
	r.recovered = append(r.recovered, event.Recovered...)
	if event.Release != nil {
		event.Release()
	}
	r.seek(t, event.Assigned)
	for _, c := range event.Chunks {
		require.Equal(t, r.next[c.TopicPartition], c.From, "chunks must touch")
		r.next[c.TopicPartition] = c.Next
		for _, record := range c.Records {
			r.values[c.TopicPartition] = append(r.values[c.TopicPartition], string(record.Value))
		}
	}
}

func (r *reader) seek(t *testing.T, assigned []commit.TopicPartition) {
	t.Helper()
	if len(assigned) == 0 {
		return
	}
	position, err := r.k.Resolve(t.Context(), Start{Kind: StartEarliest}, assigned)
	require.NoError(t, err)
	for id := range position {
		if want, set := r.want[id.Partition]; set {
			position[id] = want
		}
		r.next[id] = position[id]
	}
	require.NoError(t, r.k.Seek(t.Context(), position))
}

func (r *reader) count() int {
	n := 0
	for _, values := range r.values {
		n += len(values)
	}
	return n
}

func TestReadingBeginsWhereSeekSays(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	produce(t, broker, "events", 0, numbered(0, 10)...)
	produce(t, broker, "events", 1, numbered(0, 10)...)
	r := newReader(openKafka(t, broker, nil))
	r.want[1] = 7
	r.until(t, func() bool { return r.count() == 13 })
	for id, values := range r.values {
		require.Equal(t, broker.ClusterID(), id.Cluster)
		require.NotZero(t, id.TopicID)
		require.Equal(t, numbered(int(r.want[id.Partition]), 10), values)
	}
	// The group's own offsets count for nothing, even when they are ahead.
	require.NoError(t, r.k.Ack(t.Context(), r.next))
}

func TestSeekGoesBackWhileReading(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, numbered(0, 10)...)
	r := newReader(openKafka(t, broker, nil))
	r.until(t, func() bool { return r.count() == 10 })
	for id := range r.next {
		r.next[id] = 4
		require.NoError(t, r.k.Seek(t.Context(), commit.Position{id: 4}))
	}
	r.until(t, func() bool { return r.count() == 16 })
	for _, values := range r.values {
		require.Equal(t, append(numbered(0, 10), numbered(4, 10)...), values)
	}
}

func TestMissingTopicIsNamedByAdmin(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	_, err := openAdmin(t, broker).Topics(t.Context(), "events", "nope")
	var missing *MissingTopicError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, []string{"nope"}, missing.Topics)
}

func TestOffsetsOutOfRetentionAreToldNotSkipped(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, numbered(0, 10)...)
	admin := openAdmin(t, broker)
	ids, err := admin.Resolve(t.Context(), Start{}, "events")
	require.NoError(t, err)
	for id := range ids {
		ids[id] = 9
	}
	require.NoError(t, Retain(t.Context(), admin, ids, 3))
	r := newReader(openKafka(t, broker, nil))
	r.want[0] = 2
	r.until(t, func() bool { return len(r.outOfRange) > 0 })
	require.Equal(t, commit.Offset(2), r.outOfRange[0].Wanted)
	require.Equal(t, commit.Offset(6), r.outOfRange[0].First)
	require.Equal(t, commit.Offset(10), r.outOfRange[0].End)
	require.ErrorContains(t, r.outOfRange[0], "offsets 2 to 5 are out of retention")
	require.Empty(t, r.values)
	// Seeking into the log goes on from there.
	id := r.outOfRange[0].TopicPartition
	r.next[id] = 6
	require.NoError(t, r.k.Seek(t.Context(), commit.Position{id: 6}))
	r.until(t, func() bool { return r.count() == 4 })
}

func TestOffsetsBehindTheEndAreToldNotSkipped(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, numbered(0, 3)...)
	r := newReader(openKafka(t, broker, nil))
	r.want[0] = 100
	r.until(t, func() bool { return len(r.outOfRange) > 0 })
	require.ErrorContains(t, r.outOfRange[0], "behind the end of the log (3)")
}

func TestNewTopicsOfAPatternAreFound(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, "a")
	r := newReader(openKafka(t, broker, func(o *KafkaOptions) {
		o.Topics, o.Patterns = nil, []string{"events.*"}
	}))
	r.until(t, func() bool { return r.count() == 1 })
	require.NoError(t, openAdmin(t, broker).CreateTopic(t.Context(), "events-eu", 2))
	produce(t, broker, "events-eu", 1, "b")
	r.until(t, func() bool { return r.count() == 2 })
}

func TestARecreatedTopicIsAnotherTopic(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, "old")
	r := newReader(openKafka(t, broker, nil))
	r.until(t, func() bool { return r.count() == 1 })
	admin := openAdmin(t, broker)
	_, err := admin.admin.DeleteTopic(t.Context(), "events")
	require.NoError(t, err)
	require.NoError(t, admin.CreateTopic(t.Context(), "events", 1))
	produce(t, broker, "events", 0, "new")
	r.until(t, func() bool { return r.count() == 2 })
	require.Len(t, r.values, 2, "two topic ids")
	require.NotEmpty(t, r.lost)
}

func TestAnIdlePollStillSeesThatATopicIsGone(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	r := newReader(openKafka(t, broker, nil))
	r.until(t, func() bool { return len(r.next) == 1 })
	_, err := openAdmin(t, broker).admin.DeleteTopic(t.Context(), "events")
	require.NoError(t, err)
	for len(r.warnings) == 0 {
		event, err := r.k.Poll(t.Context()) // without a deadline
		require.NoError(t, err)
		r.warnings = append(r.warnings, event.Warnings...)
	}
	require.ErrorContains(t, errors.Join(r.warnings...), "topic events was removed")
	require.Empty(t, r.recovered)
	require.NoError(t, openAdmin(t, broker).CreateTopic(t.Context(), "events", 1))
	r.until(t, func() bool { return len(r.recovered) > 0 })
	require.Len(t, r.warnings, 1)
}

// skewed is the wall clock and so many nanoseconds.
func skewed(skew *atomic.Int64) func() time.Time {
	return func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
}

func TestPartitionsMoveBetweenMembersWithoutGapOrRepeat(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 4}})
	for p := range int32(4) {
		produce(t, broker, "events", p, numbered(0, 5)...)
	}
	one := newReader(openKafka(t, broker, nil))
	one.until(t, func() bool { return one.count() == 20 })
	two := newReader(openKafka(t, broker, nil))
	for p := range int32(4) {
		two.want[p] = 5
	}
	two.until(t, func() bool { one.poll(t); return len(two.next) == 2 })
	require.Len(t, one.revoked, 2)
	for p := range int32(4) {
		produce(t, broker, "events", p, numbered(5, 8)...)
	}
	two.until(t, func() bool { one.poll(t); return one.count() == 26 && two.count() == 6 })
}

func TestOpeningNamesTheTrouble(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{
		Topics: map[string]int32{"events": 1}, Users: map[string]string{"SCRAM-SHA-256/ann": "secret"},
	})
	connection := broker.Connection()
	connection.SASL = &SASL{Mechanism: "SCRAM-SHA-256", User: "ann", Password: "wrong"}
	_, err := OpenKafka(t.Context(), KafkaOptions{Connection: connection, Topics: []string{"events"}, Group: "g"})
	// This broker closes the connection where Kafka answers SASL_AUTHENTICATION_FAILED.
	require.ErrorContains(t, err, "check TLS, user and password")
	require.ErrorIs(t, connectionError(kerr.SaslAuthenticationFailed), ErrCredentials)
	connection.SASL.Password = "secret"
	_, err = OpenKafka(t.Context(), KafkaOptions{Connection: connection, Topics: []string{"evnts"}, Group: "g"})
	var missing *MissingTopicError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, []string{"evnts"}, missing.Topics)
	require.ErrorContains(t, err, "firth topics")
	connection.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	_, err = OpenKafka(t.Context(), KafkaOptions{Connection: connection, Topics: []string{"events"}, Group: "g"})
	require.ErrorIs(t, err, ErrUnreachable)
}

func TestEmbeddedBrokerKeepsDataAndIdentity(t *testing.T) {
	dir := t.TempDir()
	opts := EmbeddedOptions{Dir: dir, Topics: map[string]int32{"events": 1}}
	first, err := StartEmbedded(opts)
	require.NoError(t, err)
	produce(t, first, "events", 0, numbered(0, 5)...)
	was, err := openAdmin(t, first).Topics(t.Context(), "events")
	require.NoError(t, err)
	id := first.ClusterID()
	first.Close()
	second := startBroker(t, opts)
	require.Equal(t, id, second.ClusterID())
	is, err := openAdmin(t, second).Topics(t.Context(), "events")
	require.NoError(t, err)
	require.Equal(t, was[0].ID, is[0].ID)
	require.Equal(t, int64(5), is[0].Records())
	require.Positive(t, is[0].Bytes())
}

func TestAMemberThatWasPutOutLosesItsPartitionsAndComesBack(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	produce(t, broker, "events", 0, numbered(0, 5)...)
	r := newReader(openKafka(t, broker, func(o *KafkaOptions) { o.InstanceID = "one" }))
	r.until(t, func() bool { return r.count() == 5 })
	leave := kadm.LeaveGroup("g").Reason("session expired").InstanceIDs("one")
	_, err := openAdmin(t, broker).admin.LeaveGroup(t.Context(), leave)
	require.NoError(t, err)
	r.want[0] = 5
	r.until(t, func() bool { return len(r.lost) == 2 })
	produce(t, broker, "events", 0, numbered(5, 8)...)
	r.until(t, func() bool { return r.count() == 8 })
}

func TestAMemberWithTheSameInstanceTakesOverAtOnce(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 2}})
	produce(t, broker, "events", 0, numbered(0, 5)...)
	// The session is longer than the test waits: who waits for its end fails.
	instance := func(o *KafkaOptions) { o.InstanceID, o.SessionTimeout = "one", time.Minute }
	first := newReader(openKafka(t, broker, instance))
	first.until(t, func() bool { return first.count() == 5 })
	second := newReader(openKafka(t, broker, instance))
	second.until(t, func() bool { return second.count() == 5 })
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := first.k.Poll(ctx)
		return errors.Is(err, ErrInstanceTaken)
	}, 40*time.Second, time.Millisecond)
	// The end of the one that was put out takes nothing from the other.
	require.NoError(t, first.k.Close(t.Context()))
	require.Len(t, members(t, broker), 1)
	require.NoError(t, second.k.Close(t.Context()))
	require.Empty(t, members(t, broker), "a member that ends leaves its partitions to others at once")
}

// members are the ids of the members of the group.
func members(t *testing.T, broker *Embedded) []string {
	t.Helper()
	groups, err := openAdmin(t, broker).admin.DescribeGroups(t.Context(), "g")
	require.NoError(t, err)
	var ids []string
	for _, m := range groups["g"].Members {
		ids = append(ids, m.MemberID)
	}
	return ids
}

func TestOnlyCommittedTransactionsAreRead(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Connection().Brokers...), kgo.TransactionalID("t"))
	require.NoError(t, err)
	defer client.Close()
	for value, outcome := range map[string]kgo.TransactionEndTry{"kept": kgo.TryCommit, "aborted": kgo.TryAbort} {
		require.NoError(t, client.BeginTransaction())
		record := &kgo.Record{Topic: "events", Value: []byte(value)}
		require.NoError(t, client.ProduceSync(t.Context(), record).FirstErr())
		require.NoError(t, client.EndTransaction(t.Context(), outcome))
	}
	r := newReader(openKafka(t, broker, nil))
	// Two records and two markers: the chunks cover them all, so the position gets to the end.
	r.until(t, func() bool {
		for _, next := range r.next {
			return next == 4
		}
		return false
	})
	for _, values := range r.values {
		require.Equal(t, []string{"kept"}, values)
	}
}
