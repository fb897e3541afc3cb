package tail_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

func TestWhatIsNotReadHereIsElsewhere(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.events")
	of := func(topic string, made byte, partition int32) table.TopicPartition {
		return table.TopicPartition{Cluster: "c", Topic: topic, TopicID: uuid.UUID{made}, Partition: partition}
	}
	position := table.Position{of("a", 2, 0): 5, of("a", 2, 1): 5, of("a", 1, 0): 5, of("b", 1, 0): 5,
		of("left", 1, 0): 5}
	require.Empty(t, x.Elsewhere(position), "nobody knows what the table has from here")
	one, two := x.Feed(), x.Feed()
	takes := func(topic string) func(table.TopicPartition) bool {
		return func(id table.TopicPartition) bool { return id.Topic == topic }
	}
	one.Reads(map[table.TopicPartition]bool{of("a", 2, 1): true}, takes("a"))
	two.Reads(nil, takes("b"))
	require.Equal(t, []table.TopicPartition{of("a", 2, 0), of("b", 1, 0)}, x.Elsewhere(position))
	two.Close(time.Unix(1_700_000_000, 0))
	require.Equal(t, []table.TopicPartition{of("a", 2, 0)}, x.Elsewhere(position))
}
