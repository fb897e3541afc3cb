package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// figure is what one measurement gave.
type figure struct {
	RowsPerCPU    float64 `json:"rows_per_cpu_s"`
	RowsPerSecond float64 `json:"rows_per_s"`
	RSSBytesMax   int64   `json:"rss_bytes_max"`
	Proven        bool    `json:"proven"`
}

// measurement is one way to run something. Args are those of 'firth bench ingest', or nil for DuckDB.
type measurement struct {
	name     string
	args     []string
	workload string // of DuckDB
	s3       bool   // warehouse on MinIO
	threads  int    // GOMAXPROCS of the process; 0 is Go's choice
	cores    int    // that the process and the broker have together; 0 is as many as there are
	// how takes the place of args and workload.
	how func(context.Context, *bench) (figure, error)
}

// comparison is a ratio that must not fall below least; one whose least is 0 is only told.
type comparison struct {
	group, name string
	of, to      measurement
	wall        bool // rows per second instead of rows per CPU-second
	named       bool // is made only when its group is named, since it takes long
	least       float64
}

// ingest measures the default run with other flags.
func ingest(name string, args ...string) measurement { return measurement{name: name, args: args} }

func duckdb(workload string) measurement {
	return measurement{name: "duckdb " + workload, workload: workload}
}

// comparisons are the promises of docs/performance.md.
func comparisons() []comparison {
	json := ingest("json")
	minio := ingest("json on minio")
	minio.s3 = true
	thread := ingest("json with GOMAXPROCS=1", "--workers", "1")
	thread.threads = 1
	on := func(name string, cores int) measurement {
		m := ingest(name)
		m.cores = cores
		return m
	}
	workload := func(name string) measurement { return ingest(name, "--workload", name) }
	all := []comparison{
		{group: "duckdb", name: "events10 to DuckDB", of: json, to: duckdb("events10"), least: 1},
		{group: "duckdb", name: "wide50 to DuckDB", of: workload("wide50"), to: duckdb("wide50"), least: 0.8},
		{group: "duckdb", name: "nested to DuckDB", of: workload("nested"), to: duckdb("nested"), least: 0.8},
		{group: "minio", name: "MinIO to local store", of: minio, to: json, least: 0.9},
		{group: "formats", name: "Avro to JSON", of: ingest("avro", "--format", "avro"), to: json, least: 1},
		{group: "formats", name: "Protobuf to JSON", of: ingest("protobuf", "--format", "protobuf"), to: json,
			least: 1},
		{group: "cores", name: "two cores to one, with the broker on them", wall: true, least: 1.8,
			of: on("json and broker on two cores", 2), to: on("json and broker on one core", 1)},
		{group: "cores", name: "two processes to one that only encode: what the machine gives", wall: true,
			of: ceiling("two that encode on two cores", 2), to: ceiling("one that encodes on one core", 1)},
		{group: "cores", name: "two threads to one, the broker where there is room", of: json, to: thread,
			wall: true},
		{group: "partitions", name: "512 topic partitions to 8",
			of: ingest("512 topic partitions", "--partitions", strconv.Itoa(512)), to: json, least: 0.9},
		{group: "tables", name: "10 tables to 1", of: ingest("10 tables", "--tables", "10"), to: json,
			least: 0.8},
		{group: "buckets", name: "bucket(128) to unpartitioned",
			of: ingest("bucket(128)", "--partition-by", "bucket(128, user_id)"), to: json, least: 0.6},
		{group: "history", name: "1,000 earlier commits to 1", of: ingest("1,000 earlier commits", "--history",
			"1000"), to: ingest("1 earlier commit", "--history", "1"), least: 0.98},
	}
	return slices.Concat(all, compactions(), reading(), answers())
}

// groups are the names of the groups in order.
func groups() []string {
	var out []string
	for _, c := range comparisons() {
		out = append(out, c.group)
	}
	return slices.Compact(out)
}

// choose returns the comparisons of the named groups, or all that need not be named.
func choose(only string) ([]comparison, error) {
	if only == "" {
		return slices.DeleteFunc(comparisons(), func(c comparison) bool { return c.named }), nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(groups(), name) {
			return nil, fmt.Errorf("there is no group %q: --only takes %s", name, strings.Join(groups(), ", "))
		}
	}
	return slices.DeleteFunc(comparisons(), func(c comparison) bool {
		return !slices.Contains(wanted, c.group)
	}), nil
}

// measurable leaves out the comparisons that need more cores than a program may choose here.
func measurable(chosen []comparison, cores int) (kept, left []comparison) {
	for _, c := range chosen {
		if max(c.of.cores, c.to.cores) > cores {
			left = append(left, c)
		} else {
			kept = append(kept, c)
		}
	}
	return kept, left
}

// measurements are those that the comparisons need, each once.
func measurements(chosen []comparison) []measurement {
	var out []measurement
	for _, c := range chosen {
		for _, m := range []measurement{c.of, c.to} {
			if !slices.ContainsFunc(out, func(o measurement) bool { return o.name == m.name }) {
				out = append(out, m)
			}
		}
	}
	return out
}

// ratio is the median over the rounds.
func (c comparison) ratio(rounds []map[string]figure) float64 {
	ratios := make([]float64, 0, len(rounds))
	for _, round := range rounds {
		of, to := round[c.of.name], round[c.to.name]
		if c.wall {
			ratios = append(ratios, of.RowsPerSecond/to.RowsPerSecond)
			continue
		}
		ratios = append(ratios, of.RowsPerCPU/to.RowsPerCPU)
	}
	return median(ratios)
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}
