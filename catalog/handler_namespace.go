package catalog

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/firthlake/firth/table"
)

func namespaceRoutes() []route {
	return []route{
		{method: "GET", path: "namespaces", serve: listNamespaces},
		{method: "POST", path: "namespaces", writes: true, serve: createNamespace, replay: replayCreateNamespace},
		{method: "GET", path: "namespaces/{namespace}", serve: loadNamespace},
		{method: "HEAD", path: "namespaces/{namespace}", serve: hasNamespace},
		{method: "DELETE", path: "namespaces/{namespace}", writes: true, serve: dropNamespace},
		{method: "POST", path: "namespaces/{namespace}/properties", writes: true,
			serve: updateProperties, replay: replayUpdateProperties},
	}
}

type namespaceBody struct {
	Namespace  Namespace         `json:"namespace"`
	Properties map[string]string `json:"properties"`
}

// namespace is the namespace in the path: its levels stand between unit separators.
func (x *exchange) namespace() Namespace {
	return strings.Split(x.params["namespace"], levelSeparator)
}

// decode reads the request's body into v, ignoring fields that it does not know.
func (x *exchange) decode(v any) error {
	if err := json.Unmarshal(x.body, v); err != nil {
		return refused("malformed request: %v", err)
	}
	return nil
}

// Bounds of a page of a listing, when the client asks for pages.
const (
	pageSizeDefault = 100
	pageSizeMax     = 1000
)

// page is what part of a listing is asked for: all of it unless there is a page token. Its Limit is one
// more than the page holds, to learn whether another follows.
func (x *exchange) page() (Page, error) {
	query := x.request.URL.Query()
	if !query.Has("pageToken") {
		return Page{}, nil
	}
	after, err := base64.RawURLEncoding.DecodeString(query.Get("pageToken"))
	if err != nil {
		return Page{}, refused("malformed pageToken")
	}
	size := pageSizeDefault
	if text := query.Get("pageSize"); text != "" {
		size, err = strconv.Atoi(text)
		if err != nil || size < 1 {
			return Page{}, refused("pageSize %q is not a positive number", text)
		}
	}
	return Page{After: string(after), Limit: min(size, pageSizeMax) + 1}, nil
}

// cut takes the surplus name off a page and makes the token of the next one.
func cut[N ~[]string](found []N, page Page) ([]N, *string) {
	if page.Limit == 0 || len(found) < page.Limit {
		return found, nil
	}
	found = found[:page.Limit-1]
	last := found[len(found)-1]
	token := base64.RawURLEncoding.EncodeToString([]byte(last[len(last)-1]))
	return found, &token
}

func listNamespaces(x *exchange) (reply, error) {
	page, err := x.page()
	if err != nil {
		return reply{}, err
	}
	var parent Namespace
	if text := x.request.URL.Query().Get("parent"); text != "" {
		// Some clients encode the separator once more than the query needs.
		if decoded, err := url.QueryUnescape(text); err == nil && strings.Contains(strings.ToLower(text), "%1f") {
			text = decoded
		}
		parent = strings.Split(text, levelSeparator)
	}
	found, err := x.warehouse.Reads.ListNamespaces(x.ctx(), parent, page)
	if err != nil {
		return reply{}, err
	}
	names, next := cut(found, page)
	return reply{status: http.StatusOK, body: struct {
		Namespaces []Namespace `json:"namespaces"`
		Next       *string     `json:"next-page-token,omitempty"`
	}{orEmpty(names), next}}, nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func createNamespace(x *exchange) (reply, error) {
	var asked namespaceBody
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	if err := x.writes.CreateNamespace(x.ctx(), asked.Namespace, asked.Properties); err != nil {
		return reply{}, err
	}
	if asked.Properties == nil {
		asked.Properties = map[string]string{}
	}
	return reply{status: http.StatusOK, body: asked}, nil
}

func replayCreateNamespace(x *exchange) (reply, error) {
	var asked namespaceBody
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	return describeNamespace(x, asked.Namespace)
}

func loadNamespace(x *exchange) (reply, error) { return describeNamespace(x, x.namespace()) }

func describeNamespace(x *exchange, name Namespace) (reply, error) {
	properties, err := x.warehouse.Reads.LoadNamespace(x.ctx(), name)
	if err != nil {
		return reply{}, err
	}
	if properties == nil {
		properties = map[string]string{}
	}
	return reply{status: http.StatusOK, body: namespaceBody{name, properties}}, nil
}

func hasNamespace(x *exchange) (reply, error) {
	_, err := x.warehouse.Reads.LoadNamespace(x.ctx(), x.namespace())
	return noContent, err
}

func dropNamespace(x *exchange) (reply, error) {
	return noContent, x.writes.DropNamespace(x.ctx(), x.namespace())
}

type propertiesRequest struct {
	Removals []string          `json:"removals"`
	Updates  map[string]string `json:"updates"`
}

func (x *exchange) propertiesRequest() (propertiesRequest, error) {
	var asked propertiesRequest
	if err := x.decode(&asked); err != nil {
		return asked, err
	}
	for _, key := range asked.Removals {
		if _, ok := asked.Updates[key]; ok {
			return asked, &protocolError{http.StatusUnprocessableEntity, "UnprocessableEntityException",
				"property " + key + " is to be both set and removed"}
		}
	}
	return asked, nil
}

func updateProperties(x *exchange) (reply, error) {
	asked, err := x.propertiesRequest()
	if err != nil {
		return reply{}, err
	}
	change, err := x.writes.UpdateNamespace(x.ctx(), x.namespace(), asked.Updates, asked.Removals)
	if err != nil {
		return reply{}, err
	}
	return propertiesReply(change), nil
}

// replayUpdateProperties answers that all was done that was asked: what was missing is gone too.
func replayUpdateProperties(x *exchange) (reply, error) {
	asked, err := x.propertiesRequest()
	if err != nil {
		return reply{}, err
	}
	return propertiesReply(PropertyChange{
		Updated: slices.Sorted(maps.Keys(asked.Updates)), Removed: asked.Removals,
	}), nil
}

func propertiesReply(change PropertyChange) reply {
	return reply{status: http.StatusOK, body: struct {
		Updated []string `json:"updated"`
		Removed []string `json:"removed"`
		Missing []string `json:"missing"`
	}{orEmpty(change.Updated), orEmpty(change.Removed), orEmpty(change.Missing)}}
}

// identBody is a table's or view's name in JSON.
type identBody struct {
	Namespace Namespace `json:"namespace"`
	Name      string    `json:"name"`
}

func (b identBody) ident() table.Ident { return identOf(b.Namespace, b.Name) }

func identsReply(found []table.Ident, page Page) reply {
	idents, next := cut(found, page)
	bodies := make([]identBody, len(idents))
	for i, ident := range idents {
		bodies[i] = identBody{Namespace: namespaceOf(ident), Name: nameOf(ident)}
	}
	return reply{status: http.StatusOK, body: struct {
		Identifiers []identBody `json:"identifiers"`
		Next        *string     `json:"next-page-token,omitempty"`
	}{bodies, next}}
}
