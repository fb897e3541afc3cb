// Package rewrite makes fewer data files of many, with the same rows.
//
// Tasks of one partition enter, data files that nobody can see yet leave; compaction chooses the tasks
// and publishes the files. Copy moves column chunks as they are, bytes and all; only the footer and
// what it points to are made anew:
//
//	source 1: PAR1 [row group][row group][filters] [column index][offset index][footer] PAR1
//	source 2: PAR1 [row group]                     [column index][offset index][footer] PAR1
//	                    │ bytes                         │ bytes       │ moved      │ merged
//	                    ▼                               ▼             ▼            ▼
//	copy:     PAR1 [row group][row group][filters][row group] [column indexes][offset indexes][footer] PAR1
//
// Decode reads rows and writes them with table.Writer: for files with deletes, of several schemas, or of
// a table whose rows have an order.
//
// A chunk has one dictionary at most, so row groups stay what they were. Where rows have lineage (v3)
// and the files leave it to be inherited, each row group gets two more chunks that hold it.
//
// Places is the map from rows of the sources to rows of the new files, for deletes that come meanwhile.
//
// Invariants:
//   - a copy has the rows of its sources, task after task, in the order of each file;
//   - row ids and last updated sequence numbers of v3 stay with their rows;
//   - a bound of the new file never excludes a value; one that a source lacks is lacking;
//   - memory is bounded: of a copy by the footers and page indexes of the sources and a few megabytes,
//     of decoding by a row group and the budget of the writer.
package rewrite
