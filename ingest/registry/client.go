package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrUnknownID says that the registry answered and knows no schema of this id.
	ErrUnknownID = errors.New("schema id not in the registry")
	// ErrUnknownSubject says that the registry answered and has no such subject or version.
	ErrUnknownSubject = errors.New("subject not in the registry")
	// ErrRejected says that the registry refused a schema: not valid, or not compatible with the
	// subject's earlier versions.
	ErrRejected = errors.New("schema rejected by the registry")
	// ErrUnavailable says that no address gave an answer that can be used: no connection, 5xx, no
	// permission, or something else than a registry listens there.
	ErrUnavailable = errors.New("schema registry unavailable")
)

const (
	// bodyBytesMax bounds an answer. The largest schemas seen in the field are about 1 MiB.
	bodyBytesMax = 16 << 20
	// referencesMax bounds the schemas that one schema may pull in, over all levels.
	referencesMax = 256
)

// Format is the language of a schema.
type Format string

// The languages of schemas that registries know.
const (
	Avro       Format = "AVRO"
	Protobuf   Format = "PROTOBUF"
	JSONSchema Format = "JSON"
)

// Config says where the registry is and how to log in.
type Config struct {
	// URLs are the addresses of the registry's nodes with the base path, asked in turn:
	// "https://host:8081", "http://host:8080/apis/ccompat/v7".
	URLs []string
	// Username and Password are for basic authentication; they may stand in a URL instead.
	Username, Password string
	// Token is sent as a bearer token when not empty.
	Token string
	// TLS holds roots and client certificates; nil means the system's roots.
	TLS *tls.Config
	// Timeout bounds one request.
	Timeout time.Duration
}

// DefaultConfig is a Config without address.
func DefaultConfig() Config { return Config{Timeout: 10 * time.Second} }

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if len(c.URLs) == 0 {
		return errors.New("schema registry: no url")
	}
	for _, raw := range c.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			return errors.New("schema registry: a url does not parse: write it as http://host:port/path")
		}
		if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("schema registry: url %s: write it as http://host:port/path", u.Redacted())
		}
	}
	if c.Token != "" && c.Username != "" {
		return errors.New("schema registry: give a token or a user name, not both")
	}
	if c.Timeout <= 0 {
		return errors.New("schema registry: timeout must be positive")
	}
	return nil
}

// Reference names a version of a subject that a schema refers to by Name (an import path, a full
// name, a JSON $ref).
type Reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Import is a schema that another one refers to by Name.
type Import struct {
	Name string
	Text string
}

// Schema is one schema of the registry.
type Schema struct {
	// ID is the registry's id; Subject and Version are set when it was asked for by subject.
	ID      int32
	Subject string
	Version int
	Format  Format
	Text    string
	// References are what Text refers to directly.
	References []Reference
	// Imports are the texts of all it refers to, at any depth, each after those it needs itself.
	Imports []Import
}

// Client asks a registry. It may be used by many goroutines.
type Client struct {
	nodes  []*url.URL
	config Config
	http   *http.Client
	cache  *cache
}

// New returns a client of the registry that config describes. It makes no request. Now tells the
// time for the cache of unknown ids.
func New(config Config, now func() time.Time) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config.TLS
	c := &Client{
		config: config,
		http:   &http.Client{Transport: transport, Timeout: config.Timeout},
		cache:  newCache(now),
	}
	for _, raw := range config.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("schema registry: %w", err)
		}
		if password, ok := u.User.Password(); ok && c.config.Username == "" {
			c.config.Username, c.config.Password = u.User.Username(), password
		}
		u.User = nil
		c.nodes = append(c.nodes, u)
	}
	return c, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ByID returns the schema of id with its imports; the result is shared and must not be changed. The
// error wraps ErrUnknownID or ErrUnavailable, or is ctx's.
func (c *Client) ByID(ctx context.Context, id int32) (*Schema, error) {
	return c.cache.get(ctx, id, func() (*Schema, error) {
		schema, err := c.fetchID(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("read schema %d: %w", id, err)
		}
		return schema, nil
	})
}

// Latest returns the newest version of subject with its imports. The error wraps ErrUnknownSubject
// or ErrUnavailable.
func (c *Client) Latest(ctx context.Context, subject string) (*Schema, error) {
	schema, err := c.fetchVersion(ctx, subject, "latest")
	if err == nil {
		err = c.resolve(ctx, schema)
	}
	if err != nil {
		return nil, fmt.Errorf("read subject %s: %w", subject, err)
	}
	return schema, nil
}

// Register adds a schema to subject, unless the subject has it already, and returns its id. Of
// schema, Format, Text and References count.
func (c *Client) Register(ctx context.Context, subject string, schema Schema) (int32, error) {
	body, err := json.Marshal(wireSchema{
		Schema: schema.Text, SchemaType: schema.Format, References: schema.References,
	})
	if err != nil {
		return 0, fmt.Errorf("register a schema of %s: %w", subject, err)
	}
	var answer wireSchema
	path := "/subjects/" + url.PathEscape(subject) + "/versions"
	if err := c.call(ctx, request{http.MethodPost, path, body, ErrUnknownSubject}, &answer); err != nil {
		return 0, fmt.Errorf("register a schema of %s: %w", subject, err)
	}
	return answer.ID, nil
}

// wireSchema is a schema in the registry's requests and answers.
type wireSchema struct {
	ID         int32       `json:"id,omitempty"`
	Subject    string      `json:"subject,omitempty"`
	Version    int         `json:"version,omitempty"`
	Schema     string      `json:"schema"`
	SchemaType Format      `json:"schemaType,omitempty"`
	References []Reference `json:"references,omitempty"`
}

func (w wireSchema) schema() *Schema {
	format := w.SchemaType
	if format == "" { // the protocol's default
		format = Avro
	}
	return &Schema{
		ID: w.ID, Subject: w.Subject, Version: w.Version,
		Format: format, Text: w.Schema, References: w.References,
	}
}

func (c *Client) fetchID(ctx context.Context, id int32) (*Schema, error) {
	var answer wireSchema
	path := "/schemas/ids/" + strconv.Itoa(int(id))
	if err := c.call(ctx, request{http.MethodGet, path, nil, ErrUnknownID}, &answer); err != nil {
		return nil, err
	}
	answer.ID = id
	schema := answer.schema()
	return schema, c.resolve(ctx, schema)
}

func (c *Client) fetchVersion(ctx context.Context, subject, version string) (*Schema, error) {
	var answer wireSchema
	path := "/subjects/" + url.PathEscape(subject) + "/versions/" + version
	if err := c.call(ctx, request{http.MethodGet, path, nil, ErrUnknownSubject}, &answer); err != nil {
		return nil, err
	}
	return answer.schema(), nil
}

// resolve fills schema.Imports, depth first. A reference to a version that is gone makes the schema
// unusable until somebody mends the registry, so it counts as unavailable.
func (c *Client) resolve(ctx context.Context, schema *Schema) error {
	seen := map[string]bool{}
	var walk func([]Reference) error
	walk = func(references []Reference) error {
		for _, ref := range references {
			if seen[ref.Name] {
				continue
			}
			if len(seen) == referencesMax {
				return fmt.Errorf("%w: more than %d references", ErrUnavailable, referencesMax)
			}
			seen[ref.Name] = true
			target, err := c.fetchVersion(ctx, ref.Subject, strconv.Itoa(ref.Version))
			if errors.Is(err, ErrUnknownSubject) {
				err = fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
			}
			if err != nil {
				return fmt.Errorf("read reference %s (subject %s, version %d): %w",
					ref.Name, ref.Subject, ref.Version, err)
			}
			if err := walk(target.References); err != nil {
				return err
			}
			schema.Imports = append(schema.Imports, Import{Name: ref.Name, Text: target.Text})
		}
		return nil
	}
	return walk(schema.References)
}

// request is one call of the registry's API. Missing is the error for the registry's own "there is
// none".
type request struct {
	method, path string
	body         []byte
	missing      error
}

// call asks the nodes in turn until one answers, and reads the answer into out.
func (c *Client) call(ctx context.Context, r request, out any) error {
	var err error
	for _, node := range c.nodes {
		err = c.callNode(ctx, node, r, out)
		if !errors.Is(err, ErrUnavailable) {
			return err
		}
	}
	return err
}

func (c *Client) callNode(ctx context.Context, node *url.URL, r request, out any) error {
	target := strings.TrimSuffix(node.String(), "/") + r.path
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	const contentType = "application/vnd.schemaregistry.v1+json"
	req.Header.Set("Accept", contentType+", application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	switch {
	case c.config.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	case c.config.Username != "":
		req.SetBasicAuth(c.config.Username, c.config.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// The cause is kept as text: a time-out of the client is no end of the caller's context.
		return fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
	}
	defer resp.Body.Close() // only read from, nothing to lose
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyBytesMax+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: read the answer of %s: %s", ErrUnavailable, node.Host, err.Error())
	case len(body) > bodyBytesMax:
		return fmt.Errorf("%w: answer of %s is larger than %d bytes",
			ErrUnavailable, node.Host, bodyBytesMax)
	case resp.StatusCode != http.StatusOK:
		return refusal(node.Host, resp.StatusCode, body, r)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%w: %s does not answer as a schema registry: %w",
			ErrUnavailable, node.Host, err)
	}
	return nil
}

// refusal tells the registry's own "there is none" and "not valid" from all else. A bare 404 is not
// trusted: it is what a wrong base path gives, and would turn every record into a dead letter.
func refusal(host string, status int, body []byte, r request) error {
	var answer struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		answer.Code = 0 // not a registry's answer: the status alone is reported
	}
	const messageMax = 300
	if len(answer.Message) > messageMax {
		answer.Message = answer.Message[:messageMax] + "..."
	}
	switch {
	case status == http.StatusNotFound && answer.Code > 40400 && answer.Code < 40500:
		return fmt.Errorf("%w (%s)", r.missing, answer.Message)
	case r.method == http.MethodPost &&
		(status == http.StatusConflict || status == http.StatusUnprocessableEntity):
		return fmt.Errorf("%w: %s", ErrRejected, answer.Message)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w: %s refuses the login (status %d): check user and password or token",
			ErrUnavailable, host, status)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %s has no schema registry at this path: check the url's base path",
			ErrUnavailable, host)
	}
	return fmt.Errorf("%w: %s answers status %d %s", ErrUnavailable, host, status, answer.Message)
}
