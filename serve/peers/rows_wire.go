package peers

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// part is what a process answers to a list of keys, as JSON.
type part struct {
	// Process is who answers.
	Process string `json:"process"`
	// Idle says that it reads nothing of the table; then the rest is empty.
	Idle       bool       `json:"idle,omitempty"`
	Table      uuid.UUID  `json:"table"`
	SnapshotID int64      `json:"snapshot_id"`
	Number     int64      `json:"number"`
	Behind     string     `json:"behind,omitempty"`
	Topics     []topicCut `json:"topics"`
	// Found are the numbers of the keys that have rows, Rows these, as Arrow IPC streams: one for those that follow one
	// another and have the same columns.
	Found   []int     `json:"found"`
	Rows    [][]byte  `json:"rows"`
	Waiting []waiting `json:"waiting"` // of each key
}

// waiting is what waits of a key.
type waiting struct {
	Some     bool    `json:"some,omitempty"`
	Changed  bool    `json:"changed,omitempty"`
	Sequence []int64 `json:"sequence,omitempty"`
	// In are topic partitions, by the number of the topic and their own.
	In [][2]int32 `json:"in,omitempty"`
}

// topicCut is where an answer ends in a topic, and which partitions the process reads and lacks.
type topicCut struct {
	Cluster    string         `json:"cluster"`
	TopicID    uuid.UUID      `json:"topic_id"`
	Topic      string         `json:"topic"`
	Partitions []int32        `json:"partitions"`
	Next       []table.Offset `json:"next"`
	Reads      []int32        `json:"reads,omitempty"`
	Lacks      []int32        `json:"lacks,omitempty"`
}

func (c *topicCut) id(partition int32) table.TopicPartition {
	return table.TopicPartition{Cluster: c.Cluster, TopicID: c.TopicID, Topic: c.Topic, Partition: partition}
}

// encodePart makes the answer of a process.
func encodePart(process string, p *point.Part) (part, error) {
	out := part{Process: process, Table: p.Table, SnapshotID: p.SnapshotID, Number: p.Number, Behind: p.Behind}
	out.encodeCut(p)
	for _, w := range p.Waiting {
		to := waiting{Some: w.Some, Changed: w.Changed, Sequence: w.Sequence}
		for _, id := range w.In {
			to.In = append(to.In, [2]int32{int32(out.topic(id)), id.Partition})
		}
		out.Waiting = append(out.Waiting, to)
	}
	var run []arrow.RecordBatch
	flush := func() error {
		stream, err := encodeBatches(run)
		out.Rows, run = append(out.Rows, stream), nil
		return err
	}
	for i, row := range p.Rows {
		if row == nil {
			continue
		}
		if len(run) > 0 && !run[0].Schema().Equal(row.Schema()) {
			if err := flush(); err != nil {
				return out, err
			}
		}
		run, out.Found = append(run, row), append(out.Found, i)
	}
	if len(run) == 0 {
		return out, nil
	}
	return out, flush()
}

// topic is the place of the topic of a topic partition.
func (p *part) topic(id table.TopicPartition) int {
	at := slices.IndexFunc(p.Topics, func(c topicCut) bool { return c.id(id.Partition) == id })
	if at < 0 {
		at = len(p.Topics)
		p.Topics = append(p.Topics, topicCut{Cluster: id.Cluster, TopicID: id.TopicID, Topic: id.Topic})
	}
	return at
}

func (p *part) encodeCut(from *point.Part) {
	for id, next := range from.Position {
		c := &p.Topics[p.topic(id)]
		c.Partitions, c.Next = append(c.Partitions, id.Partition), append(c.Next, next)
	}
	for id, reads := range from.Reads {
		if c := &p.Topics[p.topic(id)]; reads {
			c.Reads = append(c.Reads, id.Partition)
		}
	}
	for _, id := range from.Lacks {
		c := &p.Topics[p.topic(id)]
		c.Lacks = append(c.Lacks, id.Partition)
	}
}

// encodeBatches makes one stream of batches with the same columns, none of none.
func encodeBatches(batches []arrow.RecordBatch) ([]byte, error) {
	if len(batches) == 0 {
		return nil, nil
	}
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(batches[0].Schema()))
	for _, batch := range batches {
		if err := w.Write(batch); err != nil {
			return nil, fmt.Errorf("encode rows: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode rows: %w", err)
	}
	return buf.Bytes(), nil
}

// decodeBatches returns the batches of a stream, each of one row. The caller releases them, also with an error.
func decodeBatches(stream []byte) (out []arrow.RecordBatch, err error) {
	if len(stream) == 0 {
		return nil, nil
	}
	reader, err := ipc.NewReader(bytes.NewReader(stream))
	if err != nil {
		return nil, fmt.Errorf("decode rows: %w", err)
	}
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		batch.Retain()
		if out = append(out, batch); batch.NumRows() != 1 {
			return out, fmt.Errorf("decode rows: a batch has %d", batch.NumRows())
		}
	}
	if err := reader.Err(); err != nil {
		return out, fmt.Errorf("decode rows: %w", err)
	}
	return out, nil
}

// decode is what a process has answered to so many keys. The caller releases it.
func (p *part) decode(keys int) (point.Part, error) {
	out := point.Part{Answer: point.Answer{Rows: make([]arrow.RecordBatch, keys), SnapshotID: p.SnapshotID,
		Position: table.Position{}, Behind: p.Behind}, Table: p.Table, Number: p.Number,
		Reads: map[table.TopicPartition]bool{}}
	for i := range p.Topics {
		c := &p.Topics[i]
		if len(c.Next) != len(c.Partitions) {
			return out, fmt.Errorf("topic %s has %d partitions and %d offsets", c.Topic, len(c.Partitions), len(c.Next))
		}
		for j, partition := range c.Partitions {
			out.Position[c.id(partition)] = c.Next[j]
		}
		for _, partition := range c.Reads {
			out.Reads[c.id(partition)] = true
		}
		for _, partition := range c.Lacks {
			out.Lacks = append(out.Lacks, c.id(partition))
		}
	}
	for _, w := range p.Waiting {
		to := point.Waiting{Some: w.Some, Changed: w.Changed, Sequence: w.Sequence}
		for _, at := range w.In {
			if at[0] < 0 || int(at[0]) >= len(p.Topics) {
				return out, fmt.Errorf("it has versions in topic %d of %d", at[0], len(p.Topics))
			}
			to.In = append(to.In, p.Topics[at[0]].id(at[1]))
		}
		out.Waiting = append(out.Waiting, to)
	}
	if len(p.Waiting) != keys {
		return out, fmt.Errorf("it tells of %d keys, not %d", len(p.Waiting), keys)
	}
	found := p.Found
	for _, stream := range p.Rows {
		rows, err := decodeBatches(stream)
		for i, row := range rows {
			if i >= len(found) || found[i] < 0 || found[i] >= keys || out.Rows[found[i]] != nil {
				row.Release()
				err = fmt.Errorf("it has a row of no key")
				continue
			}
			out.Rows[found[i]] = row
		}
		if err != nil {
			out.Release()
			return out, err
		}
		found = found[len(rows):]
	}
	if len(found) > 0 {
		out.Release()
		return out, fmt.Errorf("%d rows are missing", len(found))
	}
	return out, nil
}
