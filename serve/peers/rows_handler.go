package peers

import (
	"context"
	"io"
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
	return answering(r.opts.Tokens, r.opts.Log, func(request *http.Request) (any, *refusal) {
		query := request.URL.Query()
		ident, err := table.ParseIdent(query.Get("table"))
		number, numberErr := strconv.ParseInt(query.Get("number"), 10, 64)
		if err != nil || numberErr != nil || request.Method != http.MethodPost {
			return nil, &refusal{http.StatusBadRequest, "ask by POST, for a table by its name"}
		}
		ctx, cancel := context.WithTimeout(request.Context(), rowsTimeout)
		defer cancel()
		out, err := r.tell(ctx, ident, number, request.Body)
		if err != nil {
			fault := lookup.FaultOf(table.FormatIdent(ident), err)
			if fault.Status == http.StatusMisdirectedRequest {
				fault.Status = http.StatusNotFound
			}
			return nil, &refusal{fault.Status, fault.Text}
		}
		return out, nil
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
