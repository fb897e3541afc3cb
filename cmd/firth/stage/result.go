package stage

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// Result is what was measured.
type Result struct {
	Stage    string `json:"stage"`
	Workload string `json:"workload,omitempty"`
	Format   string `json:"format,omitempty"`
	Rows     int64  `json:"rows"`
	// Seconds and CPUSeconds are of the stage alone, without what was made ready for it.
	Seconds       float64 `json:"seconds"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	RowsPerSecond float64 `json:"rows_per_s"`
	RowsPerCPU    float64 `json:"rows_per_cpu_s"`
	// MBPerCPU counts BytesRead, or BytesWritten where nothing is read: millions of bytes.
	MBPerCPU float64 `json:"mb_per_cpu_s"`
	// RSSBytesMax is the peak of the whole process, with what was made ready.
	RSSBytesMax  int64 `json:"rss_bytes_max"`
	Files        int64 `json:"files"`
	BytesWritten int64 `json:"bytes_written"`
	// BytesRead are the values of the records that the rows come from.
	BytesRead int64 `json:"bytes_read"`
	// CPUShare is each stage's part of the CPU time, by the profiler's samples.
	CPUShare map[string]float64 `json:"cpu_share"`
}

// Rate fills the rates from rows, bytes and times.
func (r *Result) Rate() {
	r.RowsPerSecond = float64(r.Rows) / r.Seconds
	r.RowsPerCPU = float64(r.Rows) / r.CPUSeconds
	counted := r.BytesRead
	if counted == 0 {
		counted = r.BytesWritten
	}
	r.MBPerCPU = float64(counted) / 1e6 / r.CPUSeconds
}

// Meter measures this process from its start to its Stop.
type Meter struct {
	now     func() time.Time
	began   time.Time
	before  Usage
	profile bytes.Buffer
	stopped bool
}

// StartMeter begins to measure what comes.
func StartMeter(now func() time.Time) (*Meter, error) {
	runtime.GC() // what was made ready is not collected in the measured time
	m := &Meter{now: now, began: now(), before: Used()}
	return m, m.start()
}

// StartProcess measures the process from its own start.
func StartProcess(now func() time.Time) (*Meter, error) {
	m := &Meter{now: now, began: now()}
	return m, m.start()
}

func (m *Meter) start() error {
	if err := pprof.StartCPUProfile(&m.profile); err != nil {
		return fmt.Errorf("start CPU profile: %w", err)
	}
	return nil
}

// Cancel ends a measurement that comes to nothing. After Stop it does nothing.
func (m *Meter) Cancel() {
	if !m.stopped {
		pprof.StopCPUProfile()
	}
}

// Stop fills times, memory and shares of the result, and writes the profile to a file unless its name is
// empty.
func (m *Meter) Stop(r *Result, profileFile string) error {
	used := Used()
	pprof.StopCPUProfile()
	m.stopped = true
	r.Seconds, r.CPUSeconds = m.now().Sub(m.began).Seconds(), (used.CPU - m.before.CPU).Seconds()
	r.RSSBytesMax = used.RSSBytesMax
	var err error
	if r.CPUShare, err = cpuShares(m.profile.Bytes()); err != nil {
		return err
	}
	if profileFile == "" {
		return nil
	}
	if err := os.WriteFile(profileFile, m.profile.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write CPU profile: %w", err)
	}
	return nil
}
