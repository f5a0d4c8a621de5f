//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadInputWritesNothing tries what a newcomer gets wrong: one clear message, the right exit code, and nothing written.
func TestBadInputWritesNothing(t *testing.T) {
	s := newService(t, "input")
	s.must(0)(s.release(nil))
	before := s.everything()
	for _, tt := range []struct {
		name string
		code int
		say  string
		edit func(text string) string
		args []string
	}{
		{"unknown key", 2, "sluice.yaml:", replace("namespace:", "namespaec: x\n    namespace:"), nil},
		{"wrong type", 2, "sluice.yaml:", replace("timeout: 60s", "timeout: [soon]"), nil},
		{"cycle", 2, "cycle", replace("    cluster:", "    after: [test]\n    cluster:"), nil},
		{"unknown environment", 2, "tset", nil, []string{"deploy", "app:1.0.0", "--env", "tset"}},
		{"release does not exist", 2, "9.9.9", nil, []string{"deploy", "app:9.9.9", "--env", "test"}},
		{"missing registry", 8, "registry", replace(s.Registry, "localhost:1"), []string{"build", "--version", "7.0.0"}},
		{"other cluster", 2, "identity", replace("cluster:", "cluster:\n      identity: 00000000-0000-0000-0000-000000000000"), nil},
		{"unreachable API server", 8, "API server", nil, nil},
		{"names collide", 2, "fullname", nil, nil},
		{"StatefulSet in a slot", 2, "StatefulSet", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := s.within(t)
			values := map[string]any{}
			switch tt.name {
			case "names collide":
				values["fixedNames"] = true
			case "StatefulSet in a slot":
				values["statefulset"] = true
			}
			s.configure(values)
			s.version++
			args := tt.args
			file := filepath.Join(s.dir, "sluice.yaml")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if tt.edit != nil {
				edited := tt.edit(string(text))
				if edited == string(text) {
					t.Fatal("the edit changed nothing")
				}
				write(t, file, []byte(edited))
			}
			if args == nil {
				args = []string{"run", "app", "--to", "test", "--version", versionOf(s.version)}
			}
			switch tt.name {
			case "other cluster":
				// Which cluster it is only those know who may read its namespace kube-system.
				args = append(args, "--kubeconfig", s.Kubeconfig)
			case "unreachable API server":
				args = append(args, "--kubeconfig", s.elsewhere())
			}
			code, out := s.run(args...)
			if code != tt.code || !strings.Contains(out, tt.say) {
				t.Errorf("exit %d, want %d and %q:\n%s", code, tt.code, tt.say, out)
			}
			if strings.Contains(out, "panic:") || strings.Contains(out, "goroutine ") {
				t.Errorf("panic:\n%s", out)
			}
		})
	}
	if after := s.everything(); after != before {
		t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
	}
	s.serves("1.0.0")
}

func replace(old, with string) func(string) string {
	return func(text string) string { return strings.Replace(text, old, with, 1) }
}

func versionOf(n int) string { return string(rune('0'+n%10)) + "." + string(rune('0'+n/10)) + ".7" }

// everything lists what is in the namespace, with versions, but for pods' own comings and goings and the lock.
func (s *service) everything() string {
	s.t.Helper()
	return s.kubectl("-n", s.namespace, "get", "deploy,svc,ingress,secret,cm", "-o",
		"jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} {end}")
}

// elsewhere is a kubeconfig of an API server that is not there.
func (s *service) elsewhere() string {
	s.t.Helper()
	kubeconfig := filepath.Join(s.dir, "kubeconfig")
	text, err := os.ReadFile(s.Kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	at := strings.Index(string(text), "server: ")
	end := strings.Index(string(text)[at:], "\n")
	write(s.t, kubeconfig, []byte(string(text)[:at]+"server: https://127.0.0.1:1"+string(text)[at+end:]))
	return kubeconfig
}
