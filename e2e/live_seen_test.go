//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

// seenTable is a table whose newest rows clients look at.
type seenTable struct {
	tableKind
	topic   string
	produce func(ctx context.Context, brokers string) error
}

const (
	seenRate = 5_000 // records a second
	// seenPartition is the topic partition that is looked at, seenWindow the offsets before its end that a look at a
	// table that grows begins at.
	seenPartition, seenWindow = 0, 200
	// seenKeys are the keys of a topic partition of the keyed table.
	seenKeys = 2_500
	// Nothing counts for seenWarm, then all counts for seenFor, in which there is a checkpoint.
	seenWarm, seenFor = 20 * time.Second, 75 * time.Second
)

// seenTables are committed once a minute, so that what is newer is seen by the live catalog alone.
func seenTables() []seenTable {
	const freshness = "freshness: {interval: 1m}\n"
	return []seenTable{
		{tableKind{name: "grown", more: "schema: " + events10 + "\nsources: [{topics: [grown]}]\n" + freshness},
			"grown", produceGrown},
		{tableKind{name: "latest", keyed: true, more: "identifier: [id]\ndelete: {column: gone}\n" +
			"schema: {columns: [{name: id, type: long, required: true}, {name: gone, type: boolean}]}\n" +
			"sources: [{topics: [latest]}]\n" + freshness}, "latest", produceLatest},
	}
}

func produceGrown(ctx context.Context, brokers string) error {
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 12})
	if err != nil {
		return err
	}
	_, err = gen.Produce(ctx, source.Connection{Brokers: []string{brokers}}, "grown", g, gen.Run{Rate: seenRate})
	return err
}

// latest is the record at an offset of a partition: of any of its keys, and one in fifty deletes.
func latest(partition, offset int) (id int, gone bool) {
	random := rand.New(rand.NewPCG(uint64(partition), uint64(offset)))
	return random.IntN(seenKeys)*partitions + partition, offset%50 == 7
}

func produceLatest(ctx context.Context, brokers string) error {
	connection := source.Connection{Brokers: []string{brokers}}
	return gen.ProduceRecords(ctx, connection, "latest", gen.Run{Rate: seenRate}, func(number int64) gen.Record {
		partition := int(number % partitions)
		id, gone := latest(partition, int(number/partitions))
		return gen.Record{Partition: int32(partition), Value: fmt.Appendf(nil, `{"id":%d,"gone":%t}`, id, gone)}
	})
}

// TestClientsSeeRowsOfThisSecond looks at the newest rows of tables that are committed once a minute, through the live
// catalog on MinIO, again and again, each client by itself. A look must have each offset once or of each key the newest
// row, and may not go back. How old rows were is only told: from the newest record's timestamp until the answer was
// there, as 'firth bench live' has it. Run it alone.
func TestClientsSeeRowsOfThisSecond(t *testing.T) {
	if !soak() {
		t.Skip("it measures: set FIRTH_SOAK=1")
	}
	lab := newLab(t)
	minio, err := lab.MinIO(t.Context(), "warehouse")
	require.NoError(t, err)
	l := newLake(t, lab, settings{brokers: embeddedBroker(t, "grown", "latest"), s3: minio.Endpoint})
	for _, s := range seenTables() {
		l.spec(t, s.name, "name: db."+s.name+"\n"+s.more)
	}
	l.apply(t)
	service := l.run(t, "seen")
	reader := l.reader(t)
	reader.Warehouse, reader.Vended = "live", true
	for _, s := range seenTables() {
		t.Run(s.name, func(t *testing.T) {
			stop := l.produceSeen(t, s)
			defer stop()
			t.Run("iceberg-go", func(t *testing.T) { s.isSeen(t, s.byIcebergGo(reader)) })
			t.Run("trino", func(t *testing.T) {
				trino, err := lab.Trino(t.Context(), reader)
				require.NoError(t, err)
				t.Cleanup(trino.Stop)
				reader := reader
				reader.Trino = trino.Port
				session, err := lab.TrinoClient(t.Context(), reader)
				require.NoError(t, err)
				t.Cleanup(session.Stop)
				s.isSeen(t, s.byTrino(session))
			})
		})
	}
	service.Stop()
	require.Zero(t, service.ExitCode(), service.Tail())
	for _, s := range seenTables() {
		l.proven(t, "db."+s.name)
	}
}

// produceSeen fills the topic of a table until what it returns is called.
func (l *lake) produceSeen(t *testing.T, s seenTable) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	produced := make(chan error, 1)
	go func() { produced <- s.produce(ctx, l.settings.brokers) }()
	return func() {
		cancel()
		require.NoError(t, <-produced)
	}
}

// seenRow is a row of the partition as a client has it; id is that of a keyed table.
type seenRow struct{ id, offset, micros int }

// look has a client read the rows of the partition from an offset on, of a keyed table all.
type look func(ctx context.Context, from int) ([]seenRow, error)

// isSeen looks again and again.
func (s seenTable) isSeen(t *testing.T, look look) {
	t.Helper()
	var ages, took []time.Duration
	var keys newest
	began, next := time.Now(), 0
	for time.Since(began) < seenWarm+seenFor {
		from := max(0, next-seenWindow)
		asked := time.Now()
		rows, err := look(t.Context(), from)
		answered := time.Now()
		require.NoError(t, err)
		last := 0 // in microseconds
		for _, row := range rows {
			last = max(last, row.micros)
		}
		if s.keyed {
			holdKeys(t, &keys, rows)
		} else {
			next = holdOffsets(t, from, next, rows)
		}
		if last > 0 && asked.Sub(began) > seenWarm {
			ages, took = append(ages, answered.Sub(time.UnixMicro(int64(last)))), append(took, answered.Sub(asked))
		}
	}
	require.NotEmpty(t, ages, "no rows were seen")
	t.Logf("%d answers, all exact; rows were %s, answers took %s", len(ages), spread(ages), spread(took))
}

// holdOffsets wants each offset from one on once, up to one that is not before the end that was seen, and returns
// where they end.
func holdOffsets(t *testing.T, from, end int, rows []seenRow) int {
	t.Helper()
	slices.SortFunc(rows, func(a, b seenRow) int { return a.offset - b.offset })
	for i, row := range rows {
		require.Equal(t, from+i, row.offset, "of %d rows from offset %d on", len(rows), from)
	}
	require.GreaterOrEqual(t, from+len(rows), end, "the table went back")
	return from + len(rows)
}

// holdKeys wants the rows to be the newest of their keys at a cut that is not before the last.
func holdKeys(t *testing.T, keys *newest, rows []seenRow) {
	t.Helper()
	found := map[int]int{}
	for _, row := range rows {
		require.NotContains(t, found, row.id, "a key twice")
		found[row.id] = row.offset
	}
	cut := keys.cut
	record := func(offset int) (int, bool) { return latest(seenPartition, offset) }
	require.True(t, keys.reach(record, found), "no cut from %d on has these %d rows", cut, len(rows))
}

// spread tells quantiles.
func spread(of []time.Duration) string {
	slices.Sort(of)
	at := func(q int) int64 { return of[min(len(of)-1, len(of)*q/100)].Milliseconds() }
	return fmt.Sprintf("%d ms at the median, %d ms at 99 of 100, %d ms at most", at(50), at(99), at(100))
}

// byTrino looks through an open session.
func (s seenTable) byTrino(session *components.Session) look {
	return func(ctx context.Context, from int) ([]seenRow, error) {
		question := fmt.Sprintf("select _kafka_offset, cast(to_unixtime(_kafka_timestamp) * 1000000 as bigint), 0 "+
			"from lake.db.%s where _kafka_partition = %d and _kafka_offset >= %d", s.name, seenPartition, from)
		if s.keyed {
			question = fmt.Sprintf("select _kafka_offset, cast(to_unixtime(_kafka_timestamp) * 1000000 as bigint), id "+
				"from lake.db.%s where _kafka_partition = %d", s.name, seenPartition)
		}
		answer, err := session.Run(ctx, question)
		if err == nil && answer.Fault != "" {
			err = fmt.Errorf("%s: %s", question, answer.Fault)
		}
		return seenRows(answer.Rows, err)
	}
}

// seenRows are rows of offset, timestamp and id.
func seenRows(rows [][]string, err error) ([]seenRow, error) {
	out := make([]seenRow, 0, len(rows))
	for _, row := range rows {
		var n [3]int
		for i, text := range row {
			if n[i], err = strconv.Atoi(text); err != nil {
				return nil, err
			}
		}
		out = append(out, seenRow{offset: n[0], micros: n[1], id: n[2]})
	}
	return out, err
}

// byIcebergGo loads the table for each look, as engines do.
func (s seenTable) byIcebergGo(r components.Reader) look {
	return func(ctx context.Context, from int) ([]seenRow, error) {
		tbl, err := icebergGoTable(ctx, r, r.Warehouse, s.tableKind)
		if err != nil {
			return nil, err
		}
		var where iceberg.BooleanExpression
		where = iceberg.EqualTo(iceberg.Reference("_kafka_partition"), int32(seenPartition))
		columns := []string{"_kafka_offset", "_kafka_timestamp"}
		if s.keyed {
			columns = append(columns, "id")
		} else {
			where = iceberg.NewAnd(where, iceberg.GreaterThanEqual(iceberg.Reference("_kafka_offset"), int64(from)))
		}
		return icebergGoSeen(ctx, tbl.Scan(icetable.WithSelectedFields(columns...), icetable.WithRowFilter(where)))
	}
}

// icebergGoSeen reads what a scan finds.
func icebergGoSeen(ctx context.Context, scan *icetable.Scan) (rows []seenRow, err error) {
	_, batches, err := scan.ToArrowRecords(ctx)
	if err != nil {
		return nil, err
	}
	for batch, err := range batches {
		if err != nil {
			return nil, err
		}
		column := func(name string) arrow.Array {
			if at := batch.Schema().FieldIndices(name); len(at) > 0 {
				return batch.Column(at[0])
			}
			return nil
		}
		offsets := column("_kafka_offset").(*array.Int64)
		times, ids := column("_kafka_timestamp").(*array.Timestamp), column("id")
		for i := range offsets.Len() {
			row := seenRow{offset: int(offsets.Value(i)), micros: int(times.Value(i))}
			if ids != nil {
				row.id = int(ids.(*array.Int64).Value(i))
			}
			rows = append(rows, row)
		}
		batch.Release()
	}
	return rows, nil
}
