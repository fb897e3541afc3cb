// Command firth is the whole system in one binary: broker to table, catalog, and the commands to look
// at both.
//
// One file holds one subcommand: it reads its flags, wires packages together and prints. What several
// commands need lies in program.go (streams, flags of all commands), config.go (firth.yaml), wire.go
// (from configuration to open stores, catalogs and sources), failure.go (exit codes), output.go and
// progress.go.
//
// This is the only package that reads flags and environment and that knows every other package.
// Results go to standard output, everything else to standard error; with --json both are JSON.
package main
