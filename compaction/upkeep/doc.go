// Package upkeep expires snapshots and removes orphans of tables by their policies, without being asked.
//
// Tables and policies enter; fewer snapshots and objects stay:
//
//	every hour ─► each table ─► commit.Committer.Expire ─► orphans.Run, when the list of orphans is a day old
//
// Callers: cmd, in the role that compacts. It imports commit, table and compaction/orphans.
//
// Invariants:
//   - a table whose policy has no grace keeps its orphans;
//   - when orphans were last listed stands in the table's location, so neither a restart nor a second process
//     lists them more often;
//   - what goes wrong with one table is told, and keeps no other from its turn.
package upkeep
