package source

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/commit"
)

func openReader(t *testing.T, broker *Embedded) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), broker.Connection())
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// read collects a stretch and checks that its chunks touch and cover it.
func (r *Reader) collect(t *testing.T, tp commit.TopicPartition, from, next commit.Offset) []string {
	t.Helper()
	var values []string
	at := from
	for chunk, err := range r.Read(t.Context(), tp, from, next) {
		require.NoError(t, err)
		require.Equal(t, at, chunk.From)
		at = chunk.Next
		for _, record := range chunk.Records {
			values = append(values, string(record.Value))
		}
	}
	require.Equal(t, next, at)
	return values
}

func only(t *testing.T, broker *Embedded) commit.TopicPartition {
	t.Helper()
	at, err := openAdmin(t, broker).Resolve(t.Context(), Start{}, "events")
	require.NoError(t, err)
	for tp := range at {
		return tp
	}
	return commit.TopicPartition{}
}

func TestReaderReadsStretchesAgain(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, numbered(0, 40)...)
	r, tp := openReader(t, broker), only(t, broker)
	first, end, found, err := r.Bounds(t.Context(), tp)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, []commit.Offset{0, 40}, []commit.Offset{first, end})
	require.Equal(t, numbered(0, 40), r.collect(t, tp, 0, 40))
	require.Equal(t, numbered(7, 12), r.collect(t, tp, 7, 12))
	require.Empty(t, r.collect(t, tp, 3, 3))
	other := tp
	other.TopicID[0]++
	_, _, found, err = r.Bounds(t.Context(), other)
	require.NoError(t, err)
	require.False(t, found, "another incarnation")
}

func TestReaderCountsAbortedOffsetsAtTheEndAsRead(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, "a", "b")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Connection().Brokers...), kgo.TransactionalID("t"))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.BeginTransaction())
	for range 3 {
		record := &kgo.Record{Topic: "events", Value: []byte("aborted")}
		require.NoError(t, client.ProduceSync(t.Context(), record).FirstErr())
	}
	require.NoError(t, client.EndTransaction(t.Context(), kgo.TryAbort))
	r, tp := openReader(t, broker), only(t, broker)
	_, end, _, err := r.Bounds(t.Context(), tp)
	require.NoError(t, err)
	require.Equal(t, commit.Offset(6), end, "two records, three aborted ones, a marker")
	require.Equal(t, []string{"a", "b"}, r.collect(t, tp, 0, 6))
	require.Empty(t, r.collect(t, tp, 3, 6))
}

func TestReaderTellsWhatTheLogDoesNotHold(t *testing.T) {
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	produce(t, broker, "events", 0, numbered(0, 10)...)
	r, tp := openReader(t, broker), only(t, broker)
	require.NoError(t, Retain(t.Context(), openAdmin(t, broker), commit.Position{tp: 9}, 3))
	first, _, _, err := r.Bounds(t.Context(), tp)
	require.NoError(t, err)
	require.Equal(t, commit.Offset(6), first)
	for name, stretch := range map[string][2]commit.Offset{"before": {2, 8}, "behind": {8, 12}} {
		var out *OutOfRangeError
		for _, err = range r.Read(t.Context(), tp, stretch[0], stretch[1]) {
			if err != nil {
				break
			}
		}
		require.ErrorAs(t, err, &out, name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err = range r.Read(ctx, tp, 6, 8) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestReaderTakesLargeRecordsOfAShortStretch(t *testing.T) {
	require.EqualValues(t, fetchBytesMax, stretchBytes(0, 1<<40))
	broker := startBroker(t, EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	var values []string
	for range 8 {
		values = append(values, noise(50<<10))
		produce(t, broker, "events", 0, values[len(values)-1])
	}
	r, tp := openReader(t, broker), only(t, broker)
	require.Equal(t, values[1:7], r.collect(t, tp, 1, 7))
}

// BenchmarkShortStretches reads checkpoints of nine records each.
func BenchmarkShortStretches(b *testing.B) {
	const stretches, records = 200, 9
	broker, err := StartEmbedded(EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	require.NoError(b, err)
	defer broker.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Connection().Brokers...))
	require.NoError(b, err)
	defer client.Close()
	for range stretches {
		var some []*kgo.Record
		for range records {
			some = append(some, &kgo.Record{Topic: "events", Value: []byte(noise(300))})
		}
		require.NoError(b, client.ProduceSync(b.Context(), some...).FirstErr())
	}
	r, err := OpenReader(b.Context(), broker.Connection())
	require.NoError(b, err)
	defer r.Close()
	admin, err := OpenAdmin(b.Context(), broker.Connection())
	require.NoError(b, err)
	defer admin.Close()
	at, err := admin.Resolve(b.Context(), Start{}, "events")
	require.NoError(b, err)
	for b.Loop() {
		for tp := range at {
			for from := commit.Offset(0); from < stretches*records; from += records {
				for _, err := range r.Read(b.Context(), tp, from, from+records) {
					require.NoError(b, err)
				}
			}
		}
	}
	b.ReportMetric(stretches*float64(b.N)/b.Elapsed().Seconds(), "stretches/s")
}
