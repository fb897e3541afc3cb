package catalog_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// Both catalogs are what commit needs.
var (
	_ commit.Catalog = (*catalog.Catalog)(nil)
	_ commit.Catalog = (*catalog.Remote)(nil)
)

func dial(t *testing.T, config catalog.RemoteConfig) *catalog.Remote {
	t.Helper()
	remote, err := catalog.DialRemote(t.Context(), config, nil)
	require.NoError(t, err)
	return remote
}

func TestRemoteIsACatalog(t *testing.T) {
	ctx := t.Context()
	s := newServer(t)
	remote := dial(t, catalog.RemoteConfig{URI: s.URL + "/v1/", Warehouse: "main"})
	name := catalog.Namespace{"a.b", "c/d+e f"}
	require.NoError(t, remote.CreateNamespace(ctx, name[:1], nil))
	require.NoError(t, remote.CreateNamespace(ctx, name, map[string]string{"k": "v"}))
	require.ErrorIs(t, remote.CreateNamespace(ctx, name, nil), table.ErrExists)
	properties, err := remote.LoadNamespace(ctx, name)
	require.NoError(t, err)
	require.Equal(t, "v", properties["k"])
	found, err := remote.ListNamespaces(ctx, name[:1])
	require.NoError(t, err)
	require.Equal(t, []catalog.Namespace{name}, found)

	ident := append(table.Ident(name), "t.1 /+x")
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{1}, FieldID: 1000, Name: "id_bucket", Transform: iceberg.BucketTransform{NumBuckets: 4}})
	created, err := remote.CreateTable(ctx, ident, catalog.TableSpec{
		Schema: schema, PartitionSpec: &spec, Properties: iceberg.Properties{"format-version": "3", "a": "b"}})
	require.NoError(t, err)
	require.Equal(t, 3, created.Metadata().Version())
	require.Equal(t, "b", created.Metadata().Properties()["a"])
	createdSpec := created.Metadata().PartitionSpec()
	require.Equal(t, 1, createdSpec.NumFields())

	requirements, updates := appendSnapshot(created.Metadata(), nil)
	_, err = remote.CommitTable(ctx, ident, requirements, nil)
	require.NoError(t, err)
	head, err := remote.CommitTable(ctx, ident, requirements[:1], []icetable.Update{
		icetable.NewSetPropertiesUpdate(iceberg.Properties{"p": "q"})})
	require.NoError(t, err)
	loaded, err := remote.LoadTable(ctx, ident)
	require.NoError(t, err)
	require.Equal(t, head.MetadataLocation(), loaded.MetadataLocation())
	local, err := s.LoadTable(ctx, ident)
	require.NoError(t, err)
	require.True(t, local.Metadata().Equals(loaded.Metadata()))

	stale := []icetable.Requirement{icetable.AssertDefaultSpecID(7)}
	_, err = remote.CommitTable(ctx, ident, stale, updates)
	require.ErrorIs(t, err, table.ErrConflict)
	_, err = remote.CommitTable(ctx, events, nil, nil)
	require.ErrorIs(t, err, table.ErrNotFound)
	require.ErrorIs(t, remote.DropNamespace(ctx, name), catalog.ErrNotEmpty)
	tables, err := remote.ListTables(ctx, name)
	require.NoError(t, err)
	require.Equal(t, []table.Ident{ident}, tables)
	require.NoError(t, remote.DropTable(ctx, ident))
	require.NoError(t, remote.DropNamespace(ctx, name))
}

func TestRemoteListsEveryPage(t *testing.T) {
	s := newServer(t)
	remote := dial(t, catalog.RemoteConfig{URI: s.URL})
	const all = 250
	for i := range all {
		inner := catalog.Namespace{"db", fmt.Sprintf("n%03d", i)}
		err := s.CreateNamespace(t.Context(), inner, nil)
		require.NoError(t, err, inner)
	}
	found, err := remote.ListNamespaces(t.Context(), catalog.Namespace{"db"})
	require.NoError(t, err)
	require.Len(t, found, all)
}

func TestRemoteTellsOutcomesApart(t *testing.T) {
	var status atomic.Int64
	s := newServer(t)
	s.createEvents(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch code := int(status.Load()); code {
		case 0:
			s.Config.Handler.ServeHTTP(w, r)
		case -1:
			// The change is made, and the connection breaks before the answer is out.
			s.Config.Handler.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "<html>proxy</html>")
		}
	}))
	defer proxy.Close()
	remote := dial(t, catalog.RemoteConfig{URI: proxy.URL})
	update := []icetable.Update{icetable.NewSetPropertiesUpdate(iceberg.Properties{"p": "q"})}
	for code, want := range map[int64]error{
		400: table.ErrRefused, 401: table.ErrRefused, 403: table.ErrRefused, 404: table.ErrNotFound,
		409: table.ErrConflict, 429: table.ErrConflict, 422: table.ErrRefused, 408: table.ErrStateUnknown,
		500: table.ErrStateUnknown, 502: table.ErrStateUnknown, 503: table.ErrStateUnknown,
		504: table.ErrStateUnknown, 302: table.ErrStateUnknown, 200: table.ErrStateUnknown, -1: table.ErrStateUnknown,
	} {
		status.Store(code)
		_, err := remote.CommitTable(t.Context(), events, nil, update)
		require.ErrorIs(t, err, want, "%d", code)
		for _, other := range []error{table.ErrConflict, table.ErrRefused, table.ErrNotFound, table.ErrStateUnknown} {
			if !errors.Is(want, other) {
				require.NotErrorIs(t, err, other, "%d", code)
			}
		}
	}
	proxy.Close()
	_, err := remote.CommitTable(t.Context(), events, nil, update)
	require.ErrorIs(t, err, table.ErrConflict, "nothing was sent")
	head, err := s.LoadTable(t.Context(), events)
	require.NoError(t, err)
	require.Equal(t, "q", head.Metadata().Properties()["p"], "the commit whose answer was lost")
}

func TestRemoteRenewsItsToken(t *testing.T) {
	s := newServer(t, func(o *catalog.HandlerOptions) { o.ReadToken, o.WriteToken = "r", "w" })
	var exchanges, refusals atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/oauth/tokens") {
			exchanges.Add(1)
		} else if refusals.Add(-1) >= 0 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.Config.Handler.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	remote := dial(t, catalog.RemoteConfig{URI: proxy.URL, Credential: "id:w"})
	require.NoError(t, remote.CreateNamespace(t.Context(), catalog.Namespace{"one"}, nil))
	require.EqualValues(t, 1, exchanges.Load())
	refusals.Store(1)
	require.NoError(t, remote.CreateNamespace(t.Context(), catalog.Namespace{"two"}, nil))
	require.EqualValues(t, 2, exchanges.Load())

	reader := dial(t, catalog.RemoteConfig{URI: s.URL, Token: "r"})
	err := reader.CreateNamespace(t.Context(), catalog.Namespace{"three"}, nil)
	require.ErrorIs(t, err, table.ErrRefused)
	_, err = catalog.DialRemote(t.Context(), catalog.RemoteConfig{URI: s.URL, Credential: "wrong"}, nil)
	require.ErrorIs(t, err, table.ErrRefused)
	_, err = catalog.DialRemote(t.Context(), catalog.RemoteConfig{URI: "localhost:8181"}, nil)
	require.Error(t, err)
}
