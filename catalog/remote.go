package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/metafile"
)

// RemoteConfig says where an external Iceberg REST catalog is and how to be let in.
type RemoteConfig struct {
	// URI is the base of the protocol: what comes before "/v1".
	URI string
	// Warehouse is sent to the catalog's configuration endpoint, which answers with the prefix.
	Warehouse string
	// Token is a bearer token. It wins over Credential.
	Token string
	// Credential is an OAuth2 client id and secret, "id:secret", or a secret alone.
	Credential string
	// TokenURI is where Credential is exchanged; empty is the catalog's own endpoint.
	TokenURI string
	// Scope is asked for with Credential; empty is "catalog".
	Scope string
	// Headers are sent with every request.
	Headers map[string]string
}

// Validate says what is wrong with c.
func (c RemoteConfig) Validate() error {
	at, err := url.Parse(c.URI)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return fmt.Errorf("catalog uri %q is not an http or https address", c.URI)
	}
	return nil
}

// remoteTimeout bounds one request. A commit that takes longer has an unknown outcome.
const remoteTimeout = 60 * time.Second

// remoteBytesMax bounds an answer: that of a table of 10,000 snapshots.
const remoteBytesMax = metadataBytesMax

// Remote is an external Iceberg REST catalog. Its methods may be called from many goroutines. It
// retries nothing but a request that was refused because the token had expired.
type Remote struct {
	config    RemoteConfig
	client    *http.Client
	auth      *remoteAuth
	prefix    string // "" or ends with a slash
	separator string // of namespace levels, as it stands in a URL
	settings  map[string]string
}

// DialRemote asks an external catalog for its configuration and returns it. A nil client is one with
// the library's defaults.
func DialRemote(ctx context.Context, config RemoteConfig, client *http.Client) (*Remote, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if client == nil {
		client = &http.Client{}
	}
	config.URI = strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(config.URI, "/"), "/v1"), "/")
	r := &Remote{config: config, client: client, separator: "%1F", auth: newRemoteAuth(config, client)}
	var answer struct {
		Defaults  map[string]string `json:"defaults"`
		Overrides map[string]string `json:"overrides"`
	}
	path := "config"
	if config.Warehouse != "" {
		path += "?warehouse=" + url.QueryEscape(config.Warehouse)
	}
	if err := r.call(ctx, remoteCall{method: http.MethodGet, path: path, into: &answer}); err != nil {
		return nil, fmt.Errorf("ask catalog %s for its configuration: %w", config.URI, err)
	}
	r.settings = withDefaults(answer.Overrides, answer.Defaults)
	if prefix := r.settings["prefix"]; prefix != "" {
		r.prefix = strings.Trim(prefix, "/") + "/"
	}
	if separator := r.settings["namespace-separator"]; separator != "" {
		r.separator = separator
	}
	return r, nil
}

// Settings are the catalog's configuration, such as "s3.endpoint", for whoever reaches its files.
func (r *Remote) Settings() map[string]string { return withDefaults(r.settings, nil) }

// namespacePath is the path of a namespace below the prefix.
func (r *Remote) namespacePath(name Namespace) string {
	levels := make([]string, len(name))
	for i, level := range name {
		levels[i] = escapeSegment(level)
	}
	return r.prefix + "namespaces/" + strings.Join(levels, r.separator)
}

func (r *Remote) tablePath(ident table.Ident) string {
	return r.namespacePath(namespaceOf(ident)) + "/tables/" + escapeSegment(nameOf(ident))
}

// escapeSegment encodes a plus sign too, because some servers read it as a space.
func escapeSegment(segment string) string {
	return strings.ReplaceAll(url.PathEscape(segment), "+", "%2B")
}

type remoteTable struct {
	MetadataLocation string          `json:"metadata-location"`
	Metadata         json.RawMessage `json:"metadata"`
}

// table parses what a catalog answered. An answer that cannot be understood to a request that went
// through leaves the outcome to be read back.
func (a remoteTable) table(ident table.Ident) (*table.Table, error) {
	metadata, err := metafile.Parse(a.Metadata)
	if err != nil {
		return nil, fmt.Errorf("parse the catalog's answer: %w: %w", table.ErrStateUnknown, err)
	}
	return table.New(ident, metadata, a.MetadataLocation), nil
}

// LoadTable returns a table at its newest version.
func (r *Remote) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	return r.tableCall(ctx, "load", ident, remoteCall{method: http.MethodGet, path: r.tablePath(ident)})
}

func (r *Remote) tableCall(ctx context.Context, act string, ident table.Ident, call remoteCall) (*table.Table, error) {
	if err := validateIdent(ident); err != nil {
		return nil, err
	}
	var answer remoteTable
	call.into = &answer
	err := r.call(ctx, call)
	var loaded *table.Table
	if err == nil {
		loaded, err = answer.table(ident)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", act, table.FormatIdent(ident), err)
	}
	return loaded, nil
}

// CommitTable applies updates to a table if every requirement holds, and returns the new version.
func (r *Remote) CommitTable(
	ctx context.Context, ident table.Ident, requirements []icetable.Requirement, updates []icetable.Update,
) (*table.Table, error) {
	if err := validateIdent(ident); err != nil {
		return nil, err
	}
	return r.tableCall(ctx, "commit", ident, remoteCall{
		method: http.MethodPost, path: r.tablePath(ident), commits: true, body: map[string]any{
			"identifier":   identBody{Namespace: namespaceOf(ident), Name: nameOf(ident)},
			"requirements": orEmpty(requirements), "updates": orEmpty(updates),
		}})
}

// CreateTable makes a table.
func (r *Remote) CreateTable(ctx context.Context, ident table.Ident, spec TableSpec) (*table.Table, error) {
	if err := validateIdent(ident); err != nil {
		return nil, err
	}
	return r.tableCall(ctx, "create", ident, remoteCall{
		method: http.MethodPost, path: r.namespacePath(namespaceOf(ident)) + "/tables",
		body: struct {
			Name          string                 `json:"name"`
			Location      string                 `json:"location,omitempty"`
			Schema        *iceberg.Schema        `json:"schema"`
			PartitionSpec *iceberg.PartitionSpec `json:"partition-spec,omitempty"`
			WriteOrder    *icetable.SortOrder    `json:"write-order,omitempty"`
			Properties    iceberg.Properties     `json:"properties,omitempty"`
		}{nameOf(ident), spec.Location, spec.Schema, spec.PartitionSpec, spec.SortOrder, spec.Properties},
	})
}

// DropTable removes a table from the catalog and keeps its files.
func (r *Remote) DropTable(ctx context.Context, ident table.Ident) error {
	err := validateIdent(ident)
	if err == nil {
		err = r.call(ctx, remoteCall{method: http.MethodDelete, path: r.tablePath(ident) + "?purgeRequested=false"})
	}
	if err != nil {
		return fmt.Errorf("drop %s: %w", table.FormatIdent(ident), err)
	}
	return nil
}

// CreateNamespace makes a namespace.
func (r *Remote) CreateNamespace(ctx context.Context, name Namespace, properties map[string]string) error {
	err := validateNamespace(name)
	if err == nil {
		if properties == nil {
			properties = map[string]string{}
		}
		err = r.call(ctx, remoteCall{method: http.MethodPost, path: r.prefix + "namespaces",
			body: namespaceBody{Namespace: name, Properties: properties}})
	}
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// LoadNamespace returns the properties of a namespace.
func (r *Remote) LoadNamespace(ctx context.Context, name Namespace) (map[string]string, error) {
	if err := validateNamespace(name); err != nil {
		return nil, err
	}
	var answer namespaceBody
	err := r.call(ctx, remoteCall{method: http.MethodGet, path: r.namespacePath(name), into: &answer})
	if err != nil {
		return nil, fmt.Errorf("load namespace %s: %w", name, err)
	}
	return answer.Properties, nil
}

// DropNamespace removes a namespace that holds nothing.
func (r *Remote) DropNamespace(ctx context.Context, name Namespace) error {
	err := validateNamespace(name)
	if err == nil {
		err = r.call(ctx, remoteCall{method: http.MethodDelete, path: r.namespacePath(name)})
	}
	if err != nil {
		return fmt.Errorf("drop namespace %s: %w", name, err)
	}
	return nil
}

// listPagesMax bounds a listing, so that a catalog that repeats its page token ends it.
const listPagesMax = 100_000

// ListNamespaces lists all namespaces right inside parent, page by page.
func (r *Remote) ListNamespaces(ctx context.Context, parent Namespace) ([]Namespace, error) {
	query := url.Values{}
	if len(parent) > 0 {
		separator, err := url.PathUnescape(r.separator)
		if err != nil {
			separator = levelSeparator
		}
		query.Set("parent", strings.Join(parent, separator))
	}
	var found []Namespace
	err := r.pages(ctx, r.prefix+"namespaces", query, func(page remotePage) {
		found = append(found, page.Namespaces...)
	})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	return found, nil
}

// ListTables lists all tables of a namespace, page by page.
func (r *Remote) ListTables(ctx context.Context, namespace Namespace) ([]table.Ident, error) {
	if err := validateNamespace(namespace); err != nil {
		return nil, err
	}
	var found []table.Ident
	err := r.pages(ctx, r.namespacePath(namespace)+"/tables", url.Values{}, func(page remotePage) {
		for _, name := range page.Identifiers {
			found = append(found, name.ident())
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list tables of %s: %w", namespace, err)
	}
	return found, nil
}

type remotePage struct {
	Namespaces  []Namespace `json:"namespaces"`
	Identifiers []identBody `json:"identifiers"`
	Next        string      `json:"next-page-token"`
}

func (r *Remote) pages(ctx context.Context, path string, query url.Values, take func(remotePage)) error {
	query.Set("pageToken", "")
	for range listPagesMax {
		var page remotePage
		err := r.call(ctx, remoteCall{method: http.MethodGet, path: path + "?" + query.Encode(), into: &page})
		if err != nil {
			return err
		}
		take(page)
		if page.Next == "" || page.Next == query.Get("pageToken") {
			return nil
		}
		query.Set("pageToken", page.Next)
	}
	return errors.New("the listing does not end")
}
