package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// workload is what a seed draws: how much is written, by how many processes it is read, in which
// groups, and how the table looks.
type workload struct {
	processes  int
	groups     int // 1: the processes share the work; more: they fight for the table
	partitions int32
	left       int // records still to be written
	chunk      int // most records a poll returns of a partition
	cutRows    int64
	pace       time.Duration // most time that passes in a step
	snapshots  int           // kept
	bucketed   bool
	version    string // Iceberg format version

	fates map[commit.TopicPartition][]recordFate // by offset
}

// recordFate is what must become of an offset.
type recordFate struct {
	kind fateKind
	id   int64
}

type fateKind int

const (
	becomesRow fateKind = iota
	becomesDeadLetter
	isFiltered
	isTombstone
	isAbsent
)

const topic = "events"

func (w *world) drawWorkload() workload {
	processes := 1 + w.rng.IntN(3)
	return workload{
		processes: processes, groups: 1 + w.rng.IntN(processes), partitions: 1 + w.rng.Int32N(3),
		left: 30 + w.rng.IntN(100), chunk: 1 + w.rng.IntN(20), cutRows: 1 + w.rng.Int64N(40),
		pace: time.Duration(1+w.rng.IntN(500)) * time.Millisecond, snapshots: 2 + w.rng.IntN(8),
		bucketed: w.rng.IntN(4) == 0, version: []string{"2", "2", "3"}[w.rng.IntN(3)],
		fates: map[commit.TopicPartition][]recordFate{},
	}
}

func tableSchema() *iceberg.Schema {
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "kind", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "_kafka_topic", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 4, Name: "_kafka_partition", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{ID: 5, Name: "_kafka_offset", Type: iceberg.PrimitiveTypes.Int64},
	)
}

// create makes the table and its dead-letter table.
func (w *world) create(ctx context.Context) error {
	w.log.Create(topic, w.load.partitions)
	healthy := w.catalogOf(nil)
	table := catalog.TableSpec{Schema: tableSchema(), Properties: iceberg.Properties{"format-version": w.load.version}}
	if w.load.bucketed {
		partitioned := iceberg.NewPartitionSpec(iceberg.PartitionField{
			SourceIDs: []int{1}, FieldID: 1000, Name: "id_bucket", Transform: iceberg.BucketTransform{NumBuckets: 4},
		})
		table.PartitionSpec = &partitioned
	}
	if _, err := healthy.CreateTable(ctx, ident, table); err != nil {
		return err
	}
	_, err := healthy.CreateTable(ctx, commit.DeadLettersIdent(ident), catalog.TableSpec{
		Schema: ingest.DeadLetterSchema(),
	})
	return err
}

// produce writes some records, and notes what must become of each.
func (w *world) produce() {
	for n := w.rng.IntN(8); n > 0 && w.load.left > 0; n-- {
		index := w.rng.Int32N(w.load.partitions)
		tp := w.log.TopicPartition(topic, index)
		w.load.left--
		id := int64(w.load.left)
		fate := recordFate{id: id}
		record := source.Record{Timestamp: w.now.UnixMilli()}
		switch w.rng.IntN(20) {
		case 0:
			fate.kind = becomesDeadLetter
			record.Value = fmt.Appendf(nil, `{"id":"%d`, id)
		case 1:
			fate.kind = isTombstone
		case 2:
			fate.kind = isFiltered
			record.Value = fmt.Appendf(nil, `{"id":%d,"kind":"noise"}`, id)
		case 3:
			w.log.Skip(topic, index, 2)
			w.load.fates[tp] = append(w.load.fates[tp], recordFate{kind: isAbsent}, recordFate{kind: isAbsent})
			fallthrough
		default:
			record.Value = fmt.Appendf(nil, `{"kind":"signal","id":%d}`, id)
		}
		w.log.Append(topic, index, record)
		w.load.fates[tp] = append(w.load.fates[tp], fate)
	}
}

// spawn starts one more firth process.
func (w *world) spawn(ctx context.Context) {
	w.started++
	group := fmt.Sprintf("group-%d", w.started%w.load.groups)
	w.start(ctx, fmt.Sprintf("process-%d", w.started), func(ctx context.Context, p *process) error {
		return w.serve(ctx, p, group)
	})
}

// serve is the main function of a firth process.
func (w *world) serve(ctx context.Context, p *process, group string) error {
	ingester, reader, err := w.open(ctx, p, group)
	if reader != nil {
		// A group notices a dead member by its silence; here it notices at once, which is harder.
		defer w.log.Crash(reader)
	}
	if err != nil {
		return err
	}
	defer ingester.Close(ctx)
	for {
		if err := p.pass("poll"); err != nil {
			return err
		}
		if !w.healed && w.rng.IntN(200) == 0 {
			w.tracef("the group expels %s", p.name)
			w.log.Expire(reader)
		}
		if err := ingester.Step(ctx); err != nil {
			return err
		}
	}
}

// open wires a process as cmd/firth does. It tries again when an operation fails.
func (w *world) open(ctx context.Context, p *process, group string) (*ingest.Ingester, *sourcetest.Reader, error) {
	own, objects := w.catalogOf(p), w.objectsOf(p)
	var committer *commit.Committer
	var letters *table.Table
	for {
		var err error
		committer, err = commit.Open(ctx, own, objects, ident, commit.Options{
			Now: w.clock, NewID: w.newID, Random: w.random, Writer: ingest.WriterName(p.name, group),
			SnapshotsKeep: w.load.snapshots, SnapshotAgeMin: time.Millisecond, Reads: 1,
			Sleep: func(context.Context, time.Duration) error { return p.pass("sleep") },
		})
		if err == nil {
			if letters, err = own.LoadTable(ctx, commit.DeadLettersIdent(ident)); err == nil {
				break
			}
		}
		if p.killed || errors.Is(err, errKilled) {
			return nil, nil, err
		}
	}
	keep, err := filter.Parse("kind = 'signal'")
	if err != nil {
		return nil, nil, err
	}
	reader := w.log.Join(group, w.load.chunk, topic)
	ingester, err := ingest.New(ctx, ingest.Options{
		Source: reader, Store: objects, Now: w.clock, NewID: w.newID,
		Tables: []ingest.TableOptions{{
			Ident: ident, Topics: []string{topic}, Decode: decode.Options{Format: decode.FormatJSON}, Filter: keep,
			DeadLetterTable: letters, Committer: committer, Group: group,
			Freshness: spec.Freshness{Interval: spec.Duration(2 * time.Second), Rows: w.load.cutRows},
		}},
	})
	return ingester, reader, err
}

// caughtUp says whether the table stands at the end of the log and nothing is pending.
func (w *world) caughtUp(ctx context.Context) bool {
	seen := w.seen
	for i, name := range []table.Ident{ident, commit.DeadLettersIdent(ident)} {
		entry, err := w.store.Entry(ctx, name)
		if err != nil {
			return false
		}
		w.seen[i] = entry.MetadataLocation
	}
	if seen == w.seen {
		return false // nothing moved since the last look
	}
	t, err := w.catalogOf(nil).LoadTable(ctx, ident)
	if err != nil {
		return false
	}
	ledger, err := commit.ReadLedger(t.Metadata())
	if err != nil {
		return true // check says what is wrong
	}
	for i := range w.load.partitions {
		tp := w.log.TopicPartition(topic, i)
		// Absent offsets at the end of a log are not read.
		if end := w.lastRecord(tp); end > 0 && ledger.Position[tp] < end {
			return false
		}
	}
	applied, err := w.applied(ctx, t)
	return err == nil && (len(ledger.Pending) == 0 || ledger.Pending[len(ledger.Pending)-1].Sequence <= applied)
}

func (w *world) applied(ctx context.Context, main *table.Table) (int64, error) {
	letters, err := w.catalogOf(nil).LoadTable(ctx, commit.DeadLettersIdent(ident))
	if err != nil {
		return 0, err
	}
	sequences, err := commit.ReadApplied(letters.Metadata().Properties())
	return sequences[main.Metadata().TableUUID()], err
}

// lastRecord is the offset behind the last record of a partition.
func (w *world) lastRecord(tp commit.TopicPartition) commit.Offset {
	records := w.log.Records(topic, tp.Partition)
	if len(records) == 0 {
		return 0
	}
	return records[len(records)-1].Offset + 1
}
