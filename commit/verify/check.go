package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Options say what to check.
type Options struct {
	// Deep reads every file, and the log where Log is not nil.
	Deep bool
	// Log recounts records that are still retained; nil leaves the log out.
	Log Log
	// LogRequired makes a log that cannot be read an error, where it else is a note.
	LogRequired bool
	// DeadLetters is the dead-letter table, or nil when there is none.
	DeadLetters *table.Table
	// ChangesOf is the table whose changes the table holds, or nil when it holds none.
	ChangesOf *table.Table
	// Progress, when not nil, is told how many files of how many are done.
	Progress func(done, total int)
	// Parallel bounds the files and stretches of log that are read together; 0 is 8.
	Parallel int
}

const parallelDefault = 8

// Check checks a table. The error says that something could not be checked; what falls short is in the
// report.
func Check(ctx context.Context, t *table.Table, store objstore.Store, opts Options) (*Report, error) {
	if opts.Parallel <= 0 {
		opts.Parallel = parallelDefault
	}
	c := &check{
		table: t, meta: t.Metadata(), store: &witness{Store: store}, opts: opts,
		report: &Report{Table: t.String(), Deep: opts.Deep, Snapshots: len(t.Metadata().Snapshots())},
	}
	if head := c.meta.SnapshotByName(icetable.MainBranch); head != nil {
		c.report.SnapshotID = head.SnapshotID
	}
	steps := []func(context.Context) error{c.ledgerTiles, c.filesAddUp, c.deadLettersAddUp, c.deep}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("verify %s: %w", t, err)
		}
	}
	c.report.finish()
	return c.report, nil
}

// check is one run of Check.
type check struct {
	table  *table.Table
	meta   icetable.Metadata
	store  *witness
	opts   Options
	report *Report

	history
	unfolded
	// ownership says of the retained snapshots of main whether they are ours.
	ownership map[int64]bool

	files, letters []liveFile
	listed         bool // files is all that the head references
	// applied is the newest commit whose dead letters are published.
	applied int64
	// lettersAdded are rows that others put into the dead-letter table.
	lettersAdded int64
	replays      replays
}

func (c *check) note(format string, args ...any) {
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(format, args...))
}

// ledgerTiles decodes the ledger and looks that its ranges lie one behind the other.
func (c *check) ledgerTiles(ctx context.Context) error {
	ledger, err := commit.ReadLedger(c.meta)
	switch {
	case errors.Is(err, commit.ErrDamaged):
		// What can be decoded is checked all the same, so that the report says where it falls short.
		c.report.faultf(FaultLedger, "%v", err)
	case err != nil:
		return err
	}
	c.ledger = ledger
	if err := c.walk(ctx); err != nil {
		return err
	}
	c.unfolded = unfold(c.history, c.report.fault)
	c.tellPartitions()
	if len(c.totals) == 0 && len(c.report.Faults) == 0 {
		c.tellEmpty()
	}
	return nil
}

// walk gathers the ranges of the snapshots of main, back to the first whose ranges cannot be read: what lies
// below it is in the totals, and nothing tells it apart.
func (c *check) walk(ctx context.Context) error {
	c.ownership = map[int64]bool{}
	c.whole = true
	var oldest *icetable.Snapshot
	for s := range commit.Ancestry(c.meta) {
		oldest = s
		c.ownership[s.SnapshotID] = commit.IsFirth(s)
	}
	for s := range commit.Standing(c.meta) {
		if !commit.IsFirth(s) || !c.whole {
			continue
		}
		if through := c.ledger.Foreign.Through; through > 0 && s.SequenceNumber > through {
			c.report.fault(Fault{Kind: FaultLedger, SnapshotID: s.SnapshotID,
				Text: "it says that firth made it, and the ledger does not know of it"})
		}
		next, err := c.step(ctx, s)
		switch {
		case err == nil:
			c.steps = append(c.steps, next)
		case c.store.cause() != nil:
			return err
		default:
			c.whole = false
			c.report.fault(Fault{Kind: FaultLedger, SnapshotID: s.SnapshotID, Text: err.Error()})
		}
	}
	slices.Reverse(c.steps)
	c.whole = c.whole && oldest != nil && oldest.ParentSnapshotID == nil
	return nil
}

// step reads the ranges of one snapshot.
func (c *check) step(ctx context.Context, s *icetable.Snapshot) (step, error) {
	out := step{snapshotID: s.SnapshotID, schemaID: c.meta.CurrentSchema().ID}
	if s.SchemaID != nil {
		out.schemaID = *s.SchemaID
	}
	err := guard(func() (err error) { out.ranges, err = commit.SnapshotRanges(ctx, c.store, s); return err })
	return out, err
}

// tellEmpty says what it means that there is no ledger: nothing to prove where nothing was committed,
// nothing proven where rows are.
func (c *check) tellEmpty() {
	if c.report.SnapshotID == 0 {
		c.note("nothing was committed yet")
		return
	}
	c.report.fault(Fault{Kind: FaultLedger, SnapshotID: c.report.SnapshotID,
		Text: "the table has no ledger: firth never committed to it, so there is nothing to prove it by"})
}

func (c *check) tellPartitions() {
	for _, tp := range sorted(c.totals) {
		t := c.totals[tp]
		c.report.Counts = c.report.Counts.Add(t.Counts)
		c.report.Partitions = append(c.report.Partitions, Partition{
			tp: tp, Cluster: tp.Cluster, Topic: tp.Topic, TopicID: tp.TopicID.String(), Partition: tp.Partition,
			From: t.From, Next: t.Next, Ranges: c.ranges[tp], Counts: t.Counts,
			Checksum: strconv.FormatUint(t.Checksum, 16),
		})
		if t.Counts.Lost > 0 {
			c.note("%s: %d offsets were accepted as lost", tp, t.Counts.Lost)
		}
	}
}
