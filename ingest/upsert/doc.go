// Package upsert decides what the versions of rows in one checkpoint do to a keyed table.
//
// Batches of rows enter with an operation each, in the order of their records. Their keys and where the table
// holds rows of these keys enter next. What leaves says of each key whether a row is written, and which one, or
// the old one deleted, and of each record what it counts as.
//
//	Add (batch, operations) ... ─► Order (keys) ─► Fold (what the table holds) ─► Result
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
// A record counts once, whatever rows it has (a change of the key has two): as inserted when the table has more
// rows for it, deleted when it has less, updated when rows were replaced only, superseded when newer versions
// stood against all of them, and as a tombstone when it deletes what is not there.
//
// Everything here is a function of values: no file, no table, no index. The caller is package ingest.
//
// Invariants:
//   - every record that was added is in the counts of its partition exactly once;
//   - a key has at most one row in Result.Writes.
package upsert
