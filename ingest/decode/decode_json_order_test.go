package decode

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// decodeOrder decodes records of the columns a to h and returns what the decoder has learned.
func decodeOrder(t *testing.T, records int, document func(i int) string) *order {
	t.Helper()
	var fields []iceberg.NestedField
	for i := range 8 {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: string(rune('a' + i)),
			Type: iceberg.PrimitiveTypes.Int64})
	}
	l := newLane(t, memory.NewGoAllocator(), fields, Options{Format: FormatJSON})
	defer l.decoder.Close()
	chunk := &source.Chunk{}
	for i := range records {
		chunk.Records = append(chunk.Records, source.Record{Value: []byte(document(i))})
	}
	decoded, err := l.decoder.Decode(t.Context(), chunk)
	require.NoError(t, err)
	require.Empty(t, decoded.Failures)
	decoded.Batch.Release()
	return &l.json.orders[l.json.plan.object.index]
}

func TestJSONFieldsInAnotherOrderAreGuessed(t *testing.T) {
	o := decodeOrder(t, 1000, func(i int) string {
		if i%3 == 0 {
			return `{"h":1, "zz":true, "c":3, "a":4}`
		}
		return `{"h":1, "c":3, "b":2, "a":4}`
	})
	require.Less(t, o.misses, int64(12))
	require.Greater(t, o.hits, int64(3000))
}

func TestJSONGuessesPauseWhereFieldsHaveNoOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	o := decodeOrder(t, 50_000, func(int) string {
		var parts []string
		for _, i := range random.Perm(8) {
			parts = append(parts, fmt.Sprintf(`"%c":%d`, 'a'+i, i))
		}
		return "{" + strings.Join(parts, ",") + "}"
	})
	require.Equal(t, pauseMax, o.nextPause)
	require.Less(t, o.misses, int64(8*50_000/50), "few objects are read by guesses")
}

func TestJSONKeysThatAreDataAreNotKept(t *testing.T) {
	o := decodeOrder(t, 10_000, func(i int) string { return fmt.Sprintf(`{"a":1,"key %d":2,"b":3}`, i) })
	require.LessOrEqual(t, len(o.strangers), strangersMax)
	require.Equal(t, lessonsMax, o.lessons, "the next chunk may learn")
}
