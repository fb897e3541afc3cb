package orphans

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Catalog is what the removal needs of a catalog.
type Catalog interface {
	// LoadTable returns the table at its newest version, or table.ErrNotFound.
	LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error)
}

// Options are how orphans are removed.
type Options struct {
	// Grace is how long an orphan stays once it was seen, by the clock of the store. It must be longer than
	// any writer takes from its first file to its commit, and any reader from its plan to its last byte.
	Grace time.Duration
	// Others are the places of all other tables of the catalog.
	Others []Place
	// DryRun writes nothing and removes nothing.
	DryRun bool
	// Now tells the time of a dry run, which leaves the store's clock alone.
	Now func() time.Time
	// Parallel is how many manifests are read, and pages of 1,000 objects removed, at a time; 0 is 8.
	Parallel int
	// Progress is told how many objects of about total are listed, or removed.
	Progress func(stage string, done, total int64)
	Log      *slog.Logger
}

const (
	// GraceDefault is what Spark waits too before it takes a file for an orphan.
	GraceDefault    = 3 * 24 * time.Hour
	parallelDefault = 8
	// pageObjects is what one request to S3 removes.
	pageObjects = 1000
)

// Report tells what was found and done.
type Report struct {
	// Listed are the objects under the table's location, Needed those that the table needs, Strange those that
	// no writer of tables made.
	Listed  int64 `json:"listed"`
	Needed  int64 `json:"needed"`
	Strange int64 `json:"strange"`
	// Found are orphans seen for the first time; Waiting those that stay for now, these among them; InFlight
	// those of them whose change has other files that are younger than the grace.
	Found        int64 `json:"found"`
	Waiting      int64 `json:"waiting"`
	WaitingBytes int64 `json:"waiting_bytes"`
	InFlight     int64 `json:"in_flight"`
	// Removed are those whose grace is over; of a dry run, those that would be removed. Left could not be
	// removed, Spared were needed after all.
	Removed      int64 `json:"removed"`
	RemovedBytes int64 `json:"removed_bytes"`
	Left         int64 `json:"left"`
	Spared       int64 `json:"spared"`
	// Next is when the first of those that wait may be removed; zero when none waits.
	Next time.Time `json:"next,omitzero"`
}

// ErrIncomplete says that objects which the table needs were not listed: they are missing, or their locations
// are written so that they do not compare.
var ErrIncomplete = errors.New("objects that the table needs are not in the listing")

// run is one run over a table.
type run struct {
	catalog Catalog
	store   objstore.Store
	opts    Options
	log     *slog.Logger

	table  *table.Table // as it was last seen
	feeder *table.Table // whose dead letters it is for, or nil
	needed *needed
	root   string // with a slash
	now    time.Time
	young  map[uuid.UUID]bool // changes with an orphan younger than the grace
	report Report
}

// Run lists the orphans of a table and removes those that an earlier run listed a grace period ago.
func Run(ctx context.Context, catalog Catalog, store objstore.Store, ident table.Ident, opts Options) (Report, error) {
	if opts.Grace < 0 || opts.Now == nil {
		return Report{}, errors.New("remove orphans: Now must be set, and a grace that is not negative")
	}
	if opts.Parallel <= 0 {
		opts.Parallel = parallelDefault
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Progress == nil {
		opts.Progress = func(string, int64, int64) {}
	}
	r := &run{catalog: catalog, store: store, opts: opts, young: map[uuid.UUID]bool{},
		log: opts.Log.With("table", table.FormatIdent(ident))}
	if err := r.all(ctx, ident); err != nil {
		return r.report, fmt.Errorf("remove orphans of %s: %w", table.FormatIdent(ident), err)
	}
	return r.report, nil
}

func (r *run) all(ctx context.Context, ident table.Ident) error {
	if err := r.begin(ctx, ident); err != nil {
		return err
	}
	if r.opts.DryRun {
		return r.dry(ctx)
	}
	if err := r.list(ctx); err != nil {
		return err
	}
	return r.remove(ctx)
}

// begin reads the table, what it needs, and the store's clock.
func (r *run) begin(ctx context.Context, ident table.Ident) (err error) {
	if r.table, r.feeder, err = r.load(ctx, ident); err != nil {
		return err
	}
	r.root = rootOf(r.table)
	location := strings.TrimSuffix(r.root, "/")
	if err := unshared(location, r.opts.Others); err != nil {
		return err
	}
	if r.now, err = r.clock(ctx); err != nil {
		return err
	}
	r.needed = newNeeded(r.store, r.opts.Parallel, location)
	return r.needed.begin(ctx, r.table, r.feeder)
}

// load reads the table and the one whose dead letters it is for.
func (r *run) load(ctx context.Context, ident table.Ident) (t, feeder *table.Table, err error) {
	if t, err = r.catalog.LoadTable(ctx, ident); err != nil {
		return nil, nil, err
	}
	if t.Metadata().Properties()["gc.enabled"] == "false" {
		return nil, nil, fmt.Errorf("the table's property gc.enabled is false: %w", table.ErrRefused)
	}
	if t.MetadataLocation() == "" {
		return nil, nil, fmt.Errorf("the catalog does not tell where the metadata file lies: %w", table.ErrRefused)
	}
	if main, found := feederOf(ident); found {
		if feeder, err = r.catalog.LoadTable(ctx, main); errors.Is(err, table.ErrNotFound) {
			return t, nil, nil
		}
	}
	return t, feeder, err
}

// clock is the time of the store: that of an object that is written now.
func (r *run) clock(ctx context.Context) (time.Time, error) {
	if r.opts.DryRun {
		return r.opts.Now(), nil
	}
	now, err := objstore.Clock(ctx, r.store, r.root+clockName)
	if errors.Is(err, objstore.ErrLeftBehind) {
		r.log.Warn("the list of orphans goes on", "err", err)
		err = nil
	}
	return now, err
}

// list writes a new list of orphans.
func (r *run) list(ctx context.Context) error {
	id := r.table.Metadata().TableUUID()
	q, err := newQuarantine(ctx, r.store, r.root+quarantineName,
		quarantineHead{Version: 1, TableUUID: id, ListedAt: r.now})
	if err == nil {
		err = r.compare(ctx, func(o Orphan) error { return q.line(o) })
	}
	return q.end(err)
}

// dry counts what a run would do.
func (r *run) dry(ctx context.Context) error {
	type part struct{ objects, bytes int64 }
	due := map[uuid.UUID]part{}
	count := func(o Orphan) error {
		if !r.due(o) {
			r.wait(o)
			return nil
		}
		p := due[changeOf(o.Path)]
		due[changeOf(o.Path)] = part{p.objects + 1, p.bytes + o.Size}
		return nil
	}
	if err := r.compare(ctx, count); err != nil {
		return err
	}
	for id, p := range due {
		if r.young[id] {
			r.report.InFlight += p.objects
			r.report.Waiting += p.objects
			r.report.WaitingBytes += p.bytes
			continue
		}
		r.report.Removed += p.objects
		r.report.RemovedBytes += p.bytes
	}
	return nil
}

// due says whether the grace of an orphan is over.
func (r *run) due(o Orphan) bool {
	return !o.FirstSeen.After(r.now.Add(-r.opts.Grace)) && !o.Modified.After(r.now.Add(-r.opts.Grace)) &&
		o.FirstSeen.Before(r.now)
}

// wait counts an orphan that stays.
func (r *run) wait(o Orphan) {
	r.report.Waiting++
	r.report.WaitingBytes += o.Size
	if next := o.FirstSeen.Add(r.opts.Grace); r.report.Next.IsZero() || next.Before(r.report.Next) {
		r.report.Next = next
	}
}

// compare lists the objects and gives those that nothing needs to take, with the time when they were first seen.
func (r *run) compare(ctx context.Context, take func(Orphan) error) error {
	next, stop := iter.Pull2(readQuarantine(ctx, r.store, r.root+quarantineName, r.table.Metadata().TableUUID()))
	defer stop()
	before, err, more := next()
	if errors.Is(err, errAnotherTable) {
		r.log.Warn("the list of orphans is of a table that lay here before: it begins anew")
		more, err = false, nil
	}
	for object, listErr := range r.store.List(ctx, r.root) {
		if listErr != nil {
			return listErr
		}
		if r.report.Listed++; r.report.Listed%pageObjects == 0 {
			r.opts.Progress("listed", r.report.Listed, int64(len(r.needed.sorted)))
		}
		switch {
		case r.needed.holds(object.Location):
			r.report.Needed++
			continue
		case !removable(object.Location, r.root):
			r.report.Strange++
			continue
		}
		o := Orphan{Path: object.Location, Size: object.Size, Modified: object.Modified, FirstSeen: r.now}
		for more && err == nil && before.Path < o.Path {
			before, err, more = next()
		}
		if err != nil {
			return err
		}
		if more && before.Path == o.Path && before.Size == o.Size && before.Modified.Equal(o.Modified) {
			o.FirstSeen = before.FirstSeen
		} else {
			r.report.Found++
		}
		if id := changeOf(o.Path); id != uuid.Nil && o.Modified.After(r.now.Add(-r.opts.Grace)) {
			r.young[id] = true
		}
		if err := take(o); err != nil {
			return err
		}
	}
	return r.complete(ctx, err)
}

// complete refuses to go on when the listing lacks what the table needs, unless the table has moved meanwhile:
// its commits remove what expires.
func (r *run) complete(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	lacking := r.needed.missing()
	if lacking == 0 {
		return nil
	}
	now, _, err := r.load(ctx, r.table.Ident())
	if err != nil {
		return err
	}
	if now.MetadataLocation() != r.table.MetadataLocation() && 2*lacking < len(r.needed.sorted) {
		return nil
	}
	return fmt.Errorf("%w: %d of %d", ErrIncomplete, lacking, len(r.needed.sorted))
}
