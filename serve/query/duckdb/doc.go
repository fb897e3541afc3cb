// Package duckdb is the SQL engine: DuckDB, in this process, over local copies of data files.
//
//	SQL ─► references ─► views ─► tasks ─► relation: one SELECT over files ─► DuckDB ─► record batches
//	       (parsed by    (query.   (table.  (copied by filecache)
//	        DuckDB)       Views)    Plan)
//
// Transforms compute columns of batches in memory by the same engine: Bind checks by the syntax tree that a statement
// is row by row, Evaluate runs it in a database that opens nothing and holds only the rows at work.
//
// DuckDB is C++, so this package is empty but for Open without the build tag duckdb_arrow; Open then says how to build
// with it. No other package imports DuckDB.
//
// Every statement has a database in memory to itself, which a pool keeps for the next. It runs in a transaction that
// knows nothing but the relations of the tables that the statement names, and that is rolled back at its end. What a
// statement may do is decided three times:
//   - by its syntax tree: one query, whose tables are all tables of the catalog, and whose table functions are known to
//     make rows of their arguments alone;
//   - by the kind that DuckDB gives the prepared statement;
//   - by the database itself, which may open local copies of data files and no other file, no address and no
//     extension, and whose settings are locked.
//
// Rows are those of table.Read, which is the reference. Columns of files are found by field id; a file that stores a
// column in a form that DuckDB would read differently is first copied by table.Read. Deleted rows are left out by
// their positions in the file.
package duckdb
