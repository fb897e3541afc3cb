package peers_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/serve/peers"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

var usersIdent = table.Ident{"db", "users"}

// users is a catalog with a table of users that processes find each other on. Its rows are counted up: the row of key
// k is the last offset that was read of topic partition k.
type users struct {
	*world
	table *table.Table
	ticks atomic.Int64
}

func newUsers(t *testing.T) *users {
	u := &users{world: newWorld(t)}
	id := iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true}
	at := iceberg.NestedField{ID: 2, Name: "at", Type: iceberg.PrimitiveTypes.Int64}
	require.NoError(t, u.catalog.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	var err error
	u.table, err = u.catalog.CreateTable(t.Context(), usersIdent,
		catalog.TableSpec{Schema: iceberg.NewSchemaWithIdentifiers(0, []int{1}, id, at)})
	require.NoError(t, err)
	return u
}

// tick is the time, which goes on whenever it is asked for.
func (u *users) tick() time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(u.ticks.Add(1)) * 60 * time.Millisecond)
}

// looker is a process that reads some of the topic partitions 0, 1 and 2.
type looker struct {
	*peers.Rows
	users *users
	name  string
	asked atomic.Int64
	at    *httptest.Server

	mu      sync.Mutex
	ingests bool
	reads   map[int]bool
	read    map[int]table.Offset // how far
	number  int64
}

// start starts a process; one without topic partitions does not ingest.
func (u *users) start(tokens []string, reads ...int) *looker {
	l := &looker{users: u, name: uuid.NewString(), ingests: len(reads) > 0, reads: map[int]bool{},
		read: map[int]table.Offset{}}
	for _, i := range reads {
		l.reads[i] = true
	}
	var err error
	l.Rows, err = peers.NewRows(peers.RowsOptions{Name: l.name, Local: l, Registry: u.catalog, Tokens: tokens,
		Now: u.tick, Log: slog.New(slog.DiscardHandler)})
	require.NoError(u, err)
	handler := l.Handler()
	l.at = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.asked.Add(1)
		handler.ServeHTTP(w, r)
	}))
	u.Cleanup(l.at.Close)
	require.NoError(u, u.catalog.Announce(u.Context(), l.name, l.at.URL))
	return l
}

func (l *looker) Table(ctx context.Context, ident table.Ident) (*table.Table, error) {
	return l.users.catalog.LoadTable(ctx, ident)
}

func (l *looker) Reads(table.Ident) (ingests, reads bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ingests, len(l.reads) > 0
}

func (l *looker) Part(_ context.Context, _ table.Ident, keys []arrow.RecordBatch, number int64) (point.Part, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ingests {
		return point.Part{}, lookup.ErrElsewhere
	}
	l.number = max(l.number, number)
	p := point.Part{Table: l.users.table.Metadata().TableUUID(), Number: l.number,
		Reads: map[table.TopicPartition]bool{}, Answer: point.Answer{Position: table.Position{}, SnapshotID: 9}}
	for i := range 3 {
		id := table.TopicPartition{Cluster: "c", Topic: "users", TopicID: uuid.Max, Partition: int32(i)}
		if p.Position[id] = l.read[i]; l.reads[i] {
			p.Reads[id] = true
		} else {
			p.Lacks = append(p.Lacks, id)
		}
	}
	for _, key := range keys {
		id := key.Column(0).(*array.Int64).Value(0)
		some := l.read[int(id)] > 0
		p.Waiting = append(p.Waiting, point.Waiting{Some: some, Changed: some, In: []table.TopicPartition{
			{Cluster: "c", Topic: "users", TopicID: uuid.Max, Partition: int32(id)}}})
		if !some {
			p.Rows = append(p.Rows, nil)
			continue
		}
		p.Rows = append(p.Rows, l.row(id))
	}
	return p, nil
}

// row is the row of a key; every other one is of a schema that has no column at yet.
func (l *looker) row(id int64) arrow.RecordBatch {
	form, err := table.ArrowSchema(l.users.table.Schema())
	require.NoError(l.users, err)
	if id == 1 {
		form = arrow.NewSchema(form.Fields()[:1], nil)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for i := range form.NumFields() {
		b.Field(i).(*array.Int64Builder).Append([]int64{id, int64(l.read[int(id)])}[i])
	}
	return b.NewRecordBatch()
}

func (l *looker) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// get looks keys up; a row is its key and how far its topic partition was read.
func (l *looker) get(ids ...int) (rows []string, behind string, err error) {
	t, err := l.Lookup(l.users.Context(), usersIdent)
	require.NoError(l.users, err)
	schema, err := t.Schema()
	require.NoError(l.users, err)
	var keys []arrow.RecordBatch
	for _, id := range ids {
		key, err := point.ParseKey(schema, fmt.Sprint(id))
		require.NoError(l.users, err)
		keys = append(keys, key)
	}
	answer, err := t.Get(l.users.Context(), keys)
	if err != nil {
		return nil, "", err
	}
	defer answer.Release()
	for _, row := range answer.Rows {
		text := "none"
		if row != nil {
			text = ""
			for _, column := range row.Columns() {
				text += fmt.Sprint(column.(*array.Int64).Value(0), " ")
			}
		}
		rows = append(rows, text)
	}
	return rows, answer.Behind, nil
}

func (l *looker) requireRows(want []string, ids ...int) {
	l.users.Helper()
	rows, behind, err := l.get(ids...)
	require.NoError(l.users, err)
	require.Equal(l.users, want, rows)
	require.Empty(l.users, behind)
}

func TestALookUpFindsRowsOfAllProcesses(t *testing.T) {
	u := newUsers(t)
	one, two, none := u.start(nil, 0), u.start(nil, 1, 2), u.start(nil)
	one.set(func() { one.read[0] = 4 })
	two.set(func() { two.read[1], two.read[2] = 5, 6 })
	for _, l := range []*looker{one, two, none} {
		l.requireRows([]string{"2 6 ", "none", "1 ", "0 4 "}, 2, 7, 1, 0)
	}
	one.set(func() { one.number = 5 }) // it has seen a commit that two has not
	none.requireRows([]string{"2 6 ", "0 4 "}, 2, 0)
	two.set(func() { require.EqualValues(t, 5, two.number, "it was told to catch up") })
	require.LessOrEqual(t, none.asked.Load(), int64(2), "it reads nothing, and is asked once in a while")
}

func TestOneThatReadsAllAsksNobody(t *testing.T) {
	u := newUsers(t)
	one, two := u.start(nil, 0, 1, 2), u.start(nil)
	one.set(func() { one.read[0] = 4 })
	one.requireRows([]string{"0 4 "}, 0)
	require.Zero(t, two.asked.Load())
	require.NoError(t, u.catalog.Retire(t.Context(), one.name))
	_, _, err := two.get(0)
	require.ErrorIs(t, err, lookup.ErrElsewhere)
}

func TestALookUpFailsWhileAnOwnerIsGone(t *testing.T) {
	u := newUsers(t)
	one, two, none := u.start(nil, 0), u.start(nil, 1, 2), u.start(nil)
	two.set(func() { two.read[1] = 5 })
	one.requireRows([]string{"1 "}, 1)
	none.requireRows([]string{"1 "}, 1)
	two.at.CloseClientConnections()
	two.at.Close()
	for _, l := range []*looker{one, none} {
		_, _, err := l.get(0)
		require.ErrorIs(t, err, peers.ErrUnread)
		require.ErrorContains(t, err, "nobody who answers reads users-1, users-2")
	}
	one.set(func() { one.reads[1], one.reads[2] = true, true })
	_, _, err := one.get(1)
	require.ErrorContains(t, err, "being read again", "two had shown a row")
	one.set(func() { one.read[1] = 5 })
	one.requireRows([]string{"1 "}, 1)
	none.requireRows([]string{"1 "}, 1)
}

func TestRowsThatNobodyReadsOnAreShownAfterAWhile(t *testing.T) {
	u := newUsers(t)
	one, two := u.start(nil, 0, 1), u.start(nil, 2)
	one.set(func() { one.read[0] = 4 })
	two.at.Close()
	_, _, err := one.get(0)
	require.ErrorIs(t, err, peers.ErrUnread)
	u.ticks.Add(int64(2 * time.Minute / (60 * time.Millisecond)))
	rows, behind, err := one.get(0)
	require.NoError(t, err)
	require.Equal(t, []string{"0 4 "}, rows)
	require.Contains(t, behind, "nobody who answers reads users-2")
	require.NoError(t, u.catalog.Retire(t.Context(), two.name))
	u.ticks.Add(int64(2 * time.Minute / (60 * time.Millisecond)))
	_, behind, err = one.get(0)
	require.NoError(t, err)
	require.Contains(t, behind, "nobody who answers reads users-2", "who is alone answers with what there is")
}

func TestATopicPartitionThatMovesIsFoundAtOnce(t *testing.T) {
	u := newUsers(t)
	one, two := u.start(nil, 0, 1), u.start(nil, 2)
	two.set(func() { two.read[2] = 4 })
	one.requireRows([]string{"2 4 "}, 2)
	two.set(func() { two.reads = map[int]bool{} })
	three := u.start(nil, 2)
	three.set(func() { three.read[2] = 4 })
	one.requireRows([]string{"2 4 "}, 2)
}

func TestOnlyWhoWasAnnouncedIsBelievedToHaveRows(t *testing.T) {
	u := newUsers(t)
	one, two := u.start(nil, 0, 1), u.start(nil, 2)
	require.NoError(t, u.catalog.Retire(t.Context(), two.name))
	require.NoError(t, u.catalog.Announce(t.Context(), "gone", two.at.URL))
	_, _, err := one.get(2)
	require.ErrorContains(t, err, "another process answers than was announced")
}

func TestRowsAreToldToWhoHasAToken(t *testing.T) {
	u := newUsers(t)
	one, two, three := u.start([]string{"read", "write"}, 0, 1), u.start([]string{"write", "read"}, 2),
		u.start([]string{"other"})
	two.set(func() { two.read[2] = 4 })
	one.requireRows([]string{"2 4 "}, 2)
	_, _, err := three.get(2)
	require.ErrorContains(t, err, "needs one of the catalog's tokens")
}
