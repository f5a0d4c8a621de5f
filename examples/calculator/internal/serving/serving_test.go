package serving

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
)

func server(s Settings) *Server {
	return &Server{Settings: s, After: time.After, Log: slog.New(slog.DiscardHandler)}
}

func TestFromEnv(t *testing.T) {
	for _, tt := range []struct {
		name string
		vars map[string]string
		want Settings
	}{
		{"defaults", nil, Settings{
			Service: "backend", Addr: ":8080", Drain: 5 * time.Second, Grace: 20 * time.Second,
			Identity: &api.Identity{Version: "dev", Slot: "local", Pod: "pod-1"},
		}},
		{"all set", map[string]string{
			"LISTEN": ":9", "DRAIN_DELAY": "1s", "SHUTDOWN_GRACE": "2s", "VERSION": "1.2.3", "SLOT": "blue",
		}, Settings{
			Service: "backend", Addr: ":9", Drain: time.Second, Grace: 2 * time.Second,
			Identity: &api.Identity{Version: "1.2.3", Slot: "blue", Pod: "pod-1"},
		}},
		{"quiet", map[string]string{"SAY_VERSION": "false", "VERSION": "1.2.3"}, Settings{
			Service: "backend", Addr: ":8080", Drain: 5 * time.Second, Grace: 20 * time.Second,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := env.NewReader(func(name string) string { return tt.vars[name] })
			if diff := cmp.Diff(tt.want, FromEnv("backend", "pod-1", r)); diff != "" || r.Err() != nil {
				t.Errorf("(-want +got), err %v:\n%s", r.Err(), diff)
			}
		})
	}
}

func TestProbes(t *testing.T) {
	business := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	stopping := server(Settings{})
	stopping.stopping.Store(true)
	never := server(Settings{})
	never.NeverReady = true
	for _, tt := range []struct {
		name   string
		server *Server
		path   string
		want   int
	}{
		{"alive", server(Settings{}), "/healthz", 200},
		{"ready", server(Settings{}), "/readyz", 200},
		{"business", server(Settings{}), "/other", 418},
		{"never ready is alive", never, "/healthz", 200},
		{"never ready", never, "/readyz", 503},
		{"never ready serves", never, "/other", 418},
		{"stopping is alive", stopping, "/healthz", 200},
		{"stopping is not ready", stopping, "/readyz", 503},
		{"stopping serves", stopping, "/other", 418},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			tt.server.Handler(business).ServeHTTP(rec, httptest.NewRequest("GET", tt.path, nil))
			if rec.Code != tt.want {
				t.Errorf("GET %s: %d, want %d", tt.path, rec.Code, tt.want)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	for _, tt := range []struct {
		name     string
		identity *api.Identity
		ping     map[string]any
		header   string
	}{
		{
			"told", &api.Identity{Version: "1.2.3", Slot: "blue", Pod: "p"},
			map[string]any{"service": "frontend", "version": "1.2.3", "slot": "blue", "pod": "p"}, "1.2.3",
		},
		{"kept quiet", nil, map[string]any{"service": "frontend"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			s := server(Settings{Service: "frontend", Identity: tt.identity})
			s.Handler(http.NotFoundHandler()).ServeHTTP(rec, httptest.NewRequest("GET", "/ping", nil))
			var got map[string]any
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatalf("body %q: %v", rec.Body, err)
			}
			if diff := cmp.Diff(tt.ping, got); diff != "" {
				t.Errorf("/ping (-want +got):\n%s", diff)
			}
			_, told := rec.Header()["X-Calculator-Version"]
			if rec.Header().Get("X-Calculator-Version") != tt.header || told != (tt.header != "") {
				t.Errorf("headers %v, want version %q", rec.Header(), tt.header)
			}
		})
	}
}

// running is a server on a free port whose drain delay ends when the test says so.
type running struct {
	url      string
	stop     context.CancelFunc
	drained  chan time.Time
	draining chan struct{} // closed when the drain delay has begun
	done     chan error
}

func run(t *testing.T, grace time.Duration, business http.Handler) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{
		url: "http://" + listener.Addr().String(), stop: stop,
		drained: make(chan time.Time), draining: make(chan struct{}), done: make(chan error, 1),
	}
	s := server(Settings{Drain: time.Hour, Grace: grace})
	s.After = func(time.Duration) <-chan time.Time {
		close(r.draining)
		return r.drained
	}
	go func() { r.done <- s.Serve(ctx, listener, business) }()
	t.Cleanup(stop)
	return r
}

func get(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatalf("read %s: %v", url, err)
	}
	response.Body.Close()
	return response
}

func TestShutdownKeepsServingThenStops(t *testing.T) {
	r := run(t, time.Minute, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	client := &http.Client{Transport: &http.Transport{}}
	if first := get(t, client, r.url); first.Close {
		t.Error("a connection was closed before the shutdown")
	}
	r.stop()
	<-r.draining
	if ready := get(t, client, r.url+"/readyz"); ready.StatusCode != 503 || !ready.Close {
		t.Errorf("draining: readyz %d, close %t; want 503 and the kept connection closed", ready.StatusCode, ready.Close)
	}
	if late := get(t, client, r.url); late.StatusCode != 204 || !late.Close {
		t.Errorf("draining: %d, close %t; want it served, then the connection closed", late.StatusCode, late.Close)
	}
	close(r.drained)
	if err := <-r.done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if response, err := client.Get(r.url); err == nil {
		response.Body.Close()
		t.Error("still serving after the shutdown")
	}
}

func TestShutdownWaitsForRequestsInFlight(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := run(t, time.Minute, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		w.WriteHeader(204)
	}))
	status := make(chan int, 1)
	go func() {
		response, err := http.Get(r.url)
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	<-entered
	r.stop()
	close(r.drained)
	<-r.draining
	// The listener closes first, so a refused connection proves that Shutdown has begun while the request is in flight.
	for {
		connection, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			break
		}
		connection.Close()
	}
	select {
	case err := <-r.done:
		t.Fatalf("stopped with a request in flight: %v", err)
	default:
	}
	close(leave)
	if got := <-status; got != 204 {
		t.Errorf("the request in flight got %d, want 204", got)
	}
	if err := <-r.done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownReportsRequestsCutOff(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := run(t, time.Nanosecond, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-leave
	}))
	defer close(leave)
	go func() {
		if response, err := http.Get(r.url); err == nil {
			response.Body.Close()
		}
	}()
	<-entered
	r.stop()
	close(r.drained)
	if err := <-r.done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown with a stuck request: %v, want a deadline error", err)
	}
}

func TestRunNamesTheAddressItCannotListenOn(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	err = server(Settings{Addr: address}).Run(t.Context(), http.NotFoundHandler())
	if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "LISTEN") {
		t.Errorf("error %v, want one that names %s and LISTEN", err, address)
	}
}
