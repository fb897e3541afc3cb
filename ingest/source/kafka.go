package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/commit"
)

// Kafka reads topics of one cluster as a member of a consumer group.
type Kafka struct {
	opts    KafkaOptions
	client  *kgo.Client
	admin   *kadm.Client
	cluster string
	fetcher *fetcher

	// These belong to the goroutine that polls.
	nextCheck   time.Time // of topics
	taken       bool      // another process has the instance id
	predecessor *predecessor
	troubles    *troubles

	// opened is closed when the fields above are set: the client calls back as soon as it is made.
	opened  chan struct{}
	closing chan struct{}
	// beside are the goroutines that fetch and that listen to the group, which end stops.
	beside sync.WaitGroup
	end    context.CancelFunc

	mu         sync.Mutex
	closed     bool
	partitions map[topicPartition]*cursor // that are assigned
	// seen are the topics that were assigned at some time, by their newest ids.
	seen       map[string]uuid.UUID
	pending    Event   // what the group told and Poll has not returned yet
	failures   []error // of the group, not told yet
	cancelPoll context.CancelFunc
}

// topicPartition is how the client names a partition.
type topicPartition struct {
	topic string
	index int32
}

// OpenKafka connects to a cluster, checks that the topics asked for by name exist and joins the
// consumer group. It returns ErrUnreachable, ErrCredentials or *MissingTopicError when the cluster
// is of no use; from then on it retries what can be retried.
func OpenKafka(ctx context.Context, opts KafkaOptions) (*Kafka, error) {
	if err := opts.fill(); err != nil {
		return nil, fmt.Errorf("open Kafka source: %w", err)
	}
	k := &Kafka{
		opts:       opts,
		troubles:   newTroubles(opts.Now),
		seen:       map[string]uuid.UUID{},
		opened:     make(chan struct{}),
		closing:    make(chan struct{}),
		partitions: map[topicPartition]*cursor{},
	}
	clientOpts, err := opts.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("open Kafka source: %w", err)
	}
	clientOpts = append(clientOpts, opts.consumeTopics()...)
	clientOpts = append(clientOpts, k.groupOptions()...)
	if err := k.probe(ctx); err != nil {
		return nil, err
	}
	if k.client, err = kgo.NewClient(clientOpts...); err != nil {
		return nil, fmt.Errorf("open Kafka source: %w", err)
	}
	k.admin = kadm.NewClient(k.client)
	k.fetcher = newFetcher(k.client, &opts)
	k.nextCheck = opts.Now().Add(opts.MetadataInterval)
	if k.predecessor != nil {
		k.predecessor.due = opts.Now().Add(patience)
	}
	close(k.opened)
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	k.end = end
	k.beside.Go(func() { k.fetcher.run(lasting) })
	k.beside.Go(func() { k.listen(lasting) })
	return k, nil
}

// probe looks at the cluster, the topics and the group before this member joins it.
func (k *Kafka) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	client, err := connect(ctx, k.opts.Connection)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	d, err := describeWith(ctx, admin, k.opts.Topics)
	if err != nil {
		return err
	}
	k.cluster, k.predecessor = d.cluster, findPredecessor(ctx, admin, &k.opts)
	return nil
}

func (k *Kafka) groupOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(k.opts.Group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(k.opts.SessionTimeout),
		kgo.HeartbeatInterval(min(heartbeatInterval, k.opts.SessionTimeout/4)),
		kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.BrokerMaxReadBytes(answerBytesMax),
		kgo.MetadataMaxAge(k.opts.MetadataInterval),
		kgo.MetadataMinAge(min(time.Second, k.opts.MetadataInterval)),
		kgo.AdjustFetchOffsetsFn(k.adjustOffsets),
		kgo.OnPartitionsRevoked(k.onRevoked),
		kgo.OnPartitionsLost(k.onLost),
	}
	if k.opts.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(k.opts.InstanceID))
	}
	return opts
}

// Cluster is the id that the cluster gave itself.
func (k *Kafka) Cluster() string { return k.cluster }

// Poll implements Source.
func (k *Kafka) Poll(ctx context.Context) (Event, error) {
	if event, ok := k.takePending(); ok {
		return event, nil
	}
	k.checkTopics(ctx)
	k.succeed(ctx)
	signal(k.fetcher.changed) // time may have come
	pollCtx, cancel := k.pollContext(ctx)
	defer cancel()
	pollCtx, stop := context.WithTimeout(pollCtx, k.untilDue())
	defer stop()
	answer := k.fetcher.take(pollCtx)
	if k.isClosed() {
		return Event{}, ErrClosed
	}
	event, _ := k.takePending()
	k.addGroupFailures()
	if answer != nil {
		k.addAnswer(ctx, &event, answer)
	}
	if k.taken {
		return Event{}, fmt.Errorf("consumer group %s, instance %s: %w", k.opts.Group, k.opts.InstanceID,
			ErrInstanceTaken)
	}
	event.Warnings, event.Recovered = k.troubles.take()
	return event, nil
}

func (k *Kafka) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// untilDue is how long Poll may wait: an idle log must not keep it from looking at the topics, from
// succeeding a dead member, and from telling that a trouble is over.
func (k *Kafka) untilDue() time.Duration {
	due := k.nextCheck
	next := []time.Time{k.troubles.next()}
	if k.predecessor != nil {
		next = append(next, k.predecessor.due)
	}
	for _, at := range next {
		if !at.IsZero() && at.Before(due) {
			due = at
		}
	}
	return max(due.Sub(k.opts.Now()), time.Millisecond)
}

// trouble notes what is tried again after a while.
func (k *Kafka) trouble(err error, again time.Duration) {
	k.troubles.add(k.told(err), again)
}

// told is an error with the cluster's address.
func (k *Kafka) told(err error) error {
	return fmt.Errorf("Kafka at %s: %w", strings.Join(k.opts.Brokers, ", "), err)
}

// pollContext returns a context that ends as soon as the group tells something.
func (k *Kafka) pollContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cancelPoll = cancel
	if !k.pending.empty() || len(k.failures) > 0 {
		cancel()
	}
	return ctx, cancel
}

func (k *Kafka) takePending() (Event, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	event := k.pending
	k.pending = Event{}
	return event, !event.empty()
}

func (e *Event) empty() bool {
	return len(e.Assigned) == 0 && len(e.Revoked) == 0 && len(e.Lost) == 0 &&
		len(e.OutOfRange) == 0 && len(e.Chunks) == 0
}

// addAnswer adds what was fetched of partitions that are still assigned, from where they were sought last.
func (k *Kafka) addAnswer(ctx context.Context, event *Event, a *answer) {
	if a.err != nil {
		k.trouble(a.err, a.again)
	}
	for i := range a.parts {
		p := &a.parts[i]
		if !k.fetcher.accept(p) {
			k.fetcher.unpacker.pools.putAll(p.got)
			continue
		}
		if p.err != nil {
			k.addFailure(ctx, event, p)
			continue
		}
		if p.got.err != nil {
			p.err, p.again = p.got.err, k.fetcher.retry(p.cursor, p.got.next)
			k.addFailure(ctx, event, p)
		}
		if p.got.next == p.from {
			k.fetcher.unpacker.pools.putAll(p.got)
			continue
		}
		event.Chunks = append(event.Chunks, k.chunk(p))
	}
}

// chunk lends what was unpacked, until its Release. Control records hold no row but move the chunk's end.
func (k *Kafka) chunk(p *part) Chunk {
	chunk := Chunk{TopicPartition: p.cursor.id, From: p.from, Next: p.got.next, Records: p.got.records, End: p.end}
	got := p.got
	chunk.Lend(func() { k.fetcher.unpacker.pools.putAll(got) })
	return chunk
}

// listen takes what the client tells of the group as a whole. It fetches nothing: its topic partitions
// are paused.
func (k *Kafka) listen(ctx context.Context) {
	for {
		fetches := k.client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		k.mu.Lock()
		fetches.EachError(func(_ string, _ int32, err error) { k.failures = append(k.failures, err) })
		k.wake()
		k.mu.Unlock()
	}
}

func (k *Kafka) addGroupFailures() {
	k.mu.Lock()
	failures := k.failures
	k.failures = nil
	k.mu.Unlock()
	for _, err := range failures {
		k.taken = k.taken || errors.Is(err, kerr.FencedInstanceID)
		k.trouble(connectionError(err), groupRetryMax)
	}
}

// addFailure sorts an error of a fetch into what the caller must act on and what is retried.
func (k *Kafka) addFailure(ctx context.Context, event *Event, p *part) {
	tp := p.cursor.id
	var cutOff *cutOffError
	switch {
	case errors.As(p.err, &cutOff):
		event.OutOfRange = append(event.OutOfRange, &OutOfRangeError{TopicPartition: tp, Wanted: p.from,
			First: cutOff.end, End: cutOff.end})
	case errors.Is(p.err, kerr.OffsetOutOfRange):
		outOfRange, err := k.outOfRange(ctx, tp, p.from)
		if err == nil {
			event.OutOfRange = append(event.OutOfRange, outOfRange)
			return
		}
		// The bounds could not be asked: ask for the same offset again, so that it is refused again.
		k.trouble(err, k.fetcher.retry(p.cursor, p.from))
	case errors.Is(p.err, kerr.UnknownTopicID), errors.Is(p.err, kerr.UnknownTopicOrPartition):
		k.nextCheck = time.Time{} // that tells whether the topic was re-created or removed
	case errors.Is(p.err, kerr.TopicAuthorizationFailed): // of all its partitions
		k.trouble(fmt.Errorf("fetch %s: %w", tp.Topic, connectionError(p.err)), p.again)
	default:
		k.trouble(fmt.Errorf("fetch %s-%d: %w", tp.Topic, tp.Partition, connectionError(p.err)), p.again)
	}
}

func (k *Kafka) outOfRange(
	ctx context.Context, tp commit.TopicPartition, wanted commit.Offset,
) (*OutOfRangeError, error) {
	ids := []commit.TopicPartition{tp}
	first, err := k.Resolve(ctx, Start{Kind: StartEarliest}, ids)
	if err != nil {
		return nil, err
	}
	end, err := k.Resolve(ctx, Start{Kind: StartLatest}, ids)
	if err != nil {
		return nil, err
	}
	return &OutOfRangeError{tp, wanted, first[tp], end[tp]}, nil
}

// Resolve implements Source.
func (k *Kafka) Resolve(
	ctx context.Context, start Start, partitions []commit.TopicPartition,
) (commit.Position, error) {
	return resolve(ctx, k.admin, start, partitions)
}

// Seek implements Source.
func (k *Kafka) Seek(_ context.Context, position commit.Position) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted := make(map[*cursor]commit.Offset, len(position))
	for id, next := range position {
		c := k.partitions[topicPartition{id.Topic, id.Partition}]
		if c != nil && c.id == id {
			wanted[c] = next
		}
	}
	k.fetcher.seek(wanted)
	return nil
}

// Ack implements Source.
func (k *Kafka) Ack(ctx context.Context, position commit.Position) error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	k.mu.Lock()
	for id, next := range position {
		p := k.partitions[topicPartition{id.Topic, id.Partition}]
		if p == nil || p.id != id {
			continue
		}
		if offsets[id.Topic] == nil {
			offsets[id.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[id.Topic][id.Partition] = kgo.EpochOffset{Epoch: -1, Offset: int64(next)}
	}
	k.mu.Unlock()
	if len(offsets) == 0 {
		return nil
	}
	return k.ackOffsets(ctx, offsets)
}

// Close implements Source. What was not released is taken as dropped.
func (k *Kafka) Close(ctx context.Context) error {
	k.mu.Lock()
	closed := k.closed
	k.closed = true
	k.mu.Unlock()
	if closed {
		return nil
	}
	close(k.closing)
	k.end()
	k.beside.Wait()
	k.leave(ctx)
	k.client.Close()
	return nil
}
