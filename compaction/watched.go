package compaction

import (
	"strconv"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// wholeEvery is the time from one whole look at a table to the next. Looks between rewrite only what deletes make dear
// to read: small files gather for as long, and rewrites of others fail when files leave that they have read. Where
// others have written in this time, there are only whole looks, for what is due.
const wholeEvery = time.Minute

// look is how a table is looked at.
type look int

const (
	noLook    look = iota
	hastyLook      // for groups with deletes
	wholeLook      // for all groups
)

// watched is what is known of a table.
type watched struct {
	head int64 // snapshot of the last look
	idle int64 // snapshot at which nothing was left to do
	turn int   // groups that were rewritten
	// hasty is the snapshot of the last look that was not idle, whole the time of the last whole look.
	hasty int64
	whole time.Time
	// judged is the snapshot up to which it is known who wrote; foreign counts the commits of others, of which the
	// last was seen at others.
	judged  int64
	foreign int64
	others  time.Time
}

// look says how a table is to be looked at now.
func (w *watched) look(t *table.Table, now time.Time) look {
	head := t.SnapshotID()
	if head != w.judged {
		w.judged = head
		if count := foreignCommits(t); count != w.foreign || othersWrote(t, now.Add(-wholeEvery)) {
			w.foreign, w.others = count, now
		}
	}
	switch {
	case now.Sub(w.whole) >= wholeEvery:
		w.hasty = head
		return wholeLook
	case w.shared(now) || head == w.hasty:
		return noLook
	}
	w.hasty = head
	return hastyLook
}

// shared says whether others have written lately.
func (w *watched) shared(now time.Time) bool { return now.Sub(w.others) < wholeEvery }

// fewFiles says whether the summary of the newest snapshot is enough to see that there is nothing to do, so that
// the manifests of many small tables are not read.
func fewFiles(t *table.Table) bool {
	summary := t.Metadata().CurrentSnapshot().Summary
	if summary == nil {
		return false
	}
	files, err := strconv.Atoi(summary.Properties["total-data-files"])
	return err == nil && files < FilesMinAutomatic && summary.Properties["total-delete-files"] == "0"
}

// foreignCommits is how many commits of others the ledger knows; their snapshots may have expired.
func foreignCommits(t *table.Table) int64 {
	ledger, err := commit.ReadLedger(t.Metadata())
	if err != nil {
		return 0 // the committer tells
	}
	return ledger.Foreign.Snapshots + ledger.Foreign.Unseen
}

// othersWrote says whether a snapshot since then is of another writer.
func othersWrote(t *table.Table, since time.Time) bool {
	for s := range commit.Ancestry(t.Metadata()) {
		if s.TimestampMs < since.UnixMilli() {
			return false
		}
		if s.Summary != nil && s.Summary.Properties[commit.SummaryWriter] == "" {
			return true
		}
	}
	return false
}
