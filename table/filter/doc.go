// Package filter is the boolean expressions over rows: the filter of a table spec, which ingest
// runs on every batch, and the --where of a read.
//
//	text ─► Parse ─► Expr ─► Bind(schema) ─► Bound ─► Select(batch) ─► Selection
//	                                           └────► MayMatchFile, MayMatchManifest
//
// The language is the part of SQL that needs no functions: comparisons of a column with a
// literal, IN, BETWEEN, LIKE, IS [NOT] NULL, IS [NOT] NAN, NOT, AND, OR and parentheses; columns
// of structs by dots. Null is unknown and unknown selects nothing, as in SQL. Floats have a total
// order in which NaN equals itself and is above all numbers, as in Spark.
//
// Bind turns each literal into the column's type once and moves NOT into the comparisons, so that
// evaluation is one pass over each column without a branch or an allocation per row: a comparison
// with a number is membership in a closed interval of integers, floats included. Pruning asks the
// same intervals about bounds, so both agree by construction; it may keep a file without a match
// and never drops one that has any.
//
// Callers: ingest (Evaluator), table and serve (pruning too), cmd (Parse). Expr and Bound are
// immutable; an Evaluator belongs to one goroutine.
package filter
