// Package recycle is an Arrow allocator that hands freed memory out again.
//
// Batches live from decode until their rows are encoded: milliseconds, and then the next ones of the
// same size come. Go's heap clears memory each time that it gives it out, and its collector must find
// that the old batches are gone; here a batch takes the place of one before it.
//
// Invariants:
//   - memory is not cleared: who allocates writes before it reads.
//   - memory is handed out again as soon as it was freed, so nobody may look into a batch after its
//     release. Poison finds those who do.
//   - what nobody asks for goes back to Go's collector, so an idle process keeps nothing.
package recycle
