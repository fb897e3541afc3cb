package peers

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

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
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !mayAsk(p.opts.Tokens, r) {
			http.Error(w, "this needs one of the catalog's tokens", http.StatusUnauthorized)
			return
		}
		query := r.URL.Query()
		id, err := uuid.Parse(query.Get("table"))
		if err != nil || r.Method != http.MethodGet {
			http.Error(w, "ask by GET, for a table by its UUID", http.StatusBadRequest)
			return
		}
		index := p.opts.Tails.Find(id)
		if index == nil || !index.Tells() {
			http.Error(w, "this process has nothing of the table that others can show", http.StatusNotFound)
			return
		}
		index.FollowThere(p.opts.Now().Add(followFor))
		after, err := strconv.ParseUint(query.Get("after"), 10, 64)
		out, err := encode(p.opts.Name, index.Tell(), func(number uint64) bool { return err == nil && number <= after })
		if err != nil {
			p.opts.Log.WarnContext(r.Context(), "tell another process of the tail", "table_uuid", id, "err", err)
			http.Error(w, "the tail cannot be told", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			p.opts.Log.Log(r.Context(), slog.LevelDebug, "answer another process", "err", err)
		}
	})
}

// mayAsk says that a request shows one of the tokens, or that there are none.
func mayAsk(tokens []string, r *http.Request) bool {
	shown := sha256.Sum256([]byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
	may := len(tokens) == 0
	for _, token := range tokens {
		want := sha256.Sum256([]byte(token))
		may = may || subtle.ConstantTimeCompare(shown[:], want[:]) == 1
	}
	return may
}
