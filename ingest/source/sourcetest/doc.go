// Package sourcetest is a log in memory: topics, partitions, groups and their faults, without a broker,
// a goroutine or a clock. The same calls give the same events, so the simulator can repeat a run.
//
//	Log.Append ─► Reader.Poll     Log.Expire, Log.Truncate, Log.Recreate: what can happen to a reader
//
// Callers: tests of ingest, and cmd/sim.
package sourcetest
