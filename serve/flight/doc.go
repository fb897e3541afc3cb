// Package flight is the door for clients of Arrow Flight: SQL over an engine, for ADBC, JDBC and what is built on them,
// and rows and streams of tables.
//
//	client ─► Server ─► query.Engine   statements, plain and prepared, as record batches
//	             ├────► query.Views    catalogs, schemas, tables, columns, keys
//	             ├────► lookup.Tables  rows by their keys, for tickets that are JSON
//	             └────► stream.Streams streams, for such tickets too
//
// The server keeps nothing between calls: a handle holds the statement, its parameters and a number, so any process of
// a fleet answers any call. What runs is known by its number alone, so that it can be cancelled. Callers: cmd, which
// hands in the engine.
//
// Only queries are run. Everything that writes is refused with a sentence that says where rows are written.
package flight
