package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// seamWindow is how far back from the cut most reads look, in offsets of a topic partition; every seamWhole-th
// read looks at all.
const (
	seamWindow = 100_000
	seamWhole  = 10
)

// door is what readers have found behind one door of the service.
type door struct {
	// Reads looked at a range of offsets from its beginning to the cut; Gaps are offsets that were missing in
	// one, Duplicates those that were there again, Regressions cuts before one that the same reader had seen.
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

// finish works out the ages.
func (d *door) finish() {
	slices.Sort(d.ages)
	if n := len(d.ages); n > 0 {
		d.AgeP50, d.AgeP99 = d.ages[n/2], d.ages[min(n-1, n*99/100)]
	}
}

// seamReader reads one topic partition of the demo's table through the live catalog, again and again.
type seamReader struct {
	url       string
	partition int32
	door      *door
	store     objstore.Store
	now       func() time.Time
	// epoch grows when the service is started again: then it may have read less than before.
	epoch func() int64

	remote *catalog.Remote
	reads  int64
	cut    int64
	seenIn int64 // the epoch of cut
}

// seamRead is what one read has found.
type seamRead struct {
	from, cut  int64
	rows       int64
	gaps       int64
	duplicates int64
	newest     int64 // timestamp in microseconds
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
		found, err := r.read(ctx)
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
		d.fault("partition %d, offsets %d to %d: %d missing, %d twice", r.partition, found.from, found.cut,
			found.gaps, found.duplicates)
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

// read reads the partition's offsets up to the cut of the table as it is now.
func (r *seamReader) read(ctx context.Context) (seamRead, error) {
	var found seamRead
	if r.remote == nil {
		var err error
		config := catalog.RemoteConfig{URI: r.url, Warehouse: "live"}
		if r.remote, err = catalog.DialRemote(ctx, config, http.DefaultClient); err != nil {
			return found, err
		}
	}
	ident, err := table.ParseIdent(demoTable)
	if err != nil {
		return found, err
	}
	t, err := r.remote.LoadTable(ctx, ident)
	if err != nil {
		return found, err
	}
	if found.cut, err = cutOf(t, r.partition); err != nil || found.cut == 0 {
		return found, err
	}
	if r.reads++; r.reads%seamWhole != 0 {
		found.from = max(0, found.cut-seamWindow)
	}
	return found, r.scan(ctx, t, &found)
}

// cutOf is where a table as of now ends in a partition of the demo's topic.
func cutOf(t *table.Table, partition int32) (int64, error) {
	snapshot := t.Metadata().CurrentSnapshot()
	if snapshot == nil || snapshot.Summary == nil {
		return 0, errors.New("the table has no snapshot")
	}
	cuts := map[string]map[string]int64{}
	text := snapshot.Summary.Properties[live.SummaryOffsets]
	if err := json.Unmarshal([]byte(text), &cuts); err != nil {
		return 0, fmt.Errorf("read %s %q: %w", live.SummaryOffsets, text, err)
	}
	return cuts[demoTopic][strconv.Itoa(int(partition))], nil
}

// scan counts offsets.
func (r *seamReader) scan(ctx context.Context, t *table.Table, found *seamRead) error {
	where, err := filter.Parse(fmt.Sprintf("%s = %d and %s >= %d", decode.ColumnPartition, r.partition,
		decode.ColumnOffset, found.from))
	if err != nil {
		return err
	}
	tasks, err := table.Plan(ctx, t, r.store, table.Scan{Filter: where,
		Columns: []string{decode.ColumnOffset, decode.ColumnTimestamp}})
	if err != nil {
		return err
	}
	seen := make([]bool, found.cut-found.from)
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, r.store, task) {
			if err != nil {
				return err
			}
			found.take(batch, seen)
		}
	}
	for _, there := range seen {
		if !there {
			found.gaps++
		}
	}
	return nil
}

func (f *seamRead) take(batch arrow.RecordBatch, seen []bool) {
	offsets, times := batch.Column(0).(*array.Int64), batch.Column(1).(*array.Timestamp)
	for i, offset := range offsets.Int64Values() {
		f.rows++
		f.newest = max(f.newest, int64(times.Value(i)))
		at := offset - f.from
		if at < 0 || at >= int64(len(seen)) || seen[at] {
			f.duplicates++ // or beyond the cut, which the next read would have again
			continue
		}
		seen[at] = true
	}
}
