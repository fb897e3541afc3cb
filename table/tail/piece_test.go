package tail_test

import (
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// addPiece hands over a piece of ten rows that begins somewhere, and keeps nothing of it.
func addPiece(feed *tail.Feed, mem memory.Allocator, change byte, from table.Offset) {
	b := array.NewRecordBuilder(mem, arrow.NewSchema([]arrow.Field{{Name: "id",
		Type: arrow.PrimitiveTypes.Int64}}, nil))
	defer b.Release()
	for i := range 10 {
		b.Field(0).(*array.Int64Builder).Append(int64(from) + int64(i))
	}
	rows := b.NewRecordBatch()
	defer rows.Release()
	feed.Add(tail.Piece{Change: uuid.UUID{change}, TopicPartition: table.TopicPartition{Topic: "events"},
		Span: tail.Span{From: from, Next: from + 10}, Rows: rows})
}

func TestPiecesGoWithTheirChunkOrChange(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	x := tail.NewIndex("mem://lake/db.events")
	feed, other := x.Feed(), x.Feed()
	at := table.Position{{Topic: "events"}: 10}
	pieces := func() int { return len(x.Newest(at, func(int) bool { return true }).Pieces) }
	for _, from := range []table.Offset{10, 20, 30} {
		addPiece(feed, mem, 1, from)
	}
	addPiece(feed, mem, 2, 40)
	each := mem.CurrentAlloc() / 4
	other.Give(chunk(1, 10, 30))
	require.Equal(t, 4*each, mem.CurrentAlloc(), "the chunk of another feed")
	feed.Give(chunk(1, 10, 30))
	require.Equal(t, 2*each, mem.CurrentAlloc())
	feed.Withdraw(uuid.UUID{1}, time.Unix(1_700_000_000, 0))
	require.Equal(t, each, mem.CurrentAlloc())
	feed.Close(time.Unix(1_700_000_000, 0))
	require.Zero(t, mem.CurrentAlloc())

	feed = x.Feed()
	other.Withdraw(uuid.UUID{1}, time.Unix(1_700_000_000, 0))
	addPiece(feed, mem, 3, 10)
	require.Equal(t, 1, pieces())
	feed.Close(time.Unix(1_700_000_000, 0))
	require.Zero(t, pieces())
	require.Equal(t, each, mem.CurrentAlloc(), "rows that a view has shown are left to its readers")
}

func TestPiecesAreBounded(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.events")
	feed := x.Feed()
	at := table.Position{{Topic: "events"}: 0}
	for i := range table.Offset(10_000) {
		feed.Add(tail.Piece{TopicPartition: table.TopicPartition{Topic: "events"},
			Span: tail.Span{From: i, Next: i + 1}})
	}
	view := x.Newest(at, func(int) bool { return true })
	require.Less(t, len(view.Pieces), 10_000)
	feed.Give(chunk(0, 0, 10_000))
	require.Equal(t, table.Position{{Topic: "events"}: 10_000}, x.Newest(at, func(int) bool { return true }).Cut)
}

func TestReadersAreWokenByRows(t *testing.T) {
	x := tail.NewIndex("mem://lake/db.events")
	feed, woken := x.Feed(), make(chan struct{}, 1)
	x.Wake(woken)
	for range 2 {
		addPiece(feed, memory.DefaultAllocator, 1, 10)
		addPiece(feed, memory.DefaultAllocator, 1, 20)
		require.Len(t, woken, 1)
		<-woken
	}
	feed.Give(chunk(1, 10, 30))
	require.Len(t, woken, 1)
	<-woken
	x.Unwake(woken)
	feed.Give(chunk(2, 30, 40))
	require.Empty(t, woken)
}
