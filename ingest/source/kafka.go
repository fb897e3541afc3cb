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
	pools   *pools

	// These belong to the goroutine that polls.
	nextCheck   time.Time // of topics
	taken       bool      // another process has the instance id
	predecessor *predecessor
	troubles    *troubles
	backoffs    *backoffs

	// opened is closed when the fields above are set: the client calls back as soon as it is made.
	opened  chan struct{}
	closing chan struct{}

	mu         sync.Mutex
	closed     bool
	partitions map[topicPartition]*partition
	// seen are the topics that were assigned at some time, by their newest ids.
	seen       map[string]uuid.UUID
	pending    Event // what the group told and Poll has not returned yet
	cancelPoll context.CancelFunc
}

// topicPartition is how the client names a partition.
type topicPartition struct {
	topic string
	index int32
}

// partition is one assigned topic partition.
type partition struct {
	id commit.TopicPartition
	// sought is closed by the first Seek; next is not valid before.
	sought chan struct{}
	next   commit.Offset
	// fetched says that the client surely consumes it, so that its offset can be set.
	fetched bool
	// rewind says that next was sought again before the client consumed: what arrives first is
	// dropped and the client's offset set.
	rewind bool
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
		pools:      newPools(opts.FetchBytesMax),
		seen:       map[string]uuid.UUID{},
		opened:     make(chan struct{}),
		closing:    make(chan struct{}),
		partitions: map[topicPartition]*partition{},
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
	k.backoffs = &backoffs{client: k.client, now: opts.Now, random: opts.Random,
		byName: map[topicPartition]*backoff{}}
	k.nextCheck = opts.Now().Add(opts.MetadataInterval)
	if k.predecessor != nil {
		k.predecessor.due = opts.Now().Add(patience)
	}
	close(k.opened)
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
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(k.opts.FetchBytesMax),
		kgo.FetchMaxPartitionBytes(min(partitionBytesMax, k.opts.FetchBytesMax)),
		kgo.BrokerMaxReadBytes(answerBytesMax),
		kgo.WithDecompressor(newDecompressor(&k.pools.bytes, decompressBytesMax)),
		kgo.WithPools(k.pools),
		kgo.FetchMaxWait(fetchWaitMax),
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
	k.backoffs.resume()
	pollCtx, cancel := k.pollContext(ctx)
	defer cancel()
	pollCtx, stop := context.WithTimeout(pollCtx, k.untilDue())
	defer stop()
	fetches := k.client.PollRecords(pollCtx, recordsPerPoll)
	if fetches.IsClientClosed() {
		return Event{}, ErrClosed
	}
	event, _ := k.takePending()
	k.addChunks(ctx, &event, fetches)
	if k.taken {
		return Event{}, fmt.Errorf("consumer group %s, instance %s: %w", k.opts.Group, k.opts.InstanceID,
			ErrInstanceTaken)
	}
	event.Warnings, event.Recovered = k.troubles.take()
	return event, nil
}

// untilDue is how long Poll may wait: an idle log must not keep it from looking at the topics, from
// succeeding a dead member, from fetching again what failed, and from telling that a trouble is over.
func (k *Kafka) untilDue() time.Duration {
	due := k.nextCheck
	next := []time.Time{k.backoffs.next(), k.troubles.next()}
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
	if !k.pending.empty() {
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

// addChunks adds what was fetched of partitions that are still assigned and sought.
func (k *Kafka) addChunks(ctx context.Context, event *Event, fetches kgo.Fetches) {
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		if ftp.Err != nil {
			k.addFailure(ctx, event, ftp)
		}
		p := k.ready(topicPartition{ftp.Topic, ftp.Partition})
		if p == nil || len(ftp.Records) == 0 {
			recycle(ftp.Records)
			return
		}
		if p.rewind {
			recycle(ftp.Records)
			p.fetched = true
			k.rewind(p)
			return
		}
		if chunk := k.chunk(p, ftp.FetchPartition); chunk.Next > chunk.From {
			event.Chunks = append(event.Chunks, chunk)
		} else {
			chunk.Release()
		}
	})
	event.Chunks = joinChunks(event.Chunks)
}

// ready returns the partition if it is assigned and sought.
func (k *Kafka) ready(name topicPartition) *partition {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.partitions[name]
	if p == nil || !p.isSought() {
		return nil
	}
	return p
}

func (p *partition) isSought() bool {
	select {
	case <-p.sought:
		return true
	default:
		return false
	}
}

// chunk borrows fetched records, until its Release. Control records hold no row but move the chunk's end.
func (k *Kafka) chunk(p *partition, fetched kgo.FetchPartition) Chunk {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.fetched = true
	chunk := Chunk{
		TopicPartition: p.id,
		From:           p.next,
		Next:           p.next,
		Records:        k.pools.records.get(len(fetched.Records)),
		End:            commit.Offset(fetched.LastStableOffset),
	}
	if fetched.LastStableOffset < 0 {
		chunk.End = commit.Offset(fetched.HighWatermark)
	}
	for _, r := range fetched.Records {
		offset := commit.Offset(r.Offset)
		if offset < chunk.Next {
			continue // before what was asked for: the head of a batch
		}
		chunk.Next = offset + 1
		if r.Attrs.IsControl() {
			continue
		}
		chunk.Records = append(chunk.Records, Record{
			Key: r.Key, Value: r.Value, Headers: headers(r.Headers),
			Offset: offset, Timestamp: r.Timestamp.UnixMilli(),
		})
	}
	p.next = chunk.Next
	chunk.Lend(k.pools.takeBack(chunk.Records, fetched.Records))
	return chunk
}

func headers(from []kgo.RecordHeader) []Header {
	if len(from) == 0 {
		return nil
	}
	to := make([]Header, len(from))
	for i, h := range from {
		to[i] = Header(h)
	}
	return to
}

// joinChunks makes one chunk of those of the same partition: a partition that moved between brokers
// can come twice in one poll.
func joinChunks(chunks []Chunk) []Chunk {
	joined := chunks[:0]
	at := make(map[commit.TopicPartition]int, len(chunks))
	for _, c := range chunks {
		i, seen := at[c.TopicPartition]
		if !seen {
			at[c.TopicPartition] = len(joined)
			joined = append(joined, c)
			continue
		}
		joined[i].join(c)
	}
	return joined
}

// addFailure sorts an error of a fetch into what the caller must act on and what is retried.
func (k *Kafka) addFailure(ctx context.Context, event *Event, ftp kgo.FetchTopicPartition) {
	if errors.Is(ftp.Err, context.Canceled) || errors.Is(ftp.Err, context.DeadlineExceeded) {
		return // Poll was woken
	}
	if ftp.Topic == "" { // of the client or the group as a whole
		k.taken = k.taken || errors.Is(ftp.Err, kerr.FencedInstanceID)
		k.trouble(connectionError(ftp.Err), groupRetryMax)
		return
	}
	var dataLoss *kgo.ErrDataLoss
	name := topicPartition{ftp.Topic, ftp.Partition}
	p := k.ready(name)
	if p != nil && (errors.Is(ftp.Err, kerr.OffsetOutOfRange) || errors.As(ftp.Err, &dataLoss)) {
		p.fetched = true
		outOfRange, err := k.outOfRange(ctx, p)
		if err == nil {
			event.OutOfRange = append(event.OutOfRange, outOfRange)
			return
		}
		// The bounds could not be asked: set the same offset again, so that it is refused again.
		k.rewind(p)
		k.trouble(err, k.backoffs.failed(name))
		return
	}
	again := k.backoffs.failed(name)
	switch {
	case errors.Is(ftp.Err, kerr.UnknownTopicID), errors.Is(ftp.Err, kerr.UnknownTopicOrPartition):
		k.nextCheck = time.Time{} // that tells whether the topic was re-created or removed
	case errors.Is(ftp.Err, kerr.TopicAuthorizationFailed): // of all its partitions
		k.trouble(fmt.Errorf("fetch %s: %w", ftp.Topic, connectionError(ftp.Err)), again)
	default:
		k.trouble(fmt.Errorf("fetch %s-%d: %w", ftp.Topic, ftp.Partition, connectionError(ftp.Err)), again)
	}
}

func (k *Kafka) outOfRange(ctx context.Context, p *partition) (*OutOfRangeError, error) {
	ids := []commit.TopicPartition{p.id}
	first, err := k.Resolve(ctx, Start{Kind: StartEarliest}, ids)
	if err != nil {
		return nil, err
	}
	end, err := k.Resolve(ctx, Start{Kind: StartLatest}, ids)
	if err != nil {
		return nil, err
	}
	return &OutOfRangeError{p.id, p.next, first[p.id], end[p.id]}, nil
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
	var again []*partition
	for id, next := range position {
		p := k.partitions[topicPartition{id.Topic, id.Partition}]
		if p == nil || p.id != id {
			continue
		}
		p.next = next
		if p.isSought() {
			again = append(again, p)
		} else {
			close(p.sought)
		}
	}
	k.mu.Unlock()
	for _, p := range again {
		k.rewind(p)
	}
	return nil
}

// rewind makes the client consume from p.next. The client ignores that for a partition it does not
// consume yet, so when none of its records came so far, the first that come are dropped and the
// offset is set again.
func (k *Kafka) rewind(p *partition) {
	p.rewind = !p.fetched
	k.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{
		p.id.Topic: {p.id.Partition: {Epoch: -1, Offset: int64(p.next)}},
	})
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
	k.leave(ctx)
	k.client.Close()
	return nil
}
