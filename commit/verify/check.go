package verify

import (
	"context"
	"errors"
	"fmt"
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
	// DeadLetters is the dead-letter table, or nil when there is none.
	DeadLetters *table.Table
	// Progress, when not nil, is told how many files of how many are done.
	Progress func(done, total int)
	// Parallel bounds the files looked at together; 0 is 8.
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
		table: t, meta: t.Metadata(), store: store, opts: opts,
		report: &Report{Table: t.String(), Deep: opts.Deep, Snapshots: len(t.Metadata().Snapshots())},
	}
	if head := c.meta.SnapshotByName(icetable.MainBranch); head != nil {
		c.report.SnapshotID = head.SnapshotID
	}
	for _, step := range []func(context.Context) error{c.ledgerTiles, c.filesAddUp, c.deadLettersAddUp, c.deep} {
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
	store  objstore.Store
	opts   Options
	report *Report

	ledger commit.Ledger
	laid   map[commit.TopicPartition]*tiled
	steps  []step
	files  []liveFile
	// foreign are the retained snapshots of main that others made.
	foreign map[int64]bool
	own     map[int64]bool
}

// ledgerTiles decodes the ledger and lays its ranges one behind the other.
func (c *check) ledgerTiles(ctx context.Context) error {
	ledger, err := commit.ReadLedger(c.meta)
	switch {
	case errors.Is(err, commit.ErrDamaged):
		c.report.faultf(FaultLedger, "%v", err)
		// What can be decoded is checked all the same, so that the report says where it falls short.
	case err != nil:
		return err
	}
	c.ledger = ledger
	c.report.Foreign = ledger.Foreign
	c.own, c.foreign = map[int64]bool{}, map[int64]bool{}
	for snapshot := range commit.Ancestry(c.meta) {
		if !commit.IsFirth(snapshot) {
			c.foreign[snapshot.SnapshotID] = true
			c.report.Foreign = c.report.Foreign.Add(commit.ForeignOf(snapshot))
			continue
		}
		c.own[snapshot.SnapshotID] = true
		ranges, err := commit.SnapshotRanges(ctx, c.store, snapshot)
		if err != nil {
			if !errors.Is(err, commit.ErrDamaged) && !errors.Is(err, objstore.ErrNotFound) {
				return err
			}
			c.report.fault(Fault{Kind: FaultLedger, SnapshotID: snapshot.SnapshotID, Text: err.Error()})
			continue
		}
		c.steps = append(c.steps, step{snapshotID: snapshot.SnapshotID, ranges: ranges})
	}
	for i, j := 0, len(c.steps)-1; i < j; i, j = i+1, j-1 {
		c.steps[i], c.steps[j] = c.steps[j], c.steps[i]
	}
	c.laid = tile(ledger, c.steps, c.report.fault)
	c.tellPartitions()
	return nil
}

func (c *check) tellPartitions() {
	for _, tp := range sorted(c.laid) {
		t := c.laid[tp]
		c.report.Counts = c.report.Counts.Add(t.Counts)
		c.report.Partitions = append(c.report.Partitions, Partition{
			Cluster: tp.Cluster, Topic: tp.Topic, TopicID: tp.TopicID.String(), Partition: tp.Partition,
			From: t.From, Next: t.Next, Ranges: t.ranges, Counts: t.Counts,
			Checksum: strconv.FormatUint(t.Checksum, 16),
		})
		if t.missing > 0 {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf(
				"%s: the counts of %d offsets are gone with snapshots that others expired", tp, t.missing))
		}
		if t.Counts.Lost > 0 {
			c.report.Notes = append(c.report.Notes,
				fmt.Sprintf("%s: %d offsets were accepted as lost", tp, t.Counts.Lost))
		}
	}
}

// deadLettersAddUp compares the dead letters counted with those published and pending.
func (c *check) deadLettersAddUp(ctx context.Context) error {
	d := DeadLetters{Counted: c.report.Counts.DeadLetters}
	applied := int64(0)
	if dead := c.opts.DeadLetters; dead != nil {
		d.Table = dead.String()
		files, err := liveFiles(ctx, dead, c.store)
		if err != nil {
			return err
		}
		for _, f := range files {
			d.Rows += f.file.Count()
		}
		sequences, err := commit.ReadApplied(dead.Metadata().Properties())
		if err != nil {
			c.report.faultf(FaultDeadLetters, "%v", err)
		}
		applied = sequences[c.meta.TableUUID()]
	}
	for _, p := range c.ledger.Pending {
		if p.Sequence > applied {
			d.Pending += p.Rows()
		}
	}
	c.report.DeadLetters = d
	if d.Rows+d.Pending != d.Counted {
		c.report.faultf(FaultDeadLetters, "%d dead letters are counted, %d are in %s and %d pending",
			d.Counted, d.Rows, orNoTable(d.Table), d.Pending)
	}
	return nil
}

func orNoTable(name string) string {
	if name == "" {
		return "no table"
	}
	return name
}
