// Package gen makes events: deterministic, fast, and with the sums that a reader must find.
//
//	(workload, seed, row) ─► values ─► JSON | Avro | Protobuf | JSON Schema | CSV ─► topic or file
//	                            └────► Totals (count, sums, per partition)
//
// Row n of a workload and seed is the same on every machine and in every format, so a run that was
// killed goes on where the topic ends, and what an engine reads can be compared with Totals.
//
// Callers: cmd (gen, demo, bench) and tests. The package imports the Kafka client to produce.
package gen
