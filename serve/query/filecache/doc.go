// Package filecache keeps files in a local folder within a bound of bytes, for programs that read files and nothing
// else.
//
//	key, fill       ─► Cache.Get   ─► File: a path that stays until Release
//	object, ranges  ─► Cache.Parts ─► File with holes, of which more is filled as more is asked for
//	fill            ─► Cache.Once  ─► File that nobody else gets, removed with its Release
//
// A file is filled once, however many ask for it at a time, and is left out again when room is needed, the one longest
// unused first. Callers: the SQL engine. The folder belongs to one Cache; nothing in it outlives a process.
//
// Invariants:
//   - a path is of a whole file, or of one with the parts that were asked for, and a byte that is there does not
//     change;
//   - a file that is held is never removed, and files that are held never take more than the bound: Get fails instead.
package filecache
