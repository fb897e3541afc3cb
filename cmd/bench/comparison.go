package main

import (
	"slices"
	"strconv"
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
	cores    int    // that the process may use; 0 is all
}

// comparison is a ratio that must not fall below least.
type comparison struct {
	group, name string
	of, to      measurement
	wall        bool // rows per second instead of rows per CPU-second
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
	one := ingest("json on one core", "--workers", "1")
	one.cores = 1
	workload := func(name string) measurement { return ingest(name, "--workload", name) }
	return []comparison{
		{group: "duckdb", name: "events10 to DuckDB", of: json, to: duckdb("events10"), least: 1},
		{group: "duckdb", name: "wide50 to DuckDB", of: workload("wide50"), to: duckdb("wide50"), least: 0.8},
		{group: "duckdb", name: "nested to DuckDB", of: workload("nested"), to: duckdb("nested"), least: 0.8},
		{group: "minio", name: "MinIO to local store", of: minio, to: json, least: 0.9},
		{group: "formats", name: "Avro to JSON", of: ingest("avro", "--format", "avro"), to: json, least: 1},
		{group: "formats", name: "Protobuf to JSON", of: ingest("protobuf", "--format", "protobuf"), to: json,
			least: 1},
		{group: "cores", name: "two cores to one", of: json, to: one, wall: true, least: 1.8},
		{group: "partitions", name: "512 topic partitions to 8",
			of: ingest("512 topic partitions", "--partitions", strconv.Itoa(512)), to: json, least: 0.9},
		{group: "tables", name: "10 tables to 1", of: ingest("10 tables", "--tables", "10"), to: json,
			least: 0.8},
		{group: "buckets", name: "bucket(128) to unpartitioned",
			of: ingest("bucket(128)", "--partition-by", "bucket(128, user_id)"), to: json, least: 0.6},
	}
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
