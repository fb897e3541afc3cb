package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/firthlake/firth/cmd/firth/stage"
)

// lookupFindings are what askers have found.
type lookupFindings struct {
	mu          sync.Mutex
	took        []float64 // milliseconds from when a look-up was due until its answer was there
	ages        []float64 // milliseconds, of answers
	found       int64
	behind      int64
	mismatches  int64
	regressions int64
	errors      int64
	fault       string
}

// lookupAnswered is an answer of the service for one key.
type lookupAnswered struct {
	Row *struct {
		Key     string `json:"row_key"`
		Version int64  `json:"row_version"`
	} `json:"row"`
	Position map[string]map[string]int64 `json:"position"`
	Behind   string                      `json:"behind"`
}

// lookupAsker asks for one key after the other.
type lookupAsker struct {
	log      *lookupLog
	findings *lookupFindings
	client   *http.Client
	url      string // of the rows
	now      func() time.Time
	seen     [demoPartitions]int64 // the greatest cuts
}

// run asks for keys until ctx ends: the first at begin, and then one at each step, or as soon as it can.
func (a *lookupAsker) run(ctx context.Context, begin time.Time, step time.Duration, key func() int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := begin; ; due = due.Add(step) {
		timer.Reset(max(0, due.Sub(a.now())))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		asked := key()
		answer, err := a.ask(ctx, asked)
		if ctx.Err() != nil {
			return
		}
		a.note(asked, answer, err, due)
	}
}

// ask asks for one key.
func (a *lookupAsker) ask(ctx context.Context, key int) (out lookupAnswered, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/"+stage.KeyText(key), nil)
	if err != nil {
		return out, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return out, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return out, err
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNotFound:
		return out, fmt.Errorf("%s: %.300s", response.Status, body)
	}
	return out, json.Unmarshal(body, &out)
}

// note holds an answer against the topic at the answer's cut.
func (a *lookupAsker) note(key int, answer lookupAnswered, err error, due time.Time) {
	now, f := a.now(), a.findings
	partition := key % demoPartitions
	next := answer.Position[lookupTopic][strconv.Itoa(partition)]
	version, present := a.log.at(key, next)
	age := a.log.age(partition, next, due)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took = append(f.took, float64(now.Sub(due).Microseconds())/1000)
	if err != nil {
		f.errors++
		f.tell("look up key %d: %v", key, err)
		return
	}
	f.ages = append(f.ages, float64(age.Microseconds())/1000)
	if answer.Behind != "" {
		f.behind++
	}
	if answer.Row != nil {
		f.found++
	}
	if (answer.Row != nil) != present ||
		present && (answer.Row.Key != stage.KeyText(key) || answer.Row.Version != stage.VersionBegin+version) {
		f.mismatches++
		f.tell("key %d at offset %d of topic partition %d: row %+v, and it should be version %d, %t", key, next,
			partition, answer.Row, stage.VersionBegin+version, present)
	}
	if next < a.seen[partition] {
		f.regressions++
		f.tell("topic partition %d: cut %d after %d", partition, next, a.seen[partition])
	}
	a.seen[partition] = next
}

// tell keeps the first fault.
func (f *lookupFindings) tell(format string, args ...any) {
	if f.fault == "" {
		f.fault = fmt.Sprintf(format, args...)
	}
}

// quantileOf is what a share of the values does not exceed; 0 of none.
func quantileOf(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
