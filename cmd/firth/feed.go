package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/changelog"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/point"
	"github.com/firthlake/firth/table/tail"
)

// feeder makes ingesters for specs, one after the other, over one lake. What outlives an ingester is
// here: metrics, memory budget, registry client, the folder for spilled rows.
type feeder struct {
	program  *program
	lake     *lake
	registry *registry.Client // nil when none is configured
	schemas  decode.Schemas   // the same, for decoding
	// transforms are the tables' own.
	transforms transformer
	log        *slog.Logger
	budget     *table.Budget
	debt       *compaction.Debt
	scratch    *scratch
	spillDir   string // the folder of scratch
	place      *instance
	keys       map[uuid.UUID]*ingest.Keys // by table
	tails      *tail.Set
	points     *point.Reader // of all look-ups
	moved      chan struct{} // a table is another version than before
	// processors are those that Go found at the start.
	processors int

	ingestMetrics *ingest.Metrics
	commitMetrics *commit.Metrics
	writerMetrics *table.Metrics
	changeMetrics *changelog.Metrics
}

// newFeeder prepares a feeder. The caller closes it.
func (p *program) newFeeder(l *lake, log *slog.Logger, registerer prometheus.Registerer) (*feeder, error) {
	client, err := p.openRegistry(l.config)
	if err != nil {
		return nil, err
	}
	spill, err := newScratch(os.TempDir(), p.now())
	if err != nil {
		return nil, err
	}
	copies := spill.dir
	if l.config.State != "" {
		copies = l.config.State
	}
	f := &feeder{
		program: p, lake: l, registry: client, log: log, scratch: spill, spillDir: spill.dir,
		budget:        table.NewBudget(bufferBytes(l.config.Limits.Memory)),
		debt:          compaction.NewDebt(),
		ingestMetrics: ingest.NewMetrics(registerer), commitMetrics: commit.NewMetrics(registerer),
		writerMetrics: table.NewMetrics(registerer), changeMetrics: changelog.NewMetrics(registerer),
		keys: map[uuid.UUID]*ingest.Keys{}, tails: tail.NewSet(), processors: runtime.GOMAXPROCS(0),
		points: point.NewReader(l.objects, copies, copiesBytes(copies)), moved: make(chan struct{}, 1),
	}
	if client != nil {
		f.schemas = client
	}
	if f.place, err = claimInstance(l.config.file, l.config.Instance); err != nil {
		log.Info("no place of its own in the consumer group: after a crash its partitions wait for the end "+
			"of its session", "err", err)
	}
	return f, nil
}

func (f *feeder) close() {
	f.closeKeys()
	f.transforms.close()
	f.place.close()
	if f.registry != nil {
		f.registry.Close()
	}
	if err := f.scratch.close(); err != nil {
		f.log.Warn("remove folder of spilled rows", "err", err)
	}
}

// feed is one running generation: an ingester per cluster, and the tables that they write, by name.
type feed struct {
	ingesters  []*ingest.Ingester
	committers map[string]*commit.Committer
	letters    map[string]*table.Table // nil where no policy uses it
	// followers write the changes of tables that have a changelog.
	followers []*changelog.Follower
	// keyedTables is how many of the tables are keyed, lookups those by name.
	keyedTables int
	lookups     map[string]*ingest.Lookup
}

// open connects to every cluster that the specs read and makes its ingester. It starts nothing. loaded
// are tables by name that were loaded just now; the others are loaded.
func (f *feeder) open(ctx context.Context, specs []*spec.Spec, loaded map[string]*table.Table,
) (*feed, error) {
	out := &feed{committers: map[string]*commit.Committer{}, letters: map[string]*table.Table{},
		lookups: map[string]*ingest.Lookup{}}
	letters, err := atOnce(ctx, specs, f.deadLetterTable)
	if err != nil {
		return nil, err
	}
	committers, err := atOnce(ctx, specs, func(ctx context.Context, s *spec.Spec) (*commit.Committer, error) {
		return f.committer(ctx, s, loaded[s.Name])
	})
	if err != nil {
		return nil, err
	}
	for i, s := range specs {
		out.committers[s.Name], out.letters[s.Name] = committers[i], letters[i]
		if s.Keyed() {
			out.keyedTables++
		}
	}
	if err := f.follow(ctx, out, specs); err != nil {
		return nil, err
	}
	for _, cluster := range clustersOf(specs) {
		log := f.log.With("cluster", cluster)
		options := ingest.Options{
			Store: f.lake.objects, Budget: f.budget, Workers: f.workers(), SpillDir: f.spillDir,
			Now: f.program.now, Log: log, Metrics: f.ingestMetrics, WriterMetrics: f.writerMetrics,
			Stretch: f.debt.Stretch,
		}
		kafka := source.KafkaOptions{Group: f.lake.config.Group, Logger: log, Now: f.program.now,
			FetchBytesMax: fetchBytes(f.lake.config.Limits.Memory)}
		if kafka.Connection, err = f.lake.config.connection(cluster); err != nil {
			return nil, err
		}
		for _, s := range specs {
			for i, src := range s.Sources {
				if src.Cluster != cluster {
					continue
				}
				t, err := f.table(out, s, i)
				if err != nil {
					return nil, err
				}
				options.Tables = append(options.Tables, t)
				kafka.Topics = append(kafka.Topics, src.Topics...)
				if src.Pattern != "" {
					kafka.Patterns = append(kafka.Patterns, src.Pattern)
				}
			}
		}
		slices.Sort(kafka.Topics)
		kafka.Topics = slices.Compact(kafka.Topics)
		kafka.InstanceID = f.place.id(kafka)
		if options.Source, err = source.OpenKafka(ctx, kafka); err != nil {
			return nil, fmt.Errorf("cluster %s: %w", cluster, err)
		}
		ingester, err := ingest.New(ctx, options)
		if err != nil {
			return nil, errors.Join(err, options.Source.Close(ctx))
		}
		out.ingesters = append(out.ingesters, ingester)
	}
	return out, nil
}

func (f *feeder) workers() int {
	if n := f.lake.config.Limits.DecodeWorkers; n > 0 {
		return n
	}
	return f.processors
}

func clustersOf(specs []*spec.Spec) []string {
	var names []string
	for _, s := range specs {
		for _, src := range s.Sources {
			names = append(names, src.Cluster)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// table makes the options of one source of a spec.
func (f *feeder) table(out *feed, s *spec.Spec, index int) (ingest.TableOptions, error) {
	t, err := rowOptions(s, index, rowParts{f.schemas, &f.transforms})
	if err != nil {
		return t, err
	}
	src := s.Sources[index]
	t.Ident, t.Topics, t.Group = s.Ident(), src.Topics, f.lake.config.Group
	committer := out.committers[s.Name]
	t.DeadLetterTable, t.Committer, t.Freshness = out.letters[s.Name], committer, s.Freshness
	t.Clock = f.tails.Clock(committer.Table().Metadata().TableUUID())
	t.Tail, t.TailEvery = f.tailOf(committer.Table(), s), time.Duration(f.lake.config.Live.Interval)
	if t.Keyed != nil {
		t.Keyed.Keys = f.keysOf(committer.Table(), out.keyedTables)
		out.lookups[s.Name] = t.Keyed.Keys.Lookup(f.points, f.program.now)
	}
	t.Evolver = ingest.Follower{Committer: committer, Policy: s.Evolution.Policy()}
	if src.Pattern != "" {
		t.Patterns = []string{src.Pattern}
	}
	if t.Start, err = startOf(src); err != nil {
		return t, fmt.Errorf("%s: %w", s.File(), err)
	}
	return t, nil
}

// rowParts are what finds out how records become rows.
type rowParts struct {
	schemas    decode.Schemas
	transforms *transformer
}

// rowOptions is the part of a source's options that decides what becomes of a record.
func rowOptions(s *spec.Spec, index int, parts rowParts) (ingest.TableOptions, error) {
	src := s.Sources[index]
	options, writer, err := decoding(s, src, parts.schemas)
	if err != nil {
		return ingest.TableOptions{}, err
	}
	t := ingest.TableOptions{Decode: options, Writer: writer, DeadLetters: s.DeadLetters}
	t.Parquet.Profile = encodingsFor(s.ReaderProfile)
	if t.Transform, err = parts.transforms.of(s, index); err != nil {
		return t, err
	}
	if s.Keyed() {
		t.Keyed = &ingest.KeyedOptions{Sequence: s.Sequence, First: s.MergeEngine() == spec.MergeFirst,
			DeleteColumn: s.Delete.Column, Tombstones: s.TombstonesDelete(src),
			Sources: len(s.Sources)}
		if m := s.MergeEngine(); m == spec.MergePartial || m == spec.MergeAggregate {
			t.Keyed.Merge = &ingest.MergeOptions{Functions: s.Aggregate, Groups: s.ColumnGroups}
		}
	}
	if src.Filter != "" {
		if t.Filter, err = filter.Parse(src.Filter); err != nil {
			return t, fmt.Errorf("%s: filter: %w", s.File(), err)
		}
	}
	return t, nil
}

// encodingsFor are the Parquet encodings that the readers of a profile know.
func encodingsFor(readers string) table.Profile {
	switch readers {
	case "wide":
		return table.ProfileSafe
	case "modern":
		return table.ProfileModern
	}
	return table.ProfileDeltaInt
}

func startOf(src spec.Source) (source.Start, error) {
	switch src.Start {
	case "earliest":
		return source.Start{Kind: source.StartEarliest}, nil
	case "latest":
		return source.Start{Kind: source.StartLatest}, nil
	}
	at, err := time.Parse(time.RFC3339, src.Start)
	return source.Start{Kind: source.StartAtTime, Time: at}, err
}

// committer opens the one committer of a table in this process; loaded may be nil.
func (f *feeder) committer(ctx context.Context, s *spec.Spec, loaded *table.Table) (*commit.Committer, error) {
	c, err := commit.Open(ctx, f.lake.catalog, f.lake.objects, s.Ident(), commit.Options{
		Now: f.program.now, NewID: uuid.New, Random: rand.Uint64, Sleep: sleep,
		Writer:        ingest.WriterName(writerName(), f.lake.config.Group),
		SnapshotsKeep: s.Retention.Snapshots, SnapshotAgeMin: commit.SnapshotAgeMinDefault, Log: f.log,
		Metrics: f.commitMetrics, Table: loaded, Moved: f.move,
	})
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", s.Name, err)
	}
	return c, nil
}

// move says that a table is another version than before.
func (f *feeder) move() {
	select {
	case f.moved <- struct{}{}:
	default: // it was said already
	}
}

// idle waits until a table moves, at most for d.
func (f *feeder) idle(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-f.moved:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deadLetterTable makes the table for bad records when it is not there, unless no policy uses it.
func (f *feeder) deadLetterTable(ctx context.Context, s *spec.Spec) (*table.Table, error) {
	if !quarantines(s.DeadLetters) {
		return nil, nil
	}
	ident := commit.DeadLettersIdent(s.Ident())
	t, err := f.lake.catalog.LoadTable(ctx, ident)
	if !errors.Is(err, table.ErrNotFound) {
		return t, err
	}
	t, err = f.lake.catalog.CreateTable(ctx, ident, catalog.TableSpec{Schema: ingest.DeadLetterSchema()})
	if errors.Is(err, table.ErrExists) { // another process was faster
		return f.lake.catalog.LoadTable(ctx, ident)
	}
	return t, err
}

func quarantines(d spec.DeadLetters) bool {
	if d.Default == spec.Quarantine {
		return true
	}
	for _, policy := range d.Classes {
		if policy == spec.Quarantine {
			return true
		}
	}
	return false
}

// progress is what the generation's ingesters have done, by table.
func (d *feed) progress() []ingest.TableProgress {
	var out []ingest.TableProgress
	for _, g := range d.ingesters {
		out = append(out, g.Progress().Tables...)
	}
	return out
}
