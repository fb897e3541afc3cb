package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/firthlake/firth/e2e/components"
)

// Files of the compaction that is compared, and rows of each. A topic of one partition is cut by rows.
const (
	compactedFiles    = 80
	compactedFileRows = 50_000
	compactedTable    = "db.events"
)

const compactedSpec = `name: db.events
sources: [{topics: [compacted], format: json}]
freshness: {interval: 5s, rows: %d}
retention: {snapshots: 500}
properties: {write.delete.mode: merge-on-read}
schema: {columns: [{name: event_id, type: string}, {name: user_id, type: long}, {name: event_type, type: string},
  {name: ts, type: timestamptz}, {name: url, type: string}, {name: amount, type: double}, {name: quantity, type: int},
  {name: country, type: string}, {name: is_mobile, type: boolean}, {name: session, type: string}]}
`

// compacted is a table of small files that is compacted again and again: main is set back each time, so
// everybody begins with the same files.
type compacted struct {
	*lake
	rows int64
	// clean is the snapshot with all rows, deleted that in which one in a hundred is deleted.
	clean, deleted int64
	// read is what readers say of either, by snapshot.
	read map[int64]sums
}

// newCompacted fills the table.
func (b *bench) newCompacted(ctx context.Context) (*compacted, error) {
	c := &compacted{rows: compactedFiles * compactedFileRows, read: map[int64]sums{}}
	var err error
	c.lake, err = b.newLake(ctx, "compacted", fmt.Sprintf(compactedSpec, compactedFileRows))
	if err != nil {
		return nil, err
	}
	if err := c.produce(ctx, "compacted", "--partitions", "1", "--rows", strconv.FormatInt(c.rows, 10)); err != nil {
		return nil, err
	}
	if err := c.run(ctx, "--roles", "catalog,ingest"); err != nil {
		return nil, err
	}
	if err := c.catchUp(ctx, compactedTable); err != nil {
		return nil, err
	}
	c.service.Stop()
	if err := c.run(ctx, "--roles", "catalog"); err != nil {
		return nil, err
	}
	if c.spark, err = b.lab.Spark(ctx, c.reader); err != nil {
		return nil, err
	}
	if c.clean, err = c.head(ctx, compactedTable); err != nil {
		return nil, err
	}
	if c.read[c.clean], err = c.readers(ctx); err != nil {
		return nil, err
	}
	if _, err = ask(ctx, c.spark, "delete from lake.db.events where user_id % 100 = 7"); err != nil {
		return nil, err
	}
	if c.deleted, err = c.head(ctx, compactedTable); err != nil {
		return nil, err
	}
	c.read[c.deleted], err = c.readers(ctx)
	return c, err
}

// readerColumns are those of the answer of a program of e2e/readers for each topic partition.
var readerColumns = [...]string{"rows", "user_id", "quantity", "cents", "ts_ms", "mobile", "url_chars",
	"event_id", "session", "offsets"}

const readerQuery = `select count(*), sum(user_id), sum(quantity), sum(cast(round(amount * 100) as bigint)),
	sum(unix_millis(ts)), sum(case when is_mobile then 1 else 0 end), sum(length(url)),
	sum(cast(conv(substr(event_id, 1, 8), 16, 10) as bigint)),
	sum(cast(conv(substr(session, 1, 8), 16, 10) as bigint)), sum(_kafka_offset) from lake.db.events`

// sums are counts, sums and checksums by column.
type sums map[string]int64

// readers asks three engines for the sums of the table, in which they must agree.
func (c *compacted) readers(ctx context.Context) (sums, error) {
	answer, err := ask(ctx, c.spark, readerQuery)
	if err != nil {
		return nil, err
	}
	agreed := sums{}
	for i, name := range readerColumns {
		if agreed[name], err = strconv.ParseInt(answer.Rows[0][i], 10, 64); err != nil {
			return nil, fmt.Errorf("sum of %s in Spark: %w", name, err)
		}
	}
	for _, engine := range []string{"duckdb", "pyiceberg"} {
		var found map[string]map[string]sums
		q := components.Question{Program: engine + "_reader", Tables: []string{compactedTable}}
		if err := c.b.lab.Ask(ctx, c.reader, q, &found); err != nil {
			return nil, err
		}
		if one := found[compactedTable]["0"]; !maps.Equal(agreed, one) {
			return nil, fmt.Errorf("%s reads %v, Spark %v", engine, one, agreed)
		}
	}
	return agreed, nil
}

// back sets main to a snapshot.
func (c *compacted) back(ctx context.Context, snapshot int64) error {
	_, err := ask(ctx, c.spark, fmt.Sprintf(
		"call lake.system.set_current_snapshot(table => 'db.events', snapshot_id => %d)", snapshot))
	return err
}

// rewrite measures one rewrite of all files of a snapshot, and reads what came of it.
func (c *compacted) rewrite(ctx context.Context, from int64, how func(context.Context) (float64, error)) (figure,
	error) {
	if err := c.back(ctx, from); err != nil {
		return figure{}, err
	}
	cpu, err := how(ctx)
	if err != nil {
		return figure{}, err
	}
	files, err := ask(ctx, c.spark, "select count(*) from lake.db.events.files")
	if err != nil {
		return figure{}, err
	}
	if files.Rows[0][0] != "1" {
		return figure{}, fmt.Errorf("%s files are left", files.Rows[0][0])
	}
	found, err := c.readers(ctx)
	if err == nil && !maps.Equal(c.read[from], found) {
		err = fmt.Errorf("readers found %v before, %v afterwards", c.read[from], found)
	}
	return figure{RowsPerCPU: float64(c.rows) / cpu, Proven: err == nil}, err
}

// byFirth compacts with a process of firth's, whose start is counted.
func (c *compacted) byFirth(copied int) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		out, cpu, err := c.firth(ctx, "compact", compactedTable, "--json")
		if err != nil {
			return 0, err
		}
		var told struct {
			Groups int `json:"groups"`
			Copied int `json:"copied"`
		}
		if err := json.Unmarshal(out, &told); err != nil {
			return 0, err
		}
		if told.Groups != 1 || told.Copied != copied {
			return 0, fmt.Errorf("compaction did something else: %s", out)
		}
		return cpu, nil
	}
}

// bySpark compacts with a session of Spark that runs already, all of whose threads are counted.
func (c *compacted) bySpark(ctx context.Context) (float64, error) {
	answer, err := ask(ctx, c.spark,
		"call lake.system.rewrite_data_files(table => 'db.events', options => map('rewrite-all', 'true'))")
	return answer.CPUSeconds, err
}

// compaction measures how firth or Spark makes one file of the table's files.
func compaction(name string, rewrite func(context.Context, *compacted) (figure, error)) measurement {
	return measurement{name: name, how: func(ctx context.Context, b *bench) (figure, error) {
		if b.compacted == nil {
			var err error
			if b.compacted, err = b.newCompacted(ctx); err != nil {
				return figure{}, err
			}
		}
		return rewrite(ctx, b.compacted)
	}}
}

// compactions are the promises of docs/compaction.md. It takes one round: firth refuses a table of which main was set
// back behind its own commit.
func compactions() []comparison {
	copied := compaction("firth, chunks copied", func(ctx context.Context, c *compacted) (figure, error) {
		return c.rewrite(ctx, c.clean, c.byFirth(1))
	})
	clean := compaction("Spark, clean files", func(ctx context.Context, c *compacted) (figure, error) {
		return c.rewrite(ctx, c.clean, c.bySpark)
	})
	return []comparison{
		{group: "compaction", named: true, name: "clean files, firth to Spark", of: copied, to: clean, least: 5},
	}
}
