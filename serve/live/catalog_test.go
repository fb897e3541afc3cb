package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

var events = table.Ident{"db", "events"}

// world is a warehouse with both catalogs behind a server, and one table that rows of one topic partition come to.
type world struct {
	testing.TB
	mu        sync.Mutex
	clock     time.Time
	store     *objstore.Memory
	committed *catalog.Catalog
	live      *live.Catalog
	janitor   *live.Janitor
	server    *httptest.Server
	committer *commit.Committer
	tails     *tail.Set
	feed      *tail.Feed
	next      commit.Offset // of the next row
	landed    commit.Offset
	waiting   []arrow.RecordBatch
	unwritten []arrow.RecordBatch        // of waiting, in no chunk
	between   func()                     // happens once between the load of a table and the look at its tail
	fails     func(location string) bool // of objects that the live catalog puts
}

type kind struct {
	version     string
	partitioned bool
}

func newWorld(t testing.TB, k kind) *world {
	w := &world{TB: t, clock: time.Unix(1_700_003_600, 0), tails: tail.NewSet()}
	w.store = objstore.NewMemory(w.now)
	w.committed = catalog.New(catalog.NewMemoryStore(), w.store, catalog.Options{Warehouse: "mem://wh/main",
		Now: w.now, NewID: uuid.New, TableProperties: catalog.DefaultTableProperties()})
	require.NoError(t, w.committed.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	w.create(k, events)
	var err error
	w.committer, err = commit.Open(t.Context(), w.committed, w.store, events, committest.Options(1, "w"))
	require.NoError(t, err)
	meta := w.committer.Table().Metadata()
	w.feed = w.tails.Index(meta.TableUUID(), meta.Location()).Feed()
	w.feed.Ready()
	faulty := objstore.NewFaulty(w.store, func(op objstore.Op) (fault objstore.Fault) {
		if w.fails != nil && op.Kind == objstore.OpPut && w.fails(op.Location) {
			fault.Kind = objstore.ErrorBefore
		}
		return fault
	})
	w.live, err = live.New(live.Options{Committed: w.committed, Store: faulty, Tails: w.tails, Now: w.now,
		NewID: uuid.New, Position: func(meta icetable.Metadata) (table.Position, error) {
			if between := w.between; between != nil {
				w.between = nil
				between()
			}
			ledger, err := commit.ReadLedger(meta)
			return ledger.Position, err
		}})
	require.NoError(t, err)
	w.janitor = live.NewJanitor(w.live)
	handler, err := catalog.NewHandler(catalog.HandlerOptions{Now: w.now, Logger: slog.New(slog.DiscardHandler),
		Warehouses: []catalog.Warehouse{{Name: "main", Reads: w.committed, Writes: w.committed},
			{Name: "live", Reads: w.live}}})
	require.NoError(t, err)
	w.server = httptest.NewServer(handler)
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) create(k kind, ident table.Ident, identifiers ...int) {
	w.Helper()
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "region",
		Transform: iceberg.IdentityTransform{}})
	if !k.partitioned {
		spec = *iceberg.UnpartitionedSpec
	}
	_, err := w.committed.CreateTable(w.Context(), ident, catalog.TableSpec{PartitionSpec: &spec,
		Schema: iceberg.NewSchemaWithIdentifiers(0, identifiers,
			iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
			iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String}),
		Properties: iceberg.Properties{"format-version": k.version}})
	require.NoError(w, err)
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

var partition = commit.TopicPartition{Cluster: "c", Topic: "events", TopicID: uuid.Max}

// read takes in rows and hands them over as a chunk of a change.
func (w *world) read(change uuid.UUID, rows int) {
	w.Helper()
	_, known := w.committer.Position()[partition]
	span := tail.Span{From: w.next, Next: w.next + commit.Offset(rows), First: !known && w.next == 0}
	batch := w.batch(rows)
	w.waiting = append(w.waiting, batch)
	w.feed.Add(tail.Piece{Change: change, TopicPartition: partition, Span: span, Rows: batch}) // it is in memory first
	files := w.write(table.WriterOptions{Folder: tail.Folder, ChangeID: uuid.New()}, batch)
	w.feed.Give(tail.Chunk{Change: change, Files: files, Rows: int64(rows),
		Spans: map[table.TopicPartition]tail.Span{partition: span}})
}

// batch makes the next rows.
func (w *world) batch(rows int) arrow.RecordBatch {
	w.Helper()
	form, err := table.ArrowSchema(w.committer.Table().Metadata().CurrentSchema())
	require.NoError(w, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(w.next))
		b.Field(1).(*array.StringBuilder).Append([]string{"eu", "us", ""}[w.next%3])
		w.next++
	}
	return b.NewRecordBatch()
}

func (w *world) write(opts table.WriterOptions, batches ...arrow.RecordBatch) []iceberg.DataFile {
	w.Helper()
	meta := w.committer.Table().Metadata()
	opts.Schema, opts.Location = meta.CurrentSchema(), meta.Location()
	writer, err := table.NewWriter(w.store, opts)
	require.NoError(w, err)
	for _, batch := range batches {
		require.NoError(w, writer.Write(w.Context(), batch))
	}
	files, err := writer.Close(w.Context())
	require.NoError(w, err)
	return files
}

// commit publishes all that was read.
func (w *world) commit(change uuid.UUID) {
	w.Helper()
	meta := w.committer.Table().Metadata()
	var sum uint64
	for _, batch := range w.waiting {
		each, err := table.Checksum(meta.CurrentSchema(), batch)
		require.NoError(w, err)
		sum += each
	}
	_, err := w.committer.Commit(w.Context(), commit.Change{ID: change,
		Files: w.write(table.WriterOptions{ChangeID: change, Spec: meta.PartitionSpec()}, w.waiting...),
		Ranges: map[commit.TopicPartition]commit.Range{partition: {From: w.landed, Next: w.next,
			Counts: commit.Counts{Inserted: int64(w.next - w.landed)}, Checksum: sum}}})
	require.NoError(w, err)
	w.landed, w.waiting = w.next, nil
	w.feed.Committed(w.committer.Position(), w.now())
}

// load loads a table of a warehouse over HTTP.
func (w *world) load(warehouse string) *table.Table {
	w.Helper()
	remote, err := catalog.DialRemote(w.Context(), catalog.RemoteConfig{URI: w.server.URL, Warehouse: warehouse}, nil)
	require.NoError(w, err)
	loaded, err := remote.LoadTable(w.Context(), events)
	require.NoError(w, err)
	return loaded
}

// ids are those that a scan finds, in order.
func (w *world) ids(t *table.Table, scan table.Scan) []int64 {
	w.Helper()
	tasks, err := table.Plan(w.Context(), t, w.store, scan)
	require.NoError(w, err)
	ids := []int64{}
	for _, task := range tasks {
		for batch, err := range table.Read(w.Context(), w.store, task) {
			require.NoError(w, err)
			ids = append(ids, batch.Column(0).(*array.Int64).Int64Values()...)
		}
	}
	slices.Sort(ids)
	return ids
}

func upTo(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = int64(i)
	}
	return ids
}

// objects are those under _live.
func (w *world) objects() []string {
	w.Helper()
	var found []string
	for object, err := range w.store.List(w.Context(), tail.FolderOf(w.committer.Table().Metadata().Location())) {
		require.NoError(w, err)
		found = append(found, object.Location)
	}
	return found
}

func summary(t *table.Table) iceberg.Properties {
	return t.Metadata().CurrentSnapshot().Summary.Properties
}

func TestATableHasItsTailInTheLiveCatalog(t *testing.T) {
	for _, k := range []kind{{"2", false}, {"2", true}, {"3", false}, {"3", true}} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			w := newWorld(t, k)
			require.Empty(t, w.ids(w.load("live"), table.Scan{}))
			w.pass(time.Second)
			first, second := uuid.New(), uuid.New()
			w.read(first, 10)
			shown := w.load("live")
			require.Equal(t, upTo(10), w.ids(shown, table.Scan{}))
			require.Equal(t, `{"events":{"0":10}}`, summary(shown)[live.SummaryOffsets])
			w.commit(first)
			w.pass(time.Second)
			w.read(second, 3)
			w.read(second, 2)
			shown = w.load("live")
			require.Equal(t, upTo(15), w.ids(shown, table.Scan{}))
			require.Equal(t, upTo(10), w.ids(w.load("main"), table.Scan{}))
			require.Equal(t, "5", summary(shown)[live.SummaryRows])
			require.Equal(t, "15", summary(shown)["total-records"])
			require.NotContains(t, summary(shown), live.SummaryDegraded)
			where, err := filter.Parse("region = 'eu'")
			require.NoError(t, err)
			require.Equal(t, []int64{0, 3, 6, 9, 12}, w.ids(shown, table.Scan{Filter: where}))
			where, err = filter.Parse("region = '' and id > 9")
			require.NoError(t, err)
			require.Equal(t, []int64{11, 14}, w.ids(shown, table.Scan{Filter: where}))
			w.commit(second)
			w.pass(time.Second)
			shown = w.load("live")
			require.Equal(t, upTo(15), w.ids(shown, table.Scan{}))
			require.Equal(t, "0", summary(shown)[live.SummaryRows])
			if k.version == "3" {
				require.Equal(t, w.load("main").Metadata().NextRowID(), shown.Metadata().NextRowID())
				w.read(uuid.New(), 5)
				w.pass(time.Second)
				w.checkRowIDs(w.load("live"), 20)
			}
		})
	}
}

func TestVersionsKeepTheRulesThatEnginesNeed(t *testing.T) {
	w := newWorld(t, kind{"2", true})
	w.read(uuid.New(), 10)
	w.commit(uuid.New())
	stamp := int64(0)
	snapshots := map[int64]bool{}
	for range 5 {
		w.read(uuid.New(), 2)
		w.pass(time.Second)
		base, shown := w.load("main"), w.load("live")
		meta := shown.Metadata()
		require.Equal(t, live.TableUUID(base.Metadata().TableUUID()), meta.TableUUID())
		require.Equal(t, base.Metadata().Location(), meta.Location())
		require.Regexp(t, regexp.MustCompile(`^\d{5}-[0-9a-f-]{36}\.metadata\.json$`),
			path.Base(shown.MetadataLocation()))
		require.True(t, strings.HasPrefix(shown.MetadataLocation(), tail.FolderOf(meta.Location())))
		now := meta.CurrentSnapshot()
		require.Greater(t, now.TimestampMs, stamp, "later than the one before")
		require.Less(t, now.TimestampMs, base.Metadata().CurrentSnapshot().TimestampMs-3_000_000, "well in the past")
		require.Equal(t, now.TimestampMs, meta.LastUpdatedMillis())
		stamp = now.TimestampMs
		require.Empty(t, slices.Collect(meta.PreviousFiles()))
		log := slices.Collect(meta.SnapshotLogs())
		require.Len(t, log, 1)
		require.Equal(t, now.SnapshotID, log[0].SnapshotID)
		require.Equal(t, base.Metadata().DefaultPartitionSpec(), meta.DefaultPartitionSpec())
		require.Len(t, meta.PartitionSpecs(), 2)
		require.NotContains(t, strings.Join(slices.Collect(keys(meta.Properties())), " "), "firth.")
		require.False(t, snapshots[now.SnapshotID])
		snapshots[now.SnapshotID] = true
		for id := range snapshots {
			require.NotNil(t, meta.SnapshotByID(id), "a version that was handed out can still be read")
		}
		answered, err := w.live.TableJSON(t.Context(), events)
		require.NoError(t, err)
		require.Equal(t, shown.MetadataLocation(), answered.MetadataLocation)
		body, err := w.store.Get(t.Context(), answered.MetadataLocation, 0, -1)
		require.NoError(t, err, "engines read the file as well")
		content, err := io.ReadAll(body)
		require.NoError(t, err)
		require.JSONEq(t, string(answered.Metadata), string(content))
	}
	w.pass(live.Pin)
	w.read(uuid.New(), 2)
	require.Len(t, w.load("live").Metadata().Snapshots(), 2, "the base and the version")
}

func keys(properties iceberg.Properties) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range properties {
			if !yield(name) {
				return
			}
		}
	}
}

func TestNothingIsWrittenWhileNobodyReads(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	get := func(method, path string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+path, nil)
		require.NoError(t, err)
		response, err := w.server.Client().Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response
	}
	for _, asked := range []string{"GET /v1/live/namespaces", "GET /v1/live/namespaces/db/tables",
		"HEAD /v1/live/namespaces/db/tables/events", "GET /v1/live/namespaces/db/tables/events/credentials"} {
		method, path, _ := strings.Cut(asked, " ")
		require.Less(t, get(method, path).StatusCode, 300, asked)
	}
	require.Empty(t, w.objects())
	require.False(t, w.feed.Wanted(w.now()))
	first := w.load("live")
	require.True(t, w.feed.Wanted(w.now()))
	written := w.objects()
	require.Len(t, written, 2, "a manifest list and a metadata file")
	w.pass(time.Minute)
	require.Equal(t, first.MetadataLocation(), w.load("live").MetadataLocation())
	require.Equal(t, written, w.objects(), "nothing has changed")
	w.pass(time.Hour)
	require.NotEqual(t, first.MetadataLocation(), w.load("live").MetadataLocation(), "others may remove what is old")
}

func TestReadersAtOnceGetOneVersion(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	w.read(uuid.New(), 10)
	var wait sync.WaitGroup
	locations := make([]string, 20)
	for i := range locations {
		wait.Go(func() {
			loaded, err := w.live.TableJSON(w.Context(), events)
			if err == nil {
				locations[i] = loaded.MetadataLocation
			}
		})
	}
	wait.Wait()
	require.NotEmpty(t, locations[0])
	require.Len(t, slices.Compact(locations), 1)
	w.read(uuid.New(), 1)
	require.Equal(t, locations[0], w.load("live").MetadataLocation(), "not before versionEvery")
	w.pass(time.Second)
	require.NotEqual(t, locations[0], w.load("live").MetadataLocation())
}

func TestUnchangedTablesAreAnsweredByTheirTag(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	load := func(tag string) (int, string) {
		request := httptest.NewRequestWithContext(t.Context(), "GET",
			"/v1/live/namespaces/db/tables/events?snapshots=all", nil)
		request.Header.Set("If-None-Match", tag)
		answer := httptest.NewRecorder()
		w.server.Config.Handler.ServeHTTP(answer, request)
		require.Len(t, answer.Header()["ETag"], 1, "spelled as clients look for it") //nolint:staticcheck // on purpose
		return answer.Code, answer.Header()["ETag"][0]                               //nolint:staticcheck // on purpose
	}
	status, tag := load("")
	require.Equal(t, 200, status)
	w.pass(time.Second)
	status, again := load(tag)
	require.Equal(t, 304, status)
	require.Equal(t, tag, again)
	w.read(uuid.New(), 1)
	w.pass(time.Second)
	status, again = load(tag)
	require.Equal(t, 200, status)
	require.NotEqual(t, tag, again)
}

func TestTheLiveCatalogTakesNoChange(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	post := func(method, path, body string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		response, err := w.server.Client().Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		var answer bytes.Buffer
		_, err = answer.ReadFrom(response.Body)
		require.NoError(t, err)
		return response.Status + " " + answer.String()
	}
	for _, asked := range []string{"POST namespaces", "DELETE namespaces/db", "POST namespaces/db/tables",
		"POST namespaces/db/tables/events", "DELETE namespaces/db/tables/events", "POST tables/rename",
		"POST transactions/commit", "POST namespaces/db/register", "POST namespaces/db/views"} {
		method, path, _ := strings.Cut(asked, " ")
		answer := post(method, "/v1/live/"+path, "{}")
		require.Contains(t, answer, "403 Forbidden", asked)
		require.Contains(t, answer, "Warehouse live is read-only: write to another one")
	}
	require.Contains(t, post("GET", "/v1/live/namespaces/none/tables/t", ""), `"type":"NoSuchTableException"`)
	require.Contains(t, post("GET", "/v1/live/namespaces/db%1Fevents/tables/snapshots", ""),
		`"type":"NoSuchTableException"`)
	var config struct{ Endpoints []string }
	_, answer, _ := strings.Cut(post("GET", "/v1/config?warehouse=live", ""), " OK ")
	require.NoError(t, json.Unmarshal([]byte(answer), &config))
	for _, endpoint := range config.Endpoints {
		require.True(t, strings.HasPrefix(endpoint, "GET ") || strings.HasPrefix(endpoint, "HEAD ") ||
			strings.HasSuffix(endpoint, "/metrics"), endpoint)
	}
}

func TestTablesWithoutATailAreAsTheyAreCommitted(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	w.read(uuid.New(), 10)
	w.commit(uuid.New())
	w.feed.Close(w.now())
	shown := w.load("live")
	require.Equal(t, upTo(10), w.ids(shown, table.Scan{}))
	require.Contains(t, summary(shown)[live.SummaryDegraded], "does not ingest")
	w.create(kind{"3", false}, table.Ident{"db", "keyed"}, 1)
	loaded, err := w.live.TableJSON(t.Context(), table.Ident{"db", "keyed"})
	require.NoError(t, err)
	require.Contains(t, string(loaded.Metadata), "a keyed table is shown as it is committed")
	_, err = w.live.TableJSON(t.Context(), table.Ident{"db", "none"})
	require.ErrorIs(t, err, table.ErrNotFound)
}

func TestACutDoesNotGoBackWhileRowsAreReadAgain(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	change := uuid.New()
	w.read(change, 10)
	require.Len(t, w.ids(w.load("live"), table.Scan{}), 10)
	w.feed.Withdraw(change, w.now())
	w.next, w.waiting = 0, nil
	w.pass(time.Second)
	require.Len(t, w.ids(w.load("live"), table.Scan{}), 10, "they come again")
	again := uuid.New()
	w.read(again, 4)
	w.pass(time.Second)
	require.Len(t, w.ids(w.load("live"), table.Scan{}), 10)
	w.read(again, 8)
	w.pass(time.Second)
	require.Equal(t, upTo(12), w.ids(w.load("live"), table.Scan{}))
	w.feed.Withdraw(again, w.now())
	for range 20 {
		w.pass(live.Pin / 2)
		require.NoError(t, w.janitor.Step(t.Context()))
		require.Equal(t, upTo(12), w.ids(w.load("live"), table.Scan{}), "another process reads them")
	}
	w.pass(live.Pin)
	require.Empty(t, w.ids(w.load("live"), table.Scan{}), "they do not come again")
}

func TestRowsThatAnotherProcessReadsNowStayInSight(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	first := uuid.New()
	w.read(first, 10)
	w.commit(first)
	lost := uuid.New()
	w.read(lost, 5)
	require.Equal(t, upTo(15), w.ids(w.load("live"), table.Scan{}))
	other := partition
	other.Partition = 1
	w.feed.Withdraw(lost, w.now())
	takes := func(id table.TopicPartition) bool { return id.Topic == partition.Topic }
	w.feed.Reads(map[table.TopicPartition]bool{other: true}, takes)
	w.next, w.waiting = 10, nil
	w.pass(time.Second)
	shown := w.load("live")
	require.Equal(t, upTo(15), w.ids(shown, table.Scan{}))
	require.Equal(t, `{"events":[0]}`, summary(shown)[live.SummaryElsewhere])
	require.Contains(t, summary(shown)[live.SummaryDegraded], "does not read 1 of 1 topic partitions")
	cut, why := w.live.Shown(w.committer.Table())
	require.Equal(t, table.Position{partition: 10}, cut, "a reader who comes first is shown no more")
	require.Contains(t, why, "does not read 1 of 1")
	w.feed.Give(tail.Chunk{Change: uuid.New(),
		Spans: map[table.TopicPartition]tail.Span{other: {Next: 7, First: true}}})
	w.pass(time.Second)
	require.Equal(t, `{"events":{"0":15,"1":7}}`, summary(w.load("live"))[live.SummaryOffsets])
	w.waiting = append(w.waiting, w.batch(5))
	w.commit(uuid.New())
	w.feed.Reads(map[table.TopicPartition]bool{partition: true, other: true}, takes)
	w.pass(time.Second)
	shown = w.load("live")
	require.Equal(t, upTo(15), w.ids(shown, table.Scan{}))
	require.NotContains(t, summary(shown), live.SummaryElsewhere)
	require.NotContains(t, summary(shown), live.SummaryDegraded)
}

func TestTheFirstReaderWaitsForWhatWasReadBefore(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	w.feed.Pause()
	answered := make(chan error, 1)
	go func() {
		_, err := w.live.TableJSON(context.WithoutCancel(t.Context()), events)
		answered <- err
	}()
	for !w.feed.Wanted(w.now()) {
		select {
		case <-answered:
			t.Fatal("it did not wait")
		default:
		}
	}
	w.feed.Ready()
	require.NoError(t, <-answered)
}
