//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/e2e/components"
)

// Ids of a table that Spark changes while firth follows a topic into it. The topic changes the busy ones all
// the while; the quiet ones it brings once, so that what becomes of them is up to Spark; those of Spark are
// in no record.
const (
	busyKeys   = 2000
	quietFirst = 1_000_000
	quietKeys  = 1000
	sparkFirst = 2_000_000
)

const sharedKeysSpec = `name: %s
identifier: [id]
sequence: [seq]
format_version: %d
sources: [{topics: [keys], format: json}]
freshness: {interval: 1500ms}
retention: {snapshots: 500}
schema:
  columns:
  - {name: id, type: long, required: true}
  - {name: v, type: long}
  - {name: note, type: string}
  - {name: seq, type: long}
`

// metadataColumns are null in rows of Spark.
const metadataColumns = "_kafka_topic, _kafka_partition, _kafka_offset, _kafka_timestamp"

// version is a row but for its id.
type version struct {
	v, seq int64
	note   string
}

// stream changes the busy keys by records of a topic.
type stream struct {
	client *kgo.Client
	random *rand.Rand
	// calm holds it up when it is held.
	calm sync.Mutex

	mu      sync.Mutex // guards what follows
	seq     int64
	records int64
	last    map[int64]version // by key; one that was deleted has no note
}

// versionOf is what record seq says of a row, so that each row shows by itself whether it is whole.
func versionOf(id, seq int64) version { return version{v: id*1_000_000 + seq, seq: seq, note: "'s"} }

// change sends count changes; keys are drawn, and one in ten is deleted, unless the keys are told.
func (s *stream) change(ctx context.Context, count int, told func(i int) int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]*kgo.Record, 0, count)
	for i := range count {
		s.seq++
		id := s.random.Int64N(busyKeys)
		if told != nil {
			id = told(i)
		}
		r := &kgo.Record{Partition: int32(id % partitions), Key: fmt.Appendf(nil, `{"id":%d}`, id)}
		next := version{seq: s.seq}
		if told != nil || s.random.IntN(10) > 0 {
			next = versionOf(id, s.seq)
			r.Value = fmt.Appendf(nil, `{"id":%d,"v":%d,"note":"s","seq":%d}`, id, next.v, s.seq)
		}
		s.last[id] = next
		records = append(records, r)
	}
	s.records += int64(count)
	return s.client.ProduceSync(ctx, records...).FirstErr()
}

// run sends changes in bursts until ctx ends. A commit of firth's makes Spark give its own up, so that under
// steady changes Spark never gets its turn.
func (s *stream) run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.calm.Lock()
		bursts, rest := 1+s.random.IntN(20), time.Duration(s.random.Int64N(int64(5*time.Second)))
		for range bursts {
			if err := s.change(context.WithoutCancel(ctx), 40, nil); err != nil {
				s.calm.Unlock()
				return err
			}
			_ = pause(ctx, 50*time.Millisecond) // the end of ctx is seen above
		}
		s.calm.Unlock()
		_ = pause(ctx, rest)
	}
	return nil
}

// sharedKeys is a lake whose tables of both format versions take the same topic and Spark's changes.
type sharedKeys struct {
	*lake
	stream *stream
	spark  *components.Session
	tables []*sharedTable
	// asked counts statements of Spark, again those that others' commits made it give up, and calmed those
	// for which the stream was held up in the end.
	asked, again, calmed int
}

// sharedTable is one table and what must be in it.
type sharedTable struct {
	name  string
	own   map[int64]version // rows of the quiet keys and Spark's
	busy  map[int64]version // what Spark last made of busy keys, as it committed it
	steps int               // taken, but for where they began
}

// TestSparkChangesALiveKeyedTable lets Spark insert, delete, update, merge and rewrite files of keyed tables
// that firth updates all the while, and expire their snapshots. Every key is there once, with the values that
// the order of commits gives it, and who follows the changes has the same rows.
func TestSparkChangesALiveKeyedTable(t *testing.T) {
	t.Parallel()
	s := newSharedKeys(t)
	service := s.run(t, "firth")
	s.fill(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var feed errgroup.Group
	feed.Go(func() error { return s.stream.run(ctx) })
	following, leave := context.WithCancel(t.Context())
	defer leave()
	var readers errgroup.Group
	copies := s.follow(following, &readers)
	begun, before := time.Now(), s.stream.records
	for step := range either(1, 20) {
		for _, table := range s.tables {
			s.step(t, table)
		}
		if step%5 == 4 {
			for _, table := range s.tables {
				s.isWhole(t, table)
				s.proven(t, table.name)
			}
		}
	}
	stop()
	require.NoError(t, feed.Wait())
	for _, table := range s.tables { // what Spark makes of busy rows last is there at the end
		s.mergeBusy(t, table, int64(table.steps))
	}
	t.Logf("%d statements of Spark in %.0f s beside %d records; %d times again, %d of them with the stream held up",
		s.asked, time.Since(begun).Seconds(), s.stream.records-before, s.again, s.calmed)
	for i, table := range s.tables {
		s.reaches(t, table.name, s.stream.records, 2*time.Minute)
		s.isFinal(t, table)
		copies[i].becomes(t, s.rowsOf(t, table))
	}
	leave()
	require.NoError(t, readers.Wait())
	for _, table := range s.tables {
		s.sql(t, "call lake.system.expire_snapshots(table => '"+table.name+
			"', older_than => timestamp '2100-01-01 00:00:00', retain_last => 1)")
		s.isFinal(t, table)
	}
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
	if soak() {
		s.run(t, "catalog", "--roles", "catalog")
		s.everyEngineAgrees(t)
	}
}

// newSharedKeys starts the servers, two of which take some seconds each.
func newSharedKeys(t *testing.T) *sharedKeys {
	t.Helper()
	lab := newLab(t)
	kafka, err := lab.Kafka(t.Context())
	require.NoError(t, err)
	minio, err := lab.MinIO(t.Context(), "warehouse")
	require.NoError(t, err)
	s := &sharedKeys{lake: newLake(t, lab, settings{brokers: kafka.Brokers, s3: minio.Endpoint})}
	createTopic(t, kafka.Brokers, "keys")
	for _, format := range []int{2, 3} {
		table := &sharedTable{name: fmt.Sprintf("db.keys%d", format), steps: format, own: map[int64]version{},
			busy: map[int64]version{}}
		s.spec(t, strings.TrimPrefix(table.name, "db."), fmt.Sprintf(sharedKeysSpec, table.name, format))
		s.tables = append(s.tables, table)
	}
	s.apply(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers), kgo.DefaultProduceTopic("keys"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	s.stream = &stream{client: client, random: rand.New(rand.NewPCG(7, 7)), last: map[int64]version{}}
	return s
}

// fill brings all rows, and starts Spark meanwhile.
func (s *sharedKeys) fill(t *testing.T) {
	t.Helper()
	require.NoError(t, s.stream.change(t.Context(), busyKeys, func(i int) int64 { return int64(i) }))
	require.NoError(t, s.stream.change(t.Context(), quietKeys, func(i int) int64 { return quietFirst + int64(i) }))
	var err error
	s.spark, err = s.lab.Spark(t.Context(), s.reader(t))
	require.NoError(t, err)
	// Small statements cost more to compile than to run.
	for _, setting := range []string{"shuffle.partitions = 1", "codegen.wholeStage = false",
		"codegen.factoryMode = NO_CODEGEN"} {
		s.sql(t, "set spark.sql."+setting)
	}
	for id, row := range s.stream.last {
		if id >= quietFirst {
			delete(s.stream.last, id)
			for _, table := range s.tables {
				table.own[id] = row
			}
		}
	}
	for _, table := range s.tables {
		s.reaches(t, table.name, s.stream.records, time.Minute)
	}
}

// conflicts are words of faults that mean: others committed first, ask again.
var conflicts = []string{"ValidationException", "CommitFailedException", "conflicting", "Found new",
	"concurrently modified"}

// askedMax bounds how often a statement is asked.
const askedMax = 12

// sql runs a statement until no other's commit comes between. From the second time, or the fourth, the stream is
// held up for it, as a user would choose a quiet hour.
func (s *sharedKeys) sql(t *testing.T, statement string) [][]string {
	t.Helper()
	s.asked++
	held := false
	defer func() {
		if held {
			s.stream.calm.Unlock()
		}
	}()
	for attempt := range askedMax {
		answer, err := s.spark.Run(t.Context(), statement)
		require.NoError(t, err)
		if answer.Fault == "" {
			return answer.Rows
		}
		conflict := false
		for _, word := range conflicts {
			conflict = conflict || strings.Contains(answer.Fault, word)
		}
		require.True(t, conflict, "%s: %s", statement, answer.Fault)
		s.again++
		if attempt == either(0, 2) {
			s.stream.calm.Lock()
			held = true
			s.calmed++
		}
	}
	require.FailNow(t, "never without a conflict", statement)
	return nil
}

// step lets Spark do one of everything, in another of its two ways to change rows each time.
func (s *sharedKeys) step(t *testing.T, table *sharedTable) {
	t.Helper()
	step := int64(table.steps)
	table.steps++
	way := []string{"merge-on-read", "copy-on-write"}[step%2]
	s.sql(t, fmt.Sprintf(`alter table lake.%s set tblproperties ('write.merge.mode' = '%s',
		'write.update.mode' = '%s', 'write.delete.mode' = '%s')`, table.name, way, way, way))
	s.mergeQuiet(t, table, step)
	s.mergeBusy(t, table, step)
	switch step % 3 {
	case 0:
		s.sql(t, fmt.Sprintf("update lake.%s set v = v + 1000 where id >= %d and id %% 7 = %d", table.name,
			quietFirst, step%7))
		for id, row := range table.own {
			if id%7 == step%7 {
				row.v += 1000
				table.own[id] = row
			}
		}
	case 1:
		s.sql(t, fmt.Sprintf("delete from lake.%s where id >= %d and id %% 13 = %d", table.name, quietFirst, step%13))
		for id := range table.own {
			if id%13 == step%13 {
				delete(table.own, id)
			}
		}
	default:
		id := sparkFirst + step
		s.sql(t, fmt.Sprintf("insert into lake.%s (id, v, note, seq, "+metadataColumns+
			") values (%d, 5, 'own', 0, null, null, null, null)", table.name, id))
		table.own[id] = version{v: 5, note: "'own"}
	}
	s.sql(t, fmt.Sprintf("call lake.system.rewrite_data_files(table => '%s', options => map('rewrite-all', 'true'))",
		table.name))
}

// merge is a statement that changes the rows of some ids: it deletes those of a remainder, when there
// is one, marks those that are there, and inserts those that are not.
func merge(table string, from, to, step int64, remainder string) string {
	if remainder != "" {
		remainder = "when matched and " + remainder + " then delete"
	}
	return fmt.Sprintf(`merge into lake.%s t using (select id from range(%d, %d)) s on t.id = s.id %s
		when matched then update set note = 'm%d'
		when not matched then insert (id, v, note, seq, %s)
		values (s.id, -1, 'i%d', 0, null, null, null, null)`, table, from, to, remainder, step, metadataColumns, step)
}

// mergeQuiet merges rows that the stream leaves alone, and some that nobody has brought yet.
func (s *sharedKeys) mergeQuiet(t *testing.T, table *sharedTable, step int64) {
	t.Helper()
	from := quietFirst + step*60
	s.sql(t, merge(table.name, from, from+120, step, fmt.Sprintf("s.id %% 5 = %d", step%5)))
	for id := from; id < from+120; id++ {
		row, there := table.own[id]
		switch {
		case there && id%5 == step%5:
			delete(table.own, id)
		case there:
			row.note = fmt.Sprintf("'m%d", step)
			table.own[id] = row
		default:
			table.own[id] = version{v: -1, note: fmt.Sprintf("'i%d", step)}
		}
	}
}

// mergeBusy merges rows that the stream changes and deletes meanwhile. What it made of them is read from its own
// snapshot: all of them are there once, with its note.
func (s *sharedKeys) mergeBusy(t *testing.T, table *sharedTable, step int64) {
	t.Helper()
	from := step * 100 % busyKeys
	s.sql(t, merge(table.name, from, from+300, step, ""))
	snapshot := s.sql(t, fmt.Sprintf(`select snapshot_id from lake.%s.snapshots
		where summary['engine-name'] = 'spark' order by committed_at desc limit 1`, table.name))[0][0]
	rows := s.sql(t, fmt.Sprintf("select id, v, note, seq from lake.%s version as of %s where id >= %d and id < %d",
		table.name, snapshot, from, from+300))
	require.Len(t, rows, 300)
	for id, row := range versions(t, rows) {
		merged, inserted := fmt.Sprintf("'m%d", step), fmt.Sprintf("'i%d", step)
		if row.note != inserted {
			require.Equal(t, merged, row.note, "key %d", id)
		}
		table.busy[id] = row
	}
}

// versions are rows of id, v, note, seq by id, each once.
func versions(t *testing.T, rows [][]string) map[int64]version {
	t.Helper()
	out := make(map[int64]version, len(rows))
	for _, row := range rows {
		var numbers [4]int64
		for i, text := range row {
			if i == 2 {
				continue
			}
			var err error
			numbers[i], err = strconv.ParseInt(text, 10, 64)
			require.NoError(t, err, "%v", row)
		}
		require.NotContains(t, out, numbers[0], "there twice")
		out[numbers[0]] = version{v: numbers[1], note: row[2], seq: numbers[3]}
	}
	return out
}

// rowsOf reads all rows with PyIceberg, and lets Spark count.
func (s *sharedKeys) rowsOf(t *testing.T, table *sharedTable) map[int64]version {
	t.Helper()
	counted := s.sql(t, "select count(*) - count(distinct id) from lake."+table.name)
	require.Equal(t, [][]string{{"0"}}, counted, "keys that are there twice, in Spark")
	var answers []json.RawMessage
	require.NoError(t, s.lab.Ask(t.Context(), s.reader(t), components.Question{Program: "pyiceberg_values",
		Queries: []components.Query{{Table: table.name, Columns: [][2]string{{"id", "long"}, {"v", "long"},
			{"note", "string"}, {"seq", "long"}}}}}, &answers))
	var rows [][]string
	require.NoError(t, json.Unmarshal(answers[0], &rows), "%.2000s", answers[0])
	return versions(t, rows)
}

// isWhole looks at the table while it changes: Spark's rows are as they must be, each other is as some record
// or Spark left it.
func (s *sharedKeys) isWhole(t *testing.T, table *sharedTable) map[int64]version {
	t.Helper()
	rows := s.rowsOf(t, table)
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	own := map[int64]version{}
	for id, row := range rows {
		switch {
		case id >= quietFirst:
			own[id] = row
		case row.seq == 0:
			require.Equal(t, table.busy[id], row, "key %d, which Spark inserted", id)
		default:
			require.Equal(t, versionOf(id, row.seq).v, row.v, "key %d", id)
			require.LessOrEqual(t, row.seq, s.stream.last[id].seq, "key %d", id)
		}
	}
	require.Equal(t, table.own, own)
	return rows
}

// isFinal compares every row when the table has all records. A busy row is that of the last record, with
// Spark's note when Spark merged that version. One that is deleted may be there when Spark inserted it afterwards.
func (s *sharedKeys) isFinal(t *testing.T, table *sharedTable) {
	t.Helper()
	rows := s.isWhole(t, table)
	var marked, inserted int
	for id, last := range s.stream.last {
		row, there := rows[id]
		if last.note == "" {
			require.True(t, !there || row.seq == 0, "key %d was deleted by record %d, and is %+v", id, last.seq, row)
			if there {
				inserted++
			}
			continue
		}
		want := last
		if merged := table.busy[id]; merged.seq == last.seq {
			want, marked = merged, marked+1
		}
		require.Equal(t, want, row, "key %d", id)
	}
	report := s.proven(t, table.name)
	t.Logf("%s: %d rows as they must be, %d busy ones merged last by Spark, %d inserted; ledger %v, foreign %+v",
		table.name, len(rows), marked, inserted, report.Counts, report.Foreign)
	require.Positive(t, marked+inserted)
}

// everyEngineAgrees compares the tables as they are now in all readers.
func (s *sharedKeys) everyEngineAgrees(t *testing.T) {
	t.Helper()
	var questions []question
	for _, table := range s.tables {
		q := question{part: "shared keys", rows: map[string][]string{}}
		q.Table = table.name
		q.Columns = [][2]string{{"id", "long"}, {"v", "long"}, {"note", "string"}, {"seq", "long"}}
		for id, row := range s.rowsOf(t, table) {
			q.rows[strconv.FormatInt(id, 10)] = []string{strconv.FormatInt(row.v, 10), row.note,
				strconv.FormatInt(row.seq, 10)}
		}
		questions = append(questions, q)
	}
	s.spark.Stop()
	for _, engine := range []string{"duckdb", "spark", "trino"} {
		s.asks(t, engine, questions)
	}
}
