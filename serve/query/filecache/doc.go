// Package filecache keeps files in a local folder within a bound of bytes, for programs that read files and nothing
// else.
//
//	key, fill ─► Cache.Get ─► File: a path that stays until Release
//
// A file is filled once, however many ask for it at a time, and is left out again when room is needed, the one longest
// unused first. Callers: the SQL engine. The folder belongs to one Cache; nothing in it outlives a process.
//
// Invariants:
//   - a path is of a whole file, and the file does not change;
//   - a file that is held is never removed, and files that are held never take more than the bound: Get fails instead.
package filecache
