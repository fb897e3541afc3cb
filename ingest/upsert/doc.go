// Package upsert decides what the versions of rows in one checkpoint do to a keyed table.
//
// Batches of rows enter with an operation each, in the order of their records. Their keys and where the table
// holds rows of these keys enter next. What leaves says of each key whether a row is written, and which one, or
// the old one deleted, and of each record what it counts as.
//
//	Add (batch, operations) ... ─► Order (keys) ─► Fold (what the table holds) ─► Result
//	                                     old rows ─► Merger.Rows (some keys) ─► rows     (with Options.Columns)
//
// The versions of a key are taken one after the other, by topic partition and then by offset, beginning with
// the row that the table holds:
//   - an upsert or a delete whose sequence is below that of the version before is superseded; equal ones go to
//     the later version;
//   - a version without a sequence takes that of the one before: it counts by its arrival alone. Deletes by a
//     record's key are such;
//   - a delete keeps its sequence until the end of the checkpoint. The table remembers no deleted rows, so what
//     comes for the key in a later checkpoint begins anew;
//   - with First an upsert of a key that has a row is superseded.
//
// All versions of a key but the last one that was taken are superseded.
//
// With Options.Columns a version does not replace the one before but is merged into it, column by column; a Merger
// makes the rows. What is older than the one before still counts for columns that accumulate and for column
// groups in which it is newer, and is superseded when there are none. A delete takes all that was merged; it
// is held against the table's sequence alone. The row counts for the record that was merged in last, as inserted
// or updated, and has its coordinates; the records before it in the checkpoint are superseded, since no row was
// written for them, though they are in this one.
//
// A record counts once, whatever rows it has (a change of the key has two): as inserted when the table has more
// rows for it, deleted when it has less, updated when rows were replaced only, superseded when newer versions
// stood against all of them, and as a tombstone when it deletes what is not there.
//
// Everything here is a function of values: no file, no table, no index. The caller is package ingest.
//
// Invariants:
//   - every record that was added is in the counts of its partition exactly once;
//   - a key has at most one row in Result.Writes;
//   - merged rows are those of one version after the other: but for what is older than a delete, they do not
//     depend on where checkpoints end.
package upsert
