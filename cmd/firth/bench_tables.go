package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// benchTablesMax is one table for every ten thousand users of the workloads.
const benchTablesMax = 100

// benchUsers is how many users the workloads have: user_id is below it.
const benchUsers = 1_000_000

// writeBenchSpecs writes a spec per table and returns the tables' names. Several tables share the users
// out among them.
func writeBenchSpecs(o ingestBenchOptions, topic string, g *gen.Generator) ([]string, error) {
	folder := filepath.Join(o.dir, "tables")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of specs: %w", err)
	}
	names := make([]string, o.tables)
	for i := range names {
		names[i] = "bench.rows" + strconv.Itoa(i)
		from := spec.Source{Topics: []string{topic}, Format: o.Format}
		if o.tables > 1 {
			from.Filter = fmt.Sprintf("user_id >= %d AND user_id < %d",
				i*benchUsers/o.tables, (i+1)*benchUsers/o.tables)
		}
		s := stage.Spec(names[i], from, g)
		s.Freshness.Interval = spec.Duration(o.interval)
		if o.partitionBy != "" {
			s.Partition = []string{o.partitionBy}
		}
		text, err := spec.Marshal(&s)
		if err != nil {
			return nil, err
		}
		file := names[i] + ".yaml"
		if _, err := spec.Parse(file, text); err != nil {
			return nil, couldNot(fmt.Errorf("table of these flags: %w", err), "see 'firth bench ingest --help'")
		}
		if err := os.WriteFile(filepath.Join(folder, file), text, 0o644); err != nil {
			return nil, fmt.Errorf("write spec: %w", err)
		}
	}
	return names, nil
}

// clearWarehouse removes the files that the job's tables have in the warehouse of a configuration; one of
// the job's own folder goes with it.
func (p *program) clearWarehouse(ctx context.Context, job benchJob) error {
	if job.Config == "" {
		return nil
	}
	c, err := job.config(p)
	if err != nil {
		return err
	}
	if objstore.Scheme(c.Warehouse.Location) == "" {
		return os.RemoveAll(c.Warehouse.Location)
	}
	store, err := objstore.Open(objstore.Config{S3: c.Warehouse.S3})
	if err != nil {
		return err
	}
	var files []string
	for object, err := range store.List(ctx, c.Warehouse.Location+"/") {
		if err != nil {
			return err
		}
		files = append(files, object.Location)
	}
	return store.Remove(ctx, files...)
}

// benchHistory makes commits to each of the job's tables, and returns how many rows each has then. The
// measured process finds the tables as a service does that is started again.
func (p *program) benchHistory(ctx context.Context, job benchJob, commits int) (int64, error) {
	if commits == 0 {
		return 0, nil
	}
	c, err := job.config(p)
	if err != nil {
		return 0, err
	}
	l, err := p.open(ctx, c)
	if err != nil {
		return 0, err
	}
	defer l.close()
	if err := p.applySpecs(ctx, l); err != nil {
		return 0, err
	}
	bar := p.progress("earlier commits", int64(commits*len(job.Tables)))
	defer bar.close()
	var rows int64
	for i, name := range job.Tables {
		ident, err := table.ParseIdent(name)
		if err != nil {
			return 0, err
		}
		rows, err = stage.History(ctx, stage.HistoryOptions{Feed: job.Feed, Store: l.objects,
			Catalog: l.catalog, Ident: ident, Commits: commits, Committer: p.commitOptions(),
			Progress: func(done int64) { bar.at(int64(i*commits)+done, "") }})
		if err != nil {
			return 0, err
		}
	}
	return rows, nil
}
