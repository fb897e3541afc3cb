package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/firthlake/firth/commit"
)

// The conditions that a caller must tell apart; errors wrap them with the act and its object.
var (
	// ErrUnreachable says that no broker answered.
	ErrUnreachable = errors.New("broker unreachable")
	// ErrCredentials says that the broker refused the user, the password or the token.
	ErrCredentials = errors.New("credentials refused")
	// ErrTLS says that client and broker do not agree on encryption or certificates.
	ErrTLS = errors.New("TLS refused")
	// ErrSession says that the broker wants longer sessions of the consumer group.
	ErrSession = errors.New("session time-out refused")
	// ErrInstanceTaken says that another live process joined the consumer group under this one's
	// instance id, and has its partitions. Whoever reads on does so under another id: with the same
	// one the two would put each other out for ever.
	ErrInstanceTaken = errors.New("another live process has this one's place in the consumer group")
	// ErrClosed says that the source was closed.
	ErrClosed = errors.New("source closed")
)

// OutOfRangeError says that the log does not hold the offset at which reading had to go on: it lies
// before First (retention removed it) or behind End (the log was cut off).
type OutOfRangeError struct {
	TopicPartition commit.TopicPartition
	Wanted         commit.Offset
	First, End     commit.Offset
}

func (e *OutOfRangeError) Error() string {
	if e.Wanted > e.End {
		return fmt.Sprintf("%s: offset %d is behind the end of the log (%d): the log was cut off or replaced",
			e.TopicPartition, e.Wanted, e.End)
	}
	return fmt.Sprintf("%s: offsets %d to %d are out of retention: the log now begins at %d",
		e.TopicPartition, e.Wanted, e.First-1, e.First)
}

// MissingTopicError says that topics asked for by name do not exist.
type MissingTopicError struct {
	Cluster string
	Topics  []string
}

func (e *MissingTopicError) Error() string {
	return fmt.Sprintf("no topic %s on cluster %s: create it, or correct the name in the table's spec "+
		"(`firth topics` lists what is there)", strings.Join(e.Topics, ", "), e.Cluster)
}

// RemovedTopicError says that a topic which is read does not exist any more.
type RemovedTopicError struct {
	Cluster, Topic string
}

func (e *RemovedTopicError) Error() string {
	return fmt.Sprintf("topic %s was removed from cluster %s: what was read of it is kept, and its tables keep "+
		"their position; a topic that is created under this name is another one, which they refuse: take the "+
		"topic out of the tables' specs, or feed a new table from the new one", e.Topic, e.Cluster)
}
