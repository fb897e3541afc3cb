package peers_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/serve/peers"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

const location = "mem://wh/db/events"

var (
	tableID   = uuid.UUID{7}
	partition = table.TopicPartition{Cluster: "c", Topic: "events", TopicID: uuid.Max, Partition: 3}
)

// world is a catalog on which processes find each other.
type world struct {
	*testing.T
	clock   time.Time
	store   *objstore.Memory
	catalog *catalog.Catalog
}

// member is a process.
type member struct {
	*peers.Peers
	name   string
	tails  *tail.Set
	index  *tail.Index
	server *httptest.Server
	asked  atomic.Int64
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, clock: time.Unix(1_700_000_000, 0)}
	w.store = objstore.NewMemory(w.now)
	w.catalog = catalog.New(catalog.NewMemoryStore(), w.store, catalog.Options{Warehouse: "mem://wh", Now: w.now,
		NewID: uuid.New})
	return w
}

func (w *world) now() time.Time { return w.clock }

func (w *world) start(tokens ...string) *member {
	m := &member{name: uuid.NewString(), tails: tail.NewSet()}
	m.index = m.tails.Index(tableID, location)
	var err error
	m.Peers, err = peers.New(peers.Options{Name: m.name, Tails: m.tails, Registry: w.catalog, Tokens: tokens,
		Now: w.now})
	require.NoError(w, err)
	handler := m.Handler()
	m.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		handler.ServeHTTP(rw, r)
	}))
	w.Cleanup(m.server.Close)
	m.AnswerAt(m.server.URL)
	require.NoError(w, m.Step(w.Context())) // it is announced
	return m
}

// chunk writes rows and says which offsets they came of.
func (w *world) chunk(from, next table.Offset) tail.Chunk {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	form, err := table.ArrowSchema(schema)
	require.NoError(w, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for id := from; id < next; id++ {
		b.Field(0).(*array.Int64Builder).Append(int64(id))
	}
	writer, err := table.NewWriter(w.store, table.WriterOptions{Schema: schema, Location: location, Folder: tail.Folder,
		ChangeID: uuid.New()})
	require.NoError(w, err)
	require.NoError(w, writer.Write(w.Context(), b.NewRecordBatch()))
	files, err := writer.Close(w.Context())
	require.NoError(w, err)
	return tail.Chunk{Change: uuid.New(), Files: files, Rows: int64(next - from), SchemaID: 4,
		Spans: map[table.TopicPartition]tail.Span{partition: {From: from, Next: next, First: from == 0}}}
}

func (w *world) step(m *member) {
	w.Helper()
	w.clock = w.clock.Add(2 * time.Second)
	require.NoError(w, m.Step(w.Context()))
}

func TestProcessesShowEachOthersChunks(t *testing.T) {
	w := newWorld(t)
	one, two := w.start(), w.start()
	feed := two.index.Feed()
	feed.Reads(map[table.TopicPartition]bool{partition: true}, func(table.TopicPartition) bool { return true })
	feed.Give(w.chunk(0, 10))
	w.step(one)
	require.Zero(t, two.asked.Load(), "nobody reads")
	require.False(t, feed.Wanted(w.now()))
	one.index.Follow(w.clock.Add(time.Minute))
	w.step(one)
	require.True(t, feed.Wanted(w.now()))
	require.False(t, two.index.FollowedHere(w.now()), "nobody reads there, so that it need not ask")
	shown, there := one.index.At(table.Position{}), two.index.At(table.Position{})
	require.Equal(t, there.Cut, shown.Cut)
	feed.Give(w.chunk(10, 15))
	w.step(one)
	shown, there = one.index.At(table.Position{}), two.index.At(table.Position{})
	require.Equal(t, table.Position{partition: 15}, shown.Cut)
	require.EqualValues(t, 15, shown.Rows)
	for i, c := range shown.Chunks {
		want := there.Chunks[i]
		require.Equal(t, want.Spans, c.Spans)
		require.Equal(t, []any{want.Change, want.SchemaID, want.Rows}, []any{c.Change, c.SchemaID, c.Rows})
		file, original := c.Files[0], want.Files[0]
		require.Equal(t, original.FilePath(), file.FilePath())
		require.Equal(t, original.Count(), file.Count())
		require.Equal(t, original.FileSizeBytes(), file.FileSizeBytes())
		require.Equal(t, original.LowerBoundValues(), file.LowerBoundValues())
		require.Equal(t, original.UpperBoundValues(), file.UpperBoundValues())
		require.Equal(t, original.SpecID(), file.SpecID())
	}
	w.clock = w.clock.Add(2 * time.Minute)
	asked := two.asked.Load()
	w.step(one)
	require.Equal(t, asked, two.asked.Load(), "nobody reads any more")
	require.Empty(t, one.index.At(table.Position{}).Chunks)
}

func TestWhatASilentProcessToldIsWithdrawn(t *testing.T) {
	w := newWorld(t)
	one, two := w.start(), w.start()
	two.index.Feed().Give(w.chunk(0, 10))
	one.index.Follow(w.clock.Add(time.Hour))
	w.step(one)
	require.Len(t, one.index.At(table.Position{}).Chunks, 1)
	two.server.Close()
	for range 9 {
		w.step(one)
		require.Len(t, one.index.At(table.Position{}).Chunks, 1, "it may be back in a moment")
	}
	w.step(one)
	require.Empty(t, one.index.At(table.Position{}).Chunks)
}

func TestOnlyWhoWasAnnouncedIsBelieved(t *testing.T) {
	w := newWorld(t)
	one, two := w.start(), w.start()
	two.index.Feed().Give(w.chunk(0, 10))
	require.NoError(t, w.catalog.Retire(t.Context(), two.name))
	require.NoError(t, w.catalog.Announce(t.Context(), "gone", two.server.URL))
	require.NoError(t, w.catalog.Announce(t.Context(), "nobody", "http://127.0.0.1:1"))
	one.index.Follow(w.clock.Add(time.Hour))
	w.step(one)
	require.EqualValues(t, 1, two.asked.Load())
	require.Empty(t, one.index.At(table.Position{}).Chunks, "two has the address of another")
	require.NoError(t, w.catalog.Announce(t.Context(), two.name, two.server.URL))
	w.step(one)
	require.Len(t, one.index.At(table.Position{}).Chunks, 1)
}

func TestATokenIsAskedFor(t *testing.T) {
	w := newWorld(t)
	one, two, three := w.start("read", "write"), w.start("write"), w.start("other")
	two.index.Feed().Give(w.chunk(0, 10))
	for _, m := range []*member{one, three} {
		m.index.Follow(w.clock.Add(time.Hour))
		w.step(m)
		require.Empty(t, m.index.At(table.Position{}).Chunks)
	}
	two.index.Follow(w.clock.Add(time.Hour))
	one.index.Feed().Give(w.chunk(10, 20))
	w.step(two)
	require.Len(t, two.index.At(table.Position{partition: 10}).Chunks, 1)
	answer, err := http.Get(two.server.URL + peers.Path + "?table=" + tableID.String())
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode)
	require.NoError(t, answer.Body.Close())
}
