// Package compaction makes few large files of many small ones, while others write to the table.
//
// A table enters, snapshots of operation "replace" leave:
//
//	Table ─► Plan (pure) ─► Groups ─► rewrite: Copy | Decode ─► commit.Change ─► Committer
//	   ▲                                     └── Places ──► rebase ◄─┤ deletes that came meanwhile
//	   └── stale: the group's partition is planned again ────────────┘
//
// Plan maps the tasks of a table to Groups by a Policy: files of one partition and spec that are small,
// or of which many rows are deleted. A group whose files lie as they are wanted is copied chunk by
// chunk, every other is decoded and written in the table's order (table/rewrite). Each group is a
// change and a snapshot of its own, so what is done stays done.
//
// Compactor does all that a table needs, once. Automatic looks after tables for ever, a group at a time, and rests
// between reads to keep to its share of time. It rewrites files as soon as what scans pay for deletes and for the
// number of files, their waste, is worth it, the group that spares most for its cost first. Where files that are due
// pile up all the same, Debt lets ingest give way.
//
// Callers: cmd. What it writes goes through commit; it imports commit and table alone.
//
// Invariants:
//   - a plan depends on tasks and policy alone, not on their order;
//   - a rewrite holds the rows of the files it removes, and no other: commit checks their number. Rows of them
//     that were deleted since the plan are deleted in the new files by the same commit, and a file that left since
//     makes its group stale;
//   - files of a group that did not land are removed, unless the outcome is unknown.
package compaction
