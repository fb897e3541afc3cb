// Package cell is single cells of record batches as people and JSON read them. Every type that table.ArrowSchema gives
// is known. Callers are cmd, which prints rows, and serve, which sends them.
package cell
