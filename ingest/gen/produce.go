package gen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/ingest/source"
)

// Run says which rows to make and how fast.
type Run struct {
	// From is the first row, Rows how many; 0 rows means until ctx ends.
	From, Rows int64
	// Rate is rows per second; 0 means as fast as it goes.
	Rate int64
	// Progress, when not nil, is called now and then with the number of rows that are safe.
	Progress func(rows int64)
}

// Bounds of producing. Rows are made in blocks; a block is what is drawn before it is handed over. Records of
// events10 that wait to be sent take 32 MiB, which is what Kafka's own producer gives them (buffer.memory).
const (
	blockRows       = 512
	bufferedRecords = 128 << 10
	lingerTime      = 5 * time.Millisecond
	// graceTime is for sending what was made before the end of ctx. The totals count it.
	graceTime = 10 * time.Second
)

// Produce writes rows to a topic, which must exist, partitioned by key, and waits until the brokers
// have them. It returns the totals of what was written, also when it ends early.
func Produce(
	ctx context.Context, connection source.Connection, topic string, g *Generator, run Run,
) (*Totals, error) {
	totals := g.NewTotals()
	err := send(ctx, connection, topic, run, func(records []kgo.Record, from int64, partitions int32) {
		// Keys and values of a block share one buffer, which the client may hold on to, so each block has its own.
		buffer := make([]byte, 0, len(records)*300)
		for i := range records {
			start := len(buffer)
			buffer = g.Append(buffer, from+int64(i))
			end := len(buffer)
			buffer = g.AppendKey(buffer)
			value, key := buffer[start:end:end], buffer[end:len(buffer):len(buffer)]
			partition := Partition(key, partitions)
			g.Count(totals, partition, value)
			r := &records[i]
			r.Key, r.Value, r.Partition = key, value, partition
		}
	})
	if totals.Rows == 0 && err != nil {
		return nil, err
	}
	g.Finish(totals)
	return totals, err
}

// Record is one that is written as it is.
type Record struct {
	Key, Value []byte // of which the client takes hold
	Partition  int32
}

// ProduceRecords writes the records that record returns for numbers from run.From on to a topic, which must exist, in
// this order, and waits until the brokers have them.
func ProduceRecords(
	ctx context.Context, connection source.Connection, topic string, run Run, record func(number int64) Record,
) error {
	return send(ctx, connection, topic, run, func(records []kgo.Record, from int64, _ int32) {
		for i := range records {
			made, r := record(from+int64(i)), &records[i]
			r.Key, r.Value, r.Partition = made.Key, made.Value, made.Partition
		}
	})
}

// send writes the records that fill makes, block by block.
func send(ctx context.Context, connection source.Connection, topic string, run Run,
	fill func(records []kgo.Record, from int64, partitions int32),
) error {
	opts, err := connection.ClientOptions()
	if err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	client, err := kgo.NewClient(append(opts,
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(lingerTime),
		kgo.MaxBufferedRecords(bufferedRecords),
		kgo.UnknownTopicRetries(4),
	)...)
	if err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	defer client.Close()
	details, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	if err := details[topic].Err; err != nil {
		return fmt.Errorf("produce to %s: %w: create the topic first", topic, err)
	}
	p := producer{client: client}
	partitions := int32(len(details[topic].Partitions))
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(graceTime, stop) })()
	err = pace(ctx, run, func(from, next int64) error {
		records := make([]kgo.Record, next-from)
		fill(records, from, partitions)
		for i := range records {
			client.Produce(sending, &records[i], p.done)
		}
		return p.failure()
	})
	if flushErr := client.Flush(sending); err == nil {
		err = flushErr
	}
	if err == nil {
		err = p.failure()
	}
	if err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	return nil
}

type producer struct {
	client *kgo.Client

	mu     sync.Mutex
	failed error
}

func (p *producer) done(_ *kgo.Record, err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = err
	}
}

func (p *producer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// Write writes rows to w, one a line; Avro and Protobuf values are preceded by their length as a
// 4-byte big-endian number, since they may hold line ends.
func Write(ctx context.Context, w io.Writer, g *Generator, run Run) (*Totals, error) {
	out := bufio.NewWriterSize(w, 1<<20)
	totals := g.NewTotals()
	if _, err := out.Write(g.Header()); err != nil {
		return nil, fmt.Errorf("write rows: %w", err)
	}
	framed := g.opts.Format == Avro || g.opts.Format == Protobuf
	var buffer []byte
	err := pace(ctx, run, func(from, next int64) error {
		for row := from; row < next; row++ {
			buffer = g.Append(append(buffer[:0], 0, 0, 0, 0), row)
			encoded := buffer[4:]
			g.Count(totals, 0, encoded)
			if framed {
				n := len(encoded)
				buffer[0], buffer[1], buffer[2], buffer[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
				encoded = buffer
			} else {
				encoded = append(encoded, '\n')
			}
			if _, err := out.Write(encoded); err != nil {
				return err
			}
		}
		return nil
	})
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	g.Finish(totals)
	if err != nil {
		return totals, fmt.Errorf("write rows: %w", err)
	}
	return totals, nil
}

// pace calls block for consecutive blocks of rows, no faster than the rate. The end of ctx is no
// error: it is how a run without an end is stopped.
func pace(ctx context.Context, run Run, block func(from, next int64) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	begun := time.Now()
	for made := int64(0); run.Rows == 0 || made < run.Rows; {
		n := int64(blockRows)
		if run.Rate > 0 {
			n = min(n, max(1, run.Rate/50))
		}
		if run.Rows > 0 {
			n = min(n, run.Rows-made)
		}
		if err := block(run.From+made, run.From+made+n); err != nil {
			return err
		}
		made += n
		if run.Progress != nil {
			run.Progress(made)
		}
		if run.Rate > 0 {
			due := begun.Add(time.Duration(float64(made) / float64(run.Rate) * float64(time.Second)))
			timer.Reset(time.Until(due))
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}
