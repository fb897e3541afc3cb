package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic creates a topic with the broker's default replication; one that exists is no error. When it
// returns nil, every broker that answers knows a leader of every partition.
func (a *Admin) CreateTopic(ctx context.Context, topic string, partitions int32) error {
	answers, err := a.admin.CreateTopics(ctx, partitions, -1, nil, topic)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, connectionError(err))
	}
	if err := answers[topic].Err; err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	err = awaitTopic(ctx, func(ctx context.Context) error { return a.spread(ctx, topic) })
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// A controller says that a topic is created before the brokers have heard of it: a few milliseconds
// before, or seconds while they remove a topic of hundreds of partitions.
const (
	topicWaitMax   = 30 * time.Second
	topicWaitEvery = 20 * time.Millisecond
)

// errSpreading says that the brokers are still being told of a topic.
var errSpreading = errors.New("it is created, but the brokers do not all know it")

// awaitTopic looks until the topic is not spreading any more.
func awaitTopic(ctx context.Context, look func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, topicWaitMax)
	defer cancel()
	ticker := time.NewTicker(topicWaitEvery)
	defer ticker.Stop()
	for {
		err := look(limited)
		if !errors.Is(err, errSpreading) {
			return err
		}
		select {
		case <-ticker.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w after %v: look at the brokers' logs, then try again", err, topicWaitMax)
		}
	}
}

// spread returns nil when the brokers know a leader of every partition, else errSpreading. A broker that
// does not answer is passed over: nobody will hear from it that the topic is missing.
func (a *Admin) spread(ctx context.Context, topic string) error {
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = append(request.Topics, asked)
	silent := errors.New("no broker is known")
	answered := false
	for _, broker := range a.client.DiscoveredBrokers() {
		answer, err := broker.RetriableRequest(ctx, request)
		if err != nil {
			silent = err
			continue
		}
		answered = true
		for _, t := range answer.(*kmsg.MetadataResponse).Topics {
			if err := spreading(t); err != nil {
				return err
			}
		}
	}
	if !answered {
		return connectionError(silent)
	}
	return nil
}

// spreading is what a broker's answer about a topic lacks.
func spreading(t kmsg.MetadataResponseTopic) error {
	err := kerr.ErrorForCode(t.ErrorCode)
	if kerr.IsRetriable(err) {
		return fmt.Errorf("%w: %w", errSpreading, err)
	}
	if err != nil {
		return err
	}
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			return fmt.Errorf("%w: partition %d has no leader", errSpreading, p.Partition)
		}
	}
	return nil
}
