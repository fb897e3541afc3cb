// Package vector writes and reads the files that say which rows of a data file are deleted.
//
// Targets enter: data files, row positions that are deleted now, and the delete files that hold for them
// already. Delete files leave as iceberg.DataFile, ready for commit.Change.Deletes, one a data file, each with
// all deleted positions of its data file, old and new:
//
//	format version 3: one Puffin file a data file, with one blob deletion-vector-v1
//	format version 2: one Parquet file of position deletes a data file
//
//	blob = length (4 bytes) ─ magic D1 D3 39 64 ─ 64-bit roaring bitmap, portable form ─ CRC-32 (4 bytes)
//
// The callers are whoever deletes by position: writers of keyed tables and compaction. Package table reads
// vectors with Read, so there is one decoder.
//
// Invariants:
//   - a delete file is about one data file and says so: by its reference, and the Parquet form by the bounds
//     of its path column too, which are whole, since manifests of version 2 hold no reference;
//   - a position at or beyond the number of rows of its data file is never written;
//   - decoding takes memory in proportion to the blob and never panics, whatever the bytes are.
package vector
