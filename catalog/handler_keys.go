package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Vendor gives temporary keys for what lies under a location. *objstore.Vendor is one.
type Vendor interface {
	Vend(ctx context.Context, location string, access objstore.Access) (objstore.Keys, error)
}

// keyring tells once when there are no keys for clients, and once when there are again.
type keyring struct {
	log *slog.Logger

	mu    sync.Mutex // guards fault
	fault string
}

func (k *keyring) note(ctx context.Context, err error) {
	if err != nil && !errors.Is(err, objstore.ErrNoKeys) || errors.Is(err, objstore.ErrBadLocation) {
		return // the client has gone, or it is for this table
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	k.mu.Lock()
	before := k.fault
	k.fault = text
	k.mu.Unlock()
	switch {
	case text != "" && before == "":
		k.log.WarnContext(ctx, "clients get no temporary keys: they need keys of their own", "err", text)
	case text == "" && before != "":
		k.log.InfoContext(ctx, "clients get temporary keys again")
	}
}

// delegated says whether the client wants keys. Requests are not signed for clients, so that is the one way.
func (x *exchange) delegated() bool {
	if x.warehouse.Keys == nil {
		return false
	}
	for way := range strings.SplitSeq(x.request.Header.Get("X-Iceberg-Access-Delegation"), ",") {
		if strings.EqualFold(strings.TrimSpace(way), "vended-credentials") {
			return true
		}
	}
	return false
}

// access is what the client may do with a table's files.
func (x *exchange) access() objstore.Access {
	if x.mayWrite && x.warehouse.Writes != nil {
		return objstore.AccessWrite
	}
	return objstore.AccessRead
}

// clientConfig is how the client reaches the files of a table.
type clientConfig struct {
	Config      map[string]string   `json:"config"`
	Credentials []storageCredential `json:"storage-credentials,omitempty"`
	// keys tells these keys from others, "" without any.
	keys string
}

type storageCredential struct {
	Prefix string            `json:"prefix"`
	Config map[string]string `json:"config"`
}

// clientConfig is that of a table with this metadata. A client gets no keys where the store has none to give: it
// may have keys of its own.
func (x *exchange) clientConfig(ident table.Ident, metadata []byte) (clientConfig, error) {
	config := clientConfig{Config: map[string]string{}}
	if len(x.warehouse.ClientConfig) > 0 {
		config.Config = x.warehouse.ClientConfig
	}
	if !x.delegated() {
		return config, nil
	}
	keys, err := x.vend(metadata)
	switch {
	case errors.Is(err, objstore.ErrNoKeys):
		return config, nil
	case err != nil:
		return config, err
	}
	config.Config = maps.Clone(config.Config)
	maps.Copy(config.Config, keys.settings)
	config.Config["client.refresh-credentials-endpoint"] = x.credentialsPath(ident)
	config.Credentials = []storageCredential{x.credential(keys)}
	config.keys = keys.id
	return config, nil
}

// vended are keys as clients take them.
type vended struct {
	location, id string
	settings     map[string]string
}

func (x *exchange) vend(metadata []byte) (vended, error) {
	var fields struct {
		Location string `json:"location"`
	}
	if err := json.Unmarshal(metadata, &fields); err != nil {
		return vended{}, fmt.Errorf("read the location in table metadata: %w", err)
	}
	access := x.access()
	keys, err := x.warehouse.Keys.Vend(x.ctx(), fields.Location, access)
	x.keyring.note(x.ctx(), err)
	if err != nil {
		return vended{}, fmt.Errorf("keys for clients: %w", err)
	}
	expires := strconv.FormatInt(keys.Expires.UnixMilli(), 10)
	return vended{location: fields.Location, id: fmt.Sprintf("%d %s", access, expires), settings: map[string]string{
		"s3.access-key-id": keys.AccessKey, "s3.secret-access-key": string(keys.SecretKey),
		"s3.session-token": string(keys.SessionToken), "s3.session-token-expires-at-ms": expires,
	}}, nil
}

// credential is keys together with what else a client must know that looks at nothing else. Its endpoint has no slash:
// ClickHouse wants one in config only.
func (x *exchange) credential(keys vended) storageCredential {
	config := maps.Clone(keys.settings)
	maps.Copy(config, x.warehouse.ClientConfig)
	if endpoint, some := config["s3.endpoint"]; some {
		config["s3.endpoint"] = strings.TrimRight(endpoint, "/")
	}
	return storageCredential{Prefix: keys.location, Config: config}
}

// credentialsPath is where a client renews its keys.
func (x *exchange) credentialsPath(ident table.Ident) string {
	last := len(ident) - 1
	return "v1/" + url.PathEscape(x.warehouse.Name) + "/namespaces/" +
		url.QueryEscape(strings.Join(ident[:last], levelSeparator)) + "/tables/" + url.QueryEscape(ident[last]) +
		"/credentials"
}

// tableCredentials answers with keys alone: whoever asks here has none of its own.
func tableCredentials(x *exchange) (reply, error) {
	credentials := []storageCredential{}
	if x.warehouse.Keys == nil {
		if err := x.warehouse.Reads.HasTable(x.ctx(), x.ident()); err != nil {
			return reply{}, err
		}
	} else {
		loaded, err := x.warehouse.Reads.TableJSON(x.ctx(), x.ident())
		if err != nil {
			return reply{}, err
		}
		keys, err := x.vend(loaded.Metadata)
		const remedy = ": give the client keys of its own"
		switch {
		case errors.Is(err, objstore.ErrBadLocation):
			return reply{}, &protocolError{http.StatusNotAcceptable, "UnsupportedOperationException",
				err.Error() + remedy}
		case errors.Is(err, objstore.ErrNoKeys):
			return reply{}, &protocolError{http.StatusServiceUnavailable, "ServiceUnavailableException",
				err.Error() + remedy}
		case err != nil:
			return reply{}, err
		}
		credentials = append(credentials, x.credential(keys))
	}
	return reply{status: http.StatusOK, body: struct {
		Credentials []storageCredential `json:"storage-credentials"`
	}{credentials}}, nil
}
