package main

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/serve/peers"
)

// newPeers are the other processes on the catalog's tables; nil where the catalog is not firth's own. They are to be
// run.
func (s *service) newPeers(p *program) (*peers.Peers, error) {
	l := s.feeder.lake
	if l.embedded == nil {
		return nil, nil
	}
	return peers.New(peers.Options{Name: s.name, Tails: s.feeder.tails, Registry: l.embedded, Tokens: l.config.tokens(),
		Now: p.now, Log: s.log})
}

// tokens are those of the catalog's clients.
func (c config) tokens() (all []string) {
	for _, token := range []string{string(c.Tokens.Read), string(c.Tokens.Write)} {
		if token != "" {
			all = append(all, token)
		}
	}
	return all
}

// tellHandler tells the other processes; nil where there is nothing to tell.
func (s *service) tellHandler() http.Handler {
	if s.peers == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle(peers.Path, s.peers.Handler())
	mux.Handle(peers.HiddenPath, s.peers.HiddenHandler())
	mux.Handle(peers.RowsPath, s.rows.Handler())
	return mux
}

// brokers are those of all clusters.
func (c config) brokers() (all []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		all = append(all, c.Clusters[name].Brokers...)
	}
	return all
}

// withPeers puts what others ask before a listener's own paths.
func withPeers(tell, rest http.Handler) http.Handler {
	if tell == nil {
		return rest
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains([]string{peers.Path, peers.HiddenPath, peers.RowsPath}, r.URL.Path) {
			tell.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// reachable is the URL of a listener for other machines: one that is on all addresses of this one is at that from
// which the brokers are reached. Nothing is sent to find it.
func reachable(ctx context.Context, listening string, brokers []string) string {
	at, err := url.Parse(listening)
	if err != nil {
		return listening
	}
	ip := net.ParseIP(at.Hostname())
	if ip == nil || !ip.IsUnspecified() || len(brokers) == 0 {
		return listening
	}
	var dialer net.Dialer
	route, err := dialer.DialContext(ctx, "udp", brokers[0])
	if err != nil {
		return listening
	}
	defer func() { _ = route.Close() }() // nothing was sent
	if local, ok := route.LocalAddr().(*net.UDPAddr); ok {
		at.Host = net.JoinHostPort(local.IP.String(), at.Port())
	}
	return at.String()
}

// rulesOf tells specs apart by which records become other rows.
func rulesOf(s *spec.Spec) string {
	text, err := json.Marshal([]any{s.Schema, s.Sources, s.Evolution, s.DeadLetters, s.Metadata, s.Identifier})
	if err != nil {
		panic("BUG: encode a spec: " + err.Error())
	}
	return digest(string(text))
}
