package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// door is what readers have found behind one door of the service.
type door struct {
	// Reads looked at a range of offsets from its beginning to the cut; Gaps are offsets that were missing in
	// one, Duplicates those that were there again, Regressions cuts before one that the same reader had seen. Of a
	// keyed table Gaps are keys that had not the row which is the newest at the cut, Duplicates those with two.
	Reads       int64 `json:"reads"`
	Rows        int64 `json:"rows"`
	Gaps        int64 `json:"gaps"`
	Duplicates  int64 `json:"duplicates"`
	Regressions int64 `json:"regressions"`
	// Errors are reads that failed while the service was up, Restarts those that a killed process broke off.
	Errors   int64   `json:"errors"`
	Restarts int64   `json:"restarts"`
	AgeP50   float64 `json:"age_ms_p50"`
	AgeP99   float64 `json:"age_ms_p99"`
	// Fault tells the first thing that was wrong.
	Fault string `json:"fault,omitempty"`

	mu   sync.Mutex
	ages []float64 // milliseconds from a record's timestamp until it was read, the newest of each read
}

func (d *door) fault(format string, args ...any) {
	if d.Fault == "" {
		d.Fault = fmt.Sprintf(format, args...)
	}
}

// rows is how many were read so far.
func (d *door) rows() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Rows
}

// finish works out the ages.
func (d *door) finish() {
	slices.Sort(d.ages)
	if n := len(d.ages); n > 0 {
		d.AgeP50, d.AgeP99 = d.ages[n/2], d.ages[min(n-1, n*99/100)]
	}
}

// seamWay is a way to the rows of one topic partition of a table. Read begins a new one after an error.
type seamWay interface {
	read(ctx context.Context) (seamRead, error)
}

// seamReader reads one topic partition again and again.
type seamReader struct {
	way       seamWay
	partition int32
	door      *door
	now       func() time.Time
	// epoch grows when the service is started again: then it may have read less than before.
	epoch func() int64

	cut    int64
	seenIn int64 // the epoch of cut
}

// seamRead is what one read has found.
type seamRead struct {
	from, cut  int64
	rows       int64
	gaps       int64
	duplicates int64
	newest     int64  // timestamp in microseconds
	wrong      string // the first of the gaps and duplicates, where more is to be said of it
}

// run reads until ctx ends. A read that fails is one that a kill broke off when the service was started
// again meanwhile.
func (r *seamReader) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		before := r.epoch()
		found, err := r.way.read(ctx)
		if ctx.Err() != nil {
			return
		}
		r.note(found, before, err)
		pause.Reset(0)
		if err != nil {
			pause.Reset(100 * time.Millisecond)
		}
	}
}

func (r *seamReader) note(found seamRead, before int64, err error) {
	d, after := r.door, r.epoch()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil && (before != after || before%2 == 1):
		d.Restarts++
		return
	case err != nil:
		d.Errors++
		d.fault("read of partition %d: %v", r.partition, err)
		return
	}
	d.Reads++
	d.Rows += found.rows
	d.Gaps += found.gaps
	d.Duplicates += found.duplicates
	if found.gaps+found.duplicates > 0 {
		d.fault("partition %d, offsets %d to %d: %d missing, %d twice%s", r.partition, found.from, found.cut,
			found.gaps, found.duplicates, found.wrong)
	}
	if found.cut < r.cut && r.seenIn == after && before == after {
		d.Regressions++
		d.fault("partition %d: cut %d after %d", r.partition, found.cut, r.cut)
	}
	r.cut, r.seenIn = found.cut, before
	if found.newest > 0 {
		d.ages = append(d.ages, float64(r.now().UnixMicro()-found.newest)/1000)
	}
}
