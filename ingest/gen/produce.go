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
	opts, err := connection.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("produce to %s: %w", topic, err)
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
		return nil, fmt.Errorf("produce to %s: %w", topic, err)
	}
	defer client.Close()
	details, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("produce to %s: %w", topic, err)
	}
	if err := details[topic].Err; err != nil {
		return nil, fmt.Errorf("produce to %s: %w: create the topic first", topic, err)
	}
	p := producer{client: client, g: g, totals: g.NewTotals(), partitions: int32(len(details[topic].Partitions))}
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(graceTime, stop) })()
	err = pace(ctx, run, func(from, next int64) error { return p.block(sending, from, next) })
	if flushErr := client.Flush(sending); err == nil {
		err = flushErr
	}
	if err == nil {
		err = p.failure()
	}
	g.Finish(p.totals)
	if err != nil {
		return p.totals, fmt.Errorf("produce to %s: %w", topic, err)
	}
	return p.totals, nil
}

type producer struct {
	client     *kgo.Client
	g          *Generator
	totals     *Totals
	partitions int32

	mu     sync.Mutex
	failed error
}

// block makes rows [from, next). Keys and values of a block share one buffer, which the client may
// hold on to, so each block has its own.
func (p *producer) block(ctx context.Context, from, next int64) error {
	records := make([]kgo.Record, next-from)
	buffer := make([]byte, 0, (next-from)*300)
	for i := range records {
		start := len(buffer)
		buffer = p.g.Append(buffer, from+int64(i))
		end := len(buffer)
		buffer = p.g.AppendKey(buffer)
		value, key := buffer[start:end:end], buffer[end:len(buffer):len(buffer)]
		partition := Partition(key, p.partitions)
		p.g.Count(p.totals, partition, value)
		r := &records[i]
		r.Key, r.Value, r.Partition = key, value, partition
		p.client.Produce(ctx, r, p.done)
	}
	return p.failure()
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
