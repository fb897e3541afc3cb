// Package letters reads dead-letter tables: which letters there are, and which of them are resolved.
//
// A letter is a row of the table that ingest wrote for a record that could not become a row. When a replay
// has dealt with it, the table has a second row with the letter's coordinates and class Resolved, so the
// table only grows, and any engine finds the open letters by coordinates alone (docs/repair.md).
//
// Callers: ingest's Replayer, and the command dlq.
package letters
