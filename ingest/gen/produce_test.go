package gen

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

func TestProduceSpreadsRowsAsTotalsSay(t *testing.T) {
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"events": 4}})
	require.NoError(t, err)
	defer broker.Close()
	g := newGenerator(t, "events10", JSON)
	var shown int64
	totals, err := Produce(t.Context(), broker.Connection(), "events", g, Run{
		From: 100, Rows: 5_000, Progress: func(rows int64) { shown = rows },
	})
	require.NoError(t, err)
	require.Equal(t, int64(5_000), totals.Rows)
	require.Equal(t, int64(5_000), shown)
	admin, err := source.OpenAdmin(t.Context(), broker.Connection())
	require.NoError(t, err)
	defer admin.Close()
	topics, err := admin.Topics(t.Context(), "events")
	require.NoError(t, err)
	for _, p := range topics[0].Partitions {
		require.Equal(t, totals.Partitions[p.Partition].Rows, int64(p.End-p.First))
	}
	_, err = Produce(t.Context(), broker.Connection(), "nowhere", g, Run{Rows: 1})
	require.ErrorContains(t, err, "create the topic first")
}

func TestRowsOfAnInterruptedRunAreInTheTopic(t *testing.T) {
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"events": 4}})
	require.NoError(t, err)
	defer broker.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	g := newGenerator(t, "events10", JSON)
	totals, err := Produce(ctx, broker.Connection(), "events", g, Run{
		Rows: 1_000_000, Rate: 10_000, Progress: func(rows int64) {
			if rows >= 2_000 {
				interrupt()
			}
		},
	})
	require.NoError(t, err)
	require.Less(t, totals.Rows, int64(1_000_000))
	admin, err := source.OpenAdmin(t.Context(), broker.Connection())
	require.NoError(t, err)
	defer admin.Close()
	topics, err := admin.Topics(t.Context(), "events")
	require.NoError(t, err)
	require.Equal(t, totals.Rows, topics[0].Records())
}
