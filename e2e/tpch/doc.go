// Package tpch makes tables like those of the TPC-H benchmark, and has its 22 queries.
//
//	(table, scale) ─► lines of fields between bars ─► topics ─► firth ─► tables ─► Queries
//
// Columns, sizes, keys and domains of values are those of the specification (revision 3); texts are words of its
// lists in random order, so results are not those of its official data. Queries have its validation parameters.
//
// Callers: the tests of SQL, e2e and cmd/bench.
package tpch
