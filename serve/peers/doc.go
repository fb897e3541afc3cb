// Package peers has processes that feed one table tell each other what they have read and not committed.
//
//	tail.Index of one process ─► Handler ─► HTTP ─► Peers.Step of another ─► tail.Mirror ─► its readers
//
// Chunks lie in the table's storage already, so that only their list goes over the wire: the offsets that they cover,
// and a manifest of their files. Where the others answer stands in the catalog.
//
// Callers: cmd puts Handler on a listener and runs Peers.
//
// Invariants:
//   - a process is asked only while somebody reads the table here, and for that it makes chunks there;
//   - who answers is who was announced: another process at the same address is not believed;
//   - what a process told that has been silent for silentFor is withdrawn. It keeps files of chunks longer than that
//     and than any reader has them, so no answer names a file that may be gone.
package peers
