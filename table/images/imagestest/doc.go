// Package imagestest is a keyed table whose history is made by hand or by chance: for tests of what tells changes.
//
// A snapshot may be of any kind: checkpoints, inserts of others that double keys, rewrites, deletes of whole files and
// by equality. The table remembers which rows it held at each.
//
// Callers: tests of ingest/changelog and serve/stream.
package imagestest
