package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/commit"
)

// Admin looks at a cluster for the commands that list and create topics. It changes nothing unless
// a method says so.
type Admin struct {
	client *kgo.Client
	admin  *kadm.Client
}

// Topic describes a topic as a person wants to see it.
type Topic struct {
	Name       string
	ID         uuid.UUID
	Internal   bool
	Partitions []TopicState
	// RetentionAge and RetentionBytes are negative when there is no limit.
	RetentionAge   time.Duration
	RetentionBytes int64
	// Compacted says that the broker keeps the newest record of a key only.
	Compacted bool
}

// TopicState describes a partition of a topic.
type TopicState struct {
	Partition  int32
	First, End commit.Offset
	// Bytes is the size of the log on its leader's disk, -1 when the broker does not tell.
	Bytes int64
}

// Records is the number of offsets that the topic holds, an upper bound of its records.
func (t Topic) Records() int64 {
	var n int64
	for _, p := range t.Partitions {
		n += int64(p.End - p.First)
	}
	return n
}

// Bytes is the size of the topic on its leaders' disks, -1 when no broker tells.
func (t Topic) Bytes() int64 {
	n := int64(-1)
	for _, p := range t.Partitions {
		if p.Bytes >= 0 {
			n = max(n, 0) + p.Bytes
		}
	}
	return n
}

// OpenAdmin connects to a cluster, with the same errors as OpenKafka.
func OpenAdmin(ctx context.Context, connection Connection) (*Admin, error) {
	if _, err := describe(ctx, connection, nil); err != nil {
		return nil, err
	}
	opts, err := connection.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	return &Admin{client: client, admin: kadm.NewClient(client)}, nil
}

// Close closes the connections.
func (a *Admin) Close() { a.client.Close() }

// Cluster returns the id that the cluster gave itself.
func (a *Admin) Cluster(ctx context.Context) (string, error) {
	metadata, err := a.admin.BrokerMetadata(ctx)
	if err != nil {
		return "", fmt.Errorf("describe cluster: %w", connectionError(err))
	}
	return metadata.Cluster, nil
}

// Topics describes the named topics, or all that are not internal when none is named, by name.
func (a *Admin) Topics(ctx context.Context, names ...string) ([]Topic, error) {
	details, err := a.admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", connectionError(err))
	}
	for _, name := range names {
		d := details[name]
		if errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return nil, a.missing(ctx, name)
		}
		if d.Err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", name, d.Err)
		}
	}
	listed := details.Names()
	if len(listed) == 0 {
		return nil, nil
	}
	first, err := a.admin.ListStartOffsets(ctx, listed...)
	if err != nil {
		return nil, fmt.Errorf("list first offsets: %w", connectionError(err))
	}
	end, err := a.admin.ListEndOffsets(ctx, listed...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", connectionError(err))
	}
	sizes := a.sizes(ctx)
	configs := a.configs(ctx, listed)
	var topics []Topic
	for _, name := range listed {
		d := details[name]
		t := Topic{Name: name, ID: uuid.UUID(d.ID), Internal: d.IsInternal}
		t.RetentionAge, t.RetentionBytes = retention(configs[name])
		t.Compacted = compacted(configs[name])
		for _, p := range d.Partitions.Sorted() {
			state := TopicState{Partition: p.Partition, Bytes: -1}
			if o, found := first.Lookup(name, p.Partition); found && o.Err == nil {
				state.First = commit.Offset(o.Offset)
			}
			if o, found := end.Lookup(name, p.Partition); found && o.Err == nil {
				state.End = commit.Offset(o.Offset)
			}
			if bytes, found := sizes[topicPartition{name, p.Partition}]; found {
				state.Bytes = bytes
			}
			t.Partitions = append(t.Partitions, state)
		}
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b Topic) int { return cmp.Compare(a.Name, b.Name) })
	return topics, nil
}

// missing says that a topic is not there.
func (a *Admin) missing(ctx context.Context, name string) error {
	cluster, err := a.Cluster(ctx)
	if err != nil {
		return err
	}
	return &MissingTopicError{Cluster: cluster, Topics: []string{name}}
}

// sizes are the largest replica's bytes of each partition. Brokers may refuse to tell, which is no
// reason to show nothing else.
func (a *Admin) sizes(ctx context.Context) map[topicPartition]int64 {
	sizes := map[topicPartition]int64{}
	dirs, err := a.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(dirs) == 0 {
		return sizes
	}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			name := topicPartition{p.Topic, p.Partition}
			sizes[name] = max(sizes[name], p.Size)
		})
	})
	return sizes
}

// configs are the settings of topics as far as the broker lets us see them.
func (a *Admin) configs(ctx context.Context, topics []string) map[string][]kadm.Config {
	configs := map[string][]kadm.Config{}
	answers, err := a.admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return configs
	}
	for _, answer := range answers {
		configs[answer.Name] = answer.Configs
	}
	return configs
}

func compacted(configs []kadm.Config) bool {
	for _, c := range configs {
		if c.Key == "cleanup.policy" && c.Value != nil {
			return *c.Value == "compact" || *c.Value == "compact,delete" || *c.Value == "delete,compact"
		}
	}
	return false
}

// Resolve says which offsets start means for every partition of a topic, at this moment.
func (a *Admin) Resolve(ctx context.Context, start Start, topic string) (commit.Position, error) {
	d, err := describeWith(ctx, a.admin, []string{topic})
	if err != nil {
		return nil, err
	}
	details, err := a.admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("describe topic %s: %w", topic, connectionError(err))
	}
	var ids []commit.TopicPartition
	for _, p := range details[topic].Partitions.Sorted() {
		ids = append(ids, commit.TopicPartition{
			Cluster: d.cluster, TopicID: d.ids[topic], Topic: topic, Partition: p.Partition,
		})
	}
	return resolve(ctx, a.admin, start, ids)
}

// DeleteTopic removes a topic with all its records, for ever.
func (a *Admin) DeleteTopic(ctx context.Context, topic string) error {
	if _, err := a.admin.DeleteTopic(ctx, topic); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, connectionError(err))
	}
	return nil
}

// Truncate removes the records before position, for ever.
func (a *Admin) Truncate(ctx context.Context, position commit.Position) error {
	offsets := kadm.Offsets{}
	for id, next := range position {
		offsets.AddOffset(id.Topic, id.Partition, int64(next), -1)
	}
	answers, err := a.admin.DeleteRecords(ctx, offsets)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return fmt.Errorf("remove old records: %w", connectionError(err))
	}
	return nil
}
