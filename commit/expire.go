package commit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

// Expiry says which snapshots leave a table when it is asked to expire them.
type Expiry struct {
	// Keep is how many of the newest snapshots of each branch stay whatever their age; 1 or more.
	Keep int
	// AgeMin is how young a snapshot is kept whatever their number.
	AgeMin time.Duration
	// unread is that of retention.
	unread int64
}

// The properties by which Iceberg lets a table say what expiry keeps of each branch.
const (
	propertyKeep   = "history.expire.min-snapshots-to-keep"
	propertyAgeMax = "history.expire.max-snapshot-age-ms"
)

// ExpiryAgeDefault is how old snapshots become at least, unless somebody says otherwise, as in Iceberg's own expiry:
// what a branch held that was dropped or set back by mistake can be found so long.
const ExpiryAgeDefault = 5 * 24 * time.Hour

// DefaultExpiry is what a table of these properties keeps.
func DefaultExpiry(properties iceberg.Properties) Expiry {
	e := Expiry{Keep: SnapshotsKeepDefault, AgeMin: ExpiryAgeDefault}
	if n, err := strconv.Atoi(properties[propertyKeep]); err == nil && n > 0 {
		e.Keep = n
	}
	if ms, err := strconv.ParseInt(properties[propertyAgeMax], 10, 64); err == nil && ms >= 0 {
		e.AgeMin = time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	return e
}

// Expired tells what an expiry took out of a table, or would.
type Expired struct {
	// Snapshots that left, oldest first, and Refs, the branches and tags past their own greatest age.
	Snapshots []int64  `json:"snapshots"`
	Refs      []string `json:"refs"`
	// Kept is the number of snapshots that stay.
	Kept int `json:"kept"`
	// Manifests, with their lists, Statistics and Files, data and delete files, were needed by no other
	// snapshot.
	Manifests  int `json:"manifests"`
	Statistics int `json:"statistics"`
	Files      int `json:"files"`
	// Left is how many of these objects could not be removed: they are orphans.
	Left int `json:"left"`
}

// Expire takes snapshots out of the table, and then removes the objects that no other snapshot needs. What a
// branch or tag holds stays.
func (c *Committer) Expire(ctx context.Context, e Expiry) (out Expired, err error) {
	if err := e.validate(c.Table()); err != nil {
		return Expired{}, err
	}
	err = c.inTurn(ctx, func() error {
		t := c.main
		if err := t.reload(ctx); err != nil {
			return err
		}
		t.holdUnread(ctx)
		e.unread = t.unread
		in := &expireIntent{expiry: e, now: t.retention(t.head).now}
		if err := t.land(ctx, in); err != nil {
			return fmt.Errorf("expire snapshots of %s: %w", t.name(), err)
		}
		var gone []expired
		if in.last != nil {
			gone = in.last.expired
		}
		out.tell(gone, in.refs)
		removed, left := t.sweep(ctx)
		out.count(removed, left)
		out.Kept = len(t.head.meta.Snapshots())
		return nil
	})
	return out, err
}

// PlanExpiry tells what Expire would do, and changes nothing.
func (c *Committer) PlanExpiry(ctx context.Context, e Expiry) (out Expired, err error) {
	if err := e.validate(c.Table()); err != nil {
		return Expired{}, err
	}
	err = c.inTurn(ctx, func() error {
		t := c.main
		if err := t.reload(ctx); err != nil {
			return err
		}
		t.holdUnread(ctx)
		e.unread = t.unread
		gone, refs := e.plan(t.head.meta, t.retention(t.head).now)
		out.tell(gone, refs)
		leave := map[int64]bool{}
		for _, s := range gone {
			leave[s.SnapshotID] = true
		}
		retained := slices.DeleteFunc(slices.Clone(t.head.meta.Snapshots()),
			func(s icetable.Snapshot) bool { return leave[s.SnapshotID] })
		removed, err := t.unneeded(ctx, gone, retained)
		if err != nil {
			return fmt.Errorf("plan expiry of %s: %w", t.name(), err)
		}
		out.count(removed, 0)
		out.Kept = len(retained)
		return nil
	})
	return out, err
}

func (e Expiry) validate(t *table.Table) error {
	switch {
	case e.Keep < 1 || e.AgeMin < 0:
		return fmt.Errorf("expire snapshots of %s: keep 1 or more, of an age that is not negative: %w", t,
			table.ErrRefused)
	case t.Metadata().Properties()[propertyCollect] == "false":
		return fmt.Errorf("expire snapshots of %s: the table's property %s is false: %w", t, propertyCollect,
			table.ErrRefused)
	}
	return nil
}

func (out *Expired) tell(gone []expired, refs []string) {
	out.Snapshots, out.Refs = make([]int64, 0, len(gone)), append([]string{}, refs...)
	for _, s := range gone {
		out.Snapshots = append(out.Snapshots, s.SnapshotID)
	}
}

func (out *Expired) count(r removal, left int) {
	out.Manifests, out.Statistics, out.Files, out.Left = len(r.manifests), len(r.statistics), len(r.files), left
}

// plan returns the snapshots that are to leave, oldest first, and the branches and tags that are.
func (e Expiry) plan(meta icetable.Metadata, now time.Time) (gone []expired, refs []string) {
	ageOf := func(s *icetable.Snapshot) time.Duration { return max(0, now.Sub(timeOf(s))) } // clocks jump
	kept, referenced := map[int64]bool{}, map[int64]bool{}
	for name, ref := range meta.Refs() {
		s := meta.SnapshotByID(ref.SnapshotID)
		if name != icetable.MainBranch && s != nil && ref.MaxRefAgeMs != nil &&
			ageOf(s) > time.Duration(*ref.MaxRefAgeMs)*time.Millisecond {
			refs = append(refs, name)
			continue
		}
		if ref.SnapshotRefType == icetable.TagRef {
			kept[ref.SnapshotID], referenced[ref.SnapshotID] = true, true
			continue
		}
		i := 0
		for s := range table.Ancestry(meta, s) {
			referenced[s.SnapshotID] = true
			if i < e.Keep || ageOf(s) < e.AgeMin || keptBy(ref, i, ageOf(s)) {
				kept[s.SnapshotID] = true
			}
			i++
		}
	}
	slices.Sort(refs)
	statistics := statisticsOf(meta)
	snapshots := meta.Snapshots()
	for i := range snapshots {
		s := &snapshots[i]
		ageMin := e.AgeMin
		if s.Summary != nil && s.Summary.Properties[summaryStaged] != "" {
			ageMin = max(ageMin, ExpiryAgeDefault)
		}
		if kept[s.SnapshotID] || isUnread(s, e.unread) || !referenced[s.SnapshotID] && ageOf(s) < ageMin {
			continue
		}
		gone = append(gone, expired{Snapshot: s, statistics: statistics[s.SnapshotID]})
	}
	slices.SortStableFunc(gone, func(a, b expired) int { return cmp.Compare(a.TimestampMs, b.TimestampMs) })
	return gone, refs
}

const (
	// propertyCollect says whether anything of a table may be removed.
	propertyCollect = "gc.enabled"
	// summaryStaged marks a snapshot that is on no branch until somebody publishes it, which may take
	// ExpiryAgeDefault.
	summaryStaged = "wap.id"
)

// keptBy says whether a branch's own retention keeps its i-th newest snapshot of the given age.
func keptBy(ref icetable.SnapshotRef, i int, age time.Duration) bool {
	return ref.MinSnapshotsToKeep != nil && i < *ref.MinSnapshotsToKeep ||
		ref.MaxSnapshotAgeMs != nil && age < time.Duration(*ref.MaxSnapshotAgeMs)*time.Millisecond
}

// expireIntent takes snapshots out of a table, and nothing else.
type expireIntent struct {
	expiry Expiry
	now    time.Time
	last   *swap
	refs   []string
}

func (in *expireIntent) build(_ context.Context, h *head) (*swap, error) {
	gone, refs := in.expiry.plan(h.meta, in.now)
	in.last, in.refs = nil, refs
	if len(gone)+len(refs) == 0 {
		return nil, nil
	}
	// Every branch and tag is pinned, so none that moved meanwhile loses what it holds now. One that was made
	// meanwhile is for the catalog to defend.
	requirements := []icetable.Requirement{icetable.AssertTableUUID(h.meta.TableUUID())}
	pins := map[string]int64{}
	for name, ref := range h.meta.Refs() {
		pins[name] = ref.SnapshotID
	}
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		id := pins[name]
		requirements = append(requirements, icetable.AssertRefSnapshotID(name, &id))
	}
	var updates []icetable.Update
	for _, name := range refs {
		updates = append(updates, icetable.NewRemoveSnapshotRefUpdate(name))
	}
	in.last = &swap{base: h, requirements: requirements, updates: append(updates, expiryUpdates(gone)...),
		expired: gone}
	return in.last, nil
}

// landed needs no history: what left never comes back.
func (in *expireIntent) landed(h *head, s *swap) verdict {
	for _, gone := range s.expired {
		if h.meta.SnapshotByID(gone.SnapshotID) != nil {
			return notLanded
		}
	}
	for name := range h.meta.Refs() {
		if slices.Contains(in.refs, name) {
			return notLanded
		}
	}
	return hasLanded
}

// expiryUpdates take snapshots out, with their statistics.
func expiryUpdates(gone []expired) (updates []icetable.Update) {
	if len(gone) == 0 {
		return nil
	}
	ids := make([]int64, len(gone))
	for i, s := range gone {
		ids[i] = s.SnapshotID
		if len(s.statistics) > 0 {
			updates = append(updates, icetable.NewRemoveStatisticsUpdate(s.SnapshotID))
		}
	}
	return append(updates, icetable.NewRemoveSnapshotsUpdate(ids, false))
}
