package ingest

import (
	"context"
	"fmt"
	"time"
)

// rollbackEvery is how long a rollback of a table goes unnoticed at most. Who commits learns of it at once, since
// the table refuses the commit; a table whose topics are silent has to look. A look loads the table.
const rollbackEvery = 10 * time.Second

// watchRollback goes back to the table's position when somebody has rolled the table back: the records behind it are
// read again. What is on its way is settled first.
func (t *tableState) watchRollback(ctx context.Context, now time.Time) {
	if t.state != StateActive || t.committing != nil || !t.placeAt.IsZero() || len(t.next) == 0 {
		return
	}
	if t.watchAt.IsZero() || t.filling != nil { // its commit tells
		t.watchAt = now.Add(rollbackEvery)
	}
	if t.filling == nil && reached(t.watchAt, now) {
		t.watchAt = now.Add(rollbackEvery)
		if err := t.opts.Committer.Refresh(ctx); err != nil {
			t.unseen("look whether the table was rolled back", fmt.Errorf("load %s: %w", t, err))
			return
		}
		t.blind = ""
	}
	if !t.wasRolledBack() {
		return
	}
	t.log.Warn("table was rolled back: reading on from its position")
	t.drop(ctx)
	t.placeAt = now
}

// wasRolledBack says whether the table was rolled back since its position was taken over.
func (t *tableState) wasRolledBack() bool { return t.opts.Committer.RolledBack() != t.rolledBack }
