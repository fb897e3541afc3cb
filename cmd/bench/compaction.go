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
)

const compactedSpec = `name: %s
sources: [{topics: [compacted], format: json}]
freshness: {interval: 5s, rows: %d}
retention: {snapshots: 500}
properties: {write.delete.mode: merge-on-read}
schema: {columns: [{name: event_id, type: string}, {name: user_id, type: long}, {name: event_type, type: string},
  {name: ts, type: timestamptz}, {name: url, type: string}, {name: amount, type: double}, {name: quantity, type: int},
  {name: country, type: string}, {name: is_mobile, type: boolean}, {name: session, type: string}]}
`

// compacted is a topic of which each rewrite has a table of its own, so that all begin with the same files.
type compacted struct {
	*lake
	rows   int64
	tables int
}

// newCompacted fills the topic.
func (b *bench) newCompacted(ctx context.Context) (*compacted, error) {
	c := &compacted{rows: compactedFiles * compactedFileRows}
	var err error
	if c.lake, err = b.newLake(ctx, "compacted"); err != nil {
		return nil, err
	}
	return c, c.produce(ctx, "compacted", "--partitions", "1", "--rows", strconv.FormatInt(c.rows, 10))
}

// start starts the service, which needs a table, and Spark on its catalog.
func (c *compacted) start(ctx context.Context) (err error) {
	if err := c.run(ctx, "--roles", "catalog,ingest"); err != nil {
		return err
	}
	c.spark, err = c.b.lab.Spark(ctx, c.reader)
	return err
}

// fill makes a table of small files, with one row in a hundred deleted or none.
func (c *compacted) fill(ctx context.Context, how form) (table string, err error) {
	table = fmt.Sprintf("db.events%d", c.tables)
	c.tables++
	if err := c.add(ctx, table, fmt.Sprintf(compactedSpec, table, compactedFileRows)); err != nil {
		return "", err
	}
	if c.tables == 1 {
		if err := c.start(ctx); err != nil {
			return "", err
		}
	}
	if err := c.catchUp(ctx, table); err != nil || how == clean {
		return table, err
	}
	_, err = ask(ctx, c.spark, "delete from lake."+table+" where user_id % 100 = 7")
	return table, err
}

// form is what the files of a table are like.
type form uint8

const (
	clean   form = iota
	deleted      // one row in a hundred is
)

// readerColumns are those of the answer of a program of e2e/readers for each topic partition.
var readerColumns = [...]string{"rows", "user_id", "quantity", "cents", "ts_ms", "mobile", "url_chars",
	"event_id", "session", "offsets"}

const readerQuery = `select count(*), sum(user_id), sum(quantity), sum(cast(round(amount * 100) as bigint)),
	sum(unix_millis(ts)), sum(case when is_mobile then 1 else 0 end), sum(length(url)),
	sum(cast(conv(substr(event_id, 1, 8), 16, 10) as bigint)),
	sum(cast(conv(substr(session, 1, 8), 16, 10) as bigint)), sum(_kafka_offset) from lake.%s`

// sums are counts, sums and checksums by column.
type sums map[string]int64

// readers asks three engines for the sums of a table, in which they must agree.
func (c *compacted) readers(ctx context.Context, table string) (sums, error) {
	answer, err := ask(ctx, c.spark, fmt.Sprintf(readerQuery, table))
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
		q := components.Question{Program: engine + "_reader", Tables: []string{table}}
		if err := c.b.lab.Ask(ctx, c.reader, q, &found); err != nil {
			return nil, err
		}
		if one := found[table]["0"]; !maps.Equal(agreed, one) {
			return nil, fmt.Errorf("%s reads %v, Spark %v", engine, one, agreed)
		}
	}
	return agreed, nil
}

// rewrite measures one rewrite of all files of a new table, and reads what came of it.
func (c *compacted) rewrite(ctx context.Context, how form, by rewriter) (figure, error) {
	table, err := c.fill(ctx, how)
	if err != nil {
		return figure{}, err
	}
	before, err := c.readers(ctx, table)
	if err != nil {
		return figure{}, err
	}
	cpu, err := by(ctx, c, table)
	if err != nil {
		return figure{}, err
	}
	files, err := ask(ctx, c.spark, "select count(*) from lake."+table+".data_files")
	if err != nil {
		return figure{}, err
	}
	if files.Rows[0][0] != "1" {
		return figure{}, fmt.Errorf("%s files are left", files.Rows[0][0])
	}
	after, err := c.readers(ctx, table)
	if err == nil && !maps.Equal(before, after) {
		err = fmt.Errorf("readers found %v before, %v afterwards", before, after)
	}
	return figure{RowsPerCPU: float64(c.rows) / cpu, Proven: err == nil}, err
}

// rewriter makes one file of the files of a table, and tells the CPU seconds that it took.
type rewriter func(ctx context.Context, c *compacted, table string) (cpuSeconds float64, err error)

// byFirth compacts with a process of firth's, whose start is counted. Copied is how many groups are copied.
func byFirth(copied int) rewriter {
	return func(ctx context.Context, c *compacted, table string) (float64, error) {
		out, cpu, err := c.firth(ctx, "compact", table, "--json")
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
func bySpark(ctx context.Context, c *compacted, table string) (float64, error) {
	answer, err := ask(ctx, c.spark, fmt.Sprintf(
		"call lake.system.rewrite_data_files(table => '%s', options => map('rewrite-all', 'true'))", table))
	return answer.CPUSeconds, err
}

// compaction measures how a rewriter makes one file of the files of a table.
func compaction(name string, how form, by rewriter) measurement {
	return measurement{name: name, how: func(ctx context.Context, b *bench) (figure, error) {
		if b.compacted == nil {
			var err error
			if b.compacted, err = b.newCompacted(ctx); err != nil {
				return figure{}, err
			}
		}
		return b.compacted.rewrite(ctx, how, by)
	}}
}

// compactions are the promises of docs/compaction.md.
func compactions() []comparison {
	return []comparison{
		{group: "compaction", named: true, name: "clean files, firth to Spark", least: 5,
			of: compaction("firth, chunks copied", clean, byFirth(1)),
			to: compaction("Spark, clean files", clean, bySpark)},
		{group: "compaction", named: true, name: "files with deleted rows, firth to Spark", least: 2.5,
			of: compaction("firth, rows decoded", deleted, byFirth(0)),
			to: compaction("Spark, deleted rows", deleted, bySpark)},
	}
}
