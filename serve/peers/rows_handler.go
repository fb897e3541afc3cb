package peers

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/table"
)

// RowsPath is where a process tells of rows that it has read.
const RowsPath = "/v1/peers/rows"

// Handler tells other processes of rows that this one has. It answers
//
//	POST /v1/peers/rows?table={namespace.table}&number={of a committed state}
//
// to keys as an Arrow IPC stream, a batch each, and asks nobody else.
func (r *Rows) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if !mayAsk(r.opts.Tokens, request) {
			http.Error(w, "this needs one of the catalog's tokens", http.StatusUnauthorized)
			return
		}
		query := request.URL.Query()
		ident, err := table.ParseIdent(query.Get("table"))
		number, numberErr := strconv.ParseInt(query.Get("number"), 10, 64)
		if err != nil || numberErr != nil || request.Method != http.MethodPost {
			http.Error(w, "ask by POST, for a table by its name", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(request.Context(), rowsTimeout)
		defer cancel()
		out, err := r.tell(ctx, ident, number, request.Body)
		if err != nil {
			fault := lookup.FaultOf(table.FormatIdent(ident), err)
			if fault.Status == http.StatusMisdirectedRequest {
				fault.Status = http.StatusNotFound
			}
			http.Error(w, fault.Text, fault.Status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			r.opts.Log.Log(ctx, slog.LevelDebug, "answer another process", "err", err)
		}
	})
}

// tell makes the part of this process.
func (r *Rows) tell(ctx context.Context, ident table.Ident, number int64, body io.Reader) (part, error) {
	ingests, reads := r.opts.Local.Reads(ident)
	switch {
	case !ingests:
		return part{}, lookup.ErrElsewhere
	case !reads:
		return part{Process: r.opts.Name, Idle: true}, nil
	}
	stream, err := io.ReadAll(io.LimitReader(body, keyBytesMax))
	if err != nil {
		return part{}, err
	}
	keys, err := decodeBatches(stream)
	defer func() {
		for _, key := range keys {
			key.Release()
		}
	}()
	if err != nil {
		return part{}, err
	}
	p, err := r.opts.Local.Part(ctx, ident, keys, number)
	if err != nil {
		return part{}, err
	}
	defer p.Release()
	return encodePart(r.opts.Name, &p)
}
