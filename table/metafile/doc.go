// Package metafile parses table metadata files for who needs little of them.
//
//	text ─► Parse ─► icetable.Metadata ─► Whole ─► the library's own, for its builder
//
// Package catalog calls it for every table that is loaded. A metadata file holds some hundred snapshots, which are
// nine tenths of it and of the time that the library takes to parse it, while who opens a table needs the head.
// Parse has the library parse all the rest and the snapshots that branches and tags name. The others are
// looked over byte by byte, so that they cannot turn out to be wrong later, and decoded by the library when
// somebody first asks for them.
//
// Invariants: Parse accepts exactly what the library accepts, and what it returns tells the
// same. What the look does not know for certain is given to the library as a whole.
package metafile
