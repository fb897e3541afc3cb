package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/metafile"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

// Options are what a Catalog works with. All but Log and Metrics are required.
type Options struct {
	// Committed is the catalog of the tables as they are committed.
	Committed catalog.Reads
	// Store has the tables' objects.
	Store objstore.Store
	// Tails are the tails of the tables that this process ingests.
	Tails *tail.Set
	// Position says where a table stands in its topics, by its metadata.
	Position func(icetable.Metadata) (table.Position, error)
	// Now tells the time, NewID makes UUIDs.
	Now   func() time.Time
	NewID func() uuid.UUID
	Log   *slog.Logger
	// Metrics count; nil counts nothing.
	Metrics *Metrics
}

// The times of versions.
const (
	// Pin is how long a version can be read after it was handed out, and how long a table is followed after
	// somebody has asked for it.
	Pin = time.Minute
	// versionEvery is how often a table gets a new version at most.
	versionEvery = 250 * time.Millisecond
	// readyWait is how long the first reader of a table waits for what was read before to be committed.
	readyWait = 2 * time.Second
	// holdFor is how long the last version is handed out again while the tail behind a table is shorter than
	// it was: ingest gave up what it had read and reads it again.
	holdFor = 30 * time.Second
	// carryFor is how long rows are shown that ingest gave up and that neither the table nor the tail has again.
	// Another process reads and commits them: after the end of a session, which takes a minute, and its interval.
	carryFor = 10 * time.Minute
	// versionAgeMax is how long a version is handed out that nothing has changed since: others remove what no snapshot
	// of the table names once it is old.
	versionAgeMax = time.Hour
	// removeGrace is added to what readers were promised before a file is removed.
	removeGrace = 30 * time.Second
)

// Catalog is a read-only catalog of tables as of now. It may be used by many goroutines.
type Catalog struct {
	catalog.Reads // namespaces and views are those of the committed catalog
	opts          Options
	// manifestChunks are in a manifest of a tail at most; tests have fewer.
	manifestChunks uint64

	mu       sync.Mutex
	overlays map[uuid.UUID]*overlay // by the UUID of the committed table
	parsed   map[string]committed   // by name, as it was loaded last
}

// New returns a Catalog. It starts nothing.
func New(opts Options) (*Catalog, error) {
	if opts.Committed == nil || opts.Store == nil || opts.Tails == nil || opts.Position == nil ||
		opts.Now == nil || opts.NewID == nil {
		return nil, errors.New("live catalog: Committed, Store, Tails, Position, Now and NewID must be given")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(nil)
	}
	return &Catalog{Reads: opts.Committed, opts: opts, manifestChunks: manifestChunks,
		overlays: map[uuid.UUID]*overlay{}, parsed: map[string]committed{}}, nil
}

// TableJSON returns a table as of now.
func (c *Catalog) TableJSON(ctx context.Context, ident table.Ident) (catalog.Loaded, error) {
	asked := c.opts.Now()
	b, err := c.load(ctx, ident)
	if err != nil || b.meta.Version() < 2 { // what has no sequence numbers gets no tail
		return b.loaded, err
	}
	o := c.overlay(b.meta)
	if index := c.tail(b); index != nil {
		if err := o.waitReady(ctx, index.Follow(asked.Add(Pin)), c.opts.Now); err != nil {
			return catalog.Loaded{}, err
		}
	}
	loaded, err := o.current(ctx, c, ident, asked)
	if err != nil {
		return catalog.Loaded{}, fmt.Errorf("load table %s as of now: %w", table.FormatIdent(ident), err)
	}
	return loaded, nil
}

// committed is a table as it is committed.
type committed struct {
	loaded catalog.Loaded
	meta   icetable.Metadata
}

func (c *Catalog) load(ctx context.Context, ident table.Ident) (committed, error) {
	loaded, err := c.opts.Committed.TableJSON(ctx, ident)
	if err != nil {
		return committed{}, err
	}
	name := table.FormatIdent(ident)
	c.mu.Lock()
	last := c.parsed[name]
	c.mu.Unlock()
	if last.meta != nil && last.loaded.MetadataLocation == loaded.MetadataLocation {
		return last, nil
	}
	meta, err := metafile.Parse(loaded.Metadata)
	if err != nil {
		return committed{}, fmt.Errorf("parse table metadata %s: %w", loaded.MetadataLocation, err)
	}
	b := committed{loaded, meta}
	c.mu.Lock()
	c.parsed[name] = b
	c.mu.Unlock()
	return b, nil
}

func (c *Catalog) overlay(meta icetable.Metadata) *overlay {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := meta.TableUUID()
	o := c.overlays[id]
	if o == nil {
		o = newOverlay(id, meta.Location())
		c.overlays[id] = o
	}
	return o
}

// tail is the tail of a table. There is one although this process does not ingest it, since others may tell of theirs.
func (c *Catalog) tail(b committed) *tail.Index {
	if b.meta.Version() < 2 {
		return c.opts.Tails.Find(b.meta.TableUUID())
	}
	return c.opts.Tails.Index(b.meta.TableUUID(), b.meta.Location())
}

func (b committed) isKeyed() bool { return len(b.meta.CurrentSchema().IdentifierFieldIDs) > 0 }

// view is the tail behind a base, and why it is not all that there could be.
func (c *Catalog) view(b committed) (v version) {
	position, err := c.opts.Position(b.meta)
	if err != nil {
		return version{degraded: "the table's ledger is damaged: only what is committed is shown"}
	}
	index := c.opts.Tails.Find(b.meta.TableUUID())
	if index == nil || !index.Fed() {
		v.degraded = "this process does not ingest the table: it is shown as it is committed"
		if b.isKeyed() {
			v.degraded = "a keyed table is shown as it is committed where rows are merged, " +
				"or neither this process ingests it nor one that tells it of its rows"
		}
	}
	if index == nil {
		v.view = tail.View{Cut: position}
		return v
	}
	v.view = index.At(position)
	if v.elsewhere = index.Elsewhere(position); v.degraded == "" && len(v.elsewhere) > 0 {
		v.degraded = fmt.Sprintf("this process does not read %d of %d topic partitions, nor hears from who does: "+
			"their rows are shown once they are committed", len(v.elsewhere), len(v.view.Cut))
	}
	if b.isKeyed() && !index.Ordered() {
		v.degraded = "a keyed table with several sources is shown as it is committed"
		v.view = v.view.Begin()
	}
	return v
}
