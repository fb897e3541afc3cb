package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

// Reader reads stretches of topic partitions again, without a consumer group: it takes no partition from
// anybody and leaves no trace. Its methods may be called from several goroutines.
type Reader struct {
	client  *kgo.Client
	admin   *kadm.Client
	cluster string
	// unpacker takes memory of its own for each batch: chunks of a Reader are not lent.
	unpacker *unpacker
}

// Bounds on one stretch. A fetch waits for data that is there already, so an answer without any is either
// a broker in trouble or the end of the log.
const (
	emptyFetchesMax = 20
	fetchRetriesMax = 8
	fetchRetryPause = 250 * time.Millisecond
	// stretchBytesMin and stretchRecordBytes are what is asked for a stretch and for each offset of it, packed. Of a
	// stretch with larger records more is asked for when that has come.
	stretchBytesMin    = 16 << 10
	stretchRecordBytes = 1 << 10
)

// OpenReader connects to a cluster, with the same errors as OpenKafka. The caller closes it.
func OpenReader(ctx context.Context, connection Connection) (*Reader, error) {
	d, err := describe(ctx, connection, nil)
	if err != nil {
		return nil, err
	}
	opts, err := connection.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	client, err := kgo.NewClient(append(opts, kgo.BrokerMaxReadBytes(answerBytesMax))...)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	return &Reader{client: client, admin: kadm.NewClient(client), cluster: d.cluster,
		unpacker: newUnpacker(newPools(0))}, nil
}

// Close closes the connections.
func (r *Reader) Close() { r.client.Close() }

// Cluster is the id that the cluster gave itself.
func (r *Reader) Cluster() string { return r.cluster }

// Bounds returns the first offset of a topic partition and the one behind its last committed record. It
// returns false when the cluster has another incarnation of the topic, or none.
func (r *Reader) Bounds(ctx context.Context, tp commit.TopicPartition,
) (first, end commit.Offset, found bool, err error) {
	if tp.Cluster != r.cluster {
		return 0, 0, false, nil
	}
	d, err := describeWith(ctx, r.admin, []string{tp.Topic})
	var missing *MissingTopicError
	if errors.As(err, &missing) || err == nil && d.ids[tp.Topic] != tp.TopicID {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, err
	}
	at, err := resolve(ctx, r.admin, Start{Kind: StartEarliest}, []commit.TopicPartition{tp})
	if err != nil {
		return 0, 0, false, err
	}
	listed, err := r.admin.ListCommittedOffsets(ctx, tp.Topic)
	if err != nil {
		return 0, 0, false, fmt.Errorf("list offsets of %s: %w", tp, connectionError(err))
	}
	last, ok := listed.Lookup(tp.Topic, tp.Partition)
	if !ok || last.Err != nil {
		return 0, 0, false, fmt.Errorf("list offsets of %s: %w", tp, last.Err)
	}
	return at[tp], commit.Offset(last.Offset), true, nil
}

// Read yields the committed records of [from, next) in chunks that touch and cover all of it: offsets
// without a record count as read, also when they are the last. One fetch is in memory at a time. The
// error is *OutOfRangeError when the log does not hold all of the stretch.
func (r *Reader) Read(ctx context.Context, tp commit.TopicPartition, from, next commit.Offset,
) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		leader, empty := int32(-1), 0
		for at := from; at < next; {
			var err error
			if leader < 0 {
				if leader, err = r.leader(ctx, tp); err != nil {
					yield(Chunk{}, err)
					return
				}
			}
			chunk, err := r.fetch(ctx, leader, tp, at, next)
			switch {
			case err != nil && kerr.IsRetriable(err) && empty < fetchRetriesMax && pause(ctx):
				leader = -1 // it moved
				empty++
				continue
			case err != nil:
				yield(Chunk{}, fmt.Errorf("fetch %s from offset %d: %w", tp, at, err))
				return
			case chunk.Next > at:
				if !yield(chunk, nil) {
					return
				}
				at, empty = chunk.Next, 0
			case chunk.End <= at || empty >= emptyFetchesMax:
				yield(Chunk{}, &OutOfRangeError{TopicPartition: tp, Wanted: next, End: chunk.End})
				return
			default:
				empty++
			}
		}
	}
}

func pause(ctx context.Context) bool {
	timer := time.NewTimer(fetchRetryPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// leader asks which broker leads the partition.
func (r *Reader) leader(ctx context.Context, tp commit.TopicPartition) (int32, error) {
	metadata, err := r.admin.Metadata(ctx, tp.Topic)
	if err != nil {
		return -1, fmt.Errorf("find leader of %s: %w", tp, connectionError(err))
	}
	p, ok := metadata.Topics[tp.Topic].Partitions[tp.Partition]
	if !ok {
		return -1, fmt.Errorf("find leader of %s: %w", tp, kerr.UnknownTopicOrPartition)
	}
	return p.Leader, nil
}

// stretchBytes is how much is asked for: thousands of short stretches of a log are read when a keyed table is
// verified, and an answer goes on behind the stretch as far as it may.
func stretchBytes(at, next commit.Offset) int32 {
	offsets := min(next-at, fetchBytesMax/stretchRecordBytes)
	return min(fetchBytesMax, stretchBytesMin+int32(offsets)*stretchRecordBytes)
}

// fetch asks for one answer from offset at on. The chunk ends at next at the latest.
func (r *Reader) fetch(
	ctx context.Context, leader int32, tp commit.TopicPartition, at, next commit.Offset,
) (Chunk, error) {
	c := newCursor(tp)
	c.next = at
	asked := request{cursors: []*cursor{c}}
	answer, err := r.client.Broker(int(leader)).RetriableRequest(ctx, asked.fetch(stretchBytes(at, next)))
	if err != nil {
		return Chunk{}, connectionError(err)
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return Chunk{}, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return Chunk{}, fmt.Errorf("the broker answered for %d topics", len(response.Topics))
	}
	part := &response.Topics[0].Partitions[0]
	if errors.Is(kerr.ErrorForCode(part.ErrorCode), kerr.OffsetOutOfRange) {
		return Chunk{}, &OutOfRangeError{tp, at, commit.Offset(part.LogStartOffset),
			max(at, commit.Offset(part.HighWatermark))}
	}
	if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
		return Chunk{}, err
	}
	got := r.unpacker.unpack(part, tp, at)
	if got.err != nil && got.next == at {
		return Chunk{}, got.err
	}
	if got.next > next {
		got.next = next
		behind, _ := slices.BinarySearchFunc(got.records, next, func(r Record, next commit.Offset) int {
			return cmp.Compare(r.Offset, next)
		})
		got.records = got.records[:behind]
	}
	return Chunk{TopicPartition: tp, From: at, Next: got.next, Records: got.records,
		End: commit.Offset(part.LastStableOffset)}, nil
}
