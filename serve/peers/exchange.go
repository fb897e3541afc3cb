package peers

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// refusalBytesMax are read of a refusal.
const refusalBytesMax = 4 << 10

// refusal is the answer of a process that is there and does not give what it is asked for.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// answering answers other processes with what tell returns, as JSON, or refuses.
func answering(tokens []string, log *slog.Logger, tell func(r *http.Request) (any, *refusal)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !mayAsk(tokens, r) {
			http.Error(w, "this needs one of the catalog's tokens", http.StatusUnauthorized)
			return
		}
		out, refused := tell(r)
		if refused != nil {
			http.Error(w, refused.text, refused.status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			log.DebugContext(r.Context(), "answer another process", "err", err)
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

// asking is how a process asks others.
type asking struct {
	client *http.Client
	tokens []string
	// bytesMax bounds an answer.
	bytesMax int64
}

// ask sends a request and reads the answer into out. What another process does not give is a *refusal.
func (a *asking) ask(request *http.Request, out any) error {
	if len(a.tokens) > 0 {
		request.Header.Set("Authorization", "Bearer "+a.tokens[0])
	}
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() // reading: the decoder's error says it all
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, refusalBytesMax)) // it is a reason, as far as it came
		return &refusal{response.StatusCode, response.Status + ": " + strings.TrimSpace(string(text))}
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, a.bytesMax)).Decode(out); err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	return nil
}
