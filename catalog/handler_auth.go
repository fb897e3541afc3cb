package catalog

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// guard decides what a bearer token allows.
type guard struct {
	open        bool
	hasRead     bool
	read, write [sha256.Size]byte
}

// rights is what a request may do; every request that gets this far may read.
type rights struct{ write bool }

func newGuard(readToken, writeToken string) guard {
	return guard{
		open: readToken == "" && writeToken == "", hasRead: readToken != "",
		read: sha256.Sum256([]byte(readToken)), write: sha256.Sum256([]byte(writeToken)),
	}
}

func (g guard) rights(r *http.Request) (rights, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		token = ""
	}
	return g.allow(strings.TrimSpace(token))
}

// allow compares digests, so that the time it takes tells nothing about the tokens.
func (g guard) allow(token string) (rights, error) {
	if g.open {
		return rights{write: true}, nil
	}
	digest := sha256.Sum256([]byte(token))
	mayWrite := subtle.ConstantTimeCompare(digest[:], g.write[:]) == 1
	mayRead := subtle.ConstantTimeCompare(digest[:], g.read[:]) == 1 && g.hasRead
	if token == "" || !mayWrite && !mayRead {
		return rights{}, errNoToken
	}
	return rights{write: mayWrite}, nil
}

// Guard lets requests through to next that may read, and answers others as the handler does.
func (h *Handler) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.guard.rights(r); err != nil {
			writeReply(w, r, h.failure(r, err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// exchangeToken serves clients that know OAuth2 client credentials only: the client secret is one of
// the tokens, and comes back as the access token.
func (h *Handler) exchangeToken(w http.ResponseWriter, r *http.Request) (reply, error) {
	if r.Method != http.MethodPost {
		return reply{}, errMethod
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return reply{}, errBody(err)
	}
	if grant := r.PostForm.Get("grant_type"); grant != "client_credentials" {
		return oauthFailure(http.StatusBadRequest, "unsupported_grant_type"), nil
	}
	secret := r.PostForm.Get("client_secret")
	if _, password, ok := r.BasicAuth(); ok {
		secret = password
	}
	if _, err := h.guard.allow(secret); err != nil {
		return oauthFailure(http.StatusUnauthorized, "invalid_client"), nil //nolint:nilerr // the reply is the error
	}
	return reply{status: http.StatusOK, body: map[string]any{
		"access_token": secret, "token_type": "bearer", "expires_in": 3600,
		"issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
	}}, nil
}

func oauthFailure(status int, code string) reply {
	return reply{status: status, body: map[string]string{"error": code}}
}
