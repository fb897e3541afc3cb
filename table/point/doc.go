// Package point reads one row of a data file, by its position.
//
//	location, position ─► a copy of the file? ─┬─ yes ─► the row: one read of the local disk
//	                                           └─ no ──► the file is decoded and copied ─► for the next
//
// Who asks knows that the row is live: deletes are not looked at. A copy has the rows of a file side by side, where
// Parquet has its columns, so that a row is read without the 20,000 around it. Copies lie in a local folder under one
// limit for all tables, and those asked for longest ago go first; they have no names, so that no process leaves any
// behind. Data files never change, so a copy is never old, and a file that is gone may still be answered from it. Of a
// large file the first few rows are read without one.
//
// Callers: ingest, for look-ups of keyed tables. The package imports table and its subpackages alone.
package point
