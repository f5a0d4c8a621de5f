package serving

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestProgram(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name string
		vars map[string]string
		want int
		log  []string
	}{
		{"stopped", map[string]string{"LISTEN": "127.0.0.1:0", "DRAIN_DELAY": "0"}, ExitDone, []string{"no request cut off"}},
		{"address taken", map[string]string{"LISTEN": taken.Addr().String()}, ExitFailed, []string{taken.Addr().String()}},
		{"all bad settings at once", map[string]string{"DRAIN_DELAY": "soon", "FAULT_MEMORY": "-1", "OWN": "x"}, ExitUsage,
			[]string{"DRAIN_DELAY", "FAULT_MEMORY", "OWN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if tt.want == ExitFailed { // a signal before listening would hide the failure
				ctx = t.Context()
			}
			var log bytes.Buffer
			code := Program{
				Service: "backend",
				Getenv:  func(name string) string { return tt.vars[name] },
				Log:     &log,
				Handler: func(c Context) http.Handler {
					c.Env.Count("OWN", 0)
					return http.NotFoundHandler()
				},
			}.Run(ctx)
			if code != tt.want {
				t.Errorf("exit code %d, want %d\n%s", code, tt.want, &log)
			}
			for _, part := range tt.log {
				if !strings.Contains(log.String(), part) {
					t.Errorf("log lacks %q:\n%s", part, &log)
				}
			}
		})
	}
}
