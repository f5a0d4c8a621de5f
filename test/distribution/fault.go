package distribution

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// Every fails each n-th request.
func Every(n int64, fail http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		var count atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if count.Add(1)%n == 0 {
				fail(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Answer answers with a status and nothing else.
func Answer(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// Reset closes the connection as a proxy does that dies.
func Reset(w http.ResponseWriter, _ *http.Request) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// Full takes a number of requests that write, and then has no space left, which it says with a status and Docker's message.
func Full(writes int64, code int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		var count atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if (r.Method == http.MethodPatch || r.Method == http.MethodPut) && strings.HasPrefix(r.URL.Path, "/v2/") && count.Add(1) > writes {
				refuse(w, code, "UNKNOWN", "write /var/lib/registry/docker/registry/v2: no space left on device")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
