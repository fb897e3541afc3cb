//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/e2e/components"
)

// changesTopic has what change says, in every partition.
const changesTopic = "changes"

// change is the record at an offset of a partition: of a key that is in no other partition, which every ninth deletes.
func change(partition, offset int) (id int, gone bool) {
	return offset*offset%71*partitions + partition, offset%9 == 4
}

// produceChanges goes on in every partition where it ends, until ctx does.
func produceChanges(ctx context.Context, brokers string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic(changesTopic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, changesTopic)
	if err != nil {
		return err
	}
	var next [partitions]int
	ends.Each(func(end kadm.ListedOffset) { next[end.Partition] = int(end.Offset) })
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var records []*kgo.Record
		for p := range partitions {
			id, gone := change(p, next[p])
			next[p]++
			records = append(records, &kgo.Record{Partition: int32(p),
				Value: fmt.Appendf(nil, `{"id":%d,"gone":%t}`, id, gone)})
		}
		if err := client.ProduceSync(context.WithoutCancel(ctx), records...).FirstErr(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// newestQuestion asks for the key and offset of every row.
func newestQuestion(engine, catalog, name string) string {
	if namesTables(engine) {
		return catalog + ".db." + name + " rows"
	}
	return "select _kafka_partition, _kafka_offset, id from " + tableName(engine, catalog, name)
}

// cuts are the places in the topic at which answers of one session stood.
type cuts struct {
	answers, different int
	states             [partitions]newest
}

// newest is the offset of the newest record of each key of a partition, up to a cut.
type newest struct {
	cut  int
	rows map[int]int
}

// reach moves on to the next cut of records at which the rows are those found. That may lie behind the last of them,
// where what followed was deleted, but not far.
func (n *newest) reach(record func(offset int) (id int, gone bool), found map[int]int) bool {
	if n.rows == nil {
		n.rows = map[int]int{}
	}
	last := n.cut
	for _, offset := range found {
		last = max(last, offset+1)
	}
	const far = 60
	for ; n.cut <= last+far; n.cut++ {
		if n.cut >= last && maps.Equal(n.rows, found) {
			return true
		}
		if id, gone := record(n.cut); gone {
			delete(n.rows, id)
		} else {
			n.rows[id] = n.cut
		}
	}
	return false
}

// check wants the rows of each partition to be the newest of their keys at one cut, which does not go back.
func (c *cuts) check(t *testing.T, of string, answer components.Answer) {
	t.Helper()
	var found [partitions]map[int]int
	for p := range found {
		found[p] = map[int]int{}
	}
	for _, row := range answer.Rows {
		var n [3]int
		for i, text := range row {
			var err error
			n[i], err = strconv.Atoi(text)
			require.NoError(t, err)
		}
		require.NotContains(t, found[n[0]], n[2], "%s: key %d twice", of, n[2])
		found[n[0]][n[2]] = n[1]
	}
	before := c.states[0].cut
	for p := range found {
		cut := c.states[p].cut
		record := func(offset int) (int, bool) { return change(p, offset) }
		require.True(t, c.states[p].reach(record, found[p]), "%s, partition %d: no cut from %d on has these rows: %v",
			of, p, cut, found[p])
	}
	c.answers++
	if c.states[0].cut != before {
		c.different++
	}
}
