package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/table"
)

// The invariants. They hold after every run, whatever the faults were:
//
//  1. each record is in the table once, or filtered, or a tombstone, or in the dead-letter table once, or
//     given up by the operator; the rows that others added are there, and those they deleted are not;
//  2. the stored position is the end of what was read, and the ledger is proven against files and rows;
//  3. every file that a snapshot refers to is there, and no file twice; what others tagged is there;
//  4. of a keyed table, every snapshot had, when it landed, the rows that the model has (observe.go): those of
//     the snapshot before with the records of the checkpoint folded in, or what others made of them;
//  5. our reader and iceberg-go's read the same rows.
func (w *world) check(ctx context.Context) error {
	var faults []error
	for _, f := range w.feeds {
		if err := w.checkFeed(ctx, f); err != nil {
			faults = append(faults, fmt.Errorf("table %s: %w", table.FormatIdent(f.ident), err))
		}
	}
	return errors.Join(faults...)
}

func (w *world) checkFeed(ctx context.Context, f *feed) error {
	main, err := w.healthy.LoadTable(ctx, f.ident)
	if err != nil {
		return err
	}
	letters, err := w.healthy.LoadTable(ctx, commit.DeadLettersIdent(f.ident))
	if err != nil {
		return err
	}
	report, err := verify.Check(ctx, main, w.objects, verify.Options{Deep: true, DeadLetters: letters, Parallel: 1})
	if err != nil {
		return err
	}
	rows := w.checkRows
	if f.keyed {
		rows = w.checkVersions
	}
	return errors.Join(
		rows(ctx, f, main, report),
		w.checkDeadLetters(ctx, f, letters, report),
		checkLedger(f, report),
		checkRefs(f, main),
		w.checkSnapshots(ctx, main),
		w.checkSnapshots(ctx, letters),
	)
}

// readRow is what a reader finds of a row.
type readRow struct {
	id int64
	at where
	// foreign says that the row comes from no topic.
	foreign bool
	// extra is the value of the column of that name, and 0 for null or no such column.
	extra int64
}

// checkRows compares the rows with the log, through two readers.
func (w *world) checkRows(ctx context.Context, f *feed, main *table.Table, report *verify.Report) error {
	var theirs, ours []readRow
	names := []string{"id", "_kafka_partition", "_kafka_offset"}
	if _, evolved := main.Metadata().CurrentSchema().FindFieldByName("extra"); evolved {
		names = append(names, "extra")
	}
	err := w.foreignRead(ctx, main, names, func(batch arrow.RecordBatch) { theirs = appendRows(theirs, batch) })
	if err != nil {
		return fmt.Errorf("read with iceberg-go: %w", err)
	}
	tasks, err := table.Plan(ctx, main, w.objects, table.Scan{})
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	for _, task := range tasks {
		batches, err := w.readTask(ctx, task, &ours)
		release(batches)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	if len(ours) != len(theirs) {
		return fmt.Errorf("our reader found %d rows, iceberg-go's %d", len(ours), len(theirs))
	}
	return errors.Join(w.compare(f, aRow, theirs, report), w.compare(f, aRow, ours, report))
}

func (w *world) checkDeadLetters(
	ctx context.Context, f *feed, letters *table.Table, report *verify.Report,
) error {
	var found []readRow
	err := w.foreignRead(ctx, letters, []string{"partition", "offset"}, func(batch arrow.RecordBatch) {
		at := func(name string) arrow.Array { return batch.Column(batch.Schema().FieldIndices(name)[0]) }
		partitions, offsets := at("partition").(*array.Int32), at("offset").(*array.Int64)
		for i := range int(batch.NumRows()) {
			found = append(found, readRow{at: where{partitions.Value(i), offsets.Value(i)}})
		}
	})
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return w.compare(f, aDeadLetter, found, report)
}

// compare holds what was found against what must become of each offset.
func (w *world) compare(f *feed, as becomes, rows []readRow, report *verify.Report) error {
	var faults []error
	found := map[where][]readRow{}
	foreign := map[int64]int{}
	for _, r := range rows {
		if r.foreign {
			foreign[r.id]++
			continue
		}
		found[r.at] = append(found[r.at], r)
	}
	for tp, fates := range w.load.fates {
		for offset, fate := range fates {
			at := where{tp.Partition, int64(offset)}
			there := found[at]
			delete(found, at)
			wanted := f.fate(fate) == as && !w.excused(f, at, as, report)
			switch {
			case !wanted && len(there) > 0:
				faults = append(faults, fmt.Errorf("record %v (%+v) is there as %d", at, fate, as))
			case wanted && len(there) == 0:
				faults = append(faults, fmt.Errorf("record %v (%+v) is lost as %d", at, fate, as))
			case len(there) > 1:
				faults = append(faults, fmt.Errorf("record %v is there as %d %d times", at, as, len(there)))
			case as == aRow && wanted && !fate.is(there[0]):
				faults = append(faults, fmt.Errorf("record %v (%+v) is another: %+v", at, fate, there[0]))
			}
		}
	}
	for at := range found {
		faults = append(faults, fmt.Errorf("row of %v, which the log never had", at))
	}
	if as == aRow {
		for id := range f.foreign {
			if foreign[id] != 1 {
				faults = append(faults, fmt.Errorf("foreign row %d is there %d times", id, foreign[id]))
			}
		}
		if len(foreign) > len(f.foreign) {
			faults = append(faults, fmt.Errorf("%d foreign rows, want %d", len(foreign), len(f.foreign)))
		}
	}
	return errors.Join(faults...)
}

// is says whether a row has the values of a record.
func (r recordFate) is(found readRow) bool {
	extra := int64(0)
	if r.extra {
		extra = extraOf(r.id)
	}
	return found.id == r.id && found.extra == extra
}

// excused says whether the record at a place has a reason not to be there: others deleted it, the
// operator gave it up, or retention had removed it before the table first looked at the partition.
func (w *world) excused(f *feed, at where, as becomes, report *verify.Report) bool {
	if f.lost[at] || as == aRow && f.removed[at] {
		return true
	}
	tp := w.log.TopicPartition(topic, at.partition)
	for _, p := range report.Partitions {
		if p.Partition == at.partition {
			return at.offset < int64(p.From) && w.truncated[tp][p.From]
		}
	}
	return at.offset < int64(w.first[tp]) // never read
}

// checkLedger wants the table proven, whatever others did to its snapshots. Rows that they changed under the
// places of their records show as checksums.
func checkLedger(f *feed, report *verify.Report) error {
	var faults []error
	for _, fault := range report.Faults {
		if fault.Kind == verify.FaultLedger && len(report.Partitions) == 0 {
			continue // a table that lost its whole topic before the first commit has no ledger
		}
		if fault.Kind == verify.FaultChecksum && f.keyed && f.seen.overwritten {
			continue
		}
		faults = append(faults, errors.New(fault.String()))
	}
	return errors.Join(faults...)
}

// checkRefs looks that what others hold is there.
func checkRefs(f *feed, main *table.Table) error {
	held := map[string]int64{}
	for name, ref := range main.Metadata().Refs() {
		held[name] = ref.SnapshotID
	}
	var faults []error
	for name, want := range f.tags {
		if held[name] != want || main.Metadata().SnapshotByID(want) == nil {
			faults = append(faults, fmt.Errorf("%s is at snapshot %d, want %d", name, held[name], want))
		}
	}
	return errors.Join(faults...)
}

// checkSnapshots looks that everything every snapshot of a table refers to is there, once.
func (w *world) checkSnapshots(ctx context.Context, t *table.Table) error {
	c := census{world: w, files: table.FileIO(ctx, w.objects), held: map[string][]heldFile{}, there: map[string]bool{}}
	named := []string{t.MetadataLocation()} // which memory may have kept though the file is gone
	for s := range t.Metadata().Statistics() {
		named = append(named, s.StatisticsPath)
	}
	if err := c.exist(ctx, named); err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	for _, snapshot := range t.Metadata().Snapshots() {
		if err := c.check(ctx, snapshot); err != nil {
			return fmt.Errorf("%s: snapshot %d: %w", t, snapshot.SnapshotID, err)
		}
	}
	return nil
}

// census counts the files of a table. Snapshots share most manifests, so each is read once.
type census struct {
	world *world
	files iceio.IO
	held  map[string][]heldFile // by manifest
	there map[string]bool
}

func (c *census) check(ctx context.Context, snapshot icetable.Snapshot) error {
	manifests, err := snapshot.Manifests(c.files)
	if err != nil {
		return err
	}
	seen := map[heldFile]bool{}
	for _, m := range manifests {
		files, err := c.filesIn(m)
		if err != nil {
			return err
		}
		var names []string
		for _, file := range files {
			if seen[file] {
				return fmt.Errorf("file %s twice", file.name)
			}
			seen[file] = true
			names = append(names, file.name)
		}
		if err := c.exist(ctx, names); err != nil {
			return err
		}
	}
	return nil
}

// heldFile is a live file, or a vector in one, which begins at offset.
type heldFile struct {
	name   string
	offset int64
}

// filesIn returns the live files of a manifest.
func (c *census) filesIn(m iceberg.ManifestFile) ([]heldFile, error) {
	files, known := c.held[m.FilePath()]
	if known {
		return files, nil
	}
	for entry, err := range m.Entries(c.files, true) {
		if err != nil {
			return nil, err
		}
		file := heldFile{name: entry.DataFile().FilePath()}
		if offset := entry.DataFile().ContentOffset(); offset != nil {
			file.offset = *offset
		}
		files = append(files, file)
	}
	c.held[m.FilePath()] = files
	return files, nil
}

func (c *census) exist(ctx context.Context, names []string) error {
	for _, name := range names {
		if c.there[name] {
			continue
		}
		if _, err := c.world.objects.Stat(ctx, name); err != nil {
			return err
		}
		c.there[name] = true
	}
	return nil
}

// foreignRead reads with iceberg-go's own scan.
func (w *world) foreignRead(ctx context.Context, t *table.Table, names []string,
	visit func(arrow.RecordBatch)) error {
	open := func(ctx context.Context) (iceio.IO, error) { return table.FileIO(ctx, w.objects), nil }
	foreign := icetable.New(t.Ident(), t.Metadata(), t.MetadataLocation(), open, nil)
	if t.Metadata().CurrentSnapshot() == nil {
		return nil
	}
	scan := foreign.Scan(icetable.WithSelectedFields(names...), icetable.WithMaxConcurrency(1))
	_, batches, err := scan.ToArrowRecords(ctx)
	if err != nil {
		return err
	}
	for batch, err := range batches {
		if err != nil {
			return err
		}
		visit(batch)
		batch.Release()
	}
	return nil
}

// readTask reads a file with our own reader. The caller releases the batches.
func (w *world) readTask(ctx context.Context, task table.Task, rows *[]readRow) ([]arrow.RecordBatch, error) {
	var batches []arrow.RecordBatch
	for batch, err := range table.Read(ctx, w.objects, task) {
		if err != nil {
			return batches, err
		}
		batch.Retain()
		batches = append(batches, batch)
		*rows = appendRows(*rows, batch)
	}
	return batches, nil
}

// appendRows adds the rows of a batch.
func appendRows(rows []readRow, batch arrow.RecordBatch) []readRow {
	ids := columnOf(batch, "id").(*array.Int64)
	partitions := columnOf(batch, "_kafka_partition").(*array.Int32)
	offsets := columnOf(batch, "_kafka_offset").(*array.Int64)
	extras, evolved := columnOf(batch, "extra").(*array.Int64)
	for i := range int(batch.NumRows()) {
		r := readRow{id: ids.Value(i), foreign: offsets.IsNull(i)}
		if !r.foreign {
			r.at = where{partitions.Value(i), offsets.Value(i)}
		}
		if evolved && !extras.IsNull(i) {
			r.extra = extras.Value(i)
		}
		rows = append(rows, r)
	}
	return rows
}

// columnOf is the column of a batch that has this name, or nil.
func columnOf(batch arrow.RecordBatch, name string) arrow.Array {
	if at := batch.Schema().FieldIndices(name); len(at) > 0 {
		return batch.Column(at[0])
	}
	return nil
}
