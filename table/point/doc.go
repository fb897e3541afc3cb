// Package point reads one row of a data file, by its position.
//
//	location, position ─► rows in memory? ─┬─ yes ─► the row
//	                                       └─ no ──► the file, or the part of it ─► kept for the next
//
// Who asks knows that the row is live: deletes are not looked at. Rows are kept decoded, in runs of some thousand,
// under one limit for all tables; those asked for longest ago go first. Data files never change, so what is kept is
// never old, and a file that is gone may still be answered from memory.
//
// Callers: ingest, for look-ups of keyed tables. The package imports table and its subpackages alone.
package point
