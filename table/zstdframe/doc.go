// Package zstdframe writes standard zstd frames (RFC 8878) for column pages in which a search for
// matches is the wrong tool.
//
//	page bytes ─► Literals     ─► Huffman codes only
//	values     ─► FixedStrings ─► Huffman codes, the length prefixes by sequences
//	page bytes ─► Raw          ─► stored
//
// A PLAIN page of hex digits is the worst case of a match finder: the 4-byte length prefix in
// front of every value turns a plain coding of digits into thousands of short matches. Strings of
// one length need no search, as it is known where the prefixes are: each is a match at the offset
// before, of 4 bytes and whatever all values share at their ends. FixedStrings says so with
// sequences whose three tables hold one code each (3.1.1.3.2.1), so that a prefix costs only the
// extra bits of its lengths, none for values below 16 bytes and 3 for a uuid in text, and the
// values go from the caller's buffer straight to the entropy coder. On pages of 24,576 values, in
// MB of the page per CPU second (columns of BenchmarkColumns; klauspost/compress 1.20.3 at its
// fastest with entropy coding of all literals):
//
//	                         FixedStrings         klauspost
//	uuid as 36 characters    2,520  47.1 %        230  50.6 %
//	32 hex digits            2,750  45.5 %        233  47.9 %
//	16 random bytes          6,700  80.6 %        630  90.8 %
//	url (Literals)           1,890  58.6 %        451  12.6 %
//
// Callers are the column writers of package table, which try a page and keep whatever is smallest
// for its cost: Literals and FixedStrings return false when the frame would not be smaller than
// its content, and they know nothing of repetition, as the urls show.
//
// What frames hold, by section:
//
//   - 3.1.1.1: content size, neither checksum nor dictionary; one segment up to
//     128 KiB, beyond it a window of 128 KiB.
//   - 3.1.1.2: blocks of up to 128 KiB; raw and RLE blocks where they are shorter.
//   - 3.1.1.3.1: four streams from 256 literals on; a block repeats the tree before (treeless)
//     unless a new one saves more than it takes.
//   - 4.2.1: codes of up to 11 bits, the best there are under that limit; weights direct or FSE.
//
// Invariants: a frame is a function of its content, a block's bytes in both forms stay within 128
// KiB, and every code is complete. Trees come from a sample of a large block; a byte that the
// sample missed is found while coding, and the block is then coded anew by exact counts.
package zstdframe
