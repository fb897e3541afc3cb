package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/recycle"
	"github.com/firthlake/firth/table/tail"
)

// Options say what an Ingester works with. Source, Store and Tables are required.
type Options struct {
	Source source.Source
	Store  objstore.Store
	Tables []TableOptions
	// Budget is the memory that buffered rows are taken from, shared by all tables of the process;
	// nil is 256 MiB.
	Budget *table.Budget
	// Stretch is by how much the time between commits of a table is stretched now, 1 or more, up to its
	// Freshness.IntervalMax; nil is not at all.
	Stretch func(table string) float64
	// Workers is how many goroutines decode in Run, and how many encode one table; 0 is 1.
	Workers int
	// SpillDir is the local folder of writers for rows that memory has no room for.
	SpillDir string
	// StopTimeout bounds the end of Run: what is under way and the last flush; 0 is 30 s.
	StopTimeout time.Duration
	// Now, NewID and Allocator default to the wall clock, random ids and one that recycles.
	Now       func() time.Time
	NewID     func() uuid.UUID
	Allocator memory.Allocator
	Log       *slog.Logger
	// Metrics count per table; nil counts nothing. WriterMetrics are the writers' own.
	Metrics       *Metrics
	WriterMetrics *table.Metrics
}

// TableOptions say what one table takes from the source and how.
type TableOptions struct {
	Ident table.Ident
	// Topics are names, Patterns expressions that a whole topic name must match.
	Topics   []string
	Patterns []string
	// Start is where a topic begins that the table has never read.
	Start source.Start
	// Decode and Writer are how records become rows; Writer counts for the formats with writer
	// schemas. Tables that decode alike share the work.
	Decode decode.Options
	Writer decode.WriterOptions
	// Transform computes columns before the filter sees the row; nil computes none.
	Transform Transform
	// Filter keeps the rows for which it is true; nil keeps all.
	Filter *filter.Expr
	// Keyed says how versions of rows replace each other; nil is a table that only grows.
	Keyed *KeyedOptions
	// DeadLetters is the policy for bad records, DeadLetterTable where they go. Without a table,
	// a policy of quarantine suspends.
	DeadLetters     spec.DeadLetters
	DeadLetterTable *table.Table
	// Evolver follows what writers' schemas add; nil refuses all.
	Evolver Evolver
	// Freshness says when to cut a checkpoint: whichever comes first. Zero values are defaults.
	Freshness spec.Freshness
	// Parquet are the writers' choices.
	Parquet   table.ParquetOptions
	Committer Committer
	// Tail takes what is read and not committed while somebody follows the table; nil is nobody, and tables whose
	// rows are merged are not followed. TailEvery is how often it takes it; 0 is TailEveryDefault.
	Tail      *tail.Index
	TailEvery time.Duration
	// Clock is told how far the topics had come, and when; nil is nobody who asks.
	Clock *tail.Clock
	// Group is the consumer group that the table's position is shared within.
	Group string
}

// Committer is the one writer of a table in this process.
type Committer interface {
	// Refresh loads the newest version of the table.
	Refresh(ctx context.Context) error
	// Position is the table's position at the version last seen.
	Position() commit.Position
	// Table is the version last seen.
	Table() *table.Table
	// RolledBack is the sequence number of the table's newest rollback as it was last seen, or 0.
	RolledBack() int64
	// Commit publishes a change. Its errors are those of package commit.
	Commit(ctx context.Context, change commit.Change) (commit.Committed, error)
}

// Evolver makes a table hold what a writer's schema says.
type Evolver interface {
	// Evolve makes the table follow the proposals, or returns false when its policy refuses one
	// of them: then the records that need it are dead letters.
	Evolve(ctx context.Context, evolution *decode.EvolutionError) (followed bool, err error)
}

// Defaults and bounds.
const (
	intervalDefault = 10 * time.Second
	rowsDefault     = 5_000_000
	bytesDefault    = 512 << 20
	budgetDefault   = 256 << 20
	stopDefault     = 30 * time.Second

	// A unit is what one worker decodes at once: enough to be worth handing over, little enough
	// that two cores share one partition and 16 units fit in memory.
	unitRows  = 8 << 10
	unitBytes = 4 << 20
	// underWayShare is the part of the budget, beside it, that decoding ahead may take. It does not hold
	// back events10 at the default limit; records of megabytes it does.
	underWayShare = 3
	// unitsPerWorker is how far decoding may run ahead of applying.
	unitsPerWorker = 4
	// togetherBytes is how much a worker takes at once, if it waits, of a topic that tables share: four
	// units of events10, so that a batch of a tenth of the rows has half of a unit's.
	togetherBytes = 12 << 20
	// workPerTable is what runs beside for a table at most: a commit and a chunk of its tail.
	workPerTable = 2

	backoffMin = 200 * time.Millisecond
	backoffMax = 15 * time.Second

	// releaseTimeout bounds the flush of revoked partitions: well below the 60 s that a group
	// waits for a member.
	releaseTimeout = 20 * time.Second

	// takeOverMin is how long a holder of a table may be silent before another takes over, and
	// takeOverIntervals the same in intervals.
	takeOverMin       = 30 * time.Second
	takeOverIntervals = 3
)

func (o *Options) complete() error {
	if o.Source == nil || o.Store == nil || len(o.Tables) == 0 {
		return errors.New("source, store and at least one table must be given")
	}
	if o.Budget == nil {
		o.Budget = table.NewBudget(budgetDefault)
	}
	o.Workers = max(o.Workers, 1)
	if o.StopTimeout == 0 {
		o.StopTimeout = stopDefault
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = uuid.New
	}
	if o.Allocator == nil {
		o.Allocator = recycle.New()
	}
	if o.Stretch == nil {
		o.Stretch = func(string) float64 { return 1 }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	o.Tables = slices.Clone(o.Tables)
	for i := range o.Tables {
		if err := o.Tables[i].complete(); err != nil {
			return err
		}
	}
	return nil
}

func (t *TableOptions) complete() error {
	name := table.FormatIdent(t.Ident)
	switch {
	case t.Committer == nil:
		return fmt.Errorf("table %s: no committer", name)
	case len(t.Topics)+len(t.Patterns) == 0:
		return fmt.Errorf("table %s: no topics", name)
	case t.Keyed != nil && t.Keyed.Keys == nil:
		return fmt.Errorf("table %s: no key index", name)
	case t.Keyed == nil && len(t.Decode.Envelope.After) > 0:
		return fmt.Errorf("table %s: an envelope needs a keyed table", name)
	}
	if t.Freshness.Interval == 0 {
		t.Freshness.Interval = spec.Duration(intervalDefault)
	}
	if t.Freshness.Rows == 0 {
		t.Freshness.Rows = rowsDefault
	}
	if t.Freshness.Bytes == 0 {
		t.Freshness.Bytes = bytesDefault
	}
	if t.DeadLetters.Default == "" {
		t.DeadLetters.Default = spec.Quarantine
	}
	return nil
}

// takes returns a function that says whether the table reads a topic.
func (t *TableOptions) takes() (func(topic string) bool, error) {
	var patterns []*regexp.Regexp
	for _, p := range t.Patterns {
		compiled, err := regexp.Compile("^(?:" + p + ")$")
		if err != nil {
			return nil, fmt.Errorf("topic pattern %q: %w", p, err)
		}
		patterns = append(patterns, compiled)
	}
	names := t.Topics
	return func(topic string) bool {
		if slices.Contains(names, topic) {
			return true
		}
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(topic) })
	}, nil
}
