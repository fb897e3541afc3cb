// Package backfill loads files into a table beside its stream: on a branch, checked, and promoted in one commit.
//
//	pattern ─► Listing ─► rounds of files ─► lanes (read, cast, filter, checksum, table.Writer) ─► branch
//	                                                                                             │ checks
//	                                                     main ◄── commit.Promote ◄───────────────┘
//
// A Plan says what is to be loaded. Its ID is derived from what it says and from the table, so the same command is
// the same backfill: it goes on where an earlier run stopped, and does nothing once it is promoted. A Run is one
// process at work on a plan.
//
// Rows of files come from no log. Each lane of a backfill numbers the rows that it reads, and these numbers are
// offsets of a topic partition of its own (commit.BackfillOf): the ledger counts, fences and proves them as it does
// those of Kafka, and the columns _kafka_topic, _kafka_partition and _kafka_offset hold them. Other metadata
// columns are null.
//
// Callers: cmd. Invariants:
//   - all that is known of a backfill before its promotion stands in the summary of the branch's one snapshot
//     (State), which moves in the same commit as the files that it counts;
//   - the files of the source are read in the order of their locations, a round is committed whole, and nothing of a
//     file is on the branch without all of it;
//   - a run that finds another listing than the one that the backfill began with stops;
//   - what is on the branch becomes rows of main by commit.Promote alone, which the ledger's position fences: once.
package backfill
