package source

import (
	"context"

	"github.com/firthlake/firth/commit"
)

// Record is one record of a log. Its byte slices are borrowed from the Chunk it came in.
type Record struct {
	Key, Value []byte // nil is Kafka's null, not the empty value
	Headers    []Header
	Offset     commit.Offset
	Timestamp  int64 // milliseconds since the Unix epoch
}

// Header is one record header; a record may have several of one name.
type Header struct {
	Key   string
	Value []byte
}

// Chunk is a run of records of one topic partition in offset order. It covers [From, Next): offsets
// in there without a record hold none (compacted away, transaction markers, aborted).
type Chunk struct {
	TopicPartition commit.TopicPartition
	From, Next     commit.Offset
	Records        []Record
}

// Source is a log as ingest needs it: topic partitions come and go, records arrive in offset order.
// Poll, Seek and Close are called by one goroutine.
type Source interface {
	// Poll waits for something to happen and returns it; it returns early when ctx ends. An
	// Event with neither chunks nor changes of assignment is allowed.
	Poll(ctx context.Context) (Event, error)
	// Seek sets where reading goes on for assigned topic partitions. It must be called for every
	// partition in Event.Assigned before its records arrive.
	Seek(ctx context.Context, position commit.Position) error
	// Ack publishes committed offsets for lag tools. They are never read to resume.
	Ack(ctx context.Context, position commit.Position) error
	// Close leaves the log.
	Close(ctx context.Context) error
}

// Event is what one Poll brought. Within one event, revocations come first, then assignments, then
// chunks of the partitions still assigned.
type Event struct {
	// Assigned are topic partitions that this reader now has.
	Assigned []commit.TopicPartition
	// Revoked are partitions it must give up: flush and commit, then call Release.
	Revoked []commit.TopicPartition
	// Lost are partitions that somebody else may have already: drop what is buffered.
	Lost []commit.TopicPartition
	// Chunks are records, at most one chunk per topic partition.
	Chunks []Chunk
	// Release, when not nil, must be called once the revoked partitions are committed or dropped.
	Release func()
}
