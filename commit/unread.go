package commit

import (
	"context"
	"errors"
	"fmt"
	"math"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

const (
	// unreadAll holds every snapshot, unreadNone holds none.
	unreadAll  = 1
	unreadNone = math.MaxInt64
)

// isUnread says whether a snapshot has to stay for a changelog.
func isUnread(s *icetable.Snapshot, unread int64) bool {
	return unread > 0 && s.SequenceNumber >= unread
}

// holdUnread finds the snapshots that have to stay for the changelog of the table, if it has one. What cannot be
// found out holds all of them for now.
func (t *trunk) holdUnread(ctx context.Context) {
	t.unread = 0
	name := t.head.meta.Properties()[PropertyChangelog]
	if name == "" {
		return
	}
	unread, err := t.unreadOf(ctx, name)
	if err != nil {
		t.log.Warn("no snapshot expires for now, since it is unknown what the changelog has read",
			"changelog", name, "err", err)
		unread = unreadAll
	}
	t.unread = unread
	held := t.expiryDue() - len(planExpiry(t.head.meta, t.retention(t.head)))
	if held >= max(1, 2*t.unreadTold) {
		t.log.Warn("snapshots that should expire stay until the changelog has read them", "changelog", name,
			"snapshots", held)
		t.unreadTold = held
	}
	if held == 0 {
		t.unreadTold = 0
	}
}

// expiryDue is how many snapshots are to leave with the next commit, as far as no changelog needs them.
func (t *trunk) expiryDue() int {
	r := t.retention(t.head)
	r.unread = 0
	return len(planExpiry(t.head.meta, r))
}

// unreadOf is the sequence number of the oldest snapshot that the changelog of the given name still needs: the
// newest one that it has read, with which it compares the next.
func (t *trunk) unreadOf(ctx context.Context, name string) (int64, error) {
	ident, err := table.ParseIdent(name)
	if err != nil {
		return 0, fmt.Errorf("property %s: %w", PropertyChangelog, err)
	}
	changelog, err := t.catalog.LoadTable(ctx, ident)
	if errors.Is(err, table.ErrNotFound) {
		return unreadNone, nil // dropped: whoever makes a new one begins with the snapshots that are there then
	}
	if err != nil {
		return 0, err
	}
	ledger, err := ReadLedger(changelog.Metadata())
	if err != nil {
		return 0, err
	}
	return max(unreadAll, int64(ledger.Position[SnapshotsOf(t.head.table)])-1), nil
}
