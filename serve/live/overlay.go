package live

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// overlay is what this process has handed out of one table.
type overlay struct {
	id     uuid.UUID // of the committed table
	folder string    // of its tail, with a slash
	// turn is taken by who makes a version; all that only he changes is read by others under mu.
	turn chan struct{}

	mu sync.Mutex
	// versions are those that readers may still use, oldest first; the last is the current one.
	versions []*version
	number   int       // of versions made
	stamp    int64     // timestamp of the last one
	waited   time.Time // when waiting for ingest came to nothing
	shown    *shown    // to readers in this process, nil when there were none for long

	// blocked is when it could not be told what the tail hides, read the manifests of the last base, deletes the
	// entries of those that hold deletes. They are of who has the turn.
	blocked time.Time
	read    readManifests
	deletes map[string][]iceberg.ManifestEntry
	// files are those of the last base in which other processes hid rows.
	files plannedFiles
}

// version is one state of a table as readers get it. It does not change, but for handed.
type version struct {
	base     string // metadata location
	view     tail.View
	degraded string
	// elsewhere are the topic partitions that this process neither reads nor hears of.
	elsewhere []table.TopicPartition
	// carried is since when the view has chunks that were withdrawn, zero when it has none.
	carried time.Time
	// hidden are rows of the base and of the view that are not seen, deletions by data file the files that say so.
	hidden     []tail.Hidden
	deletions  map[string]*deletion
	tailHidden int64           // rows of the view among them
	manifests  []*tailManifest // of the files of the view that are seen
	snapshot   json.RawMessage // as later versions list it
	loaded     catalog.Loaded
	files      []string // all that was written for it
	// begun and asked are when the base was found to be the version's for the first time and the last, handed
	// when the version was handed out last.
	begun, asked, handed time.Time
}

func newOverlay(id uuid.UUID, location string) *overlay {
	return &overlay{id: id, folder: tail.FolderOf(location), turn: make(chan struct{}, 1)}
}

// waitReady waits until all that was read is in the tail or committed. When that takes long, readers of the next minute
// do not wait for it.
func (o *overlay) waitReady(ctx context.Context, ready <-chan struct{}, now func() time.Time) error {
	select {
	case <-ready:
		return nil
	default:
	}
	o.mu.Lock()
	patient := now().Sub(o.waited) > Pin
	o.mu.Unlock()
	if !patient {
		return nil
	}
	timer := time.NewTimer(readyWait)
	defer timer.Stop()
	select {
	case <-ready:
	case <-timer.C:
		o.mu.Lock()
		o.waited = now()
		o.mu.Unlock()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// last is the current version, or nil.
func (o *overlay) last() *version {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.versions) == 0 {
		return nil
	}
	return o.versions[len(o.versions)-1]
}

// hand hands out a version.
func (o *overlay) hand(v *version, now time.Time) catalog.Loaded {
	o.mu.Lock()
	defer o.mu.Unlock()
	v.handed = now
	return v.loaded
}

// current returns the table in a state that was loaded after asked, or versionEvery before at most. Loading goes on in
// turns, so that no version is older than the one before.
func (o *overlay) current(
	ctx context.Context, c *Catalog, ident table.Ident, asked time.Time,
) (catalog.Loaded, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return catalog.Loaded{}, ctx.Err()
	}
	now, last := c.opts.Now(), o.last()
	if last != nil && (last.asked.After(asked) || now.Sub(last.asked) < versionEvery ||
		now.Sub(o.blocked) < versionEvery) {
		c.opts.Metrics.loaded("shared")
		return o.hand(last, now), nil
	}
	b, v, err := o.find(ctx, c, ident, last)
	switch {
	case err != nil:
		return catalog.Loaded{}, err
	case b.meta.TableUUID() != o.id:
		// It was dropped and made again just now; the next request finds the new one.
		return b.loaded, nil
	case last != nil && last.same(b, &v, now):
		last.asked, last.carried = now, v.carried // by turn
		c.opts.Metrics.loaded("unchanged")
		return o.hand(last, now), nil
	case last != nil && goesBack(last.view.Cut, v.view.Cut) && now.Sub(last.asked) < holdFor:
		c.opts.Metrics.loaded("held")
		return o.hand(last, now), nil
	}
	v.begun, v.asked = now, now
	made, err := o.make(ctx, c, b, v)
	if err != nil {
		return catalog.Loaded{}, err
	}
	o.add(made)
	c.opts.Metrics.loaded("made")
	c.opts.Metrics.made(c.opts.Now().Sub(now))
	return o.hand(made, c.opts.Now()), nil
}

// same says that the version found at base b is this one.
func (v *version) same(b committed, found *version, now time.Time) bool {
	return v.base == b.loaded.MetadataLocation && v.view.Same(&found.view) && v.degraded == found.degraded &&
		slices.Equal(v.elsewhere, found.elsewhere) &&
		now.Sub(v.begun) < versionAgeMax
}

// movedMax is how often a base is loaded again that was not the newest any more.
const movedMax = 4

// find finds what a version is to be made of, by who has the turn. Where it cannot be told which rows the tail
// hides, that is what is committed.
func (o *overlay) find(
	ctx context.Context, c *Catalog, ident table.Ident, last *version,
) (b committed, v version, err error) {
	for range movedMax {
		if b, err = c.load(ctx, ident); err != nil {
			return b, v, err
		}
		v = c.view(b)
		if !b.isKeyed() {
			o.carry(c, b, last, &v)
			return b, v, nil
		}
		if len(v.view.Chunks) == 0 || last != nil && last.same(b, &v, c.opts.Now()) {
			return b, v, nil
		}
		if v.hidden, err = o.hide(ctx, c, b, ident, v.view); err == nil {
			return b, v, nil
		}
		if !errors.Is(err, tail.ErrMoved) {
			break
		}
	}
	if ctx.Err() != nil {
		return b, v, ctx.Err()
	}
	o.blocked = c.opts.Now()
	c.opts.Log.Warn("readers see rows later: what the tail hides is not known", "table", table.FormatIdent(ident),
		"err", err)
	v.view, v.degraded = v.view.Begin(), "it is shown as it is committed: "+err.Error()
	return b, v, nil
}

// carry goes on from what was shown last where v has less of it: another process reads a topic partition now that was
// read here, or ingest reads again what it gave up.
func (o *overlay) carry(c *Catalog, b committed, last, v *version) {
	index, now := c.opts.Tails.Find(o.id), c.opts.Now()
	if index == nil || last == nil || v.view.Cut == nil || // it is not known where the table stands
		!goesBack(last.view.Cut, v.view.Cut) || now.Sub(last.handed) >= Pin {
		return
	}
	since := last.carried
	if since.IsZero() {
		since = now
	}
	if now.Sub(since) < carryFor {
		v.view, v.carried = index.Resume(v.view.Begin().Cut, last.view), since
	}
}

// add makes v the current version. Of the one before, only what others find it by stays.
func (o *overlay) add(v *version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.versions); n > 0 {
		before := o.versions[n-1]
		before.view, before.loaded = tail.View{}, catalog.Loaded{}
		before.hidden, before.deletions, before.manifests = nil, nil, nil
	}
	o.versions = append(o.versions, v)
}

// goesBack says that a topic partition was shown further than now.
func goesBack(before, now table.Position) bool {
	for id, next := range before {
		if now[id] < next {
			return true
		}
	}
	return false
}

// pinned are the snapshots of versions that readers were handed within the pin window, oldest first.
func (o *overlay) pinned(now time.Time) []json.RawMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []json.RawMessage
	for _, v := range o.versions {
		if now.Sub(v.handed) < Pin {
			out = append(out, v.snapshot)
		}
	}
	return out
}

// expire forgets the versions that were handed out last before then, and returns the files that no other has. The
// current one stays.
func (o *overlay) expire(before time.Time) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var gone []string
	for len(o.versions) > 1 && o.versions[0].handed.Before(before) {
		gone = append(gone, o.versions[0].files...)
		o.versions = slices.Delete(o.versions, 0, 1)
	}
	if len(gone) == 0 {
		return nil
	}
	used := map[string]bool{}
	for _, v := range o.versions {
		for _, file := range v.files {
			used[file] = true
		}
	}
	slices.Sort(gone)
	return slices.DeleteFunc(slices.Compact(gone), func(file string) bool { return used[file] })
}

// written are the files of all versions.
func (o *overlay) written() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var files []string
	for _, v := range o.versions {
		files = append(files, v.files...)
	}
	return files
}
