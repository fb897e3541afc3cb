// Package difference tells which rows came and went between two snapshots of a table, whoever made them and
// however many lie between.
//
//	live files before, live files after ─► Of ─► files that came, files that left, files whose deletes changed
//	                                        └─► Read ─► the positions that were deleted, or are live again
//
// Callers: table/keyed, which moves the key index by it, and table/images, which tells what became of rows. The
// package imports table and its subpackages alone.
//
// Invariant: a row that is live in one of the two snapshots alone is in a file of Added or Removed, or its position
// is in Gone or Back of a file of Changed; files whose equality deletes changed are marked instead.
package difference
