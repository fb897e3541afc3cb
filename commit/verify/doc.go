// Package verify proves that a table holds each record once.
//
// A table and its ledger enter, a Report leaves. Check looks at metadata: the folded totals reach from the
// first offset to the position, the ranges of snapshots unfold them with no gap and no overlap, counts add
// up to the row counts of the files, every file is there with its size and referenced once, and the dead
// letters are in their table. Deep reads the files too: rows and checksums per topic partition are what
// the ledger says, and, where the log still has the records, what decoding them again gives.
//
// A fault is never an error: an error says that something could not be checked at all, as when the store
// does not answer. docs/verify.md tells users the same.
//
// Invariants:
//   - Proven is true only if every check ran and none found a fault;
//   - nothing is written.
package verify
