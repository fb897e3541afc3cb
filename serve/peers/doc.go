// Package peers has processes that feed one table tell each other what they have read and not committed.
//
//	tail.Index of one process ─► Handler ─► HTTP ─► Peers.Step of another ─► tail.Mirror ─► its readers
//
// Chunks lie in the table's storage already, so that only their list goes over the wire: the offsets that they cover,
// and a manifest of their files. Where the others answer stands in the catalog.
//
// Of a keyed table the mirror asks HiddenHandler there which rows its chunks hide, whenever a view of them is made.
//
// Rows looks up rows of keyed tables in this process and in all others that read one of the table's topic partitions:
//
//	key ─► what is read here ─┐
//	  └──► Rows of others ────┴─► point.Join: the newest row at one cut
//
// Callers: cmd puts the Handlers on a listener and runs Peers; serve/lookup and serve/flight ask Rows.
//
// Invariants:
//   - a row that was looked up is the newest at the answer's cut. It has to do with what each process says with its
//     part, never with what is believed of who owns which topic partition;
//   - no such answer goes back behind one that was given before it was asked for, for unreadFor, whoever has gone: it
//     is refused until somebody has read as far. One process alone knows itself what it has given up;
//   - a question goes to another process once: who is asked asks nobody;
//   - a process is asked only while somebody reads the table here, and for that it makes chunks there;
//   - who answers is who was announced: another process at the same address is not believed;
//   - what a process told that has been silent for silentFor is withdrawn. It keeps files of chunks longer than that
//     and than any reader has them, so no answer names a file that may be gone.
package peers
