// Package stream hands out the rows of a table and goes on with those that come: history, then the log, at one seam.
//
//	catalog ─► last snapshot ──┐
//	                           ├─► state ─► Subscription: rows at or behind the cut, in order ─► HTTP, Flight
//	tail.Index ─► chunks ──────┤    ▲                         │
//	           └► rows, memory ┘  Run looks, and           cut := behind them ─► token
//	                              is woken by rows
//
// A Subscription has a cut: the next offset of each topic partition. Rows carry their coordinates, so the rows that
// are still to come are those at or behind the cut, wherever they lie: in files of any age, in files that a compaction
// made of them, or in chunks of the tail. The cut alone says what was handed out. A token is a cut in one text.
//
// Rows of a keyed table change, so a stream of one tells what each commit changed, by package table/images, and has
// a Mark in place of the cut: a commit, and the place in its changes, whose order is the same in every process.
//
// Streams of a table that are at the same rows share them, and the bytes that are sent: a pile is the rows of a chunk,
// or of what came to memory between two states, in order, and each format encodes a portion of it once.
//
// Callers: cmd puts Streams behind an HTTP listener, hands them to serve/flight, and runs Run.
//
// Invariants:
//   - a state is one snapshot and the chunks and rows in memory that go on where it ends (package tail says which);
//   - rows of a topic partition come in the order of their offsets, each once, whatever happens to files,
//     snapshots and processes meanwhile; those of different topic partitions come in no particular order;
//   - a token stands behind all rows that it follows and before all others, so a stream that goes on from it has
//     neither gap nor repetition;
//   - rows that leave before they are handed out end the stream with an error, never in a gap;
//   - who folds the stream of a keyed table by key has the table as it was at each commit;
//   - a subscription holds at most one window of rows, whatever the reader does: nothing is read ahead of it. What the
//     streams of a table share is bounded besides.
//
// Locks: Streams.mu and that of a form before followed.mu before those of package tail; none is held across I/O.
package stream
