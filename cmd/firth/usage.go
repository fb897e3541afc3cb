package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/firthlake/firth/ingest/spec"
)

// usage is what this process took from the machine so far.
type usage struct {
	cpu         time.Duration // user and system
	rssBytesMax int64
}

// measure reads the process's usage. Where the system does not tell, it is zero. Linux keeps the peak
// of the process's own pages apart; the one of getrusage begins with its parent's.
func measure() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}
	}
	rss := int64(r.Maxrss) //nolint:unconvert // 32 bits wide on some systems
	if runtime.GOOS != "darwin" {
		rss <<= 10 // everyone else counts kilobytes
	}
	if own := peakOfStatus(); own > 0 {
		rss = own
	}
	return usage{cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano()), rssBytesMax: rss}
}

// peakOfStatus reads VmHWM from proc(5), in bytes, or 0 where there is none.
func peakOfStatus() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// garbagePercent lets the heap grow to five times what is alive before it is collected, within the
// memory limit: 4 % more rows per CPU-second than Go's 100, in the same memory.
const garbagePercent = 400

// boundMemory tells the runtime what the process may take.
func boundMemory(limit spec.Size) {
	debug.SetMemoryLimit(int64(limit))
	debug.SetGCPercent(garbagePercent)
}
