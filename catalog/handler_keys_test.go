package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table/objstore"
)

// vendor gives keys that say what they are for.
type vendor struct {
	expires time.Time
	err     error
}

func (v *vendor) Vend(_ context.Context, location string, access objstore.Access) (objstore.Keys, error) {
	return objstore.Keys{AccessKey: fmt.Sprintf("%d %s", access, location), SecretKey: "s", SessionToken: "t",
		Expires: v.expires}, v.err
}

type loadedTable struct {
	Config      map[string]string
	Credentials []struct {
		Prefix string
		Config map[string]string
	} `json:"storage-credentials"`
}

func (s *server) loaded(t *testing.T, path string, headers ...string) loadedTable {
	t.Helper()
	got := s.do(t, "GET", path, "", headers...)
	require.Equal(t, 200, got.StatusCode, string(got.body))
	var out loadedTable
	require.NoError(t, json.Unmarshal(got.body, &out))
	return out
}

// delegate asks for keys as Java clients do.
var delegate = []string{"X-Iceberg-Access-Delegation", "vended-credentials, remote-signing"}

func newKeyServer(t *testing.T, change ...func(*catalog.HandlerOptions)) (*server, *vendor) {
	t.Helper()
	v := &vendor{expires: time.UnixMilli(1_700_000_000_123)}
	return newServer(t, append(change, func(o *catalog.HandlerOptions) {
		for i := range o.Warehouses {
			o.Warehouses[i].ClientConfig = map[string]string{"s3.endpoint": "http://s3/", "client.region": "r"}
			o.Warehouses[i].Keys = v
		}
	})...), v
}

func TestClientsThatAskGetKeysForTheTable(t *testing.T) {
	s, _ := newKeyServer(t)
	s.createEvents(t)
	const path = "/namespaces/db/tables/events"
	require.NotContains(t, string(s.do(t, "GET", "/v1/config", "").body), "access-key")
	require.Equal(t, map[string]string{"s3.endpoint": "http://s3/", "client.region": "r"},
		s.loaded(t, "/v1/main"+path).Config, "nobody asked")
	require.Nil(t, s.loaded(t, "/v1/main"+path, "X-Iceberg-Access-Delegation", "remote-signing").Credentials)
	for warehouseName, access := range map[string]string{"main": "1", "live": "0"} {
		got := s.loaded(t, "/v1/"+warehouseName+path, delegate...)
		keys := map[string]string{
			"s3.access-key-id": access + " " + warehouse + "/db/events", "s3.secret-access-key": "s",
			"s3.session-token": "t", "s3.session-token-expires-at-ms": "1700000000123", "client.region": "r"}
		keys["s3.endpoint"] = "http://s3"
		require.Len(t, got.Credentials, 1)
		require.Equal(t, warehouse+"/db/events", got.Credentials[0].Prefix)
		require.Equal(t, keys, got.Credentials[0].Config)
		renewed := s.loaded(t, "/"+got.Config["client.refresh-credentials-endpoint"])
		require.Equal(t, got.Credentials, renewed.Credentials)
		delete(got.Config, "client.refresh-credentials-endpoint")
		keys["s3.endpoint"] = "http://s3/"
		require.Equal(t, keys, got.Config)
	}
}

func TestReadTokenGetsKeysToReadOnly(t *testing.T) {
	s, _ := newKeyServer(t, func(o *catalog.HandlerOptions) { o.ReadToken, o.WriteToken = "r", "w" })
	s.token = "w"
	s.createEvents(t)
	const path = "/v1/main/namespaces/db/tables/events"
	for token, access := range map[string]string{"r": "0 ", "w": "1 "} {
		s.token = token
		require.Equal(t, access, s.loaded(t, path, delegate...).Config["s3.access-key-id"][:2], token)
		require.Equal(t, access, s.loaded(t, path+"/credentials").Credentials[0].Config["s3.access-key-id"][:2], token)
	}
	s.token = ""
	require.Equal(t, 401, s.do(t, "GET", path+"/credentials", "").StatusCode)
}

func TestNewKeysAreANewAnswer(t *testing.T) {
	s, v := newKeyServer(t)
	made := s.do(t, "POST", "/v1/main/namespaces/db/tables", createEvents, delegate...)
	const path = "/v1/main/namespaces/db/tables/events"
	ask := append([]string{"If-None-Match", made.Header.Get("ETag")}, delegate...)
	require.Equal(t, 304, s.do(t, "GET", path, "", ask...).StatusCode)
	require.Equal(t, 200, s.do(t, "GET", path, "", ask[:2]...).StatusCode, "an answer without keys is another one")
	v.expires = v.expires.Add(time.Minute)
	require.Equal(t, 200, s.do(t, "GET", path, "", ask...).StatusCode)
}

func TestTableIsLoadedWhereTheStoreHasNoKeys(t *testing.T) {
	var log strings.Builder
	s, v := newKeyServer(t, func(o *catalog.HandlerOptions) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s.createEvents(t)
	const path = "/v1/main/namespaces/db/tables/events"
	v.err = fmt.Errorf("%w: it is broken", objstore.ErrNoKeys)
	for range 3 {
		got := s.loaded(t, path, delegate...)
		require.Nil(t, got.Credentials)
		require.Equal(t, "http://s3/", got.Config["s3.endpoint"])
		require.NotContains(t, got.Config, "s3.access-key-id")
	}
	require.Equal(t, "503 ServiceUnavailableException", s.do(t, "GET", path+"/credentials", "").failure(t))
	v.err = fmt.Errorf("%w: %w: it lies elsewhere", objstore.ErrNoKeys, objstore.ErrBadLocation)
	require.Nil(t, s.loaded(t, path, delegate...).Credentials)
	require.Equal(t, "406 UnsupportedOperationException", s.do(t, "GET", path+"/credentials", "").failure(t))
	require.NotContains(t, log.String(), "again", "it is for one table")
	v.err = nil
	require.Len(t, s.loaded(t, path, delegate...).Credentials, 1)
	require.Equal(t, 1, strings.Count(log.String(), "they need keys of their own"), log.String())
	require.Equal(t, 1, strings.Count(log.String(), "again"), log.String())
}

func TestKeysAreRenewedUnderAnyName(t *testing.T) {
	s, _ := newKeyServer(t)
	require.Equal(t, 200, s.do(t, "POST", "/v1/main/namespaces", `{"namespace":["a.b"]}`).StatusCode)
	require.Equal(t, 200, s.do(t, "POST", "/v1/main/namespaces", `{"namespace":["a.b","c/d e"]}`).StatusCode)
	body := strings.Replace(createEvents, `"events"`, `"t+1/x y%"`, 1)
	require.Equal(t, 200, s.do(t, "POST", "/v1/main/namespaces/a.b%1Fc%2Fd+e/tables", body).StatusCode)
	got := s.loaded(t, "/v1/main/namespaces/a.b%1Fc%2Fd+e/tables/t%2B1%2Fx+y%25", delegate...)
	require.Equal(t, got.Credentials, s.loaded(t, "/"+got.Config["client.refresh-credentials-endpoint"]).Credentials)
}

func TestSettingsForEveryoneHoldNoKeys(t *testing.T) {
	f := newFixture(t)
	_, err := catalog.NewHandler(catalog.HandlerOptions{Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Warehouses: []catalog.Warehouse{{Name: "main", Reads: f.Catalog,
			ClientConfig: map[string]string{"s3.secret-access-key": "k"}}}})
	require.ErrorContains(t, err, "s3.secret-access-key")
}
