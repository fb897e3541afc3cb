package table

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/filter"
)

// ScanSchema is what tasks of the scan yield of the table's current schema, once the scan's filter is known to be one
// of that schema.
func ScanSchema(t *Table, scan Scan) (*iceberg.Schema, error) {
	template, _, err := currentTemplate(t, scan)
	return template.Schema, err
}

// PlanFiles makes tasks of data files that no snapshot holds, in their order: with the columns and the filter of the
// scan and the table's current schema. No deletes apply to them. Files that surely hold no row of the filter are left
// out.
func PlanFiles(t *Table, scan Scan, files []iceberg.DataFile) ([]Task, error) {
	template, prune, err := currentTemplate(t, scan)
	if err != nil {
		return nil, err
	}
	template.NameMapping = t.Metadata().NameMapping()
	template.Spec = *iceberg.UnpartitionedSpec
	var tasks []Task
	for _, file := range files {
		if prune == nil || prune.MayMatchFile(file, template.Spec) {
			task := template
			task.File = file
			tasks = append(tasks, task)
		}
	}
	return tasks, nil
}

// PlanBatches makes one task of batches that are in memory, made for the table's current schema or one before it; with
// the columns and the filter of the scan. Columns that tell of files are not in them.
func PlanBatches(t *Table, scan Scan, batches []arrow.RecordBatch) (Task, error) {
	template, _, err := currentTemplate(t, scan)
	template.Batches = batches
	return template, err
}

func currentTemplate(t *Table, scan Scan) (template Task, prune *filter.Bound, err error) {
	schema := t.Metadata().CurrentSchema()
	if scan.Filter != nil {
		prune, err = filter.Bind(scan.Filter, schema)
	}
	if err == nil {
		template, err = newTemplate(schema, scan, prune)
	}
	if err != nil {
		err = fmt.Errorf("scan of %s: %w", t, err)
	}
	return template, prune, err
}
