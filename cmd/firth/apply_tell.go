package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"
)

// What 'firth apply' found at the admin listener of the configuration.
const (
	runningTold    = "told"    // a process that takes the specs now
	runningNone    = "none"    // nobody
	runningOther   = "other"   // a process on another folder of specs, or none of firth's
	runningCatalog = "catalog" // a process that does not ingest
	runningUnknown = "unknown" // no address that can be asked
)

// runningProcess is who was told that specs were applied.
type runningProcess struct {
	State   string `json:"state"`
	Address string `json:"address,omitempty"`
	Text    string `json:"text"`
}

// lookAnswer is what a process answers to POST /apply.
type lookAnswer struct {
	Tables  string `json:"tables"` // its folder of specs
	Ingests bool   `json:"ingests"`
}

// Bounds of telling a process, which is on this machine as a rule.
const (
	tellTimeout   = 3 * time.Second
	tellAnswerMax = 64 << 10
)

// tellRunning tells the process that runs on the configuration, if there is one, to take the specs
// now. Specs are applied all the same when it cannot be told: it looks by itself.
func tellRunning(ctx context.Context, c config) runningProcess {
	address, known := c.adminAddress()
	if !known {
		return runningProcess{State: runningUnknown, Text: fmt.Sprintf(
			"a running process takes the specs within %v (listen.admin names no address to tell it)", lookEvery)}
	}
	out := runningProcess{Address: address}
	answer, err := postApply(ctx, out.Address)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		out.State, out.Text = runningNone,
			"no process runs at "+out.Address+" (listen.admin): 'firth run' takes the specs when it starts"
	case err != nil:
		out.State, out.Text = runningOther, fmt.Sprintf("no firth answers at %s (listen.admin): %v; "+
			"a process elsewhere takes the specs within %v", out.Address, err, lookEvery)
	case !sameFolder(answer.Tables, c.Tables):
		out.State, out.Text = runningOther, fmt.Sprintf("the process at %s runs on other specs, in %s; "+
			"one that runs on these takes them within %v", out.Address, answer.Tables, lookEvery)
	case !answer.Ingests:
		out.State, out.Text = runningCatalog, fmt.Sprintf("the process at %s does not ingest; "+
			"one that does takes the specs within %v", out.Address, lookEvery)
	default:
		out.State, out.Text = runningTold, "the process at "+out.Address+" takes the specs now"
	}
	return out
}

// adminAddress is where a process on this machine that runs on the configuration is asked; false when it names none.
func (c config) adminAddress() (address string, known bool) {
	host, port, err := net.SplitHostPort(c.Listen.Admin)
	if err != nil || port == "0" || port == "" {
		return "", false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), true
}

func postApply(ctx context.Context, address string) (answer lookAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/apply", nil)
	if err != nil {
		return answer, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusAccepted {
		return answer, fmt.Errorf("it answered %s", response.Status)
	}
	err = json.NewDecoder(io.LimitReader(response.Body, tellAnswerMax)).Decode(&answer)
	return answer, err
}

// sameFolder says whether two paths lead to one folder.
func sameFolder(a, b string) bool {
	return resolved(a) == resolved(b)
}

func resolved(path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(full); err == nil {
		return real
	}
	return full
}

// takeLook makes the service look at its specs now, and answers which those are.
func (s *service) takeLook(w http.ResponseWriter, _ *http.Request) {
	select {
	case s.look <- struct{}{}:
	default: // it is about to look
	}
	s.mu.Lock()
	answer := lookAnswer{Tables: resolved(s.feeder.lake.config.Tables), Ingests: s.feed != nil}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.log.Debug("answer POST /apply", "err", err)
	}
}
