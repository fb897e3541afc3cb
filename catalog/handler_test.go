package catalog_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
)

// server is a Handler behind a real listener, over a catalog in memory.
type server struct {
	fixture
	*httptest.Server
	token   string
	handler *catalog.Handler
}

func newServer(t *testing.T, change ...func(*catalog.HandlerOptions)) *server {
	t.Helper()
	f := newFixture(t)
	opts := catalog.HandlerOptions{
		Warehouses: []catalog.Warehouse{
			{Name: "main", Reads: f.Catalog, Writes: f.Catalog},
			{Name: "live", Reads: f.Catalog},
		},
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&opts)
	}
	h, err := catalog.NewHandler(opts)
	require.NoError(t, err)
	s := &server{fixture: f, Server: httptest.NewServer(h), handler: h}
	t.Cleanup(s.Close)
	return s
}

type answer struct {
	*http.Response
	body []byte
}

// failure is "status type" of an error model.
func (a answer) failure(t *testing.T) string {
	t.Helper()
	var model struct {
		Error struct {
			Message, Type string
			Code          int
		}
	}
	require.NoError(t, json.Unmarshal(a.body, &model), string(a.body))
	require.Equal(t, a.StatusCode, model.Error.Code)
	require.NotEmpty(t, model.Error.Message)
	return a.Status[:3] + " " + model.Error.Type
}

func (s *server) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.Client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response, raw}
}

const createEvents = `{"name":"events","unknown-field":1,"schema":{"type":"struct","schema-id":0,"fields":[
	{"id":1,"name":"id","required":true,"type":"long"}]}}`

func (s *server) createEvents(t *testing.T) answer {
	t.Helper()
	made := s.do(t, "POST", "/v1/main/namespaces/db/tables", createEvents)
	require.Equal(t, 200, made.StatusCode, string(made.body))
	return made
}

func TestConfigNamesPrefixAndEndpoints(t *testing.T) {
	s := newServer(t)
	var config struct {
		Overrides map[string]string
		Endpoints []string
		Lifetime  string `json:"idempotency-key-lifetime"`
	}
	for query, want := range map[string]string{
		"": "main", "?warehouse=live": "live", "?warehouse=" + warehouse: "main",
	} {
		got := s.do(t, "GET", "/v1/config"+query, "")
		require.NoError(t, json.Unmarshal(got.body, &config))
		require.Equal(t, want, config.Overrides["prefix"])
		require.Equal(t, want == "main", contains(config.Endpoints, "POST /v1/{prefix}/namespaces"))
		require.Contains(t, config.Endpoints, "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}")
		require.Equal(t, "PT30M", config.Lifetime)
	}
	require.Equal(t, "404 NoSuchWarehouseException", s.do(t, "GET", "/v1/config?warehouse=x", "").failure(t))
}

func contains(list []string, wanted string) bool {
	return strings.Contains(strings.Join(list, "\n")+"\n", wanted+"\n")
}

func TestFailuresHaveTheProtocolsTypes(t *testing.T) {
	s := newServer(t)
	s.createEvents(t)
	table := "/v1/main/namespaces/db/tables/events"
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/v1/main/namespaces/none", "", "404 NoSuchNamespaceException"},
		{"GET", "/v1/main/namespaces/none/tables", "", "404 NoSuchNamespaceException"},
		{"GET", "/v1/main/namespaces/db/tables/none", "", "404 NoSuchTableException"},
		{"GET", "/v1/main/namespaces/db/views/events", "", "404 NoSuchViewException"},
		{"POST", "/v1/main/namespaces", `{"namespace":["db"]}`, "409 AlreadyExistsException"},
		{"POST", "/v1/main/namespaces", `{"namespace":[]}`, "400 BadRequestException"},
		{"POST", "/v1/main/namespaces", `{"namespace":["a","..","b"]}`, "400 BadRequestException"},
		{"POST", "/v1/main/namespaces", `{"namespace`, "400 BadRequestException"},
		{"DELETE", "/v1/main/namespaces/db", "", "409 NamespaceNotEmptyException"},
		{"POST", "/v1/main/namespaces/db/tables", createEvents, "409 AlreadyExistsException"},
		{"POST", "/v1/main/namespaces/db/tables", `{"name":"t"}`, "400 BadRequestException"},
		{"POST", table, `{"requirements":[{"type":"assert-create"}],"updates":[]}`, "409 CommitFailedException"},
		{"POST", table, `{"requirements":[{"type":"assert-moon-phase"}]}`, "400 BadRequestException"},
		{"POST", table, `{"updates":[{"action":"paint"}]}`, "400 BadRequestException"},
		{"POST", table, `{"updates":[{"action":"set-location","location":"/etc"}]}`, "400 BadRequestException"},
		{"POST", table, `{"updates":[{"action":"add-snapshot"}]}`, "400 BadRequestException"},
		{"POST", "/v1/main/transactions/commit", `{"table-changes":[]}`, "400 BadRequestException"},
		{"POST", "/v1/main/transactions/commit", `{"table-changes":[{}]}`, "400 BadRequestException"},
		{"POST", "/v1/main/tables/rename", `{"source":{"namespace":["db"],"name":"events"},` +
			`"destination":{"namespace":["none"],"name":"e"}}`, "404 NoSuchNamespaceException"},
		{"POST", "/v1/main/namespaces/db/register", `{"name":"r","metadata-location":"/etc/passwd"}`,
			"400 BadRequestException"},
		{"POST", "/v1/main/namespaces/db/properties", `{"removals":["a"],"updates":{"a":"b"}}`,
			"422 UnprocessableEntityException"},
		{"GET", "/v1/main/nothing/here", "", "404 NoSuchEndpointException"},
		{"GET", "/v1/none/namespaces", "", "404 NoSuchWarehouseException"},
		{"PATCH", table, "", "405 UnsupportedOperationException"},
		{"GET", "/v1/main/namespaces/%2e%2e%2f%2e%2e/tables/x", "", "400 BadRequestException"},
		{"GET", "/v1/main/namespaces/a%1F/tables/x", "", "400 BadRequestException"},
		{"GET", "/v1/main/namespaces//tables/x", "", "400 BadRequestException"},
		{"GET", "/v1/main/namespaces/db/tables?pageToken=&pageSize=0", "", "400 BadRequestException"},
		{"POST", "/v1/live/namespaces", `{"namespace":["x"]}`, "403 ForbiddenException"},
		{"POST", "/v1/main/namespaces", `{"pad":"` + strings.Repeat("x", 17<<20) + `"}`, "413 BadRequestException"},
	} {
		require.Equal(t, c.want, s.do(t, c.method, c.path, c.body).failure(t), "%s %s", c.method, c.path)
	}
}

func TestLoadTableIsRevalidated(t *testing.T) {
	s := newServer(t)
	made := s.createEvents(t)
	path := "/v1/main/namespaces/db/tables/events"
	loaded := s.do(t, "GET", path, "")
	tag := loaded.Header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, made.Header.Get("ETag"), tag)
	require.JSONEq(t, string(made.body), string(loaded.body))
	require.Equal(t, "no-store, private", loaded.Header.Get("Cache-Control"))

	same := s.do(t, "GET", path, "", "If-None-Match", `"x", W/`+tag)
	require.Equal(t, 304, same.StatusCode)
	require.Empty(t, same.body)
	require.NotEqual(t, tag, s.do(t, "GET", path+"?snapshots=refs", "").Header.Get("ETag"))

	committed := s.do(t, "POST", path, `{"updates":[{"action":"set-properties","updates":{"a":"b"}}]}`)
	require.Equal(t, 200, committed.StatusCode, string(committed.body))
	changed := s.do(t, "GET", path, "", "If-None-Match", tag)
	require.Equal(t, 200, changed.StatusCode)
	require.Equal(t, committed.Header.Get("ETag"), changed.Header.Get("ETag"))
}

func TestOnlyReferencedSnapshotsOnRequest(t *testing.T) {
	s := newServer(t)
	s.createEvents(t)
	for range 3 {
		head, err := s.LoadTable(t.Context(), events)
		require.NoError(t, err)
		requirements, updates := appendSnapshot(head.Metadata(), nil)
		_, err = s.CommitTable(t.Context(), events, requirements, updates)
		require.NoError(t, err)
	}
	for query, want := range map[string]int{"": 3, "?snapshots=all": 3, "?snapshots=refs": 1} {
		var got struct{ Metadata struct{ Snapshots []any } }
		body := s.do(t, "GET", "/v1/main/namespaces/db/tables/events"+query, "").body
		require.NoError(t, json.Unmarshal(body, &got))
		require.Len(t, got.Metadata.Snapshots, want, query)
	}
}

func TestHeadAsksForExistence(t *testing.T) {
	s := newServer(t)
	s.createEvents(t)
	for path, want := range map[string]int{
		"/v1/main/namespaces/db": 204, "/v1/main/namespaces/x": 404,
		"/v1/namespaces/db/tables/events": 204, "/v1/main/namespaces/db/tables/x": 404,
		"/v1/main/namespaces/db/views/events": 404,
	} {
		got := s.do(t, "HEAD", path, "")
		require.Equal(t, want, got.StatusCode, path)
		require.Empty(t, got.body)
	}
}

func TestListingsArePagedOnRequest(t *testing.T) {
	s := newServer(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		_, err := s.CreateTable(t.Context(), table.Ident{"db", name}, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
	}
	type page struct {
		Identifiers []struct{ Name string }
		Next        string `json:"next-page-token"`
	}
	list := func(query string) (p page) {
		require.NoError(t, json.Unmarshal(s.do(t, "GET", "/v1/main/namespaces/db/tables"+query, "").body, &p))
		return p
	}
	require.Len(t, list("").Identifiers, 5)
	require.Len(t, list("?pageSize=2").Identifiers, 5, "pages only with a page token")
	var names string
	for token, pages := "", 0; ; pages++ {
		p := list("?pageSize=2&pageToken=" + token)
		for _, identifier := range p.Identifiers {
			names += identifier.Name
		}
		if token = p.Next; token == "" {
			require.Equal(t, 2, pages)
			break
		}
	}
	require.Equal(t, "abcde", names)
}

func TestTokensSeparateReadingFromWriting(t *testing.T) {
	s := newServer(t, func(o *catalog.HandlerOptions) { o.ReadToken, o.WriteToken = "r", "w" })
	create := `{"namespace":["x"]}`
	for _, c := range []struct {
		token, method string
		want          int
	}{
		{"", "GET", 401}, {"", "POST", 401}, {"wrong", "GET", 401},
		{"r", "GET", 200}, {"r", "POST", 403}, {"w", "GET", 200}, {"w", "POST", 200},
	} {
		s.token = c.token
		got := s.do(t, c.method, "/v1/main/namespaces", create)
		require.Equal(t, c.want, got.StatusCode, "%q %s", c.token, c.method)
	}
	s.token = ""
	require.Equal(t, 401, s.do(t, "GET", "/v1/config", "").StatusCode)
	for token, want := range map[string]int{"": 401, "wrong": 401, "r": 418, "w": 418} {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodGet, "/v1/tables/db/events/stream", nil)
		request.Header.Set("Authorization", "Bearer "+token)
		s.handler.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
		})).ServeHTTP(answer, request)
		require.Equal(t, want, answer.Code, "%q, before another handler", token)
	}
	form := "grant_type=client_credentials&client_id=x&client_secret="
	grant := s.do(t, "POST", "/v1/oauth/tokens", form+"r", "Content-Type", "application/x-www-form-urlencoded")
	require.Contains(t, string(grant.body), `"access_token":"r"`)
	grant = s.do(t, "POST", "/v1/oauth/tokens", form+"no", "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, 401, grant.StatusCode)
}

func TestRepeatedRequestIsAnsweredAgain(t *testing.T) {
	s := newServer(t)
	key := func() string { return uuid.Must(uuid.NewV7()).String() }
	path := "/v1/main/namespaces/db/tables"
	first := key()
	made := s.do(t, "POST", path, createEvents, "Idempotency-Key", first)
	require.Equal(t, 200, made.StatusCode, string(made.body))
	again := s.do(t, "POST", path, createEvents, "Idempotency-Key", first)
	require.Equal(t, 200, again.StatusCode, string(again.body))
	require.Equal(t, made.body, again.body)
	require.Equal(t, 409, s.do(t, "POST", path, createEvents, "Idempotency-Key", key()).StatusCode)

	commit := `{"updates":[{"action":"set-properties","updates":{"a":"b"}}]}`
	second := key()
	one := s.do(t, "POST", path+"/events", commit, "Idempotency-Key", second)
	two := s.do(t, "POST", path+"/events", commit, "Idempotency-Key", second)
	require.Equal(t, 200, two.StatusCode)
	require.Equal(t, one.Header.Get("ETag"), two.Header.Get("ETag"), "the change was made twice")
	other := s.do(t, "POST", path+"/events", `{"updates":[]}`, "Idempotency-Key", second)
	require.Equal(t, 422, other.StatusCode)

	third := key()
	require.Equal(t, 404, s.do(t, "DELETE", path+"/later", "", "Idempotency-Key", third).StatusCode)
	_, err := s.CreateTable(t.Context(), table.Ident{"db", "later"}, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	require.Equal(t, 404, s.do(t, "DELETE", path+"/later", "", "Idempotency-Key", third).StatusCode,
		"a failure is final too")
	fourth := key()
	for range 2 {
		require.Equal(t, 204, s.do(t, "DELETE", path+"/later", "", "Idempotency-Key", fourth).StatusCode)
	}
	require.Equal(t, 400, s.do(t, "DELETE", path+"/later", "", "Idempotency-Key", uuid.NewString()).StatusCode)
}

func TestUnknownOutcomeIsAServerError(t *testing.T) {
	s := newServer(t, func(o *catalog.HandlerOptions) {
		f := newFixture(t)
		_, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
		broken := catalog.New(&faultyStore{Store: f.store, err: table.ErrStateUnknown}, f.objects, options())
		o.Warehouses = []catalog.Warehouse{{Name: "main", Reads: broken, Writes: broken}}
	})
	commit := `{"updates":[{"action":"set-properties","updates":{"a":"b"}}]}`
	got := s.do(t, "POST", "/v1/main/namespaces/db/tables/events", commit)
	require.Equal(t, "500 CommitStateUnknownException", got.failure(t))
}

func TestClientsGetTheirConfiguration(t *testing.T) {
	s := newServer(t, func(o *catalog.HandlerOptions) {
		o.Warehouses[0].ClientConfig = map[string]string{"s3.endpoint": "http://s3"}
	})
	require.Contains(t, string(s.do(t, "GET", "/v1/config", "").body), "http://s3")
	require.Contains(t, string(s.createEvents(t).body), `"config":{"s3.endpoint":"http://s3"}`)
	path := "/v1/main/namespaces/db/tables/"
	plain := s.do(t, "GET", path+"events", "", "X-Iceberg-Access-Delegation", "vended-credentials")
	require.NotContains(t, string(plain.body), "storage-credentials")
	require.JSONEq(t, `{"storage-credentials":[]}`, string(s.do(t, "GET", path+"events/credentials", "").body))
	require.Equal(t, 404, s.do(t, "GET", path+"none/credentials", "").StatusCode)
}

func TestNamesWithDotsAndSlashesAreTables(t *testing.T) {
	s := newServer(t)
	require.Equal(t, 200, s.do(t, "POST", "/v1/main/namespaces", `{"namespace":["a.b"]}`).StatusCode)
	require.Equal(t, 200, s.do(t, "POST", "/v1/main/namespaces", `{"namespace":["a.b","c/d e"]}`).StatusCode)
	body := strings.Replace(createEvents, `"events"`, `"t.1/x y"`, 1)
	made := s.do(t, "POST", "/v1/main/namespaces/a.b%1Fc%2Fd+e/tables", body)
	require.Equal(t, 200, made.StatusCode, string(made.body))
	for _, name := range []string{"t.1%2Fx+y", "t.1%2Fx%20y"} {
		got := s.do(t, "GET", "/v1/main/namespaces/a.b%1Fc%2Fd%20e/tables/"+name, "")
		require.Equal(t, 200, got.StatusCode, name)
	}
	for _, file := range s.files(t, warehouse) {
		require.NotContains(t, file, "x y")
		require.True(t, strings.HasPrefix(file, warehouse+"/a.b/c_d_e-"), file)
	}
	children := s.do(t, "GET", "/v1/main/namespaces?parent=a.b", "")
	require.JSONEq(t, `{"namespaces":[["a.b","c/d e"]]}`, string(children.body))
}

const createView = `{"name":"v","schema":{"type":"struct","schema-id":0,"fields":[
	{"id":1,"name":"id","required":false,"type":"long"}]},"view-version":{"version-id":1,"schema-id":0,
	"timestamp-ms":1,"summary":{},"default-namespace":["db"],
	"representations":[{"type":"sql","sql":"select 1","dialect":"spark"}]},"properties":{}}`

func TestViewsLiveBesideTables(t *testing.T) {
	s := newServer(t)
	s.createEvents(t)
	path := "/v1/main/namespaces/db/views"
	made := s.do(t, "POST", path, createView)
	require.Equal(t, 200, made.StatusCode, string(made.body))
	commit := `{"updates":[{"action":"set-properties","updates":{"a":"b"}}]}`
	require.Equal(t, 200, s.do(t, "POST", path+"/v", commit).StatusCode)
	require.Contains(t, string(s.do(t, "GET", path+"/v", "").body), `"a":"b"`)
	stale := `{"requirements":[{"type":"assert-view-uuid","uuid":"` + uuid.NewString() + `"}],"updates":[]}`
	require.Equal(t, "409 CommitFailedException", s.do(t, "POST", path+"/v", stale).failure(t))
	rename := `{"source":{"namespace":["db"],"name":"v"},"destination":{"namespace":["db"],"name":"events"}}`
	require.Equal(t, "409 AlreadyExistsException", s.do(t, "POST", "/v1/main/views/rename", rename).failure(t))
	require.JSONEq(t, `{"identifiers":[{"namespace":["db"],"name":"v"}]}`, string(s.do(t, "GET", path, "").body))
	require.Equal(t, 204, s.do(t, "DELETE", path+"/v", "").StatusCode)
	require.Equal(t, 404, s.do(t, "DELETE", path+"/v", "").StatusCode)
}

func TestDroppedTableIsRegisteredAgain(t *testing.T) {
	s := newServer(t)
	var made struct {
		Location string `json:"metadata-location"`
	}
	require.NoError(t, json.Unmarshal(s.createEvents(t).body, &made))
	register := `{"name":"events","metadata-location":"` + made.Location + `"`
	path := "/v1/main/namespaces/db/register"
	require.Equal(t, 409, s.do(t, "POST", path, register+`}`).StatusCode)
	require.Equal(t, 200, s.do(t, "POST", path, register+`,"overwrite":true}`).StatusCode)
	require.Equal(t, 204, s.do(t, "DELETE", "/v1/main/namespaces/db/tables/events", "").StatusCode)
	require.Equal(t, 200, s.do(t, "POST", path, register+`}`).StatusCode)
	purge := "/v1/main/namespaces/db/tables/events?purgeRequested=true"
	require.Equal(t, 204, s.do(t, "DELETE", purge, "").StatusCode)
	require.Empty(t, s.files(t, warehouse))
}

func FuzzHandlerNeverBreaks(f *testing.F) {
	for _, seed := range []string{
		`{"updates":[{"action":"add-snapshot","snapshot":{"snapshot-id":1,"sequence-number":1,"timestamp-ms":1,` +
			`"manifest-list":"m","summary":{"operation":"append"},"schema-id":0}},{"action":"set-snapshot-ref",` +
			`"ref-name":"main","type":"branch","snapshot-id":1}]}`,
		`{"requirements":[{"type":"assert-ref-snapshot-id","ref":"main","snapshot-id":null}],"updates":[]}`,
		`{"updates":[{"action":"add-schema","schema":{"type":"struct","fields":null}}]}`,
		`{"updates":[{"action":"add-spec","spec":{"fields":[{"transform":"bucket[0]"}]}}]}`,
		`{"updates":[{"action":"set-statistics","statistics":null}]}`,
		`{"updates":[{"action":"remove-snapshots","snapshot-ids":[null]}]}`,
		createEvents, createView,
	} {
		f.Add("db", "events", []byte(seed))
	}
	f.Add("a\x1f..", "%2e", []byte(`{}`))
	f.Fuzz(func(t *testing.T, namespace, name string, body []byte) {
		c := newFixture(t)
		_, err := c.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
		h, err := catalog.NewHandler(catalog.HandlerOptions{
			Warehouses: []catalog.Warehouse{{Name: "main", Reads: c.Catalog, Writes: c.Catalog}},
			Now:        time.Now, Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		for _, path := range []string{
			"namespaces/db/tables/events", "namespaces/db/tables", "namespaces/db/views", "namespaces",
			"namespaces/" + escape(namespace) + "/tables/" + escape(name), "transactions/commit",
			"namespaces/db/register", "tables/rename",
		} {
			request := httptest.NewRequest(http.MethodPost, "/v1/main/"+path, bytes.NewReader(body))
			recorder := httptest.NewRecorder()
			h.ServeHTTP(recorder, request)
			if recorder.Code >= 500 {
				t.Fatalf("%s %q: %d %s", path, body, recorder.Code, recorder.Body)
			}
		}
		if _, err := c.LoadTable(t.Context(), events); err != nil {
			t.Fatalf("table after %q: %v", body, err)
		}
		fresh := catalog.New(c.store, c.objects, options())
		tables, err := fresh.ListTables(t.Context(), catalog.Namespace{"db"}, catalog.Page{})
		require.NoError(t, err)
		for _, ident := range tables {
			if _, err := fresh.LoadTable(t.Context(), ident); err != nil {
				t.Fatalf("%v cannot be read back after %q: %v", ident, body, err)
			}
		}
	})
}

func escape(segment string) string {
	var escaped strings.Builder
	for _, b := range []byte(segment) {
		escaped.WriteString("%" + string("0123456789ABCDEF"[b>>4]) + string("0123456789ABCDEF"[b&15]))
	}
	return escaped.String()
}
