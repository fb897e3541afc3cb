package stage

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/firthlake/firth/ingest/source"
)

// FetchOptions say what Fetch reads.
type FetchOptions struct {
	source.Connection
	// Topic is also the consumer group.
	Topic string
	// Rows is how many records the topic holds.
	Rows     int64
	Progress func(rows int64)
	Now      func() time.Time
	Log      *slog.Logger
}

// Fetch reads all of a topic, from the connection to the last record, and gives every record back as soon
// as it is there. The caller measures.
func Fetch(ctx context.Context, o FetchOptions, result *Result) error {
	reader, err := source.OpenKafka(ctx, source.KafkaOptions{Connection: o.Connection, Now: o.Now,
		Topics: []string{o.Topic}, Group: o.Topic, Logger: o.Log})
	if err != nil {
		return err
	}
	for err == nil && result.Rows < o.Rows {
		err = o.poll(ctx, reader, result)
	}
	if closed := reader.Close(ctx); err == nil {
		err = closed
	}
	return err
}

// poll takes in one event.
func (o *FetchOptions) poll(ctx context.Context, reader *source.Kafka, result *Result) error {
	event, err := reader.Poll(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	if len(event.Warnings) > 0 {
		return event.Warnings[0]
	}
	if event.Release != nil || len(event.OutOfRange) > 0 {
		return fmt.Errorf("topic %s is read by others or was cut off meanwhile", o.Topic)
	}
	if len(event.Assigned) > 0 {
		start, err := reader.Resolve(ctx, source.Start{Kind: source.StartEarliest}, event.Assigned)
		if err != nil {
			return err
		}
		if err := reader.Seek(ctx, start); err != nil {
			return err
		}
	}
	for i := range event.Chunks {
		chunk := &event.Chunks[i]
		result.Rows += int64(len(chunk.Records))
		result.BytesRead += int64(chunkSize(chunk))
		chunk.Release()
	}
	o.Progress(result.Rows)
	return nil
}
