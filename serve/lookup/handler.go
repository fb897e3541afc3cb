package lookup

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// ErrElsewhere says that there is nobody to look up in the table here: no process that is known ingests it.
var ErrElsewhere = errors.New("this process does not ingest the table, nor does one on the same catalog")

// Tables finds tables to look up in. A table that there is none of is table.ErrNotFound.
type Tables interface {
	Lookup(ctx context.Context, ident table.Ident) (Table, error)
}

// Table is one of them; it may have no key.
type Table interface {
	// Schema is the table's. ErrElsewhere comes from Get alone.
	Schema() (*iceberg.Schema, error)
	// Get finds the rows of keys at one state. The caller releases the answer.
	Get(ctx context.Context, keys []arrow.RecordBatch) (point.Answer, error)
}

// Options configure a Handler. Tables, Metrics, Now and Log are required.
type Options struct {
	Tables Tables
	// ReadToken and WriteToken are the bearer tokens that may look up; with neither everybody may.
	ReadToken, WriteToken string
	Metrics               *Metrics
	Now                   func() time.Time
	Log                   *slog.Logger
}

const (
	// keysMax is how many keys one request may have, and bodyBytesMax how long it may be: rows of one answer are all in
	// memory.
	keysMax      = 1000
	bodyBytesMax = 1 << 20
	// answerTime is how long a look-up may take: an index that is built anew takes minutes, and whoever asks wants
	// milliseconds.
	answerTime = 10 * time.Second
)

// Handler answers look-ups.
type Handler struct {
	opts    Options
	digests [][sha256.Size]byte // of tokens
	mux     *http.ServeMux
}

// NewHandler returns a Handler.
func NewHandler(opts Options) *Handler {
	h := &Handler{opts: opts, mux: http.NewServeMux()}
	for _, token := range []string{opts.ReadToken, opts.WriteToken} {
		if token != "" {
			h.digests = append(h.digests, sha256.Sum256([]byte(token)))
		}
	}
	h.mux.HandleFunc("GET "+Pattern+"/{key}", h.answering(h.getOne))
	h.mux.HandleFunc("GET "+Pattern, h.answering(h.getOne))
	h.mux.HandleFunc("POST "+Pattern, h.answering(h.getMany))
	return h
}

// Pattern is what the Handler answers, with what lies below it, as http.ServeMux names it.
const Pattern = "/v1/tables/{namespace}/{table}/rows"

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// answering checks the token, and writes what get returns.
func (h *Handler) answering(
	get func(ctx context.Context, r *http.Request, t Table) (reply, error),
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := h.opts.Now()
		w.Header().Set("Cache-Control", "no-store")
		if !h.admits(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			h.write(w, http.StatusUnauthorized, faultBody("NotAuthorizedException", http.StatusUnauthorized,
				"missing or wrong token: send Authorization: Bearer <token>"))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerTime)
		defer cancel()
		name := r.PathValue("namespace") + "." + r.PathValue("table")
		out, err := h.find(ctx, r, name, get)
		if err != nil {
			f := FaultOf(name, err)
			if f.Status >= http.StatusInternalServerError {
				h.opts.Log.Warn("look-up failed", "table", name, "err", err)
			}
			h.opts.Metrics.failed(f.Kind)
			if f.Status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			h.write(w, f.Status, faultBody(f.Kind, f.Status, f.Text))
			return
		}
		h.opts.Metrics.answered(name, out, h.opts.Now().Sub(began))
		h.write(w, out.status, out.body)
	}
}

func (h *Handler) find(ctx context.Context, r *http.Request, name string,
	get func(ctx context.Context, r *http.Request, t Table) (reply, error),
) (reply, error) {
	ident, err := table.ParseIdent(name)
	if err != nil {
		return reply{}, fmt.Errorf("%w: %w", table.ErrNotFound, err)
	}
	t, err := h.opts.Tables.Lookup(ctx, ident)
	if err != nil {
		return reply{}, err
	}
	return get(ctx, r, t)
}

func (h *Handler) admits(r *http.Request) bool {
	if len(h.digests) == 0 {
		return true
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	digest := sha256.Sum256([]byte(token))
	admitted := 0
	for _, known := range h.digests {
		admitted |= subtle.ConstantTimeCompare(digest[:], known[:])
	}
	return admitted == 1
}

func (h *Handler) write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// errNotKeyed says that a table's rows have no key.
var errNotKeyed = errors.New("the table has no identifier, so its rows have no key")

// schemaOf is the schema of a table that has a key.
func schemaOf(t Table) (*iceberg.Schema, error) {
	schema, err := t.Schema()
	if err == nil && len(schema.IdentifierFieldIDs) == 0 {
		err = errNotKeyed
	}
	return schema, err
}

// getOne answers for the key in the path, or for that of the query.
func (h *Handler) getOne(ctx context.Context, r *http.Request, t Table) (reply, error) {
	schema, err := schemaOf(t)
	if err != nil {
		return reply{}, err
	}
	var key arrow.RecordBatch
	if r.PathValue("key") != "" {
		path := r.URL.EscapedPath()
		key, err = point.ParseKey(schema, path[strings.LastIndexByte(path, '/')+1:])
	} else {
		key, err = point.ParseJSONKey(schema, json.RawMessage(r.URL.Query().Get("key")))
	}
	if err != nil {
		return reply{}, err
	}
	defer key.Release()
	answer, err := t.Get(ctx, []arrow.RecordBatch{key})
	if err != nil {
		return reply{}, err
	}
	defer answer.Release()
	return replyOne(&answer)
}

// getMany answers for a list of keys.
func (h *Handler) getMany(ctx context.Context, r *http.Request, t Table) (reply, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyBytesMax+1))
	if err != nil {
		return reply{}, fmt.Errorf("%w: read the request: %w", point.ErrKey, err)
	}
	var values []json.RawMessage
	switch {
	case len(body) > bodyBytesMax:
		return reply{}, fmt.Errorf("%w: the list is longer than %d bytes: send less at a time", point.ErrKey,
			bodyBytesMax)
	case json.Unmarshal(body, &values) != nil:
		return reply{}, fmt.Errorf("%w: the body is no JSON list of keys", point.ErrKey)
	}
	_, answer, err := askAll(ctx, t, values)
	if err != nil {
		return reply{}, err
	}
	defer answer.Release()
	return replyMany(&answer)
}
