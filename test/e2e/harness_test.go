//go:build e2e

// Package e2e releases a small service with the real binary into the local cluster; it must not call the product's code, only its commands.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/test/load"
)

// local is what `sluice local status -o json` says.
type local struct {
	Kubeconfig string   `json:"kubeconfig"`
	Context    string   `json:"context"`
	Registry   string   `json:"registry"`
	Entries    []string `json:"entryURLs"`
	Kubectl    string   `json:"kubectl"`
}

// bed is the machine's local cluster and the binary under test.
type bed struct {
	bin string
	local
}

func testbed(t *testing.T) bed {
	t.Helper()
	bin, err := filepath.Abs("../../bin/sluice")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "local", "status", "-o", "json").Output()
	if err != nil {
		t.Fatalf("no local cluster: %v\n(make test starts it; by hand: bin/sluice local up)", err)
	}
	b := bed{bin: bin}
	if err := json.Unmarshal(out, &b.local); err != nil {
		t.Fatalf("sluice local status: %v in %s", err, out)
	}
	if len(b.Entries) == 0 {
		t.Fatalf("the local cluster has no entry point: %s", out)
	}
	return b
}

// service is one copy of the test service's sources, with a namespace of its own.
type service struct {
	bed
	t         *testing.T
	name      string
	dir       string
	namespace string
	host      string
	strategy  map[string]any
	gates     []any
	spec      map[string]any
	// env are variables of the binary's environment, beside those of the test.
	env        []string
	identities identities
	// cluster is where the environment is; nil for the context of the local cluster.
	cluster map[string]any
	// variables is the store of the environment; nil for none.
	variables map[string]any
	// environment are further keys of the environment.
	environment map[string]any
	timeout     string
	// limit is how long one command may take; 0 for five minutes.
	limit   time.Duration
	version int
	// repository is new in each run: a version that exists with another content is refused.
	repository string
	// rate of the users' requests per second.
	rate int
}

// newService lets the test run beside others: each has a namespace, a host and a repository of its own.
func newService(t *testing.T, name string) *service {
	t.Helper()
	t.Parallel()
	s := &service{
		bed: testbed(t), t: t, name: name, dir: t.TempDir(), timeout: "60s", rate: 200,
		namespace: "e2e-" + name, host: "e2e-" + name + ".localhost",
		strategy: blueGreen("nginx"),
		gates:    []any{map[string]any{"http": map[string]any{"path": "/", "timeout": "10s", "expect": map[string]any{"status": 200, "json": map[string]any{"answer": 42}}}}},
	}
	s.repository = fmt.Sprintf("%s/e2e-%d/%s", s.Registry, time.Now().UnixNano(), name)
	if err := os.CopyFS(s.dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "go.mod"), []byte("module example.com/app\n\ngo 1.26\n"))
	s.kubectl("delete", "namespace", s.namespace, "--ignore-not-found", "--wait")
	s.kubectl("create", "namespace", s.namespace)
	s.identify()
	t.Cleanup(func() {
		if t.Failed() {
			s.dump()
			return
		}
		s.kubectl("delete", "namespace", s.namespace, "--wait=false")
	})
	return s
}

// within is the same service for a subtest: what goes wrong there fails there.
func (s *service) within(t *testing.T) *service {
	outer := s.t
	s.t = t
	t.Cleanup(func() { s.t = outer })
	return s
}

// The strategies under test.
func direct() map[string]any { return map[string]any{"direct": map[string]any{}} }

func blueGreen(router string) map[string]any {
	return map[string]any{"blueGreen": map[string]any{"traffic": traffic(router)}}
}

func canary(router string, weights ...int) map[string]any {
	var steps []any
	for _, w := range weights {
		step := map[string]any{"weight": w}
		if w > 0 && w < 100 {
			step["hold"] = "3s"
		}
		steps = append(steps, step)
	}
	return map[string]any{"canary": map[string]any{"traffic": traffic(router), "steps": steps}}
}

// traffic gives the local proxy, which follows within two seconds, three instead of the default five.
func traffic(router string) map[string]any {
	return map[string]any{router: map[string]any{}, "convergence": "3s"}
}

// configure writes sluice.yaml and the values of the next version.
func (s *service) configure(values map[string]any) {
	s.t.Helper()
	all := map[string]any{"host": s.host, "router": "nginx", "env": map[string]any{"SAY_VERSION": "1"}}
	maps.Copy(all, values)
	spec := map[string]any{
		"images":      map[string]any{"app": map[string]any{"ko": "./app"}},
		"chart":       "chart",
		"imageValues": map[string]any{"app": "image"},
	}
	maps.Copy(spec, s.spec)
	environment := map[string]any{
		"cluster": map[string]any{"context": s.Context, "kubeconfig": s.identities.builder}, "namespace": s.namespace,
		"values": []any{"values-test.yaml"}, "entry": s.url(), "strategy": s.strategy, "gates": s.gates, "timeout": s.timeout,
	}
	if s.cluster != nil {
		environment["cluster"] = s.cluster
	}
	if s.variables != nil {
		environment["variables"] = s.variables
	}
	maps.Copy(environment, s.environment)
	writeYAML(s.t, filepath.Join(s.dir, "values-test.yaml"), all)
	writeYAML(s.t, filepath.Join(s.dir, "sluice.yaml"), map[string]any{
		"apiVersion": "sluice.dev/v1alpha1", "kind": "Project", "name": s.name,
		"registry":     s.repository,
		"services":     map[string]any{"app": spec},
		"environments": map[string]any{"test": environment},
	})
}

// url is how users reach the service.
func (s *service) url() string {
	_, port, _ := strings.Cut(strings.TrimPrefix(s.Entries[0], "http://"), ":")
	return "http://" + s.host + ":" + strings.TrimSuffix(port, "/")
}

// release builds the next version with these values and deploys it; it returns the exit code and everything printed.
func (s *service) release(values map[string]any) (int, string) {
	s.t.Helper()
	return s.run(s.prepare(values)...)
}

// prepare builds the next version and returns the command that deploys it.
func (s *service) prepare(values map[string]any) []string {
	s.t.Helper()
	s.version++
	s.configure(values)
	version := fmt.Sprintf("%d.0.0", s.version)
	if code, out := s.run("build", "--version", version); code != 0 {
		s.t.Fatalf("build: exit %d\n%s", code, out)
	}
	return []string{"deploy", "app:" + version, "--env", "test"}
}

// built returns the reference of the application's image as the last build pushed it.
func (s *service) built() string {
	s.t.Helper()
	code, out := s.run("build", "--version", fmt.Sprintf("%d.0.0", s.version), "-o", "json")
	var doc struct {
		Images map[string]string `json:"images"`
	}
	if at := strings.Index(out, "{"); code != 0 || at < 0 || json.Unmarshal([]byte(out[at:]), &doc) != nil || doc.Images["app"] == "" {
		s.t.Fatalf("build -o json: exit %d\n%s", code, out)
	}
	return doc.Images["app"]
}

// run executes the binary in the service's folder.
func (s *service) run(args ...string) (int, string) {
	s.t.Helper()
	cmd := s.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	err := cmd.Run()
	code := exitCode(s.t, err)
	s.t.Logf("sluice %s: exit %d after %.1f s", strings.Join(args, " "), code, time.Since(begin).Seconds())
	return code, out.String()
}

func (s *service) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(s.limit, 5*time.Minute))
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.bin, s.as(args)...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
	return cmd
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// must fails the test unless the release ends with the exit code and says all the words.
func (s *service) must(want int, words ...string) func(code int, out string) {
	s.t.Helper()
	return func(code int, out string) {
		s.t.Helper()
		if code != want {
			s.t.Fatalf("exit %d, want %d\n%s", code, want, out)
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				s.t.Errorf("the output does not say %q:\n%s", word, out)
			}
		}
	}
}

// users sends 200 requests/s (or s.rate) through the ingress until the returned function is called, which fails the test where one was lost.
func (s *service) users() func() load.Result {
	s.t.Helper()
	stream := load.Start(context.Background(), load.Options{
		// A machine of two cores that also builds may be slow; a lost request is one that is refused, wrong or never answered.
		URL: s.url() + "/", Rate: s.rate, Timeout: 20 * time.Second,
		Good: func(status int, body []byte) bool {
			return status == http.StatusOK && bytes.Contains(body, []byte(`"answer":42`))
		},
	})
	stopped := false
	stop := func() load.Result {
		s.t.Helper()
		if stopped {
			return load.Result{}
		}
		stopped = true
		r := stream.Stop()
		s.t.Logf("users: %v", r)
		if r.Failed > 0 {
			s.t.Errorf("users lost requests: %v", r)
		}
		if r.Requests < 100 {
			s.t.Errorf("only %d requests were sent: the load proves nothing", r.Requests)
		}
		return r
	}
	s.t.Cleanup(func() { stop() })
	return stop
}

// callers calls the Service by its name from a pod until the returned function is called, which fails the test where a call was lost.
func (s *service) callers(image, serviceName string) func() {
	s.t.Helper()
	s.kubectl("-n", s.namespace, "run", "caller", "--image="+image, "--restart=Never", "--", "stream", "http://"+serviceName+"/")
	s.kubectl("-n", s.namespace, "wait", "--for=condition=Ready", "pod/caller", "--timeout=60s")
	return func() {
		s.t.Helper()
		out := s.kubectl("-n", s.namespace, "logs", "caller")
		s.kubectl("-n", s.namespace, "delete", "pod", "caller", "--wait=false")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		last := lines[len(lines)-1]
		s.t.Logf("callers: %s", last)
		if strings.Contains(out, "failed: ") || !strings.HasPrefix(last, "requests=") {
			s.t.Errorf("callers inside the cluster lost requests:\n%s", out)
		}
	}
}

// answers returns what users get now.
func (s *service) answers(header http.Header) (int, map[string]any) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url()+"/", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	resp, err := load.Client(5 * time.Second).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&body)
	return resp.StatusCode, body
}

// serves waits a moment until all of twenty answers in a row come from a version.
func (s *service) serves(version string) {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for good := 0; good < 20; good++ {
		status, body := s.answers(nil)
		if status == http.StatusOK && body["version"] == version {
			continue
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("users get %d %v, want version %s", status, body, version)
		}
		good = -1
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *service) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.tryKubectl(args...)
	if err != nil {
		s.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *service) tryKubectl(args ...string) (string, error) {
	cmd := exec.Command(s.Kubectl, slices.Concat([]string{"--kubeconfig", s.Kubeconfig, "--context", s.Context}, args)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *service) apply(manifest string) {
	s.t.Helper()
	s.applyFrom(nil, manifest)
}

// dump shows what a person would look at first.
func (s *service) dump() {
	for _, args := range [][]string{
		{"-n", s.namespace, "get", "deploy,pods,svc,ingress,httproute,cm,lease", "-o", "wide"},
		{"-n", s.namespace, "get", "events", "--sort-by=.lastTimestamp"},
	} {
		out, _ := s.tryKubectl(args...)
		s.t.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeYAML(t *testing.T, path string, v any) {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, data)
}
