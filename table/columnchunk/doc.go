// Package columnchunk writes Parquet files one column chunk at a time, straight from Arrow buffers.
//
// Record batches enter through Writer; pages, chunks, the page index and the footer leave through an
// io.Writer, and Close gives the footer with its statistics back. The caller is table.Writer.
//
// Lists, maps and structs are striped into entries first (entries); a flat column's entries are its
// rows.
//
//	batch ─► column ─► open page ─► levels + values ─► zstd frame ─► chunk
//	           │  ▲                                                    │
//	           ▼  │ one dictionary a chunk, given up when it overflows ▼
//	        dictionary          row group full: chunks ─► io.Writer, Close: index, footer
//
// A batch is copied into the open pages before Write returns, so nothing of it is retained. A page
// ends by bytes or rows; it is encoded, compressed and measured (bounds, nulls, NaNs) in one go while
// it is in the processor's cache. Finished pages of a row group wait in memory, since a file holds its
// chunks one after the other.
//
// Encodings are those that every reader knows: PLAIN, RLE_DICTIONARY, DELTA_BINARY_PACKED, RLE for
// levels; DELTA_LENGTH_BYTE_ARRAY and BYTE_STREAM_SPLIT only when asked for, and where they pay. Data pages
// are of version 1 and carry their checksum; chunks get bloom filters when asked for.
//
// Invariants:
//   - the bytes of a file depend on its batches and options alone (Trials are an option): there is no
//     clock, randomness or goroutine here, and what Buffers hands on has no influence;
//   - memory is taken once and used again: nothing is allocated for a value or a page;
//   - a page begins with a row, and a page without values is PLAIN;
//   - bounds never exclude a value: NaNs stay out of them, zeros have the sign that holds for both,
//     and those of the page index are cut to sizeIndexBound bytes.
//
// Values are copied as they lie in memory, so only little-endian machines are supported.
package columnchunk
