// Package catalog is the embedded Iceberg REST catalog, and the door to an external one.
//
//	clients ─► Handler ─► Catalog ─► objstore.Store   metadata files, written before they count
//	in-process ─────────►    └─────► Store            names ─► metadata locations: what counts
//
// Catalog loads, lists, creates, drops and commits. Handler is the Iceberg REST protocol over it and
// holds no logic. Store keeps names and metadata locations; Store.Apply is the one atomic step of the
// whole system: everything in one call happens, or nothing. There are three stores: memory, SQLite
// and Postgres, and one conformance suite for them, catalogtest. Remote is an external REST catalog
// behind the same methods that commit needs.
//
// A commit reads the current metadata (from memory while it is current), checks the requirements,
// applies the updates, writes a new metadata file under a name of its own, and asks the Store to swap
// the metadata location if it is still the one that was read. Nothing is retried here: who lost the
// swap gets table.ErrConflict.
//
// Invariants:
//   - a metadata file is complete and readable before a swap names it;
//   - an attempt that is known to have failed removes the metadata file it wrote, and only that; one
//     whose outcome is unknown removes nothing;
//   - an error before the swap says that nothing was changed, so it is never table.ErrStateUnknown;
//   - no two tables or views have locations of which one lies in the other, and none lies outside the
//     warehouse and the locations allowed in Options;
//   - names never become paths as they are: see defaultLocation.
//
// Tokens separate reading from writing. With none configured everything is allowed: that is for
// listeners on loopback addresses only, and who makes the listener sees to it. Clients that ask get temporary keys for
// the files of the table that they load, to write only where they may write.
//
// SQL drivers are imported here and in no other package.
package catalog
