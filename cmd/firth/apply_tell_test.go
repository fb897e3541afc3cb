package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// applied applies the specs and returns what apply says of the running process.
func (f *lakeFolder) applied(t *testing.T) runningProcess {
	t.Helper()
	out := f.firth(t, "apply", "--yes", "--json")
	require.Zero(t, out.code, out.stderr)
	var report applyReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	require.NotNil(t, report.Running)
	return *report.Running
}

func TestApplyTellsTheRunningProcess(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Equal(t, runningUnknown, f.applied(t).State)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	f.listen(t, address)
	nobody := f.applied(t)
	require.Equal(t, runningNone, nobody.State)
	require.Contains(t, nobody.Text, "no process runs at "+address)

	// The process that is told: its own listener has any free port, the configuration names it.
	f.listen(t, "127.0.0.1:0")
	r := f.run(t)
	f.listen(t, strings.TrimPrefix(r.url(t, "admin"), "http://"))
	f.spec(t, ", {name: country, type: string}", "")
	told := f.applied(t)
	require.Equal(t, runningTold, told.State)
	require.Contains(t, told.Text, "takes the specs now")
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "taking changed specs") },
		patience, 10*time.Millisecond, r.log)

	// The same listener, asked by somebody with other specs.
	other := &lakeFolder{dir: t.TempDir(), broker: f.broker}
	other.spec(t, "", "")
	other.listen(t, strings.TrimPrefix(r.url(t, "admin"), "http://"))
	require.Equal(t, runningOther, other.applied(t).State)
	r.end(t)

	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	f.listen(t, strings.TrimPrefix(web.URL, "http://"))
	stranger := f.applied(t)
	require.Equal(t, runningOther, stranger.State)
	require.Contains(t, stranger.Text, "404")
}

func TestAProcessLooksAtItsSpecsWhenItIsTold(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	p := &program{configPath: f.config, now: time.Now}
	c, err := p.loadConfig()
	require.NoError(t, err)
	s := &service{feeder: &feeder{lake: &lake{config: c}}, look: make(chan struct{}, 1)}
	for range 2 { // the second while the first is not taken yet
		answer := httptest.NewRecorder()
		s.adminHandler(nil, nil).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/apply", nil))
		require.Equal(t, http.StatusAccepted, answer.Code)
		require.Contains(t, answer.Body.String(), `"ingests":false`)
	}
	require.Len(t, s.look, 1)
}
