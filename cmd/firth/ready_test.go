package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// readiness waits until the process is ready, or is not, and returns what it says.
func (r *running) readiness(t *testing.T, code int) string {
	t.Helper()
	var is int
	var body string
	admin := r.url(t, "admin")
	require.Eventually(t, func() bool {
		is, body = get(t, admin+"/readyz")
		return is == code
	}, patience, 20*time.Millisecond, r.log)
	return body
}

func TestACatalogThatRefusesIsToldOnceAndShown(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	catalog := f.run(t)
	behind, err := url.Parse(catalog.url(t, "catalog"))
	require.NoError(t, err)
	var refuses atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(behind)
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses.Load() {
			http.Error(w, `{"error": {"message": "the token is revoked", "type": "ForbiddenException", "code": 403}}`,
				http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer door.Close()
	// A table of its own, so that the two processes do not meet.
	other := &lakeFolder{dir: t.TempDir(), broker: f.broker}
	other.config = write(t, other.dir, "firth.yaml", `
clusters: {default: {brokers: ["`+f.broker.Connection().Brokers[0]+`"]}}
catalog: {uri: "`+door.URL+`"}
listen: {admin: "127.0.0.1:0"}
group: other
`)
	write(t, other.dir, "tables/other.yaml", "name: db.other\nschema: {columns: [{name: user_id, type: long}]}\n"+
		"sources: [{topics: [events]}]\nfreshness: {interval: 200ms}\n")
	applied := other.firth(t, "apply", "--yes")
	require.Zero(t, applied.code, applied.stderr)
	r := other.run(t)
	r.readiness(t, http.StatusOK)
	refuses.Store(true)
	f.produce(t, 1000)
	body := r.readiness(t, http.StatusServiceUnavailable)
	require.Contains(t, body, "table db.other")
	require.Contains(t, body, "the token is revoked")
	require.Never(t, func() bool {
		return strings.Count(r.log.String(), "goes on trying") > 1
	}, 2*time.Second, 100*time.Millisecond, "a trouble is told once")
	refuses.Store(false)
	require.Equal(t, "ok\n", r.readiness(t, http.StatusOK))
	require.Contains(t, r.log.String(), "trouble of the table is over")
	r.end(t)
	catalog.end(t)
}
