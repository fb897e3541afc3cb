// Command bench measures firth against DuckDB and against itself on real servers, and prints ratios.
//
// Each round runs every measurement once, one after the other, so that what disturbs the machine
// disturbs all of them; a comparison is the median over the rounds of the ratio within a round. The broker serves two
// runs before anything counts.
// Records come from a real Kafka broker; the servers are those that e2e/install.sh installs. Where cores
// are compared, broker and firth share the same ones, and independent processes tell what two cores of the machine
// give at all.
//
// Three groups take long and have to be named: compaction, beside Spark's; reads, which compares scans by Spark and
// Trino of a table that was updated for an hour with scans of the same rows in one file; and tpch, which asks the
// queries of TPC-H by Flight SQL and of DuckDB over the same files.
//
//	go run ./cmd/bench --rows 5000000 --rounds 5
//	go run ./cmd/bench --only duckdb,minio --rounds 1
//	go run ./cmd/bench --only compaction,reads --rows 3000000 --updated 10m
//	go run ./cmd/bench --only tpch --firth bin/firth-sql
package main
