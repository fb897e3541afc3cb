package commit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Options is what a Committer takes from outside. The functions and Writer must be set.
type Options struct {
	// Now is the clock. A clock that jumps back does not harm: snapshots never do.
	Now func() time.Time
	// NewID makes ids for changes of the committer's own: transitions and accepted losses.
	NewID func() uuid.UUID
	// Random gives 64 random bits, for snapshot ids and the jitter of retries.
	Random func() uint64
	// Sleep waits, or returns early with the context's error.
	Sleep func(ctx context.Context, d time.Duration) error
	// Writer names this process in the snapshots it makes: host, process, instance, group.
	Writer string
	// DeadLetters is the table for dead letters; empty is the table's name and "__dead_letters".
	DeadLetters table.Ident
	// SnapshotsKeep is how many snapshots stay when older ones expire, SnapshotAgeMin how young a
	// snapshot is kept whatever their number.
	SnapshotsKeep  int
	SnapshotAgeMin time.Duration
	// Table is the table as somebody loaded it a moment ago, which spares Open loading it again; nil
	// when nobody did. It may have moved since: the first commit or Refresh finds out, as of any head.
	Table *table.Table
	// Reads is how many manifests are read at a time in a merge; 0 is 8, and 1 starts no goroutine.
	Reads int
	// Moved is called each time that Table is another version than before, and must not wait; nil tells nobody.
	Moved   func()
	Log     *slog.Logger
	Metrics *Metrics
}

// The defaults of retention. With 50 snapshots metadata.json stays near 100 KB and a commit near 5 ms;
// a minute is long enough for a reader to plan from a snapshot it just loaded.
const (
	SnapshotsKeepDefault  = 50
	SnapshotAgeMinDefault = time.Minute
)

// snapshotsSlack is how many snapshots gather before they expire together, a share of those kept, so
// that objects are removed once in several commits.
const snapshotsSlack = 8

const (
	// triesMax bounds the tries to land one swap. With 8 writers that never pause a commit loses
	// 8 times in a row about once in 1,000.
	triesMax = 24
	// loadTriesMax bounds the tries to load the table between them.
	loadTriesMax = 5
	backoffMin   = 10 * time.Millisecond
	backoffMax   = 2 * time.Second
	// lastLoadTimeout bounds the one read-back after the caller's context has ended.
	lastLoadTimeout = 5 * time.Second
)

func (o *Options) withDefaults(ident table.Ident) (Options, error) {
	out := *o
	switch {
	case o.Now == nil || o.NewID == nil || o.Random == nil || o.Sleep == nil:
		return out, fmt.Errorf("open committer of %s: Now, NewID, Random and Sleep must be set",
			table.FormatIdent(ident))
	case o.Writer == "":
		return out, fmt.Errorf("open committer of %s: Writer must be set", table.FormatIdent(ident))
	case o.Table != nil && !slices.Equal(o.Table.Ident(), ident):
		return out, fmt.Errorf("open committer of %s: Table is %s", table.FormatIdent(ident), o.Table)
	case o.SnapshotsKeep < 0 || o.SnapshotAgeMin < 0:
		return out, fmt.Errorf("open committer of %s: retention is negative", table.FormatIdent(ident))
	}
	if out.SnapshotsKeep == 0 {
		out.SnapshotsKeep = SnapshotsKeepDefault
	}
	if out.Reads <= 0 {
		out.Reads = readsDefault
	}
	if len(out.DeadLetters) == 0 {
		out.DeadLetters = DeadLettersIdent(ident)
	}
	if out.Log == nil {
		out.Log = slog.New(slog.DiscardHandler)
	}
	if out.Metrics == nil {
		out.Metrics = NewMetrics(nil)
	}
	return out, nil
}

// DeadLettersIdent is the name of a table's dead-letter table: "db.events" has "db.events__dead_letters".
func DeadLettersIdent(ident table.Ident) table.Ident {
	out := append(table.Ident(nil), ident...)
	out[len(out)-1] += "__dead_letters"
	return out
}

// snapshotID is a random id, positive as some readers want it.
func (o *Options) snapshotID() int64 {
	for {
		if id := int64(o.Random() >> 1); id != 0 {
			return id
		}
	}
}

// backoff is how long to wait after the given try: exponential, half of it random.
func (o *Options) backoff(try int) time.Duration {
	d := backoffMin << min(try-1, 10)
	d = min(d, backoffMax)
	return d/2 + time.Duration(o.Random()%uint64(d/2+1))
}
