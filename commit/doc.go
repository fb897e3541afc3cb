// Package commit publishes files and the offsets they cover in one atomic snapshot.
//
// A Change enters, a snapshot leaves. The ledger (ranges in the snapshot, the whole position and the
// folded totals in the table's properties) moves in the same swap as the files, and a change that
// does not begin where the table stands is refused. docs/commit-protocol.md tells the protocol,
// docs/format.md what is written.
//
// Callers: ingest and compaction. Nothing else writes snapshots.
package commit
