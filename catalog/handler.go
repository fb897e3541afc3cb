package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firthlake/firth/table"
)

// Reads is what the protocol needs of a catalog to answer readers. *Catalog is one.
type Reads interface {
	ListNamespaces(ctx context.Context, parent Namespace, page Page) ([]Namespace, error)
	LoadNamespace(ctx context.Context, name Namespace) (map[string]string, error)
	ListTables(ctx context.Context, namespace Namespace, page Page) ([]table.Ident, error)
	// HasTable is nil for a table that is there. It makes nothing that TableJSON would make for a reader.
	HasTable(ctx context.Context, ident table.Ident) error
	TableJSON(ctx context.Context, ident table.Ident) (Loaded, error)
	ListViews(ctx context.Context, namespace Namespace, page Page) ([]table.Ident, error)
	ViewJSON(ctx context.Context, ident table.Ident) (Loaded, error)
}

// Warehouse is one catalog that a Handler serves, under the prefix Name.
type Warehouse struct {
	Name  string
	Reads Reads
	// Writes takes changes; nil makes the warehouse read-only, and the endpoints that write are not
	// offered.
	Writes *Catalog
	// ClientConfig is handed to clients before anything else and with every table: "s3.endpoint" and the like. It
	// holds no keys.
	ClientConfig map[string]string
	// Keys gives clients that ask for them temporary keys for a table's files; nil gives none.
	Keys Vendor
	// Scans plans scans for clients; nil offers none.
	Scans Scans
}

// HandlerOptions configure a Handler.
type HandlerOptions struct {
	// Warehouses are served by name; the first one also without a prefix.
	Warehouses []Warehouse
	// ReadToken and WriteToken are the bearer tokens that allow reading, and everything. With
	// neither, every request is allowed: that is for listeners on loopback addresses only.
	ReadToken, WriteToken string
	// Now tells the time.
	Now func() time.Time
	// Logger gets failures that are the server's.
	Logger *slog.Logger
}

// Validate says what is wrong with o.
func (o HandlerOptions) Validate() error {
	seen := map[string]bool{}
	for _, warehouse := range o.Warehouses {
		switch name := warehouse.Name; {
		case name == "" || url.PathEscape(name) != name || reservedNames[name] || seen[name]:
			return fmt.Errorf("warehouse name %q is empty, taken, reserved, or not plain", name)
		case warehouse.Reads == nil:
			return fmt.Errorf("warehouse %s has no catalog", name)
		}
		for key := range warehouse.ClientConfig {
			if isSecret(key) {
				return fmt.Errorf("warehouse %s: %s is no setting for clients: everyone would see it",
					warehouse.Name, key)
			}
		}
		seen[warehouse.Name] = true
	}
	switch {
	case len(o.Warehouses) == 0:
		return errors.New("catalog handler has no warehouse")
	case o.Now == nil || o.Logger == nil:
		return errors.New("catalog handler lacks Now or Logger")
	case o.ReadToken != "" && o.WriteToken == "":
		return errors.New("a read token without a write token would leave writing open to all: set both")
	case o.ReadToken != "" && o.ReadToken == o.WriteToken:
		return errors.New("the read token and the write token are the same")
	}
	return nil
}

// reservedNames begin paths without a prefix, so they cannot be prefixes.
var reservedNames = map[string]bool{
	"config": true, "oauth": true, "namespaces": true, "tables": true, "views": true, "transactions": true,
}

// requestBytesMax bounds a request: the largest legitimate ones add a snapshot with a long summary.
const requestBytesMax = 16 << 20

// Handler serves the Iceberg REST protocol over HTTP.
type Handler struct {
	opts    HandlerOptions
	guard   guard
	routes  []route
	keyring keyring
}

// NewHandler returns a Handler, or what is wrong with opts.
func NewHandler(opts HandlerOptions) (*Handler, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	h := &Handler{opts: opts, guard: newGuard(opts.ReadToken, opts.WriteToken), keyring: keyring{log: opts.Logger}}
	h.routes = slices.Concat(namespaceRoutes(), tableRoutes(), planRoutes(), viewRoutes())
	return h, nil
}

// route is one endpoint. Its path is what follows the prefix; segments in braces are parameters.
type route struct {
	method, path string
	// writes marks endpoints that change the catalog, which need the write token.
	writes bool
	// plans marks endpoints that plan scans.
	plans bool
	serve func(*exchange) (reply, error)
	// replay renders the answer to a repeated request that had succeeded; nil is 204 No Content.
	replay func(*exchange) (reply, error)
}

// exchange is one request on its way through the handler.
type exchange struct {
	request   *http.Request
	params    map[string]string
	body      []byte
	warehouse *Warehouse
	writes    *Catalog
	// mayWrite says that the client's token allows writing, whatever this request is.
	mayWrite bool
	keyring  *keyring
	now      time.Time
}

func (x *exchange) ctx() context.Context { return x.request.Context() }

// reply is what a route answers: raw JSON, or a value to encode, or nothing.
type reply struct {
	status int
	etag   string
	body   any
	raw    []byte
}

var noContent = reply{status: http.StatusNoContent}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h.answer(w, r)
	if err != nil {
		answer = h.failure(r, err)
	}
	writeReply(w, r, answer)
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (reply, error) {
	segments, err := splitPath(r.URL.EscapedPath())
	if err != nil {
		return reply{}, err
	}
	if len(segments) == 2 && segments[0] == "oauth" && segments[1] == "tokens" {
		return h.exchangeToken(w, r)
	}
	rights, err := h.guard.rights(r)
	if err != nil {
		return reply{}, err
	}
	if len(segments) == 1 && segments[0] == "config" {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return reply{}, errMethod
		}
		return h.config(r)
	}
	x := &exchange{request: r, warehouse: &h.opts.Warehouses[0], mayWrite: rights.write, keyring: &h.keyring,
		now: h.opts.Now()}
	if len(segments) > 0 && !reservedNames[segments[0]] {
		if x.warehouse = h.warehouse(segments[0]); x.warehouse == nil {
			return reply{}, errNoWarehouse(segments[0])
		}
		segments = segments[1:]
	}
	found, err := h.route(x, segments)
	if err != nil {
		return reply{}, err
	}
	if found.writes && !rights.write {
		return reply{}, errReadOnlyToken
	}
	x.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytesMax))
	if err != nil {
		return reply{}, errBody(err)
	}
	return h.run(found, x)
}

// splitPath returns the decoded segments after "/v1". A plus sign is a space, as the Java client
// encodes it.
func splitPath(escaped string) ([]string, error) {
	rest, ok := strings.CutPrefix(strings.Trim(escaped, "/")+"/", "v1/")
	if !ok {
		return nil, errNoRoute
	}
	var segments []string
	for segment := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		decoded, err := url.QueryUnescape(segment)
		if err != nil {
			return nil, refused("malformed path: %v", err)
		}
		if decoded == "" {
			return nil, refused("malformed path: it has an empty segment")
		}
		segments = append(segments, decoded)
	}
	return segments, nil
}

func (h *Handler) warehouse(name string) *Warehouse {
	for i := range h.opts.Warehouses {
		if h.opts.Warehouses[i].Name == name {
			return &h.opts.Warehouses[i]
		}
	}
	return nil
}

// route finds the endpoint for a path and sets the parameters of x.
func (h *Handler) route(x *exchange, segments []string) (route, error) {
	known := false
	for _, candidate := range h.routes {
		params, ok := matchPath(candidate.path, segments)
		if !ok || candidate.plans && x.warehouse.Scans == nil {
			continue
		}
		known = true
		if candidate.method != x.request.Method {
			continue
		}
		if candidate.writes && x.warehouse.Writes == nil {
			return route{}, errReadOnlyWarehouse(x.warehouse.Name)
		}
		x.params, x.writes = params, x.warehouse.Writes
		return candidate, nil
	}
	if known {
		return route{}, errMethod
	}
	return route{}, errNoRoute
}

func matchPath(pattern string, segments []string) (map[string]string, bool) {
	var params map[string]string
	wanted := strings.Split(pattern, "/")
	if len(wanted) != len(segments) {
		return nil, false
	}
	for i, want := range wanted {
		if !strings.HasPrefix(want, "{") {
			if want != segments[i] {
				return nil, false
			}
			continue
		}
		if params == nil {
			params = map[string]string{}
		}
		params[strings.Trim(want, "{}")] = segments[i]
	}
	return params, true
}

// config answers GET /v1/config: what clients must know before anything else.
func (h *Handler) config(r *http.Request) (reply, error) {
	warehouse := &h.opts.Warehouses[0]
	overrides := map[string]string{}
	if name := r.URL.Query().Get("warehouse"); name != "" {
		found := h.warehouse(name)
		if found == nil && !h.isDefault(name) {
			return reply{}, errNoWarehouse(name)
		}
		if found != nil {
			warehouse = found
		}
	}
	overrides["prefix"] = warehouse.Name
	var endpoints []string
	for _, route := range h.routes {
		if (!route.writes || warehouse.Writes != nil) && (!route.plans || warehouse.Scans != nil) {
			endpoints = append(endpoints, route.method+" /v1/{prefix}/"+route.path)
		}
	}
	defaults := map[string]string{}
	maps.Copy(defaults, warehouse.ClientConfig)
	return reply{status: http.StatusOK, body: configBody{
		Defaults: defaults, Overrides: overrides, Endpoints: endpoints,
		IdempotencyKeyLifetime: answerLifetimeISO,
	}}, nil
}

// isDefault says whether a warehouse is asked for by its location, as some clients do.
func (h *Handler) isDefault(name string) bool {
	writes := h.opts.Warehouses[0].Writes
	return writes != nil && locationFault(name) == "" &&
		slices.Contains(writes.prefixes, canonicalLocation(name))
}

type configBody struct {
	Defaults               map[string]string `json:"defaults"`
	Overrides              map[string]string `json:"overrides"`
	Endpoints              []string          `json:"endpoints"`
	IdempotencyKeyLifetime string            `json:"idempotency-key-lifetime"`
}

// isSecret says whether a setting must not be given to everyone.
func isSecret(key string) bool {
	return strings.Contains(key, "secret") || strings.Contains(key, "access-key") ||
		strings.Contains(key, "token") || strings.Contains(key, "credential")
}
