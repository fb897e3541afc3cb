// Package keyindex finds the row that holds a key now: identifier ─► data file and row position.
//
// A keyed table deletes the old row of a key by its place, so every key of a checkpoint is looked up
// before the commit and gets its new place after it. A Hasher makes keys of record batches: 128-bit
// hashes of the identifier's columns, which the index's secret seed keys. They come a whole checkpoint
// at a time.
//
//	                 ┌ segment 0: hot (ordered table in memory) over cold (sorted blocks on disk)
//	keys, by segment ┼ segment 1: ...            each segment is sorted and is one goroutine's at a time
//	                 └ segment 1023
//
//	changes ─► log on disk ─► hot ─► (memory runs out) ─► merge of hot and cold into a new file
//
// Hashes are uniform, so the place of a key in a segment, in memory and on disk, is a multiplication
// away, and a sorted batch walks both in order: no tree, no filter, no cache but that of the system.
//
// A Finder finds single keys from any goroutine meanwhile: a lock on each group is held while its memory is read or
// changed, and never over I/O.
//
// The index is derived: the table is the truth. It is tagged with the snapshot it mirrors. Changes are
// applied after their commit is known to have landed, so it is never ahead of the table, and whatever is
// missing or damaged on disk makes it older or empty, never wrong: every block, log record and manifest
// has a checksum, tied to its table.
//
// Invariants:
//   - a key has one place; a place in a file that was retired counts as none;
//   - files on disk do not change once the manifest names them, and the manifest is replaced at once;
//   - memory stays under the limit, but for the changes of the checkpoint that is being applied and for
//     a 64th of the entries while a Builder finishes.
package keyindex
