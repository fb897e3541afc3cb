// Package tail holds what ingest has read of a table and not committed, while somebody reads it.
//
//	ingest ─► Feed ─► Index ─► View(position of a snapshot) ─► serve
//	             ▲ wanted?  ◄─ Follow ◄─────────────────────── serve
//
// A Chunk is a range of offsets of each of some topic partitions and the data file of the rows in them. A Piece is a
// range of one and its rows in memory, for readers in this process until a chunk takes its place. A Feed is the
// end that ingest holds: it is told whether anybody follows the table, and takes chunks. An Index has the
// chunks of one table, a Set the indexes of a process. A Mirror is the end at which comes what another process tells of
// its index; its chunks are chosen as all others, and their files are its own to remove.
//
// The seam: a View begins at the position that stands in the snapshot it goes with, and goes on as far as chunks are
// contiguous, topic partition by topic partition. What the process believes about commits has no part in
// it. So a row is in the snapshot or in the tail, never in both and never in neither, whichever snapshot
// a reader has loaded.
//
// In a keyed table newer versions hide rows that the snapshot or earlier chunks have. Which, ingest knows: the
// index has its Hider, which answers for the very snapshot that a view begins behind, or not at all. Of what another
// process has read its mirror's does; a view is divided into Shares for that. Who has versions of which keys goes with
// the chunks, since no key may be of two.
//
// Invariants:
//   - a chunk is shown whole or not at all, and only where each of its ranges begins at the cut;
//   - a piece is shown only where it begins at the cut, until a chunk with its rows takes its place, at once;
//   - a chunk is of one checkpoint, so a commit covers it whole or not at all;
//   - files are given out to be removed only a while after their chunk was covered or withdrawn, since readers of
//     a view may still be at them.
//
// A Clock tells how old any cut of a table is: ingest marks where the topics end whenever it has read all of them.
//
// Callers: ingest hands over, serve reads, cmd wires. Nothing here does I/O. An Index may be used by many
// goroutines; a Feed or a Mirror belongs to one.
package tail
