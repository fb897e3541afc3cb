package stream

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// Bounds of streams over HTTP.
const (
	// writeWait is how long a reader may take for what it was sent: 64 KiB, or one batch.
	writeWait = 30 * time.Second
	// hurryWait is what is left of it when the server stops.
	hurryWait = time.Second
	// bufferBytes is what is gathered before it is sent. Rows are not: they go as they are.
	bufferBytes = 4 << 10
)

// Handler serves streams over HTTP: GET /v1/tables/{namespace}/{table}/stream.
type Handler struct{ streams *Streams }

// NewHandler returns the handler of streams.
func NewHandler(streams *Streams) *Handler { return &Handler{streams} }

// TableOf is the table whose stream a path names, nil when it names none.
func TableOf(path string) table.Ident {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) != 5 || parts[0] != "v1" || parts[1] != "tables" || parts[4] != "stream" {
		return nil
	}
	levels := strings.FieldsFunc(parts[2], func(r rune) bool { return r == '.' || r == '\x1f' })
	return append(levels, parts[3])
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sub, out, err := h.begin(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	defer sub.Close()
	sub.onStop(out.hurry)
	if err = out.begin(sub); err == nil {
		err = out.send(r.Context(), sub)
	}
	if err != nil && r.Context().Err() == nil && !errors.Is(err, errWrite) {
		h.streams.opts.Log.Info("a stream has ended", "table", sub.followed.name, "err", err)
		out.fail(err)
	}
}

// begin opens the stream that a request asks for.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) (*Subscription, *answer, error) {
	if r.Method != http.MethodGet {
		return nil, nil, &requestError{http.StatusMethodNotAllowed, "a stream is read: use GET"}
	}
	request, err := parseRequest(r)
	if err != nil {
		return nil, nil, err
	}
	out, err := newAnswer(w, r, h.streams.opts.Now)
	if err != nil {
		return nil, nil, err
	}
	sub, err := h.streams.Open(r.Context(), TableOf(r.URL.Path), request)
	return sub, out, err
}

// parseRequest reads the parameters of a request.
func parseRequest(r *http.Request) (out Request, err error) {
	known := []string{"from", "filter", "columns", "rows"}
	query := r.URL.Query()
	for name, values := range query {
		if !slices.Contains(known, name) || len(values) > 1 {
			return out, badRequest("parameter %.40q is unknown or given twice: there are %s", name,
				strings.Join(known, ", "))
		}
	}
	asked := Asked{From: query.Get("from"), Filter: query.Get("filter"), Rows: query.Get("rows")}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		asked.From = id // a browser connects again with the address that it had
	}
	if text := query.Get("columns"); text != "" {
		asked.Columns = strings.Split(text, ",")
	}
	return asked.Request()
}

// requestError is one that a client can mend.
type requestError struct {
	status  int
	message string
}

func (e *requestError) Error() string { return e.message }

func badRequest(format string, args ...any) error {
	return &requestError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// StatusOf is the HTTP status of what ends a stream.
func StatusOf(err error) int {
	var request *requestError
	var wrong *filter.Error
	switch {
	case errors.As(err, &request):
		return request.status
	case errors.As(err, &wrong), errors.Is(err, ErrToken), errors.Is(err, ErrUnsupported),
		errors.Is(err, ErrRequest):
		return http.StatusBadRequest
	case errors.Is(err, table.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrGone), errors.Is(err, ErrRolledBack), errors.Is(err, ErrExpired),
		errors.Is(err, ErrReplaced), errors.Is(err, ErrIdentifier):
		return http.StatusGone
	case errors.Is(err, ErrElsewhere):
		return http.StatusMisdirectedRequest
	case errors.Is(err, ErrBusy), errors.Is(err, ErrStopped):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// fail answers with an error, in the form of the catalog's.
func fail(w http.ResponseWriter, err error) {
	status := StatusOf(err)
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"message": err.Error(), "code": status,
		"type": strings.ReplaceAll(http.StatusText(status), " ", "") + "Exception"}}) // texts and numbers only
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone when this fails
}

// answer writes a format to a client.
type answer struct {
	sender
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  *bufio.Writer
}

// newAnswer chooses the format by what the client accepts.
func newAnswer(w http.ResponseWriter, r *http.Request, now func() time.Time) (*answer, error) {
	out := &answer{w: w, control: http.NewResponseController(w)}
	out.now, out.flush = now, out.flushBuffer
	out.buffer = bufio.NewWriterSize(writer{out}, bufferBytes)
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		kind, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		if out.format = newFormat(kind, out.buffer); out.format != nil {
			return out, nil
		}
	}
	return nil, &requestError{http.StatusNotAcceptable, "there are " + strings.Join(kinds(), ", ")}
}

// begin sends the header, so that the client knows that it is let in.
func (a *answer) begin(sub *Subscription) error {
	if batches, is := a.format.(*arrowStream); is {
		schema, err := sub.Schema()
		if err != nil {
			return err
		}
		batches.open(schema)
	}
	a.w.Header().Set("Content-Type", a.format.kind())
	a.w.Header().Set("Cache-Control", "no-store")
	a.w.Header().Set("X-Accel-Buffering", "no")
	a.w.WriteHeader(http.StatusOK)
	return nil
}

// flushBuffer sends what is gathered.
func (a *answer) flushBuffer() error {
	if err := a.buffer.Flush(); err != nil {
		return err
	}
	return a.control.Flush()
}

// fail ends the stream with an error.
func (a *answer) fail(err error) {
	if a.format.fail(err) == nil {
		_ = a.flush() // the client is gone when this fails
		return
	}
	// The end of the answer cannot be written any more, so the client does not take it for one.
	_ = a.control.SetWriteDeadline(a.now().Add(-time.Second))
}

// hurry ends a write that waits for the client.
func (a *answer) hurry() { _ = a.control.SetWriteDeadline(a.now().Add(hurryWait)) } // the server ends anyway

// writer gives a client time for each write.
type writer struct{ *answer }

func (w writer) Write(b []byte) (int, error) {
	err := w.control.SetWriteDeadline(w.now().Add(writeWait))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return w.w.Write(b)
}
