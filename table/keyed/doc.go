// Package keyed keeps the key index of a table in step with the table, and makes the deletes of a
// checkpoint.
//
// A Table enters at each checkpoint; the index says where the row of each key is, and delete files leave
// for commit.Change.Deletes:
//
//	Table ─► Follow ─┬─ same snapshot: nothing
//	                 ├─ other snapshot: catch up by the difference of the two
//	                 └─ no snapshot known, or too much to catch up: rebuild from all key columns
//	keys  ─► Resolve ─► old places ─► Deletes ─► (commit) ─► Landed
//
// A catch-up compares what is live in two snapshots, file by file and position by position, whoever
// wrote them and however many lie between: files that came are read, those that left are retired, and
// positions that were deleted lose their keys. It reads identifier columns alone, and those of old files
// only for rows that went and did not come back. Equality deletes of other engines make it a rebuild.
//
// A key that has two live rows, left by a writer that knows no keys, is a double. The row that was
// committed last, by data sequence number, then location of the file, then position, is the key's; the
// others are taken out by the deletes of the next checkpoint.
//
// Finder finds the rows of single keys for look-ups, from any goroutine, and says when the index mirrors nothing.
//
// Callers: ingest of keyed tables. The package imports table and its subpackages alone.
//
// Invariants:
//   - after Follow, every live row of the snapshot is the index's place of its key or one of the doubles;
//   - the index on disk has the tag of a snapshot only when it mirrors it and there are no doubles, so what
//     a crash forgets is found again;
//   - entries of a commit are taken as they are only when it lies right behind the snapshot that the index
//     mirrors; else the next Follow reads them from the files.
package keyed
