// Package upkeep expires rows and snapshots and removes orphans of tables by their policies, without being asked.
//
// Tables and policies enter; fewer rows, snapshots and objects stay:
//
//	every hour ─► each table ─► rowexpiry ─► commit.Committer.Expire ─► orphans, when their list is a day old
//
// Callers: cmd, in the role that compacts. It imports commit, table, compaction/rowexpiry and compaction/orphans.
//
// Invariants:
//   - a table whose policy has no grace keeps its orphans;
//   - when orphans were last listed stands in the table's location, so neither a restart nor a second process
//     lists them more often;
//   - no row leaves in the turn in which the clock was seen to jump;
//   - what goes wrong with one table is told, and keeps no other from its turn.
package upkeep
