package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/chaos"
	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
	"github.com/sluice-dev/sluice/examples/calculator/internal/serving"
)

const good = `{"number":221,"factors":[13,17],"backend":{"version":"1.0.0","slot":"blue"}}`

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// frontend is the whole handler as the program makes it.
func frontend(t *testing.T, vars map[string]string, identity *api.Identity) http.Handler {
	t.Helper()
	reader := env.NewReader(func(name string) string { return vars[name] })
	handler := newHandler(serving.Context{
		Env:      reader,
		Faults:   &chaos.Injector{Faults: chaos.FromEnv(reader), Random: func() float64 { return 0 }},
		Identity: identity,
		Log:      slog.New(slog.DiscardHandler),
	})
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	return handler
}

func TestCalculate(t *testing.T) {
	refused := httptest.NewServer(nil)
	refused.Close()
	for _, tt := range []struct {
		name    string
		backend http.HandlerFunc // nil: nobody listens
		vars    map[string]string
		query   string
		status  int
		body    string // exact where it begins with "{", else a part
	}{
		{name: "good", backend: answering(200, good), query: "number=221", status: 200,
			body: `{"number":221,"factors":[13,17],"frontend":{"version":"2.0.0","slot":"green"},"backend":{"version":"1.0.0","slot":"blue"}}` + "\n"},
		{name: "number missing", backend: answering(200, good), status: 400, body: "is missing"},
		{name: "not a number", backend: answering(200, good), query: "number=x", status: 400, body: "whole number"},
		{name: "back end fails", backend: answering(500, `{}`), query: "number=221", status: 502, body: "answered 500"},
		{name: "back end refuses", backend: answering(400, `{}`), query: "number=221", status: 502, body: "answered 400"},
		{name: "back end talks nonsense", backend: answering(200, `<html>`), query: "number=221", status: 502, body: "not JSON"},
		{name: "answer to another question", backend: answering(200, `{"number":4}`), query: "number=221", status: 502, body: "answered for 4"},
		{name: "nobody listens", query: "number=221", status: 502, body: "refused"},
		{name: "back end hangs", backend: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			vars: map[string]string{"BACKEND_TIMEOUT": "20ms"}, query: "number=221", status: 504, body: "within 20ms"},
		{name: "the token is shown", backend: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			answering(200, good)(w, r)
		}, vars: map[string]string{"BACKEND_TOKEN": "secret"}, query: "number=221", status: 200, body: "[13,17]"},
		{name: "failing on purpose", backend: answering(200, good), vars: map[string]string{"FAULT_FAILURE_RATE": "1"},
			query: "number=221", status: 500, body: "on purpose"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vars := map[string]string{"BACKEND_URL": refused.URL}
			for name, value := range tt.vars {
				vars[name] = value
			}
			if tt.backend != nil {
				backend := httptest.NewServer(tt.backend)
				defer backend.Close()
				vars["BACKEND_URL"] = backend.URL
			}
			rec := httptest.NewRecorder()
			frontend(t, vars, &api.Identity{Version: "2.0.0", Slot: "green"}).
				ServeHTTP(rec, httptest.NewRequest("GET", "/api/calculate?"+tt.query, nil))
			got := rec.Body.String()
			ok := got == tt.body || tt.body[0] != '{' && strings.Contains(got, tt.body)
			if rec.Code != tt.status || !ok {
				t.Errorf("%d %s; want %d %s", rec.Code, got, tt.status, tt.body)
			}
			if tt.status != 200 && !strings.HasPrefix(got, `{"error":"`) {
				t.Errorf("the error is not a JSON document: %s", got)
			}
		})
	}
}

func TestQuietAnswerSaysNothingOfItself(t *testing.T) {
	backend := httptest.NewServer(answering(200, `{"number":221,"factors":[13,17]}`))
	defer backend.Close()
	handler := frontend(t, map[string]string{"BACKEND_URL": backend.URL}, nil)
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest("GET", "/api/calculate?number=221", nil))
	if got, want := rec.Body.String(), "{\"number\":221,\"factors\":[13,17]}\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	rec = httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if strings.Contains(rec.Body.String(), "page of") {
		t.Error("the page tells its version")
	}
}

// TestLostConnection has a back end that hangs up on its first questions: one is forgiven, two are not.
func TestLostConnection(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hangUp int32
		when   func(net.Conn)
		status int
		asked  int32
	}{
		{"before the answer", 1, func(c net.Conn) {}, 200, 2},
		{"within the answer", 1, func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{") }, 200, 2},
		{"twice", 2, func(c net.Conn) {}, 502, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) > tt.hangUp {
					answering(200, good)(w, r)
					return
				}
				connection, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				tt.when(connection)
				connection.Close()
			}))
			defer backend.Close()
			rec := httptest.NewRecorder()
			frontend(t, map[string]string{"BACKEND_URL": backend.URL}, nil).
				ServeHTTP(rec, httptest.NewRequest("GET", "/api/calculate?number=221", nil))
			if rec.Code != tt.status || asked.Load() != tt.asked {
				t.Errorf("status %d after %d questions, want %d after %d: %s", rec.Code, asked.Load(), tt.status, tt.asked, rec.Body)
			}
		})
	}
}

func TestFailedAnswerIsNotAskedAgain(t *testing.T) {
	var asked atomic.Int32
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(500)
	}))
	defer backend.Close()
	frontend(t, map[string]string{"BACKEND_URL": backend.URL}, nil).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/calculate?number=221", nil))
	if asked.Load() != 1 {
		t.Errorf("asked %d times, want 1: a retry would hide a failing back end", asked.Load())
	}
}

func TestPage(t *testing.T) {
	handler := frontend(t, nil, &api.Identity{Version: "<2.0.0>", Slot: "green"})
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	page := rec.Body.String()
	if rec.Code != 200 || !strings.Contains(page, "page of &lt;2.0.0&gt;, slot green") {
		t.Errorf("status %d; the page lacks its escaped version:\n%s", rec.Code, page)
	}
	nonces := regexp.MustCompile(`<(?:style|script) nonce="(\w+)">`).FindAllStringSubmatch(page, -1)
	policy := rec.Header().Get("Content-Security-Policy")
	if len(nonces) != 2 {
		t.Fatalf("found %d style and script elements with a nonce, want 2", len(nonces))
	}
	for _, nonce := range nonces {
		if !strings.Contains(policy, "'nonce-"+nonce[1]+"'") {
			t.Errorf("the policy %q forbids the page's own element with nonce %s", policy, nonce[1])
		}
	}
	rec = httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest("GET", "/absent", nil))
	if rec.Code != 404 {
		t.Errorf("an unknown path gave %d, want 404", rec.Code)
	}
}

func TestBadBackendURLStopsTheStart(t *testing.T) {
	reader := env.NewReader(func(name string) string {
		return map[string]string{"BACKEND_URL": "backend:80"}[name]
	})
	newHandler(serving.Context{Env: reader, Faults: &chaos.Injector{}})
	if err := reader.Err(); err == nil || !strings.Contains(err.Error(), "BACKEND_URL") {
		t.Errorf("error %v, want one that names BACKEND_URL", err)
	}
}
