// Package changelog writes the changes of a keyed table to a table of its own, each once.
//
// A Follower walks the snapshots of main, whoever made them, and writes before and after images of the rows that
// each of them changed. The log that it reads is the table itself, so nothing has to be decided in the commit of
// the source, and whatever made a change is found alike:
//
//	snapshot ─► files and deletes of it and of its parent ─► difference ─► rows that went, rows that came
//	         ─► by key: equal rows cancel out, a pair is an update, the rest deletes and inserts (table/images)
//	         ─► images ─► one change of the changelog: files, ordinals, sequence numbers read
//
// The ledger of the changelog holds two topic partitions named after the source, with its UUID for topic id:
// offsets of 0 are ordinals of changes, offsets of 1 sequence numbers of snapshots. So the commit that publishes
// images is refused unless it goes on where the changelog stands, like any other (docs/commit-protocol.md), and
// firth verify proves the changelog like any table.
//
// Callers: cmd, which runs one Follower beside the ingest of a table. Several may run: one of them wins each swap.
//
// Invariants:
//   - images of a snapshot are committed with its sequence number, in order, all or none;
//   - the inserts and after images less the deletes and before images, up to a snapshot, are its rows;
//   - a snapshot that only moves rows (operation replace), and a row that is written again unchanged, make no image;
//   - memory is bounded by entriesMax entries and by what the budget lets rows wait, however large a change is.
package changelog
