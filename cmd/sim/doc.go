// Command sim runs the whole system in one process from one seed: a log, an object store, a catalog,
// and several firth processes that ingest and commit the same one or two tables while operations fail,
// answers get lost, requests land late and processes die; records gain a field, the topic grows, its
// retention runs ahead of readers, stores fill up, clocks jump, and other engines append, delete,
// rewrite, tag and expire. The same seed gives the same trace.
//
//	go run ./cmd/sim --seeds 1000          seeds 1 to 1000
//	go run ./cmd/sim --seed 42 --trace     one seed, with what happened
//	go run ./cmd/sim --keyed --seeds 1000  a keyed table, whose index lies on disks of processes that die
//
// Beside the ingest of a keyed table others compact it, take out rows that are too old and write its changelog.
// Each of its snapshots is held against a model as it lands, whoever made it (observe.go, model.go).
//
// Every firth process is a coroutine: at each operation on the store or the catalog it hands over to
// the scheduler, which picks who goes on, so two live sequencers interleave at every point where they
// could in production. Nothing runs beside anything, which is why a run can be repeated.
//
// When the faults end, one healthy process finishes the work; then check.go, the only place that
// knows what must hold, compares the table with the log.
package main
