package changelog

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Source is the table whose changes are followed, as its committer knows it.
type Source interface {
	Table() *table.Table
	Refresh(ctx context.Context) error
}

// Target is the committer of the changelog.
type Target interface {
	Table() *table.Table
	Position() commit.Position
	Refresh(ctx context.Context) error
	Commit(ctx context.Context, change commit.Change) (commit.Committed, error)
	Evolve(ctx context.Context, plan func(icetable.Metadata) ([]icetable.Update, error)) (*table.Table, error)
}

// Options is what a Follower takes from outside. Source, Target, Store and the functions must be set.
type Options struct {
	Source Source
	Target Target
	Store  objstore.Store
	// NewID makes ids of changes.
	NewID func() uuid.UUID
	Now   func() time.Time
	// Sleep waits, or returns early with the context's error.
	Sleep func(ctx context.Context, d time.Duration) error
	// Memory is the budget of the process for rows; SpillDir is where rows wait that have no room in it.
	Memory   *table.Budget
	SpillDir string
	Parquet  table.ParquetOptions
	// Reads is how many manifests and delete files are read at a time; 0 is 8, and 1 starts no goroutine.
	Reads         int
	Allocator     memory.Allocator
	WriterMetrics *table.Metrics
	Log           *slog.Logger
	Metrics       *Metrics
}

// readsDefault hides the latency of a store as table.Plan does.
const readsDefault = 8

// memoryDefault is the budget of a Follower that is given none.
const memoryDefault = 256 << 20

func (o *Options) complete() error {
	if o.Source == nil || o.Target == nil || o.Store == nil || o.NewID == nil || o.Now == nil || o.Sleep == nil {
		return errors.New("Source, Target, Store, NewID, Now and Sleep must be set")
	}
	if o.Reads <= 0 {
		o.Reads = readsDefault
	}
	if o.Memory == nil {
		o.Memory = table.NewBudget(memoryDefault)
	}
	if o.Allocator == nil {
		o.Allocator = memory.DefaultAllocator
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return nil
}
