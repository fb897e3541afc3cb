package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/firthlake/firth/serve/lookup"
)

// Bounds of the HTTP servers.
const (
	headerTimeout   = 10 * time.Second
	shutdownTimeout = 5 * time.Second
)

// server is one HTTP listener.
type server struct {
	listener net.Listener
	http     *http.Server
}

// listen opens an address. Serving begins with serve.
func listen(ctx context.Context, address string, handler http.Handler) (*server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return &server{listener: listener, http: &http.Server{Handler: handler,
		ReadHeaderTimeout: headerTimeout}}, nil
}

// url is where the server can be reached.
func (s *server) url() string { return "http://" + s.listener.Addr().String() }

// serve answers until ctx ends, then finishes what is under way.
func (s *server) serve(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.http.Serve(s.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(last)
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// adminHandler answers health checks, metrics, what the service is doing, and look-ups unless rows is nil.
func (s *service) adminHandler(registry *prometheus.Registry, rows http.Handler) http.Handler {
	mux := http.NewServeMux()
	if rows != nil {
		mux.Handle(lookup.Pattern, rows)
		mux.Handle(lookup.Pattern+"/", rows)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.healthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /tables", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(s.tables()); err != nil {
			s.log.Log(context.Background(), slog.LevelDebug, "answer /tables", "err", err)
		}
	})
	if s.doors != nil {
		mux.Handle("GET /doors", s.doors)
	}
	mux.HandleFunc("POST /apply", s.takeLook)
	return mux
}

// answer says ok, or what is wrong.
func (s *service) answer(w http.ResponseWriter, fault error) {
	if fault != nil {
		http.Error(w, fault.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
