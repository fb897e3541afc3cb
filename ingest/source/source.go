package source

import (
	"context"
	"time"

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
// in there without a record hold none (compacted away, transaction markers, aborted). Its records are
// borrowed: whoever is done with them calls Release.
type Chunk struct {
	TopicPartition commit.TopicPartition
	From, Next     commit.Offset
	Records        []Record
	// End is the end of the log when the chunk was fetched, for lag; 0 when not known.
	End   commit.Offset
	lease *lease
}

// Source is a log as ingest needs it: topic partitions come and go, records arrive in offset order.
// Poll, Seek and Close are called by one goroutine, Resolve and Ack by any.
type Source interface {
	// Poll waits for something to happen and returns it. When ctx ends it returns an empty
	// event and no error: an error means that the source is of no more use.
	Poll(ctx context.Context) (Event, error)
	// Resolve says which offsets start means for partitions, at this moment.
	Resolve(ctx context.Context, start Start, partitions []commit.TopicPartition) (commit.Position, error)
	// Seek sets where reading goes on for assigned topic partitions. It must be called for every
	// partition in Event.Assigned before its records arrive, and again for one in
	// Event.OutOfRange. Partitions that are not assigned any more are passed over.
	Seek(ctx context.Context, position commit.Position) error
	// Ack publishes committed offsets for lag tools. They are never read to resume.
	Ack(ctx context.Context, position commit.Position) error
	// Close leaves the log.
	Close(ctx context.Context) error
}

// Event is what one Poll brought. Within one event, revocations and losses come first, then
// assignments, then chunks of the partitions still assigned.
type Event struct {
	// Assigned are topic partitions that this reader now has.
	Assigned []commit.TopicPartition
	// Revoked are partitions it must give up: flush and commit, then call Release.
	Revoked []commit.TopicPartition
	// Lost are partitions that somebody else may have already: drop what is buffered.
	Lost []commit.TopicPartition
	// OutOfRange are assigned partitions whose wanted offset the log does not hold. They are
	// silent until they are sought again.
	OutOfRange []*OutOfRangeError
	// Chunks are records, at most one chunk per topic partition.
	Chunks []Chunk
	// Warnings are troubles that have begun and that the source goes on retrying: a broker away, a
	// topic missing, a right taken away. Recovered are those of them that are over.
	Warnings, Recovered []error
	// Release, when not nil, must be called once the revoked partitions are committed or dropped.
	Release func()
}

// Start says where reading begins in a topic that a table has never read. A partition that appears
// later in a topic already read always begins at its first offset.
type Start struct {
	Kind StartKind
	// Time is the instant for StartAtTime: the first record with that timestamp or a later one.
	Time time.Time
}

// StartKind is one of the ways to choose a first offset.
type StartKind int

// The ways to choose a first offset.
const (
	StartEarliest StartKind = iota // the first offset that the log still holds
	StartLatest                    // the end of the log
	StartAtTime                    // the first record at or after Start.Time, else the end
)
