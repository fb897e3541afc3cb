// Package changes is the form of a table that holds the changes of another: what ingest/changelog writes and
// commit/verify reads.
//
//	_change_type  _change_ordinal  _change_snapshot_id  _change_time  the columns of the source ...
//
// A row is one image of one row of the source. The columns of the source keep their names, types and defaults,
// follow its evolution and are optional; their field ids are those of the source and IDShift.
//
// Callers: ingest/changelog, commit/verify and cmd. The package imports nothing of ours.
package changes
