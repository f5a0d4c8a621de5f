//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// inside tells the test binary that it runs in a network of its own.
const inside = "SLUICE_LOCAL_E2E_INSIDE"

// TestNode brings a node up in a network namespace of its own, so that a node that runs on this machine is neither seen
// nor disturbed, and looks for traces afterwards.
func TestNode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a node needs root; run the test with sudo")
	}
	if os.Getenv(inside) == "" {
		again := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestNode$", "-test.v", "-test.timeout=18m")
		again.Env = append(os.Environ(), inside+"=1")
		again.Stdout, again.Stderr = os.Stdout, os.Stderr
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
		if err := again.Run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		t.Fatal(err)
	}
	// What a node must set, and set back.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	n := newNode(t)
	before := n.traces(t)
	n.up(t, "--name", n.name, "--network", "10.197.0.0/16")
	n.pushServer(t)
	n.apply(t, manifests(n.status(t)["registry"].(string)))
	n.kubectl(t, "wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s")
	t.Run("ingress with a canary", func(t *testing.T) { n.splits(t, "nginx.e2e.localhost") })
	t.Run("HTTPRoute with weights", func(t *testing.T) { n.splits(t, "gateway.e2e.localhost") })
	t.Run("HTTPRoute has conditions of its generation", n.routeHasConditions)
	t.Run("Services and names from a pod", n.podReachesServices)
	t.Run("claim gets a folder that any user may write", n.claimIsBound)
	t.Run("logs, API proxy and quota", n.apiServerReachesPods)
	t.Run("up again starts nothing", n.upAgainStartsNothing)
	t.Run("up adds BuildKit to a node that runs", n.addsBuildkit)
	t.Run("up repairs killed daemons", n.upRepairs)
	t.Run("up after a reboot brings the pods back", n.survivesReboot)
	t.Run("given settings that differ are refused", n.refusesOtherSettings)
	n.down(t)
	if after := n.traces(t); after != before {
		t.Errorf("down left traces.\nbefore:\n%s\nafter:\n%s", before, after)
	}
	if out := n.run(t, "down", "-o", "json"); !strings.Contains(out, `"found": false`) {
		t.Errorf("a second down says %s", out)
	}
	t.Run("interrupted up can be taken down", func(t *testing.T) { n.interrupt(t, before) })
}

// node is the node under test.
type node struct{ binary, name, state string }

func newNode(t *testing.T) *node {
	t.Helper()
	folder, err := os.MkdirTemp("/var/lib", "sl-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		binary: filepath.Join(t.TempDir(), "sluice-local"), name: filepath.Base(strings.ToLower(folder)),
		state: filepath.Join(folder, "n"),
	}
	build(t, "../cmd/sluice-local", n.binary)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, n.binary, "down", "--state", n.state).CombinedOutput(); err != nil {
			t.Errorf("clean up: %v: %s", err, out)
		}
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
	})
	return n
}

func build(t *testing.T, source, target string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "build", "-o", target, source)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", source, err, out)
	}
}

// run runs the command and returns its standard output; it must succeed.
func (n *node) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.try(t, args...)
	if err != nil {
		t.Fatalf("sluice-local %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (n *node) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), n.binary, append(args, "--state", n.state)...)
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, problems.String())
	}
	return string(out), err
}

func (n *node) up(t *testing.T, args ...string) {
	t.Helper()
	out := n.run(t, append([]string{"up", "-o", "json"}, args...)...)
	if !strings.Contains(out, `"ready": true`) {
		t.Fatalf("up says %s", out)
	}
}

func (n *node) down(t *testing.T) {
	t.Helper()
	if out := n.run(t, "down", "-o", "json"); !strings.Contains(out, `"found": true`) {
		t.Errorf("down says %s", out)
	}
}

func (n *node) status(t *testing.T) map[string]any {
	t.Helper()
	var status map[string]any
	if err := json.Unmarshal([]byte(n.run(t, "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

// pids are the daemons' process ids by name.
func (n *node) pids(t *testing.T) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for name, pid := range n.status(t)["processes"].(map[string]any) {
		pids[name] = int(pid.(float64))
	}
	return pids
}

func (n *node) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return n.kubectlWith(t, "", args...)
}

func (n *node) kubectlWith(t *testing.T, input string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(n.state, "bin", "kubectl"),
		append(args, "--kubeconfig", filepath.Join(n.state, "kubeconfig"))...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (n *node) apply(t *testing.T, objects string) {
	t.Helper()
	n.kubectlWith(t, objects, "apply", "-f", "-")
}

// get asks the entry point for a host; status 0 means that it does not answer.
func get(t *testing.T, host, path string, header ...string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8080"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(content))
}

// eventually asks until the answer is right, or for a minute.
func eventually(t *testing.T, what string, right func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		ok, found := right()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %s", what, found)
		}
	}
}
