package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/firthlake/firth/table"
)

// remoteCall is one request to an external catalog; the answer is decoded into into, if not nil.
type remoteCall struct {
	method, path string
	body, into   any
	// commits marks the commit of a table, where 404 is about the table and 409 is a conflict, not
	// a name that is taken.
	commits bool
}

// call sends one request. A token that was refused is renewed once: a request without a valid token
// changed nothing.
func (r *Remote) call(ctx context.Context, call remoteCall) error {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	var body []byte
	if call.body != nil {
		encoded, err := json.Marshal(call.body)
		if err != nil {
			return refused("encode the request: %v", err)
		}
		body = encoded
	}
	token, err := r.auth.token(ctx)
	if err != nil {
		return err
	}
	answer, err := r.send(ctx, call, body, token)
	if err == nil && answer.status == http.StatusUnauthorized && r.auth.expire(token) {
		if token, err = r.auth.token(ctx); err != nil {
			return err
		}
		answer, err = r.send(ctx, call, body, token)
	}
	if err != nil {
		return r.broken(call, err)
	}
	return answer.finish(call)
}

// broken says what a lost connection means. Whoever only reads may read again; a change may have
// landed unless the connection was never made.
func (r *Remote) broken(call remoteCall, err error) error {
	var failure *net.OpError
	switch {
	case call.method == http.MethodGet:
		return fmt.Errorf("ask the catalog: %w", err)
	case errors.As(err, &failure) && failure.Op == "dial":
		return unchanged("reach the catalog", err)
	}
	return fmt.Errorf("ask the catalog: %w: %w", table.ErrStateUnknown, err)
}

type remoteAnswer struct {
	status int
	body   []byte
}

func (r *Remote) send(ctx context.Context, call remoteCall, body []byte, token string) (remoteAnswer, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, call.method, r.config.URI+"/v1/"+call.path, reader)
	if err != nil {
		return remoteAnswer{}, err
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range r.config.Headers {
		request.Header.Set(name, value)
	}
	return roundTrip(r.client, request)
}

func roundTrip(client *http.Client, request *http.Request) (_ remoteAnswer, err error) {
	response, err := client.Do(request)
	if err != nil {
		return remoteAnswer{}, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	raw, err := readAtMost(response.Body, remoteBytesMax)
	return remoteAnswer{status: response.StatusCode, body: raw}, err
}

// finish turns an answer into an outcome: 2xx is decoded, 4xx says that nothing was changed, and all
// else leaves that open.
func (a remoteAnswer) finish(call remoteCall) error {
	if a.status >= 200 && a.status < 300 {
		if call.into == nil {
			return nil
		}
		if err := json.Unmarshal(a.body, call.into); err != nil {
			return fmt.Errorf("decode the catalog's answer: %w: %w", table.ErrStateUnknown, err)
		}
		return nil
	}
	kind, known := a.kind(call)
	if !known && call.method == http.MethodGet {
		return fmt.Errorf("the catalog answered %d: %s", a.status, a.text())
	}
	return &Error{Kind: kind, Object: a.object(), Text: fmt.Sprintf("the catalog answered %d: %s", a.status, a.text())}
}

// kind is the outcome that a failure's status stands for, and whether it is certain.
func (a remoteAnswer) kind(call remoteCall) (_ error, known bool) {
	switch {
	case a.status == http.StatusNotFound:
		return table.ErrNotFound, true
	case a.status == http.StatusConflict && strings.Contains(a.model().Type, "NotEmpty"):
		return errors.Join(table.ErrRefused, ErrNotEmpty), true
	case a.status == http.StatusConflict && !call.commits:
		return table.ErrExists, true
	case a.status == http.StatusConflict, a.status == http.StatusTooManyRequests:
		return table.ErrConflict, true
	case a.status == http.StatusRequestTimeout:
		return table.ErrStateUnknown, false
	case a.status >= 400 && a.status < 500:
		return table.ErrRefused, true
	}
	return table.ErrStateUnknown, false
}

func (a remoteAnswer) model() errorModel {
	var body errorBody
	// What is no error model is shown as it is, see text.
	_ = json.Unmarshal(a.body, &body)
	return body.Error
}

func (a remoteAnswer) object() Object {
	for object, errorType := range missing {
		if object != "" && errorType == a.model().Type {
			return object
		}
	}
	return ObjectTable
}

// errorTextMax bounds what is shown of an answer that is no error model, such as a proxy's page.
const errorTextMax = 200

func (a remoteAnswer) text() string {
	if model := a.model(); model.Message != "" {
		return model.Message + " (" + model.Type + ")"
	}
	return strings.ToValidUTF8(string(a.body[:min(len(a.body), errorTextMax)]), "?")
}

// remoteAuth holds the token of an external catalog, and exchanges the credential for one.
type remoteAuth struct {
	config RemoteConfig
	client *http.Client

	mu      sync.Mutex
	current string
}

func newRemoteAuth(config RemoteConfig, client *http.Client) *remoteAuth {
	return &remoteAuth{config: config, client: client, current: config.Token}
}

func (a *remoteAuth) token(ctx context.Context) (string, error) {
	a.mu.Lock()
	current := a.current
	a.mu.Unlock()
	if current != "" || a.config.Credential == "" {
		return current, nil
	}
	fresh, err := a.exchange(ctx)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	a.current = fresh
	a.mu.Unlock()
	return fresh, nil
}

// expire forgets a token that was refused, and says whether another can be had.
func (a *remoteAuth) expire(token string) bool {
	if a.config.Credential == "" || a.config.Token != "" {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == token {
		a.current = ""
	}
	return true
}

// exchangeTimeout bounds the exchange of a credential for a token.
const exchangeTimeout = 30 * time.Second

// exchange gets a token. Its failures come before the request itself, so nothing was changed.
func (a *remoteAuth) exchange(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	id, secret, ok := strings.Cut(a.config.Credential, ":")
	if !ok {
		id, secret = "", id
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_secret": {secret}, "scope": {"catalog"}}
	if id != "" {
		form.Set("client_id", id)
	}
	if a.config.Scope != "" {
		form.Set("scope", a.config.Scope)
	}
	at := a.config.TokenURI
	if at == "" {
		at = a.config.URI + "/v1/oauth/tokens"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return "", refused("token address %q: %v", at, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := roundTrip(a.client, request)
	if err != nil {
		return "", unchanged("get a token from "+at, err)
	}
	if answer.status >= 500 {
		return "", unchanged("get a token from "+at, fmt.Errorf("it answered %d", answer.status))
	}
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer.body, &body); err != nil || body.Token == "" || answer.status >= 300 {
		return "", refused("get a token from %s: it answered %d: check the credential", at, answer.status)
	}
	return body.Token, nil
}
