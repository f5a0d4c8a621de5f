// Package serving runs one HTTP service of the calculator from its start to a shutdown that loses no request;
// it must not know what the service does.
package serving

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
)

// Settings say how a service runs.
type Settings struct {
	Service  string        // "frontend" or "backend"
	Addr     string        // where it listens; default ":8080"
	Drain    time.Duration // how long it goes on serving after SIGTERM, while the endpoints propagate; default 5 s
	Grace    time.Duration // how long requests in flight may take after that; default 20 s
	Identity *api.Identity // nil: the service does not tell its version
}

// FromEnv reads the settings; problems stay in the reader. The host name is the pod's name in Kubernetes.
func FromEnv(service, hostname string, r *env.Reader) Settings {
	s := Settings{
		Service: service,
		Addr:    r.Text("LISTEN", ":8080"),
		Drain:   r.Duration("DRAIN_DELAY", 5*time.Second),
		Grace:   r.Duration("SHUTDOWN_GRACE", 20*time.Second),
	}
	if r.Bool("SAY_VERSION", true) {
		s.Identity = &api.Identity{
			Version: r.Text("VERSION", "dev"),
			Slot:    r.Text("SLOT", "local"),
			Pod:     hostname,
		}
	}
	return s
}

// Server serves business handlers beside the probes.
type Server struct {
	Settings   Settings
	NeverReady bool                                 // readiness stays false
	After      func(time.Duration) <-chan time.Time // time.After but in tests
	Log        *slog.Logger
	stopping   atomic.Bool
}

// Ping is the body of /ping.
type Ping struct {
	Service string `json:"service"`
	*api.Identity
}

// Handler puts /healthz, /readyz and /ping beside the business handler, which gets everything else.
func (s *Server) Handler(business http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		api.Write(w, http.StatusOK, Ping{Service: s.Settings.Service, Identity: s.Settings.Identity})
	})
	mux.Handle("/", business)
	return s.headers(mux)
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.stopping.Load():
		http.Error(w, "not ready: shutting down", http.StatusServiceUnavailable)
	case s.NeverReady:
		http.Error(w, "not ready: on purpose (neverReady)", http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// headers names the copy that answers. While shutting down it also sends the callers' kept connections elsewhere, one answer
// at a time: a connection closed after its answer cannot cross a request on its way, as closing idle ones could.
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := s.Settings.Identity; id != nil {
			w.Header().Set("X-Calculator-Version", id.Version)
			w.Header().Set("X-Calculator-Slot", id.Slot)
		}
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Run listens and serves until ctx ends and the shutdown is complete.
func (s *Server) Run(ctx context.Context, business http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Settings.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s (environment variable LISTEN): %w", s.Settings.Addr, err)
	}
	return s.Serve(ctx, listener, business)
}

// Serve serves on the listener until ctx ends; then it turns unready, goes on serving for Drain, and waits up to Grace for the
// requests in flight. It returns nil if none was cut off.
func (s *Server) Serve(ctx context.Context, listener net.Listener, business http.Handler) error {
	server := &http.Server{
		Handler:           s.Handler(business),
		ReadHeaderTimeout: 5 * time.Second,
		// Longer than callers keep idle connections (ingress controllers: 60 to 90 s), so that this side never closes first.
		IdleTimeout: 2 * time.Minute,
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	s.Log.Info("serving", "address", listener.Addr().String())

	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.Log.Info("shutting down: not ready any more, still serving", "drain", s.Settings.Drain.String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s while draining: %w", listener.Addr(), err)
	case <-s.After(s.Settings.Drain):
	}

	// The context that ended is what started this, so waiting for the requests in flight needs one that has not.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Settings.Grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return fmt.Errorf("wait %s for requests in flight (environment variable SHUTDOWN_GRACE): %w", s.Settings.Grace, err)
	}
	s.Log.Info("stopped, no request cut off")
	return nil
}
