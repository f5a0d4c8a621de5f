//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// planted is a password as people have them: every encoding changes it, it has two lines, and what identifies it survives every escape.
const (
	plantedCore = "c4n4ry7f3aK8sQxW9mZp"
	planted     = `p"a's&<` + plantedCore + `>/+%\é` + "\nsecond-line-" + plantedCore + "!"
)

// traces are the texts by which the password is known wherever it was put: whole, by halves, and in base64 at each place among three bytes.
func traces() []string {
	half := len(plantedCore) / 2
	var all []string
	for _, part := range []string{plantedCore[:half], plantedCore[half:]} {
		all = append(all, part, hex.EncodeToString([]byte(part)), strings.ToUpper(hex.EncodeToString([]byte(part))))
		for shift := range 3 {
			encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), part...))
			all = append(all, encoded[(8*shift+5)/6:8*(shift+len(part))/6])
		}
	}
	return all
}

// hunt looks for the planted password in all that a service's runs leave behind.
type hunt struct {
	*service
	tmp, home string
	mu        sync.Mutex
	processes map[string]bool
}

// newHunt gives the service's runs folders of their own, and watches the processes that they start.
func newHunt(s *service) *hunt {
	h := &hunt{service: s, tmp: s.t.TempDir(), home: s.t.TempDir(), processes: map[string]bool{}}
	cache, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.Split(string(cache), "\n")
	s.env = append(s.env, "TMPDIR="+h.tmp, "HOME="+h.home, "GOTRACEBACK=crash",
		"GOCACHE="+lines[0], "GOMODCACHE="+lines[1], "GOPROXY="+lines[2], "GOFLAGS="+lines[3])
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for tick := time.NewTicker(30 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				h.sample()
			}
		}
	})
	s.t.Cleanup(func() { close(stop); watcher.Wait() })
	return h
}

// sample notes arguments and environments of all that descends from this test.
func (h *hunt) sample() {
	parents := map[int]int{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	for pid := range parents {
		for ancestor := parents[pid]; ancestor > 1; ancestor = parents[ancestor] {
			if ancestor != os.Getpid() {
				continue
			}
			arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			h.mu.Lock()
			h.processes[string(arguments)+"\x00"+string(environment)] = true
			h.mu.Unlock()
		}
	}
}

// clean fails the test where a text holds the password.
func (h *hunt) clean(where, text string) {
	h.t.Helper()
	for _, trace := range traces() {
		if at := strings.Index(text, trace); at >= 0 {
			h.t.Errorf("%s holds the password:\n%s", where, text[max(0, at-300):min(len(text), at+100)])
			return
		}
	}
}

// says runs a command and looks at all that it prints.
func (h *hunt) says(want int, args ...string) string {
	h.t.Helper()
	code, out := h.run(args...)
	h.must(want)(code, out)
	h.clean("the output of sluice "+strings.Join(args, " "), out)
	return out
}

// looks runs every command that only looks, in every format.
func (h *hunt) looks() {
	h.t.Helper()
	number := fmt.Sprint(h.version)
	for _, format := range []string{"text", "json", "yaml"} {
		for _, args := range [][]string{
			{"status", "--env", "test"}, {"status", "--env", "test", "--kubeconfig", h.identities.deployer},
			{"history", "--env", "test"}, {"history", "--env", "test", "--number", number},
			{"variables", "list", "--env", "test"}, {"release", "show", "app:" + number + ".0.0"}, {"check"},
		} {
			code, out := h.run(append(args, "-o", format)...)
			h.clean("the output of sluice "+strings.Join(args, " "), out)
			if code != 0 {
				h.t.Errorf("sluice %v: exit %d\n%s", args, code, out)
			}
		}
	}
}

// crash ends a deployment as it goes on with SIGQUIT, upon which Go tells of everything that it does, and dumps core where that is allowed.
func (h *hunt) crash(phase string, args ...string) {
	h.t.Helper()
	command := h.command(args...)
	wrapped := exec.Command("sh", append([]string{"-c", `ulimit -c unlimited; exec "$@"`, "sh"}, command.Args...)...)
	wrapped.Dir, wrapped.Env = command.Dir, command.Env
	var out strings.Builder
	wrapped.Stdout, wrapped.Stderr = &out, &out
	if err := wrapped.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.reaches(phase, 0)
	if err := wrapped.Process.Signal(syscall.SIGQUIT); err != nil {
		h.t.Fatal(err)
	}
	_ = wrapped.Wait()
	if !strings.Contains(out.String(), "goroutine ") {
		h.t.Errorf("nothing was told of a crash:\n%s", out.String())
	}
	h.clean("what a crash tells", out.String())
	if cores, _ := filepath.Glob(filepath.Join(h.dir, "core*")); len(cores) > 0 {
		h.t.Errorf("a crash left %v", cores)
	}
}

// cluster looks at every object of the namespace but the Secrets that are there to hold the password, and into Helm's releases.
func (h *hunt) cluster() {
	h.t.Helper()
	holders := append(h.kept(), "store")
	kinds := strings.Fields(h.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool { return kind == "secrets" || strings.Contains(kind, "metrics") })
	h.clean("an object of the namespace", h.kubectl("-n", h.namespace, "get", strings.Join(kinds, ","), "-o", "json"))
	secrets := strings.Fields(h.kubectl("-n", h.namespace, "get", "secrets", "-o", "jsonpath={.items[*].metadata.name}"))
	releases := 0
	for _, name := range secrets {
		if slices.Contains(holders, name) {
			continue
		}
		h.clean("Secret "+name, h.kubectl("-n", h.namespace, "get", "secret", name, "-o", "json"))
		if strings.HasPrefix(name, "sh.helm.release") {
			releases++
			h.clean("Helm's release "+name, unpack(h.t, h.kubectl("-n", h.namespace, "get", "secret", name, "-o", "jsonpath={.data.release}")))
		}
	}
	if releases == 0 {
		h.t.Error("there is no Helm release to look into")
	}
}

// machine looks at what was left on it, and at the processes that were seen.
func (h *hunt) machine() {
	h.t.Helper()
	left, _ := filepath.Glob("/dev/shm/sluice-*")
	for _, folder := range append(left, h.tmp, h.home, h.dir) {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			h.clean(path, string(text))
			return err
		})
		if err != nil {
			h.t.Error(err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.processes) < 10 {
		h.t.Errorf("only %d processes were seen", len(h.processes))
	}
	for process := range h.processes {
		h.clean("a process", process)
	}
}

// TestCanary plants a password in each store, deploys it, lets pods, hooks, tests and gates tell it, crashes, and looks for it everywhere.
func TestCanary(t *testing.T) {
	for name, plant := range map[string]func(h *hunt){"kubernetes": plantInCluster, "sops": plantInFile, "vault": plantInVault} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, "canary-"+name)
			s.timeout = "45s"
			s.spec = map[string]any{"variables": map[string]any{"DB_PASSWORD": map[string]any{}}, "variableValues": map[string]any{"secretName": "secretName"}}
			h := newHunt(s)
			s.configure(nil)
			plant(h)
			h.says(0, s.prepare(nil)...)
			s.knows(planted)
			h.looks()
			good := s.gates
			for _, bad := range []struct {
				format string
				values map[string]any
				gate   any
				says   string
			}{
				{"text", faulty("LEAK", "crash"), nil, "FATAL: no login with"},
				{"json", faulty("LEAK", "body"), nil, "the body begins"},
				{"yaml", map[string]any{"test": "leak"}, map[string]any{"helmTest": map[string]any{}}, "FATAL: no login with"},
				{"text", map[string]any{"migration": "leak"}, nil, "FATAL: no login with"},
			} {
				s.gates = good
				if bad.gate != nil {
					s.gates = []any{bad.gate}
				}
				if out := h.says(4, append(s.prepare(bad.values), "-o", bad.format)...); !strings.Contains(out, bad.says) || !strings.Contains(out, "[redacted]") {
					t.Errorf("%v: nothing was told, so nothing was hidden:\n%s", bad.values, out)
				}
			}
			// Who goes on, or takes back, has read no store.
			s.gates = []any{map[string]any{"http": map[string]any{"path": "/", "timeout": "10s", "attempts": 20, "expect": map[string]any{"status": 500}}}}
			h.crash("Analyzing", s.prepare(faulty("LEAK", "body"))...)
			h.looks()
			if out := h.says(4, "resume", "app", "--env", "test"); !strings.Contains(out, "[redacted]") {
				t.Errorf("nothing was told, so nothing was hidden:\n%s", out)
			}
			h.looks()
			h.cluster()
			h.machine()
		})
	}
}

func plantInCluster(h *hunt) {
	h.variables = map[string]any{"kubernetes": map[string]any{"secret": "store"}}
	encoded := base64.StdEncoding.EncodeToString([]byte(planted))
	h.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: store}\ndata: {DB_PASSWORD: " + encoded + "}\n")
}
