package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/commit"
)

// described is what metadata says about topics.
type described struct {
	cluster string
	ids     map[string]uuid.UUID
}

// describe asks a cluster about topics over a connection of its own.
func describe(ctx context.Context, connection Connection, topics []string) (described, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	client, err := connect(ctx, connection)
	if err != nil {
		return described{}, err
	}
	defer client.Close()
	return describeWith(ctx, kadm.NewClient(client), topics)
}

// connect makes a client for a few questions, so that what is wrong with the connection shows before
// anything waits for it.
func connect(ctx context.Context, connection Connection) (*kgo.Client, error) {
	opts, err := connection.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RetryTimeout(requestTimeout), kgo.RequestRetries(2))...)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	// A ping tries each broker once, where metadata would go round until its time is over.
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("connect to Kafka at %s: %w",
			strings.Join(connection.Brokers, ", "), connectionError(err))
	}
	return client, nil
}

// describeWith returns the ids of topics and *MissingTopicError when one is not there.
func describeWith(ctx context.Context, admin *kadm.Client, topics []string) (described, error) {
	metadata, err := admin.Metadata(ctx, topics...)
	if err != nil {
		return described{}, fmt.Errorf("describe topics %s: %w",
			strings.Join(topics, ", "), connectionError(err))
	}
	if metadata.Cluster == "" {
		return described{}, errors.New(
			"the cluster has no id, so offsets cannot be told from another cluster's: " +
				"firth needs Kafka 0.10.1 or newer")
	}
	d := described{cluster: metadata.Cluster, ids: map[string]uuid.UUID{}}
	var missing []string
	for _, name := range topics {
		topic, found := metadata.Topics[name]
		switch {
		case !found || errors.Is(topic.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name)
		case topic.Err != nil:
			return described{}, fmt.Errorf("describe topic %s: %w", name, connectionError(topic.Err))
		default:
			d.ids[name] = uuid.UUID(topic.ID)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return d, &MissingTopicError{Cluster: d.cluster, Topics: missing}
	}
	return d, nil
}

// checkTopics looks, now and then, whether topics were re-created or removed. Partitions of a
// topic's former self are lost; those of the new one are assigned under the new id.
func (k *Kafka) checkTopics(ctx context.Context) {
	now := k.opts.Now()
	if now.Before(k.nextCheck) {
		return
	}
	k.nextCheck = now.Add(k.opts.MetadataInterval)
	known, topics := k.topicIDs()
	if len(topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	d, err := describeWith(ctx, k.admin, topics)
	var missing *MissingTopicError
	switch {
	case errors.Is(err, context.Canceled): // Poll was woken
		k.nextCheck = time.Time{}
		return
	case err != nil && !errors.As(err, &missing):
		k.trouble(err, k.opts.MetadataInterval)
		return
	}
	for topic, id := range d.ids {
		k.troubles.end(k.told(&RemovedTopicError{Cluster: k.cluster, Topic: topic}))
		if was := known[topic]; id != was && was != uuid.Nil && id != uuid.Nil {
			k.replaceTopic(topic)
		}
	}
	if missing != nil {
		again := min(k.opts.MetadataInterval, missingInterval)
		k.nextCheck = now.Add(again)
		for _, topic := range missing.Topics {
			k.trouble(&RemovedTopicError{Cluster: k.cluster, Topic: topic}, again)
		}
	}
}

// topicIDs are the ids of the topics that are assigned, and the names of all that are wanted: those
// asked for by name, and those of a pattern that were here once.
func (k *Kafka) topicIDs() (assigned map[string]uuid.UUID, wanted []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	assigned = map[string]uuid.UUID{}
	for _, p := range k.partitions {
		assigned[p.id.Topic] = p.id.TopicID
	}
	wanted = slices.Concat(k.opts.Topics, slices.Collect(maps.Keys(k.seen)))
	slices.Sort(wanted)
	return assigned, slices.Compact(wanted)
}

// replaceTopic makes the client forget a topic's former self and join its new one. A pattern finds
// it again by itself.
func (k *Kafka) replaceTopic(topic string) {
	k.mu.Lock()
	var indexes []int32
	for name := range k.partitions {
		if name.topic == topic {
			indexes = append(indexes, name.index)
		}
	}
	k.pending.Lost = append(k.pending.Lost, k.remove(map[string][]int32{topic: indexes})...)
	k.wake()
	k.mu.Unlock()
	k.opts.Logger.Warn("topic was re-created", "topic", topic)
	k.client.PurgeTopicsFromConsuming(topic)
	if len(k.opts.Patterns) == 0 {
		k.client.AddConsumeTopics(topic)
	}
}

// resolve asks the log where start is.
func resolve(
	ctx context.Context, admin *kadm.Client, start Start, partitions []commit.TopicPartition,
) (commit.Position, error) {
	var topics []string
	for _, id := range partitions {
		if !slices.Contains(topics, id.Topic) {
			topics = append(topics, id.Topic)
		}
	}
	if len(topics) == 0 {
		return commit.Position{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var listed kadm.ListedOffsets
	var err error
	switch start.Kind {
	case StartEarliest:
		listed, err = admin.ListStartOffsets(ctx, topics...)
	case StartLatest:
		listed, err = admin.ListEndOffsets(ctx, topics...)
	case StartAtTime:
		listed, err = admin.ListOffsetsAfterMilli(ctx, start.Time.UnixMilli(), topics...)
	default:
		panic(fmt.Sprintf("BUG: start kind %d", start.Kind))
	}
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", strings.Join(topics, ", "), connectionError(err))
	}
	position := make(commit.Position, len(partitions))
	for _, id := range partitions {
		offset, found := listed.Lookup(id.Topic, id.Partition)
		switch {
		case !found:
			return nil, fmt.Errorf("list offsets of %s: no answer for this partition", id)
		case offset.Err != nil:
			return nil, fmt.Errorf("list offsets of %s: %w", id, connectionError(offset.Err))
		}
		position[id] = commit.Offset(offset.Offset)
	}
	return position, nil
}

// retention is the shortest of a topic's two limits, as the broker's configuration says; a negative
// value means no limit.
func retention(configs []kadm.Config) (age time.Duration, bytes int64) {
	age, bytes = -1, -1
	for _, c := range configs {
		if c.Value == nil {
			continue
		}
		var n int64
		if _, err := fmt.Sscan(*c.Value, &n); err != nil {
			continue // not a number: some other setting
		}
		switch c.Key {
		case "retention.ms":
			if n >= 0 {
				age = time.Duration(n) * time.Millisecond
			}
		case "retention.bytes":
			bytes = n
		}
	}
	return age, bytes
}
