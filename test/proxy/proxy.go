// Package proxy stands on loopback before a server under test and, when it is told to, fails in its place as networks and servers do; it must not be used outside tests.
package proxy

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Proxy passes requests on until it is told otherwise. It is safe for concurrent use.
type Proxy struct {
	// Server is where it listens. It is closed at the end of the test.
	Server *httptest.Server

	mu    sync.Mutex
	seen  []string
	fault func(n int, r *http.Request) http.HandlerFunc
	over  chan struct{}
}

// New stands before next, without encryption.
func New(t testing.TB, next http.Handler) *Proxy {
	p := begin(t, next)
	p.Server.Start()
	return p
}

// NewTLS stands before next with a certificate that Server.Client trusts.
func NewTLS(t testing.TB, next http.Handler) *Proxy {
	p := begin(t, next)
	p.Server.StartTLS()
	return p
}

func begin(t testing.TB, next http.Handler) *Proxy {
	p := &Proxy{over: make(chan struct{})}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := p.see(r); fault != nil {
			fault(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
	p.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections break on purpose
	t.Cleanup(func() {
		close(p.over)
		p.Server.CloseClientConnections()
		p.Server.Close()
	})
	return p
}

func (p *Proxy) see(r *http.Request) http.HandlerFunc {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, r.Method+" "+r.URL.Path)
	if p.fault == nil {
		return nil
	}
	return p.fault(len(p.seen), r)
}

// Fault is asked about every request from now on; the count begins anew with 1. What it returns answers in the server's place; nil lets the request pass.
func (p *Proxy) Fault(fault func(n int, r *http.Request) http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.fault = nil, fault
}

// Always answers every request from now on.
func (p *Proxy) Always(fault http.HandlerFunc) {
	p.Fault(func(int, *http.Request) http.HandlerFunc { return fault })
}

// Seen returns method and path of the requests since the last Fault.
func (p *Proxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// Hang keeps the connection and never answers.
func (p *Proxy) Hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.over:
	}
}

// Answer answers with a status, a body and headers, which are names and values in turn.
func Answer(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		// A client that has gone needs no answer.
		_, _ = io.WriteString(w, body)
	}
}

// Cut answers with less than it announces.
func Cut(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		// That a client does not hear the beginning either is as good.
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		Reset(w, r)
	}
}

// Reset ends the connection without an answer, as a server does that dies.
func Reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
