package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// An answer to a request with an idempotency key is kept this long, and clients are told so.
const (
	answerLifetime    = 30 * time.Minute
	answerLifetimeISO = "PT30M"
)

const idempotencyHeader = "Idempotency-Key"

// run serves one request, and a repeated one by its answer.
func (h *Handler) run(found route, x *exchange) (reply, error) {
	key := x.request.Header.Get(idempotencyHeader)
	if key == "" || !found.writes {
		return found.serve(x)
	}
	if parsed, err := uuid.Parse(key); err != nil || parsed.Version() != 7 {
		return reply{}, refused("%s %q is not a UUID of version 7", idempotencyHeader, key)
	}
	pending := Answer{Key: key, Request: digest(x), Status: http.StatusOK, Expires: x.now.Add(answerLifetime)}
	answer, err := h.replay(found, x, pending)
	if !isNotFound(err) {
		return answer, err
	}
	store := x.writes.store
	x.writes = x.writes.withStore(&answeringStore{Store: store, record: RecordAnswer{pending, x.now}})
	answer, err = found.serve(x)
	switch {
	case errors.Is(err, ErrAnswered):
		return h.replay(found, x, pending)
	case err != nil:
		return h.recordFailure(found, x, pending, err)
	}
	return answer, nil
}

// errNoAnswer leads to the request being served; it never leaves this file.
var errNoAnswer = notFound("answer", nil)

// replay answers from what is kept, or says that nothing is.
func (h *Handler) replay(found route, x *exchange, pending Answer) (reply, error) {
	kept, err := x.warehouse.Writes.store.Answer(x.ctx(), pending.Key)
	switch {
	case isNotFound(err) || err == nil && kept.Expires.Before(x.now):
		return reply{}, errNoAnswer
	case err != nil:
		return reply{}, unchanged("look up the idempotency key", err)
	case kept.Request != pending.Request:
		return reply{}, &protocolError{http.StatusUnprocessableEntity, "BadRequestException",
			"the idempotency key was used for another request"}
	case kept.Status >= http.StatusBadRequest:
		return failureReply(kept.Status, kept.ErrorType, kept.Message), nil
	case found.replay == nil:
		return noContent, nil
	}
	answer, err := found.replay(x)
	if isNotFound(err) {
		return reply{}, &protocolError{http.StatusNotFound, "NoSuchTableException",
			"the request succeeded before, and what it made is gone since"}
	}
	return answer, err
}

// recordFailure keeps an answer that every repetition would get too.
func (h *Handler) recordFailure(found route, x *exchange, pending Answer, err error) (reply, error) {
	store := x.warehouse.Writes.store
	status, errorType := classify(err)
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity:
	default:
		return reply{}, err
	}
	pending.Status, pending.ErrorType, pending.Message = status, errorType, message(err)
	keptErr := store.Apply(x.ctx(), RecordAnswer{pending, x.now})
	if errors.Is(keptErr, ErrAnswered) {
		// The same request ran at the same time and was first: this one failed because of it.
		return h.replay(found, x, pending)
	}
	if keptErr != nil {
		// The request is answered all the same: a repetition finds out for itself.
		h.opts.Logger.WarnContext(x.ctx(), "answer not kept", "err", keptErr)
	}
	return reply{}, err
}

// digest tells one request from another under the same key.
func digest(x *exchange) string {
	sum := sha256.New()
	for _, part := range []string{x.request.Method, x.request.URL.EscapedPath(), x.request.URL.RawQuery} {
		sum.Write([]byte(part + "\n"))
	}
	sum.Write(x.body)
	return hex.EncodeToString(sum.Sum(nil))
}

// answeringStore adds the answer to the change that it is the answer to, so that both happen or none.
type answeringStore struct {
	Store
	record RecordAnswer
}

func (s *answeringStore) Apply(ctx context.Context, ops ...Op) error {
	return s.Store.Apply(ctx, append(ops, s.record)...)
}
