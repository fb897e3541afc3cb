// Package sample makes records for any table: values that fit its columns, written as its source writes
// them.
//
//	columns, decode.Options, a writer's schema ─► Maker ─► source.Record, the same for one seed and number
//
// The records are for looking at what a spec does with a topic before there is one: their values are
// plausible by the names of columns, keys come back, and events of an envelope insert, update and delete.
// Package gen makes the records of measurements instead: fast, of a few fixed workloads, with sums.
//
// Invariant: a record that Record makes is a row of the table, or a delete of one; Spoil makes it one that
// is neither. Nothing here does I/O. Caller: cmd.
package sample
