// Package live shows tables as of now: the last snapshot and, behind it, what ingest has read since.
//
//	                       tail.Index ──► view behind the base's position
//	                                             │
//	catalog (committed) ─► base, as loaded ──► version: manifest, manifest list, metadata file ─► reader
//
// Catalog answers as a read-only Iceberg catalog with the names of another one. What it hands out is ordinary Iceberg:
// objects in the table's own storage, under the folder _live, so any engine reads it. A version is one state of one
// table. It is made when somebody asks and something has changed, never in advance.
//
// Readers in the process take base and tail as they are, by Now: for them nothing is written, and they see what is in
// memory alone.
//
// Callers: cmd puts Catalog behind a catalog.Handler and runs a Janitor.
//
// Invariants:
//   - a version is a base that was loaded and the chunks that go on where that base ends (package tail says
//     which); what anybody believes about commits has no part in it;
//   - what a version hides of a keyed table was found in that very base, or the version has no chunks;
//   - versions of a table follow one another: a cut does not go back while the process lives, unless rows
//     that were shown are neither committed nor read again for carryFor, in a keyed table for holdFor;
//   - nothing of the table itself is written or removed. What is written lies under _live, and stays for the pin
//     window after it was handed out last;
//   - tables have a UUID of their own here, so that no client takes one state for the other.
//
// Each table has one turn: who has it loads the base and makes a version, the others wait and get the same.
// Locks: Catalog.mu before overlay.mu; none is held across I/O.
package live
