// Package orphans removes the objects of a table that nothing needs, in two phases.
//
// A table enters; a list of orphans and, a grace period later, fewer objects leave:
//
//	snapshots, log, statistics ─► Needed ┐
//	objects of the location, listed ─────┴─► quarantine: path, size, times ─► store (metadata/firth-orphans.jsonl)
//	                                                     │ a later run, once the grace is over
//	table as it is now ─► needed after all? in flight? ──┴─► removed, a page at a time
//
// A crash between writing a file and committing it leaves an orphan, and so does one between a commit that
// expires snapshots and the removal of their files. They cost space, never rows.
//
// Callers: cmd. It imports commit, table and the table's store; it commits nothing.
//
// Invariants:
//   - an object is removed only when an earlier run listed it as an orphan, a grace period ago by the clock of
//     the store, and when the newest version of the table, read just before, does not need it;
//   - nothing is removed when the listing lacks an object that the table needs: then one is missing, or
//     locations do not compare;
//   - locations that could mean the same object are taken for the same, which keeps an object too many;
//   - only objects under the table's location, named as table formats name theirs, are touched, and none when
//     another table lies there too;
//   - memory is 8 bytes a file of the table and a page of the listing, however many orphans there are.
package orphans
