package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// protocolError is a failure of the request itself, before any catalog is asked.
type protocolError struct {
	status    int
	errorType string
	text      string
}

func (e *protocolError) Error() string { return e.text }

var (
	errNoRoute = &protocolError{http.StatusNotFound, "NoSuchEndpointException",
		"no such endpoint: see GET /v1/config for what there is"}
	errMethod = &protocolError{http.StatusMethodNotAllowed, "UnsupportedOperationException",
		"this endpoint does not support the method"}
	errNoToken = &protocolError{http.StatusUnauthorized, "NotAuthorizedException",
		"missing or wrong token: send Authorization: Bearer <token>"}
	errReadOnlyToken = &protocolError{http.StatusForbidden, "ForbiddenException",
		"the token allows reading only"}
)

func errNoWarehouse(name string) error {
	return &protocolError{http.StatusNotFound, "NoSuchWarehouseException", "warehouse does not exist: " + name}
}

func errReadOnlyWarehouse(name string) error {
	return &protocolError{http.StatusForbidden, "ForbiddenException",
		"warehouse " + name + " is read-only: write to another one"}
}

func errBody(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &protocolError{http.StatusRequestEntityTooLarge, "BadRequestException",
			fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit)}
	}
	return refused("read the request: %v", err)
}

type errorBody struct {
	Error errorModel `json:"error"`
}

type errorModel struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    int    `json:"code"`
}

func (h *Handler) failure(r *http.Request, err error) reply {
	status, errorType := classify(err)
	if status >= http.StatusInternalServerError {
		h.opts.Logger.ErrorContext(r.Context(), "catalog request failed",
			"method", r.Method, "path", r.URL.EscapedPath(), "status", status, "err", err)
	}
	return failureReply(status, errorType, message(err))
}

func failureReply(status int, errorType, message string) reply {
	return reply{status: status, body: errorBody{errorModel{Message: message, Type: errorType, Code: status}}}
}

// message is the text for clients: the Error without the acts around it, as the protocol's own
// messages begin with what is wrong.
func message(err error) string {
	text := err.Error()
	var known *Error
	if errors.As(err, &known) {
		text = known.Error()
	}
	return titled(text)
}

// classify maps an error to a status and the protocol's name for it. A commit that is known to have
// failed carries a sentinel that maps to 4xx; 5xx leaves the outcome open.
func classify(err error) (status int, errorType string) {
	var protocol *protocolError
	var known *Error
	object := ObjectTable
	if errors.As(err, &known) {
		object = known.Object
	}
	switch {
	case errors.As(err, &protocol):
		return protocol.status, protocol.errorType
	case errors.Is(err, table.ErrStateUnknown):
		return http.StatusInternalServerError, "CommitStateUnknownException"
	case errors.Is(err, ErrNotEmpty):
		return http.StatusConflict, "NamespaceNotEmptyException"
	case errors.Is(err, table.ErrExists):
		return http.StatusConflict, "AlreadyExistsException"
	case errors.Is(err, table.ErrNotFound):
		return http.StatusNotFound, missing[object]
	case errors.Is(err, objstore.ErrPermission) && errors.Is(err, table.ErrRefused):
		return http.StatusForbidden, "ForbiddenException"
	case errors.Is(err, table.ErrConflict):
		return http.StatusConflict, "CommitFailedException"
	case errors.Is(err, table.ErrRefused) && object == ObjectView:
		return http.StatusBadRequest, "IllegalArgumentException"
	case errors.Is(err, table.ErrRefused):
		return http.StatusBadRequest, "BadRequestException"
	case errors.Is(err, objstore.ErrNotFound):
		return http.StatusNotFound, "NotFoundException"
	}
	return http.StatusInternalServerError, "InternalServerError"
}

var missing = map[Object]string{
	ObjectNamespace: "NoSuchNamespaceException",
	ObjectTable:     "NoSuchTableException",
	ObjectView:      "NoSuchViewException",
	"":              "NoSuchTableException",
}

func writeReply(w http.ResponseWriter, r *http.Request, answer reply) {
	header := w.Header()
	header.Set("Cache-Control", "no-store, private")
	header.Set("X-Content-Type-Options", "nosniff")
	if answer.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	if answer.etag != "" {
		header["ETag"] = []string{answer.etag} // as RFC 9110 spells it: Java clients do not find Etag
	}
	raw := answer.raw
	if answer.body != nil {
		encoded, err := json.Marshal(answer.body)
		if err != nil {
			panic(fmt.Sprintf("BUG: encode a reply: %v", err))
		}
		raw = encoded
	}
	if raw == nil {
		w.WriteHeader(answer.status)
		return
	}
	header.Set("Content-Type", "application/json")
	w.WriteHeader(answer.status)
	if r.Method != http.MethodHead {
		// The client is gone when this fails; the outcome stands.
		_, _ = w.Write(raw)
	}
}
