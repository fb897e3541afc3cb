// Package evolve decides how a table's schema follows its writers, as functions of values.
//
// A table's State and the proposals of decode (or the differences between a spec and the table)
// enter; a Result leaves: the new schema, the Iceberg updates and requirements that make it current, and
// which proposals were applied or refused and why. Nothing here talks to a catalog: the caller
// commits the Result, and on a conflict loads the table and asks again.
//
// Callers: ingest (proposals while running) and cmd (plan and apply).
//
// Invariants:
//   - every step is one that leaves old files readable: a new optional column, a wider type, a
//     required column made optional, a new name. Field ids are never given out twice;
//   - Plan is idempotent: what a table has already is neither applied nor refused. So two processes
//     that propose the same converge, whoever is first: the loser's requirements fail, it reloads,
//     and finds nothing left to do;
//   - the order of proposals does not matter for which columns there are, only for their places;
//   - map keys, partition and sort sources and identifier fields keep their types.
package evolve
