package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// workload is what a seed draws: how much is written, by how many processes it is read, in which
// groups, and how the tables look.
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
	// evolvesAt is how many records are left when records begin to have one more field; 0 is never.
	evolvesAt int

	fates map[commit.TopicPartition][]recordFate // by offset
}

const topic = "events"

func (w *world) drawWorkload() workload {
	processes := 1 + w.rng.IntN(3)
	load := workload{
		processes: processes, groups: 1 + w.rng.IntN(processes), partitions: 1 + w.rng.Int32N(3),
		left: 30 + w.rng.IntN(100), chunk: 1 + w.rng.IntN(20), cutRows: 1 + w.rng.Int64N(40),
		pace: time.Duration(1+w.rng.IntN(500)) * time.Millisecond, snapshots: 2 + w.rng.IntN(8),
		bucketed: w.rng.IntN(4) == 0, version: []string{"2", "2", "3"}[w.rng.IntN(3)],
		fates: map[commit.TopicPartition][]recordFate{},
	}
	if w.rng.IntN(3) == 0 {
		load.evolvesAt = w.rng.IntN(load.left)
	}
	return load
}

// drawFeeds draws the tables: one, or two that share every fetch and differ in filter and policy.
func (w *world) drawFeeds() []*feed {
	feeds := []*feed{newFeed("events", "signal", w.rng.IntN(5) > 0)}
	if w.rng.IntN(5) == 0 {
		feeds = append(feeds, newFeed("noises", "noise", w.rng.IntN(2) == 0))
	}
	return feeds
}

// produce writes some records, and notes what each is.
func (w *world) produce() {
	if w.keyed() && w.rng.IntN(w.keeping.slow) > 0 {
		return
	}
	for n := w.rng.IntN(8); n > 0 && w.load.left > 0; n-- {
		index := w.rng.Int32N(w.load.partitions)
		tp := w.log.TopicPartition(topic, index)
		w.load.left--
		fate := recordFate{id: int64(w.load.left)}
		if w.keyed() {
			fate.id, index = w.drawKey()
			tp = w.log.TopicPartition(topic, index)
		}
		if w.rng.IntN(20) == 0 {
			w.log.Skip(topic, index, 2)
			absent := recordFate{kind: isAbsent}
			w.load.fates[tp] = append(w.load.fates[tp], absent, absent)
		}
		switch w.rng.IntN(20) {
		case 0:
			fate.kind = isBroken
		case 1:
			fate.kind = isTombstone
		case 2, 3:
			fate.kind = isNoise
		}
		sound := fate.kind == isSignal || fate.kind == isNoise
		fate.extra = sound && w.load.left < w.load.evolvesAt && w.rng.IntN(2) == 0
		record := source.Record{Timestamp: w.now.UnixMilli()}
		if w.keyed() && fate.kind != isTombstone {
			fate.row = w.drawVersion(fate)
		}
		if w.keyed() {
			record.Key = fmt.Appendf(nil, `{"id":%d}`, fate.id)
		}
		if fate.kind != isTombstone {
			record.Value = fate.value()
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
	if w.keyed() {
		p.disk = w.takeDisk()
		defer func() { w.disks = append(w.disks, p.disk) }()
	}
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
	var tables []ingest.TableOptions
	for _, f := range w.feeds {
		t, err := w.openTable(ctx, p, group, f)
		if err != nil {
			return nil, nil, err
		}
		tables = append(tables, t)
	}
	reader := w.log.Join(group, w.load.chunk, topic)
	ingester, err := ingest.New(ctx, ingest.Options{
		Source: reader, Store: w.objectsOf(p), Now: w.clock, NewID: w.newID, Tables: tables,
	})
	return ingester, reader, err
}

func (w *world) openTable(ctx context.Context, p *process, group string, f *feed) (ingest.TableOptions, error) {
	var none ingest.TableOptions
	own, objects := w.catalogOf(p), w.objectsOf(p)
	var committer *commit.Committer
	var letters *table.Table
	for {
		var err error
		committer, err = commit.Open(ctx, own, objects, f.ident, w.commitOptions(p, ingest.WriterName(p.name, group)))
		if err == nil {
			if letters, err = own.LoadTable(ctx, commit.DeadLettersIdent(f.ident)); err == nil {
				break
			}
		}
		if p.killed || errors.Is(err, errKilled) {
			return none, err
		}
	}
	keep, err := filter.Parse(fmt.Sprintf("kind = '%s'", f.keeps))
	if err != nil {
		return none, err
	}
	var versions *ingest.KeyedOptions
	if f.keyed {
		how := f.engine.options()
		how.Tombstones, how.Keys = true, w.keysOn(p)
		if w.keeping.deletes {
			how.DeleteColumn = columnNames[colGone]
		}
		versions = &how
	}
	return ingest.TableOptions{
		Ident: f.ident, Keyed: versions, Topics: []string{topic}, Filter: keep,
		Decode:          decode.Options{Format: decode.FormatJSON, UnknownFields: decode.UnknownEvolve},
		DeadLetterTable: letters, Committer: committer, Group: group,
		Evolver:   evolver{committer: committer, policy: evolve.Policy{AddColumn: f.follows}},
		Freshness: spec.Freshness{Interval: spec.Duration(2 * time.Second), Rows: w.load.cutRows},
	}, nil
}

// commitOptions are those of p's committers, or of somebody healthy when p is nil.
func (w *world) commitOptions(p *process, writer string) commit.Options {
	return commit.Options{
		Now: w.clock, NewID: w.newID, Random: w.random, Writer: writer,
		SnapshotsKeep: w.load.snapshots, SnapshotAgeMin: time.Millisecond, Reads: 1,
		Sleep: func(context.Context, time.Duration) error {
			if p == nil {
				return nil
			}
			return p.pass("sleep")
		},
	}
}

// caughtUp says whether the tables stand at the end of the log and nothing is pending.
func (w *world) caughtUp(ctx context.Context) bool {
	var seen []string
	for _, f := range w.feeds {
		for _, name := range []table.Ident{f.ident, commit.DeadLettersIdent(f.ident)} {
			entry, err := w.store.Entry(ctx, name)
			if err != nil {
				return false
			}
			seen = append(seen, entry.MetadataLocation)
		}
	}
	if slices.Equal(seen, w.seen) {
		return false // nothing moved since the last look
	}
	w.seen = seen
	for _, f := range w.feeds {
		if !w.feedCaughtUp(ctx, f) {
			return false
		}
	}
	return true
}

func (w *world) feedCaughtUp(ctx context.Context, f *feed) bool {
	t, err := w.healthy.LoadTable(ctx, f.ident)
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
		if position, known := ledger.Position[tp]; known && position < w.first[tp] {
			return false
		}
	}
	applied, err := w.applied(ctx, t, f)
	return err == nil && (len(ledger.Pending) == 0 || ledger.Pending[len(ledger.Pending)-1].Sequence <= applied)
}

func (w *world) applied(ctx context.Context, main *table.Table, f *feed) (int64, error) {
	letters, err := w.healthy.LoadTable(ctx, commit.DeadLettersIdent(f.ident))
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
