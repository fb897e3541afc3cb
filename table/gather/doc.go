// Package gather copies chosen rows of record batches into new ones.
//
// Batches enter with a choice of rows: a list of rows of one batch (Rows), or runs of neighbours
// out of several (Batches). One new batch leaves, whose buffers come from the caller's allocator and are
// as large as its rows need, or a third larger; Share takes several lists at once, and goes on with them in
// the batch that comes next (Gathered). Callers are table's writer, which puts rows in order, table's
// reader, which leaves out rows that a filter does not want, and ingest, which shares batches out to tables.
//
//	rows  7 2 3 ...        of one batch    ─┐   column by column
//	runs  (batch 4: 10-80) (batch 0: 3) ... ─┴─► values │ bits │ offsets + text │ children
//
// Every type that table.ArrowSchema gives is known: values of fixed width, booleans, strings and
// binaries, structs, lists and maps, and extensions of them.
//
// Invariants:
//   - a row may be chosen any number of times, in any order;
//   - nothing is allocated per row, and a run is copied at once, whatever its length;
//   - sources may be slices; the new batch begins at 0 and shares no memory with them.
package gather
