package rowexpiry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// ErrClock says that nothing leaves, since it cannot be told what time it is.
var ErrClock = errors.New("rows do not expire while clocks disagree")

// skewMax is how far clocks may be apart: much for clocks that are kept in time, and little for the age of rows.
const skewMax = time.Hour

// clockName is the object that tells the store's time, under the table's location.
const clockName = "metadata/firth-expiry.clock"

// now is the earlier time of the clock of the process and that of the store.
func (e *Expirer) now(ctx context.Context, t *table.Table) (time.Time, error) {
	local := e.opts.Now()
	stored := local
	if !e.opts.DryRun {
		var err error
		location := strings.TrimRight(t.Metadata().Location(), "/") + "/" + clockName
		stored, err = objstore.Clock(ctx, e.store, location)
		if errors.Is(err, objstore.ErrLeftBehind) {
			e.opts.Log.Warn("rows expire all the same", "err", err)
			err = nil
		}
		if err != nil {
			return time.Time{}, err
		}
	}
	if apart := local.Sub(stored).Abs(); apart > skewMax {
		return time.Time{}, fmt.Errorf("it is %s here and %s by the store: %w", utc(local), utc(stored), ErrClock)
	}
	now := local
	if stored.Before(now) {
		now = stored
	}
	if s := t.Metadata().CurrentSnapshot(); s != nil && time.UnixMilli(s.TimestampMs).After(now.Add(skewMax)) {
		return time.Time{}, fmt.Errorf("it is %s, and the newest snapshot was made at %s: %w", utc(now),
			utc(time.UnixMilli(s.TimestampMs)), ErrClock)
	}
	return now, nil
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
