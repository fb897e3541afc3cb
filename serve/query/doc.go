// Package query is SQL over tables: what an engine needs of them, and what a door needs of an engine.
//
//	SQL ─► Engine ─► Views ─► View: one table, pinned ─► data files with the deletes that apply, rows in memory
//	          └────► record batches
//
// Catalog makes views of the tables of a catalog, as of now where somebody can tell that (serve/live), or as
// committed. An engine lies in a package of its own (serve/query/duckdb) and is handed to the doors (serve/flight, the
// command line) by cmd.
//
// Invariants:
//   - a statement opens each view once and closes it when its last batch was taken, so that all of one answer is cut
//     at one state of each table;
//   - nothing can be written: a statement that is no query is refused;
//   - a statement reaches the rows of the tables that it names, and no file, address or setting.
package query
