package peers

import (
	"net/http"
	"strconv"

	"github.com/google/uuid"
)

// Path is where a process tells of the tail of a table.
const Path = "/v1/peers/tail"

// Handler tells other processes what this one has read of a table and not committed. It answers
//
//	GET /v1/peers/tail?table={UUID}&after={number}
//
// and takes it for as much that somebody reads the table there.
func (p *Peers) Handler() http.Handler {
	return answering(p.opts.Tokens, p.opts.Log, func(r *http.Request) (any, *refusal) {
		query := r.URL.Query()
		id, err := uuid.Parse(query.Get("table"))
		if err != nil || r.Method != http.MethodGet {
			return nil, &refusal{http.StatusBadRequest, "ask by GET, for a table by its UUID"}
		}
		index := p.opts.Tails.Find(id)
		if index == nil || !index.Tells() {
			return nil, &refusal{http.StatusNotFound, "this process has nothing of the table that others can show"}
		}
		index.FollowThere(p.opts.Now().Add(followFor))
		after, err := strconv.ParseUint(query.Get("after"), 10, 64)
		out, err := encode(p.opts.Name, index.Tell(), func(number uint64) bool { return err == nil && number <= after })
		if err != nil {
			p.opts.Log.WarnContext(r.Context(), "tell another process of the tail", "table_uuid", id, "err", err)
			return nil, &refusal{http.StatusInternalServerError, "the tail cannot be told"}
		}
		return out, nil
	})
}
