package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	iceio "github.com/apache/iceberg-go/io"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/table"
)

// The invariants. They hold after every run, whatever the faults were:
//
//  1. each record is in the table once, or filtered, or a tombstone, or in the dead-letter table once;
//  2. the stored position is the end of what was read, and the ledger is proven against files and rows;
//  3. every file that a snapshot refers to is there, and no file twice;
//  4. our reader and iceberg-go's read the same rows.
func (w *world) check(ctx context.Context) error {
	healthy := w.catalogOf(nil)
	main, err := healthy.LoadTable(ctx, ident)
	if err != nil {
		return err
	}
	letters, err := healthy.LoadTable(ctx, commit.DeadLettersIdent(ident))
	if err != nil {
		return err
	}
	return errors.Join(
		w.checkRows(ctx, main),
		w.checkDeadLetters(ctx, letters),
		w.checkLedger(ctx, main, letters),
		w.checkSnapshots(ctx, main),
		w.checkSnapshots(ctx, letters),
	)
}

// where is the place of a record.
type where struct {
	partition int32
	offset    int64
}

// checkRows compares the rows with the log, through two readers.
func (w *world) checkRows(ctx context.Context, main *table.Table) error {
	theirs := map[where][]int64{}
	err := w.foreignRead(ctx, main, []string{"id", "_kafka_partition", "_kafka_offset"}, func(c columns) {
		at := where{c.int32(1), c.int64(2)}
		theirs[at] = append(theirs[at], c.int64(0))
	})
	if err != nil {
		return fmt.Errorf("read with iceberg-go: %w", err)
	}
	ours, err := w.ownRead(ctx, main)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if len(ours) != len(theirs) {
		return fmt.Errorf("our reader found %d records, iceberg-go's %d", len(ours), len(theirs))
	}
	return errors.Join(w.compare(becomesRow, theirs), w.compare(becomesRow, ours))
}

func (w *world) checkDeadLetters(ctx context.Context, letters *table.Table) error {
	found := map[where][]int64{}
	err := w.foreignRead(ctx, letters, []string{"partition", "offset"}, func(c columns) {
		at := where{c.int32(0), c.int64(1)}
		found[at] = append(found[at], 0)
	})
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return w.compare(becomesDeadLetter, found)
}

// compare holds what was found against what must become of each offset.
func (w *world) compare(kind fateKind, found map[where][]int64) error {
	var faults []error
	for tp, fates := range w.load.fates {
		for offset, fate := range fates {
			at := where{tp.Partition, int64(offset)}
			ids := found[at]
			delete(found, at)
			switch {
			case fate.kind != kind && len(ids) > 0:
				faults = append(faults, fmt.Errorf("record %v of kind %d is there as %d", at, fate.kind, kind))
			case fate.kind == kind && len(ids) == 0:
				faults = append(faults, fmt.Errorf("record %v of kind %d is lost", at, kind))
			case len(ids) > 1:
				faults = append(faults, fmt.Errorf("record %v of kind %d is there %d times", at, kind, len(ids)))
			case kind == becomesRow && fate.kind == kind && ids[0] != fate.id:
				faults = append(faults, fmt.Errorf("record %v is another: id %d, want %d", at, ids[0], fate.id))
			}
		}
	}
	for at := range found {
		faults = append(faults, fmt.Errorf("row of %v, which the log never had", at))
	}
	return errors.Join(faults...)
}

func (w *world) checkLedger(ctx context.Context, main, letters *table.Table) error {
	report, err := verify.Check(ctx, main, w.objects, verify.Options{Deep: true, DeadLetters: letters, Parallel: 1})
	if err != nil {
		return err
	}
	var faults []error
	for _, f := range report.Faults {
		faults = append(faults, errors.New(f.String()))
	}
	return errors.Join(faults...)
}

// checkSnapshots looks that everything every snapshot of a table refers to is there.
func (w *world) checkSnapshots(ctx context.Context, t *table.Table) error {
	files := table.FileIO(ctx, w.objects)
	for _, snapshot := range t.Metadata().Snapshots() {
		manifests, err := snapshot.Manifests(files)
		if err != nil {
			return fmt.Errorf("%s: snapshot %d: %w", t, snapshot.SnapshotID, err)
		}
		seen := map[string]bool{}
		for _, m := range manifests {
			for entry, err := range m.Entries(files, true) {
				if err != nil {
					return fmt.Errorf("%s: snapshot %d: %w", t, snapshot.SnapshotID, err)
				}
				name := entry.DataFile().FilePath()
				if seen[name] {
					return fmt.Errorf("%s: snapshot %d: file %s twice", t, snapshot.SnapshotID, name)
				}
				seen[name] = true
				if _, err := w.objects.Stat(ctx, name); err != nil {
					return fmt.Errorf("%s: snapshot %d: %w", t, snapshot.SnapshotID, err)
				}
			}
		}
	}
	return nil
}

// columns is one row of a batch.
type columns struct {
	arrays []any
	row    int
}

func (c columns) int64(i int) int64 { return c.arrays[i].(*array.Int64).Value(c.row) }
func (c columns) int32(i int) int32 { return c.arrays[i].(*array.Int32).Value(c.row) }

// foreignRead reads with iceberg-go's own scan.
func (w *world) foreignRead(ctx context.Context, t *table.Table, names []string, visit func(columns)) error {
	open := func(ctx context.Context) (iceio.IO, error) { return table.FileIO(ctx, w.objects), nil }
	foreign := icetable.New(t.Ident(), t.Metadata(), t.MetadataLocation(), open, nil)
	if t.Metadata().CurrentSnapshot() == nil {
		return nil
	}
	_, batches, err := foreign.Scan(icetable.WithSelectedFields(names...), icetable.WithMaxConcurrency(1)).
		ToArrowRecords(ctx)
	if err != nil {
		return err
	}
	for batch, err := range batches {
		if err != nil {
			return err
		}
		c := columns{}
		for _, name := range names {
			c.arrays = append(c.arrays, batch.Column(batch.Schema().FieldIndices(name)[0]))
		}
		for c.row = range int(batch.NumRows()) {
			visit(c)
		}
		batch.Release()
	}
	return nil
}

// ownRead reads with our own reader.
func (w *world) ownRead(ctx context.Context, t *table.Table) (map[where][]int64, error) {
	found := map[where][]int64{}
	tasks, err := table.Plan(ctx, t, w.objects, table.Scan{})
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, w.objects, task) {
			if err != nil {
				return nil, err
			}
			at := func(name string) int { return batch.Schema().FieldIndices(name)[0] }
			ids := batch.Column(at("id")).(*array.Int64)
			partitions := batch.Column(at("_kafka_partition")).(*array.Int32)
			offsets := batch.Column(at("_kafka_offset")).(*array.Int64)
			for i := range int(batch.NumRows()) {
				place := where{partitions.Value(i), offsets.Value(i)}
				found[place] = append(found[place], ids.Value(i))
			}
		}
	}
	return found, nil
}
