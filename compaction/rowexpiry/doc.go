// Package rowexpiry takes rows out of a table that are older than its policy keeps them.
//
// A table and a commit.RowAge enter, commits of operation "delete" leave:
//
//	now − after ─► plan ─┬─ files of which every row is too old ─► leave whole
//	                     └─ files of which some may be ─► read ─► positions ─► vectors, position deletes
//
// Bounds and partition values tell the two apart, so of a table that is partitioned or written by time whole files
// leave, and the column is read only in files that lie across the cut-off. The positions of old rows in a file
// never change; which of them are deleted already is read when the commit lands, in the committer's turn, so that
// a writer that replaces rows at any rate keeps no expiry from landing, nor is it kept.
//
// Callers: compaction/upkeep and cmd. It imports commit and table alone.
//
// Invariants:
//   - a row leaves only when its value lies before the cut-off; a null stays, and so does a row whose file tells
//     too little and cannot be read;
//   - the cut-off lies by the age of the policy before the earlier one of two clocks, that of the process and that
//     of the store; when these disagree, or the table's newest snapshot is of the future, nothing leaves;
//   - the rows that a commit takes out are counted in its summary and in the ledger, so verify tells them from loss.
package rowexpiry
