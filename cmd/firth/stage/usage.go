package stage

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what this process took from the machine so far.
type Usage struct {
	CPU         time.Duration // user and system
	RSSBytesMax int64
}

// Used reads the process's usage. Where the system does not tell, it is zero. Linux keeps the peak of the
// process's own pages apart; the one of getrusage begins with its parent's.
func Used() Usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return Usage{}
	}
	rss := int64(r.Maxrss) //nolint:unconvert // 32 bits wide on some systems
	if runtime.GOOS != "darwin" {
		rss <<= 10 // everyone else counts kilobytes
	}
	if own := PeakOf(os.Getpid()); own > 0 {
		rss = own
	}
	return Usage{CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano()), RSSBytesMax: rss}
}

// PeakOf reads VmHWM of a process from proc(5), in bytes, or 0 where there is none.
func PeakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
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
