// Package committest holds what tests of commits need: a catalog in memory, a wrapper that makes a
// catalog fail as planned, processes that die, files without bytes, and the check that a table's ledger, manifests and
// objects agree.
//
// Callers: tests of commit and of packages that commit, and the simulator.
package committest
