package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/table"
)

// checkVersions compares the rows of a keyed table at the end with the model, through iceberg-go's reader and
// through ours, which observe does not use for all files.
func (w *world) checkVersions(ctx context.Context, f *feed, main *table.Table, _ *verify.Report) error {
	tasks, err := table.Plan(ctx, main, w.objects, table.Scan{})
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	ours := map[int64][]version{}
	equality := false
	for _, task := range tasks {
		equality = equality || len(task.EqualityDeletes) > 0
		rows, err := w.versionsIn(ctx, task)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		byKey(ours, rows)
	}
	if err := f.seen.contents.compare(ours); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := w.checkChanges(ctx, f); err != nil {
		return err
	}
	if equality {
		return nil // iceberg-go does not read them
	}
	names := []string{"id", "_kafka_partition", "_kafka_offset"}
	for _, name := range columnNames {
		if _, there := main.Metadata().CurrentSchema().FindFieldByName(name); there {
			names = append(names, name)
		}
	}
	theirs := map[int64][]version{}
	err = w.foreignRead(ctx, main, names, func(batch arrow.RecordBatch) {
		byKey(theirs, appendVersions(nil, batch))
	})
	if err == nil {
		err = f.seen.contents.compare(theirs)
	}
	if err != nil {
		return fmt.Errorf("read with iceberg-go: %w", err)
	}
	return nil
}

// byKey adds rows to those of their keys.
func byKey(into map[int64][]version, rows []version) {
	for _, row := range rows {
		into[row.id] = append(slices.Clip(into[row.id]), row)
	}
}
