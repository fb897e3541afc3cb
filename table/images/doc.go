// Package images tells what became of the rows of a keyed table from one snapshot to a later one, whoever made it.
//
//	snapshots of main ─► Walk ─► each with the one before it
//	live files of both ─► Portions: rows that went, rows that came ─► Pair ─► Images by key ─► Rows
//
// Equal rows of a key cancel out, one that went and one that came are an update, the rest are deletes and inserts.
//
// Callers: ingest/changelog, which writes images to a table, and serve/stream, which hands them out. The package
// imports table and its subpackages alone.
//
// Invariants:
//   - the inserts and after images less the deletes and before images are what the later snapshot has more;
//   - the images of two snapshots come in one order, that of their keys, however the keys are parted;
//   - a snapshot that only moves rows (operation replace), and a row that is written again unchanged, make no image.
package images
