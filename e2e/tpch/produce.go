package tpch

import (
	"bytes"
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// partitionsMax is how many partitions the topics of large tables have.
const partitionsMax = 4

// Produce makes the topics of all tables and fills them.
func Produce(ctx context.Context, brokers string, scale float64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.UnknownTopicRetries(4))
	if err != nil {
		return fmt.Errorf("produce the tables of TPC-H: %w", err)
	}
	defer client.Close()
	for _, t := range Tables() {
		if err := t.produce(ctx, client, scale); err != nil {
			return fmt.Errorf("produce table %s of TPC-H: %w", t.Name, err)
		}
	}
	return nil
}

// produce fills one topic: blocks of lines go to its partitions by turns.
func (t Table) produce(ctx context.Context, client *kgo.Client, scale float64) error {
	partitions := int32(1)
	if t.perScale > 0 {
		partitions = partitionsMax
	}
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, t.Topic()); err != nil {
		return err
	}
	failed := make(chan error, 1) // the first fault; others are dropped
	done := func(_ *kgo.Record, err error) {
		if err == nil {
			return
		}
		select {
		case failed <- err:
		default:
		}
	}
	made := int32(0)
	for line := range t.Lines(scale) {
		client.Produce(ctx, &kgo.Record{Topic: t.Topic(), Partition: made / blockLines % partitions,
			Value: bytes.Clone(line)}, done)
		made++
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// blockLines is how many lines go to one partition before the next has its turn.
const blockLines = 4096
