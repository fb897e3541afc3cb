package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// othersOfKeys does one thing that others may do to a keyed table, and says in the model what it leaves.
func (w *world) othersOfKeys(ctx context.Context, f *feed, t *table.Table) error {
	next := f.seen.contents.clone()
	if t.Metadata().CurrentSnapshot() == nil {
		return w.insert(ctx, f, t, next)
	}
	switch w.rng.IntN(12) {
	case 0, 1:
		return w.insert(ctx, f, t, next)
	case 2:
		return w.changeFiles(ctx, f, t, next, icetable.OpDelete)
	case 3, 4:
		return w.changeFiles(ctx, f, t, next, icetable.OpReplace)
	case 5:
		return w.changeFiles(ctx, f, t, next, icetable.OpOverwrite)
	case 6, 7:
		return w.changeRows(ctx, f, t, next, icetable.OpDelete)
	case 8:
		return w.changeRows(ctx, f, t, next, icetable.OpOverwrite)
	case 9:
		return w.deleteEqual(ctx, f, t, next)
	case 10:
		return w.alter(ctx, t)
	}
	if w.rng.IntN(2) == 0 || w.keeping.changelog { // which cannot be told what expires before it is read
		return w.foreignRef(ctx, f, t)
	}
	return w.foreignExpire(ctx, f, t)
}

// landForeign publishes what others do, of which the model says what it leaves.
func (w *world) landForeign(ctx context.Context, f *feed, t *table.Table, next contents, change foreignChange) error {
	w.tracef("others %s in %s: %d files and %d delete files come, %d files go", change.operation, t,
		len(change.added), len(change.deletes), len(change.removed))
	f.seen.intended = &next
	return w.foreignCommit(ctx, t, change)
}

// invent makes a row of others.
func (w *world) invent(id int64) version {
	row := version{id: id, at: nowhere}
	for column := range row.cells {
		switch {
		case column == colGone || column == colExtra || w.rng.IntN(4) == 0:
		case column == colKind:
			row.cells[column] = cellOf(signalKind)
		case column == colRegion:
			row.cells[column] = cellOf(w.rng.Int64N(regions))
		case column == colBorn:
			row.cells[column] = cellOf(w.now.UnixMicro() - w.rng.Int64N(1e10))
		default:
			row.cells[column] = cellOf(w.rng.Int64N(1 + w.keeping.clock))
		}
	}
	return row
}

// insert adds rows, of keys of the topic and of others.
func (w *world) insert(ctx context.Context, f *feed, t *table.Table, next contents) error {
	var rows []version
	for range 1 + w.rng.IntN(4) {
		id := w.rng.Int64N(w.keys + 5)
		if !slices.ContainsFunc(rows, func(r version) bool { return r.id == id }) {
			rows = append(rows, w.invent(id))
		}
	}
	added, err := w.writeVersions(ctx, t, rows)
	if err != nil {
		return err
	}
	next.add(rows...)
	return w.landForeign(ctx, f, t, next, foreignChange{operation: icetable.OpAppend, added: added})
}

// changeFiles deletes some files, rewrites them, or writes them anew with some rows changed.
func (w *world) changeFiles(ctx context.Context, f *feed, t *table.Table, next contents,
	operation icetable.Operation) error {
	change := foreignChange{operation: operation}
	tasks, err := w.someFiles(ctx, t, 3)
	if err != nil || len(tasks) == 0 {
		return err
	}
	var gone, rows []version
	for _, task := range tasks {
		placed, err := w.rowsIn(ctx, f, task)
		if err != nil {
			return err
		}
		change.removed = append(change.removed, task.File.FilePath())
		for _, row := range placed {
			gone = append(gone, row.version)
		}
	}
	rows = slices.Clone(gone)
	switch operation {
	case icetable.OpReplace:
	case icetable.OpDelete:
		rows = nil
		if err := next.remove(gone...); err != nil {
			return err
		}
	default:
		for i := range rows {
			if w.rng.IntN(3) == 0 {
				rows[i].cells[colAmount] = cellOf(w.rng.Int64N(100))
			}
		}
		if err := next.remove(gone...); err != nil {
			return err
		}
		next.add(rows...)
		f.seen.overwritten = true
	}
	if len(rows) > 0 {
		if change.added, err = w.writeVersions(ctx, t, rows); err != nil {
			return err
		}
	}
	return w.landForeign(ctx, f, t, next, change)
}

// someFiles draws up to most data files of the head.
func (w *world) someFiles(ctx context.Context, t *table.Table, most int) ([]table.Task, error) {
	tasks, err := table.Plan(ctx, t, w.objects, table.Scan{})
	if err != nil {
		return nil, err
	}
	w.rng.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	return tasks[:min(len(tasks), 1+w.rng.IntN(most))], nil
}

// changeRows deletes rows by position, or replaces them by others of their keys.
func (w *world) changeRows(ctx context.Context, f *feed, t *table.Table, next contents,
	operation icetable.Operation) error {
	tasks, err := w.someFiles(ctx, t, 3)
	if err != nil {
		return err
	}
	change := foreignChange{operation: operation}
	var targets []vector.Target
	var gone, come []version
	for _, task := range tasks {
		rows, err := w.rowsIn(ctx, f, task)
		if err != nil {
			return err
		}
		target := vector.Target{File: task.File, Before: task.Deletes}
		for _, row := range rows {
			if row.pos >= 0 && w.rng.IntN(2) == 0 {
				target.Positions, gone = append(target.Positions, row.pos), append(gone, row.version)
			}
		}
		if len(target.Positions) > 0 {
			targets = append(targets, target)
		}
	}
	if len(targets) == 0 {
		return nil
	}
	if err := next.remove(gone...); err != nil {
		return err
	}
	if err := w.deletePositions(ctx, f, t, targets, &change); err != nil {
		return err
	}
	if operation == icetable.OpOverwrite {
		for _, row := range gone {
			if !slices.ContainsFunc(come, func(r version) bool { return r.id == row.id }) {
				come = append(come, w.invent(row.id))
			}
		}
		if change.added, err = w.writeVersions(ctx, t, come); err != nil {
			return err
		}
		next.add(come...)
	}
	return w.landForeign(ctx, f, t, next, change)
}

// deletePositions writes the deletes of rows: vectors, or position deletes that replace those before, come beside
// them, or are about several files.
func (w *world) deletePositions(ctx context.Context, f *feed, t *table.Table, targets []vector.Target,
	change *foreignChange) (err error) {
	meta := t.Metadata()
	merged := meta.Version() >= 3 || w.rng.IntN(2) == 0
	if !merged && meta.PartitionSpec().IsUnpartitioned() && len(meta.PartitionSpecs()) == 1 {
		f.seen.loose = true
		change.deletes, err = w.looseDeletes(ctx, meta, targets)
		return err
	}
	for i := range targets {
		if !merged {
			targets[i].Before = nil
		}
		for _, d := range targets[i].Before {
			if vector.DataFile(d) != "" {
				change.removed = append(change.removed, d.FilePath())
			}
		}
	}
	change.deletes, err = vector.Write(ctx, w.objects, vector.Options{Metadata: meta, ChangeID: w.newID(),
		Read: table.ReadDeletes, AtOnce: 1}, targets)
	return err
}

// looseDeletes is one position delete file about several data files.
func (w *world) looseDeletes(ctx context.Context, meta icetable.Metadata, targets []vector.Target,
) ([]iceberg.DataFile, error) {
	positions := map[string][]int64{meta.Location() + "/data/none.parquet": {0},
		meta.Location() + "/data/nil.parquet": {0}}
	for _, target := range targets {
		positions[target.File.FilePath()] = target.Positions
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, icetable.PositionalDeleteArrowSchema)
	defer b.Release()
	for _, path := range slices.Sorted(maps.Keys(positions)) {
		for _, pos := range positions[path] {
			b.Field(0).(*array.StringBuilder).Append(path)
			b.Field(1).(*array.Int64Builder).Append(pos)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var buf bytes.Buffer
	out, err := pqarrow.NewFileWriter(batch.Schema(), &buf, parquet.NewWriterProperties(),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, err
	}
	if err := out.Write(batch); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	location := fmt.Sprintf("%s/data/loose-%s.parquet", meta.Location(), w.newID())
	size := int64(buf.Len())
	if _, err := w.objects.Put(ctx, location, &buf, size, objstore.PutOptions{}); err != nil {
		return nil, err
	}
	made, err := iceberg.NewDataFileBuilder(meta.PartitionSpec(), iceberg.EntryContentPosDeletes, location,
		iceberg.ParquetFile, nil, nil, nil, batch.NumRows(), size)
	if err != nil {
		return nil, err
	}
	return []iceberg.DataFile{made.Build()}, nil
}

// deleteEqual deletes all rows of some keys by equality deletes, of each partition that holds one.
func (w *world) deleteEqual(ctx context.Context, f *feed, t *table.Table, next contents) error {
	ids := map[int64]bool{}
	for range 1 + w.rng.IntN(3) {
		ids[w.rng.Int64N(w.keys+5)] = true
	}
	tasks, err := table.Plan(ctx, t, w.objects, table.Scan{})
	if err != nil {
		return err
	}
	change := foreignChange{operation: icetable.OpDelete}
	done := map[string]bool{}
	for _, task := range tasks {
		rows, err := w.rowsIn(ctx, f, task)
		if err != nil {
			return err
		}
		name := fmt.Sprint(task.File.SpecID(), task.File.Partition())
		if done[name] || !slices.ContainsFunc(rows, func(r placed) bool { return ids[r.id] }) {
			continue
		}
		done[name] = true
		file, err := w.equalityDelete(ctx, t, task, slices.Sorted(maps.Keys(ids)))
		if err != nil {
			return err
		}
		change.deletes = append(change.deletes, file)
	}
	if len(change.deletes) == 0 {
		return nil
	}
	f.seen.loose = true
	for id := range ids {
		delete(next.rows, id)
		next.settle(id)
	}
	return w.landForeign(ctx, f, t, next, change)
}

// equalityDelete writes one for the partition of a task.
func (w *world) equalityDelete(ctx context.Context, t *table.Table, task table.Task, ids []int64,
) (iceberg.DataFile, error) {
	schema := iceberg.NewSchema(0, t.Metadata().CurrentSchema().Field(0))
	form, err := table.ArrowSchema(schema)
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(ids, nil)
	batch := b.NewRecordBatch()
	defer batch.Release()
	out, err := table.NewWriter(w.objects, table.WriterOptions{Schema: schema, Location: t.Metadata().Location(),
		ChangeID: w.newID()})
	if err != nil {
		return nil, err
	}
	if err := out.Write(ctx, batch); err != nil {
		return nil, err
	}
	files, err := out.Close(ctx)
	if err != nil {
		return nil, err
	}
	made, err := iceberg.NewDataFileBuilder(task.Spec, iceberg.EntryContentEqDeletes, files[0].FilePath(),
		iceberg.ParquetFile, task.File.Partition(), nil, nil, files[0].Count(), files[0].FileSizeBytes())
	if err != nil {
		return nil, err
	}
	return made.EqualityFieldIDs([]int{schema.Field(0).ID}).Build(), nil
}

// alter gives the table another partition spec, or a column that no record has.
func (w *world) alter(ctx context.Context, t *table.Table) error {
	meta := t.Metadata()
	var updates []icetable.Update
	switch {
	case w.rng.IntN(2) == 0 && len(meta.PartitionSpecs()) == 1:
		spec := partitionSpecs()[w.rng.IntN(3)]
		if spec == nil || meta.PartitionSpec().Equals(*spec) {
			return nil
		}
		updates = []icetable.Update{icetable.NewAddPartitionSpecUpdate(spec, false),
			icetable.NewSetDefaultSpecUpdate(-1)}
	default:
		if _, there := meta.CurrentSchema().FindFieldByName("theirs"); there {
			return nil
		}
		fields := append(slices.Clone(meta.CurrentSchema().Fields()), iceberg.NestedField{
			ID: meta.LastColumnID() + 1, Name: "theirs", Type: iceberg.PrimitiveTypes.Int64})
		schema := iceberg.NewSchemaWithIdentifiers(0, []int{1}, fields...)
		updates = []icetable.Update{icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1)}
	}
	w.tracef("others alter %s: %s", t, updates[0].Action())
	_, err := w.healthy.CommitTable(ctx, t.Ident(), nil, updates)
	return err
}

// writeVersions writes rows into files of others.
func (w *world) writeVersions(ctx context.Context, t *table.Table, rows []version) ([]iceberg.DataFile, error) {
	schema, err := table.ArrowSchema(t.Metadata().CurrentSchema())
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, row := range rows {
		for i, column := range b.Fields() {
			appendCell(column, row, schema.Field(i).Name)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return w.writeFiles(ctx, t, batch)
}

// appendCell adds what a row has in the column of a name.
func appendCell(column array.Builder, row version, name string) {
	value := cell{}
	switch name {
	case "id":
		value = cellOf(row.id)
	case "_kafka_partition":
		value = cell{int64(row.at.partition), row.at != nowhere}
	case "_kafka_offset":
		value = cell{row.at.offset, row.at != nowhere}
	case "_kafka_topic":
		if b := column.(*array.StringBuilder); row.at != nowhere {
			b.Append(topic)
			return
		}
	default:
		if i := slices.Index(columnNames[:], name); i >= 0 {
			value = row.cells[i]
		}
	}
	switch b := column.(type) {
	case *array.Int64Builder:
		if value.set {
			b.Append(value.value)
			return
		}
	case *array.Int32Builder:
		if value.set {
			b.Append(int32(value.value))
			return
		}
	case *array.TimestampBuilder:
		if value.set {
			b.Append(arrow.Timestamp(value.value))
			return
		}
	case *array.BooleanBuilder:
		if value.set {
			b.Append(value.value == 1)
			return
		}
	case *array.StringBuilder:
		if value.set {
			b.Append(textOf(name, value.value))
			return
		}
	}
	column.AppendNull()
}
