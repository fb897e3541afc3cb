// Command bench measures firth against DuckDB and against itself on real servers, and prints ratios.
//
// Each round runs every measurement once, one after the other, so that what disturbs the machine
// disturbs all of them; a comparison is the median over the rounds of the ratio within a round.
// Records come from a real Kafka broker; the servers are those that e2e/install.sh installs. Where cores
// are compared, broker and firth share the same ones.
//
//	go run ./cmd/bench --rows 5000000 --rounds 5
//	go run ./cmd/bench --only duckdb,minio --rounds 1
package main
