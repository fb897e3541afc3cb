package main

import (
	"runtime"
	"syscall"
	"time"
)

// usage is what this process took from the machine so far.
type usage struct {
	cpu         time.Duration // user and system
	rssBytesMax int64
}

// measure reads the process's usage. Where the system does not tell, it is zero.
func measure() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}
	}
	rss := int64(r.Maxrss) //nolint:unconvert // 32 bits wide on some systems
	if runtime.GOOS != "darwin" {
		rss <<= 10 // everyone else counts kilobytes
	}
	return usage{cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano()), rssBytesMax: rss}
}
