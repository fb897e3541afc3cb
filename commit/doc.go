// Package commit publishes files and the offsets they cover in one atomic snapshot.
//
// A Change enters, a snapshot leaves. The ledger (ranges in the snapshot, the whole position and the
// totals of all commits in the table's properties) moves in the same swap as the files, and a change
// that does not begin where the table stands is refused. docs/commit-protocol.md tells the protocol,
// docs/format.md what is written.
//
//	Change ─► fence ─► compose (manifests, merge, expiry, list) ─► swap ─► head ─► sweep, dead letters
//	            ▲                                                    │
//	            └────────── reload ◄── conflict, unknown: read back ─┘
//
// Committer puts changes one behind the other. A trunk is main of one table (the table itself, its
// dead-letter table) and lands an intent by as many swaps as it takes; compose does the I/O, and
// facts.describe, planMerges, planExpiry, Expiry.plan and fence are functions of values.
//
// Callers: ingest and compaction. Nothing else writes snapshots.
//
// Invariants:
//   - position, folded totals, foreign counts and pending dead letters change only in a swap that is
//     pinned to the head they were computed from, and firth.state in its snapshot covers them;
//   - position and folded totals end at the same offsets, so no snapshot has to stay for the proof;
//   - nothing is removed while the outcome of a swap that refers to it is unknown, and objects of
//     expired snapshots only when the expiry is known to be committed;
//   - an error that is not ErrStateUnknown means that the change is not in the table and never will
//     be by this call.
package commit
