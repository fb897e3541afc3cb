// Package ingest turns the records of a log into committed rows.
//
//	source.Poll ─► units ─► decode, filter, checksum ─► buffer ─► cut ─► table.Writer ─► commit ─► source.Ack
//	               (router)  (shape: on all cores)        (Table: one goroutine, in order)
//
// One fetch and one decode serve all tables that read a topic. Reading resumes from the position that
// the table stores, never from the consumer group's offsets, which only show lag.
//
// Callers: cmd makes an Ingester from specs and calls Run; the simulator calls Step.
//
// Invariants:
//   - per table and topic partition, what is buffered and what is being committed are contiguous
//     ranges that begin where the table stands. A portion that does not begin at the end of the
//     range is dropped, so no confusion of assignments can make a gap or a repetition;
//   - the counts of a range add up to its length: rows, filtered, tombstones, dead letters, skipped
//     and absent offsets;
//   - at most one change per table is being committed and one being filled. What is being filled
//     follows the other and is dropped when that one does not land;
//   - the rows of a keyed table wait in memory until their checkpoint is committed, since only the last
//     version of each key is written (package upsert decides); what becomes of a record is known then;
//   - files are removed only when their change is known not to have landed.
//
// Goroutines: Run polls in one, decodes in several, and applies in one, which owns all state of
// tables; closing files and committing runs beside it, one at a time per table. Step does the same
// in the caller's goroutine. The router's mutex is the only lock between polling and applying.
package ingest
