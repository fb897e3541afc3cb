package stream

import (
	"bufio"
	"context"
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
	err = send(r.Context(), sub, out)
	if err != nil && r.Context().Err() == nil && !errors.Is(err, errWrite) {
		h.streams.opts.Log.Info("a stream has ended", "table", sub.followed.name, "err", err)
		out.fail(err)
	}
}

// begin opens the stream that a request asks for.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) (*Subscription, *sender, error) {
	if r.Method != http.MethodGet {
		return nil, nil, &requestError{http.StatusMethodNotAllowed, "a stream is read: use GET"}
	}
	request, err := parseRequest(r)
	if err != nil {
		return nil, nil, err
	}
	out, err := newSender(w, r, h.streams.opts.Now)
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
	from := query.Get("from")
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		from = id // a browser connects again with the address that it had
	}
	if out.From, err = ParseFrom(from); err != nil {
		return out, err
	}
	if text := query.Get("filter"); text != "" {
		if out.Filter, err = filter.Parse(text); err != nil {
			return out, err
		}
	}
	if text := query.Get("columns"); text != "" {
		out.Columns = strings.Split(text, ",")
	}
	switch rows := query.Get("rows"); rows {
	case "", "fresh":
	case "committed":
		out.Rows = RowsCommitted
	default:
		return out, badRequest("rows=%.40q is neither fresh nor committed", rows)
	}
	return out, nil
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

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
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
	case errors.Is(err, ErrGone), errors.Is(err, ErrExpired), errors.Is(err, ErrReplaced),
		errors.Is(err, ErrIdentifier):
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
	status := statusOf(err)
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"message": err.Error(), "code": status,
		"type": strings.ReplaceAll(http.StatusText(status), " ", "") + "Exception"}}) // texts and numbers only
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone when this fails
}

// errWrite says that the client is gone, or reads nothing.
var errWrite = errors.New("client does not read")

// send sends the rows of a stream until the client has enough.
func send(ctx context.Context, sub *Subscription, out *sender) error {
	if err := out.begin(sub); err != nil {
		return err
	}
	for rows, err := range sub.portions(ctx) {
		if err == nil {
			err = out.take(rows, sub.Token())
		}
		if errors.Is(err, errSchema) {
			return out.flush() // the client goes on with its token, and gets the new columns
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sender writes a format to a client.
type sender struct {
	w       http.ResponseWriter
	now     func() time.Time
	control *http.ResponseController
	buffer  *bufio.Writer
	format  format
	kind    string
	token   string    // that was sent last
	sent    time.Time // when
}

// newSender chooses the format by what the client accepts.
func newSender(w http.ResponseWriter, r *http.Request, now func() time.Time) (*sender, error) {
	out := &sender{w: w, now: now, control: http.NewResponseController(w)}
	out.buffer = bufio.NewWriterSize(writer{out}, bufferBytes)
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		kind, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		if out.format = newFormat(kind, out.buffer); out.format != nil {
			out.kind = out.format.kind()
			return out, nil
		}
	}
	return nil, &requestError{http.StatusNotAcceptable, "there are " + strings.Join(kinds(), ", ")}
}

// begin sends the header, so that the client knows that it is let in.
func (s *sender) begin(sub *Subscription) error {
	if batches, is := s.format.(*arrowStream); is {
		schema, err := sub.Schema()
		if err != nil {
			return err
		}
		batches.open(schema)
	}
	s.w.Header().Set("Content-Type", s.kind)
	s.w.Header().Set("Cache-Control", "no-store")
	s.w.Header().Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	return s.take(nil, sub.Token())
}

// take sends rows, or a token alone when it is another or the client has not heard anything for long.
func (s *sender) take(rows *portion, token string) error {
	var err error
	now := s.now()
	switch {
	case rows != nil:
		body, schema, broken := rows.encoded(s.format, token)
		if broken != nil {
			return broken
		}
		err = s.format.rows(body, schema, token)
	case token != s.token || now.Sub(s.sent) >= quietMax/2:
		err = s.format.quiet(token)
	default:
		return nil
	}
	if errors.Is(err, errSchema) {
		return err
	}
	if s.token, s.sent = token, now; err == nil {
		err = s.flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

func (s *sender) flush() error {
	if err := s.buffer.Flush(); err != nil {
		return err
	}
	return s.control.Flush()
}

// fail ends the stream with an error.
func (s *sender) fail(err error) {
	if s.format.fail(err) == nil {
		_ = s.flush() // the client is gone when this fails
		return
	}
	// The end of the answer cannot be written any more, so the client does not take it for one.
	_ = s.control.SetWriteDeadline(s.now().Add(-time.Second))
}

// hurry ends a write that waits for the client.
func (s *sender) hurry() { _ = s.control.SetWriteDeadline(s.now().Add(hurryWait)) } // the server ends anyway

// writer gives a client time for each write.
type writer struct{ *sender }

func (w writer) Write(b []byte) (int, error) {
	err := w.control.SetWriteDeadline(w.now().Add(writeWait))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return w.w.Write(b)
}
