package point_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// history is the records of a table: a key has its records in one topic partition, the one of its number.
type history struct {
	rng       *rand.Rand
	logs      [partitions][]record
	positions []table.Position // of the committed states
}

const (
	partitions = 3
	keys       = 6
)

// record makes a row of a key, or deletes it with value 0.
type record struct {
	key   int
	value int64
}

func partition(i int) table.TopicPartition {
	return table.TopicPartition{Topic: "users", Partition: int32(i)}
}

func newHistory(seed uint64) *history {
	h := &history{rng: rand.New(rand.NewPCG(seed, 3))}
	for i := range h.logs {
		for range 20 {
			h.logs[i] = append(h.logs[i], record{i + partitions*h.rng.IntN(keys/partitions), h.rng.Int64N(5)})
		}
	}
	at := table.Position{}
	for range 6 {
		next := table.Position{}
		for i := range partitions {
			id := partition(i)
			next[id] = min(15, at[id]+table.Offset(h.rng.IntN(6)))
		}
		h.positions, at = append(h.positions, at), next
	}
	return h
}

// value is that of a key before an offset, and whether it has records from another on.
func (h *history) value(key int, from, next table.Offset) (value int64, some bool) {
	for offset, r := range h.logs[key%partitions][:next] {
		if r.key == key {
			value, some = r.value, some || table.Offset(offset) >= from
		}
	}
	return value, some
}

// part is what a process has that reads some topic partitions and knows one of the last states.
func (h *history) part(reads map[int]bool) point.Part {
	number := h.rng.IntN(len(h.positions))
	base := h.positions[number]
	p := point.Part{Number: int64(number), Answer: point.Answer{Position: table.Position{}, SnapshotID: int64(number)},
		Reads: map[table.TopicPartition]bool{}}
	for i := range partitions {
		id := partition(i)
		p.Position[id] = base[id]
		if reads[i] {
			p.Reads[id] = true
			p.Position[id] += table.Offset(h.rng.IntN(20 - int(base[id])))
		} else {
			p.Lacks = append(p.Lacks, id)
		}
	}
	for key := range keys {
		id := partition(key % partitions)
		before, _ := h.value(key, 0, base[id])
		value, some := h.value(key, base[id], p.Position[id])
		p.Waiting = append(p.Waiting, point.Waiting{Some: some, Changed: some && value != before,
			In: []table.TopicPartition{id}})
		p.Rows = append(p.Rows, rowOf(value))
	}
	return p
}

func rowOf(value int64) arrow.RecordBatch {
	if value == 0 {
		return nil
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "value", Type: arrow.PrimitiveTypes.Int64}}, nil))
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(value)
	return b.NewRecordBatch()
}

func valueOf(row arrow.RecordBatch) int64 {
	if row == nil {
		return 0
	}
	return row.Column(0).(*array.Int64).Value(0)
}

// TestPartsJoinToTheNewestRowsAtOneCut joins what processes know that read topic partitions, some of them two at a
// time: of these, one does not know yet that it has lost it.
func TestPartsJoinToTheNewestRowsAtOneCut(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(3000) {
		h := newHistory(seed)
		var parts []point.Part
		read := map[int]bool{}
		for range 1 + h.rng.IntN(3) {
			reads := map[int]bool{}
			for i := range partitions {
				if (!read[i] || h.rng.IntN(4) == 0) && h.rng.IntN(3) > 0 {
					reads[i], read[i] = true, true
				}
			}
			parts = append(parts, h.part(reads))
		}
		answer, unread, err := point.Join(parts)
		var lag *point.LagError
		switch {
		case errors.As(err, &lag):
			for i := range parts {
				require.LessOrEqual(t, parts[i].Number, lag.Number)
			}
			outcomes["lag"]++
			continue
		case errors.Is(err, point.ErrAmbiguous):
			outcomes["ambiguous"]++
			continue
		}
		require.NoError(t, err)
		require.Len(t, unread, partitions-len(read))
		for i := range parts {
			for id, next := range parts[i].Position {
				require.GreaterOrEqual(t, answer.Position[id], next)
			}
		}
		for key := range keys {
			want, _ := h.value(key, 0, answer.Position[partition(key%partitions)])
			require.Equal(t, want, valueOf(answer.Rows[key]), "seed %d, key %d at %v of %+v", seed, key,
				answer.Position, parts)
		}
		outcomes[fmt.Sprint(len(parts), " parts")]++
		answer.Release()
	}
	t.Log(outcomes)
	for _, outcome := range []string{"lag", "1 parts", "2 parts", "3 parts"} {
		require.Greater(t, outcomes[outcome], 50, "%v", outcomes)
	}
	require.Zero(t, outcomes["ambiguous"], "each key is in one topic partition: %v", outcomes)
}

func TestASequenceTellsTheNewestOfTwo(t *testing.T) {
	for name, c := range map[string]struct {
		one, two point.Waiting
		want     int64 // 0 is nobody knows
	}{
		"above":        {changed(7), changed(8), 2},
		"below":        {changed(9), changed(8), 1},
		"equal":        {changed(8), changed(8), 0},
		"none":         {changed(), changed(8), 0},
		"later column": {changed(8, 2), changed(8, 1), 1},
		"one is older": {point.Waiting{Some: true}, changed(8), 2},
		"both are":     {point.Waiting{Some: true}, point.Waiting{Some: true}, 1},
	} {
		one := point.Part{Answer: point.Answer{Rows: []arrow.RecordBatch{rowOf(1)},
			Position: table.Position{partition(0): 5, partition(1): 1}}, Waiting: []point.Waiting{c.one}}
		one.Waiting[0].In, one.Number = []table.TopicPartition{partition(0)}, 1
		two := point.Part{Answer: point.Answer{Rows: []arrow.RecordBatch{rowOf(2)},
			Position: table.Position{partition(0): 1, partition(1): 5}}, Waiting: []point.Waiting{c.two}}
		two.Waiting[0].In, two.Number = []table.TopicPartition{partition(1)}, 1
		answer, _, err := point.Join([]point.Part{one, two})
		if c.want == 0 {
			require.ErrorIs(t, err, point.ErrAmbiguous, name)
			require.ErrorContains(t, err, "key 1 of 1", name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, valueOf(answer.Rows[0]), name)
		require.Equal(t, table.Position{partition(0): 5, partition(1): 5}, answer.Position)
	}
}

func changed(sequence ...int64) point.Waiting {
	return point.Waiting{Some: true, Changed: true, Sequence: sequence}
}
