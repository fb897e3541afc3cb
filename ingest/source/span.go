package source

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/commit"
)

// Span reads the offsets [From, Next) of one topic partition once, outside any consumer group, for
// those who look again at what a table has taken in.
type Span struct {
	client   *kgo.Client
	tp       commit.TopicPartition
	at, next commit.Offset
	told     bool // the assignment
}

// spanIdleMax is how long a broker may give nothing of a span that it should still hold.
const spanIdleMax = 30 * time.Second

// OpenSpan connects to the cluster of tp. Whether the topic is the same incarnation is the caller's to
// check (Admin.Topics).
func OpenSpan(connection Connection, tp commit.TopicPartition, from, next commit.Offset) (*Span, error) {
	opts, err := connection.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", tp, err)
	}
	start := kgo.NewOffset().At(int64(from))
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{tp.Topic: {tp.Partition: start}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(fetchWaitMax),
		kgo.BrokerMaxReadBytes(answerBytesMax), kgo.MaxDecompressBatchBytes(decompressBytesMax),
	)...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", tp, err)
	}
	return &Span{client: client, tp: tp, at: from, next: next}, nil
}

// Done says whether all of the span has been returned.
func (s *Span) Done() bool { return s.at >= s.next }

// Poll implements Source. It is an error when the broker gives nothing for long.
func (s *Span) Poll(ctx context.Context) (Event, error) {
	if !s.told {
		s.told = true
		return Event{Assigned: []commit.TopicPartition{s.tp}}, nil
	}
	if s.Done() {
		return Event{}, nil
	}
	polling, cancel := context.WithTimeout(ctx, spanIdleMax)
	defer cancel()
	fetches := s.client.PollRecords(polling, recordsPerPoll)
	switch {
	case ctx.Err() != nil:
		return Event{}, nil
	case polling.Err() != nil:
		return Event{}, fmt.Errorf("read %s: no record at %d in %v: %w", s.tp, s.at, spanIdleMax, ErrUnreachable)
	}
	if err := fetches.Err0(); err != nil {
		return Event{}, fmt.Errorf("read %s at %d: %w", s.tp, s.at, connectionError(err))
	}
	chunk := s.chunk(fetches.Records())
	if chunk.Next == chunk.From {
		return Event{}, nil
	}
	return Event{Chunks: []Chunk{chunk}}, nil
}

// chunk takes over records up to the end of the span. What lies between two records holds none.
func (s *Span) chunk(records []*kgo.Record) Chunk {
	chunk := Chunk{TopicPartition: s.tp, From: s.at, Next: s.at}
	for _, r := range records {
		offset := commit.Offset(r.Offset)
		if offset < chunk.Next {
			continue
		}
		if chunk.Next = min(offset+1, s.next); offset >= s.next || r.Attrs.IsControl() {
			continue
		}
		chunk.Records = append(chunk.Records, Record{Key: r.Key, Value: r.Value, Headers: headers(r.Headers),
			Offset: offset, Timestamp: r.Timestamp.UnixMilli()})
	}
	s.at = chunk.Next
	return chunk
}

// Resolve implements Source: a span has one place to begin.
func (s *Span) Resolve(
	_ context.Context, _ Start, partitions []commit.TopicPartition,
) (commit.Position, error) {
	position := commit.Position{}
	for _, tp := range partitions {
		position[tp] = s.at
	}
	return position, nil
}

// Seek implements Source: a span is read from its beginning, once.
func (s *Span) Seek(_ context.Context, position commit.Position) error {
	if at, ok := position[s.tp]; ok && at != s.at {
		return fmt.Errorf("seek %s to %d: the span stands at %d", s.tp, at, s.at)
	}
	return nil
}

// Ack implements Source: there is no group to tell.
func (s *Span) Ack(context.Context, commit.Position) error { return nil }

// Close implements Source.
func (s *Span) Close(context.Context) error {
	s.client.Close()
	return nil
}
