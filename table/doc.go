// Package table is how a table is written and read.
//
// Record batches enter through Writer and leave as data files that nobody can see yet; commit makes
// them visible. Scan and Plan turn a table and a filter into tasks, and Read turns tasks back into
// record batches. Nothing here changes a table: a Table is one table at one metadata version.
//
//	record batches ─► Writer ─► data files        (commit publishes them)
//	Table + Scan   ─► Plan   ─► tasks ─► Read ─► record batches
//
// Callers: ingest and compaction write, serve and cmd read, commit and catalog use Table as a value.
// The package imports none of ours but its own subpackages, among them objstore (where bytes lie),
// columnchunk (how a file is written), gather (rows in another order) and filter (row filters and
// pruning).
//
// Invariants:
//   - a data file is complete, with its statistics, before its iceberg.DataFile leaves Writer.Close;
//   - names of files are chosen here, never taken from values, so no value can leave the table's
//     location;
//   - what Read yields has the columns of the asked schema by field id, whatever schema the file was
//     written with.
package table
