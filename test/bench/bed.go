package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bed is the binary and an empty folder; with the local cluster also where that is, and the folder holds the test service's sources.
type bed struct {
	bin, root, dir string
	repository     string   // new in each run: a version that exists with another content is refused
	Kubeconfig     string   `json:"kubeconfig"`
	Context        string   `json:"context"`
	Registry       string   `json:"registry"`
	Kubectl        string   `json:"kubectl"`
	Buildkit       string   `json:"buildkit"`
	Entries        []string `json:"entryURLs"`
	extent
}

// extent says how much is done.
type extent struct {
	// releases are those that are simulated, runs the bad ones for each figure; 0 for the default of the bench.
	releases, runs int
	// cases are those of exposure that are run, none for all; routers are those that it runs with.
	cases, routers []string
}

func newBed(ctx context.Context, cluster bool) (*bed, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	b := &bed{root: root, bin: filepath.Join(root, "bin", "sluice")}
	if b.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return nil, err
	}
	if cluster {
		err = b.join(ctx)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// join finds the local cluster and lays out the test service.
func (b *bed) join(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, b.bin, "local", "status", "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("no local cluster (run it with make bench): %w", err)
	}
	if err := json.Unmarshal(out, b); err != nil {
		return fmt.Errorf("sluice local status: %w", err)
	}
	if len(b.Entries) == 0 {
		return fmt.Errorf("the local cluster has no entry point: %s", out)
	}
	b.repository = fmt.Sprintf("%s/bench-%d", b.Registry, time.Now().Unix())
	if err := os.CopyFS(b.dir, os.DirFS(filepath.Join(b.root, "test", "e2e", "testdata"))); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "go.mod"), []byte("module example.com/app\n\ngo 1.26\n"), 0o644)
}

func (b *bed) close() { _ = os.RemoveAll(b.dir) }

// project is a sluice.yaml with one environment.
type project struct {
	name, strategy, router, kubeconfig string
	// analysis of the environment, and what the service's environment has besides; "" for none.
	analysis, env string
}

func (p project) host() string { return "bench-" + p.name + ".localhost" }

func (b *bed) url(p project) string {
	_, port, _ := strings.Cut(strings.TrimPrefix(b.Entries[0], "http://"), ":")
	return "http://" + p.host() + ":" + strings.TrimSuffix(port, "/") + "/"
}

// write makes the project's files.
func (b *bed) write(p project) error {
	if p.kubeconfig == "" {
		p.kubeconfig = b.Kubeconfig
	}
	config := fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: Project
name: bench
registry: %s
services:
  app:
    images: {app: {ko: ./app}}
    chart: chart
    imageValues: {app: image}
environments:
  bench:
    cluster: {context: %s, kubeconfig: %s}
    namespace: bench-%s
    values: [values-bench.yaml]
    entry: %s
    strategy: %s
`, b.repository+"/"+p.name, b.Context, p.kubeconfig, p.name, strings.TrimSuffix(b.url(p), "/"), p.strategy)
	if p.analysis != "" {
		config += "    analysis: " + p.analysis + "\n"
	}
	values := fmt.Sprintf("host: %s\nrouter: %s\ntest: false\nenv: {SAY_VERSION: \"1\", %s}\n", p.host(), p.router, p.env)
	if err := os.WriteFile(filepath.Join(b.dir, "values-bench.yaml"), []byte(values), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "sluice.yaml"), []byte(config), 0o644)
}

// process is one finished process.
type process struct {
	out    string
	wall   time.Duration
	maxRSS int64 // bytes
}

// exec runs a command in the project's folder; any exit code but the wanted one is an error with what was printed.
func (b *bed) exec(ctx context.Context, want int, name string, args ...string) (process, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	err := cmd.Run()
	r := process{out: out.String(), wall: time.Since(begin)}
	if cmd.ProcessState == nil {
		return r, err
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.maxRSS = usage.Maxrss * 1024
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		return r, fmt.Errorf("%s %s: exit code %d\n%s", filepath.Base(name), strings.Join(args, " "), code, r.out)
	}
	return r, nil
}

func (b *bed) sluice(ctx context.Context, args ...string) (process, error) {
	return b.exec(ctx, 0, b.bin, args...)
}

// release builds a version and returns the command that deploys it.
func (b *bed) release(ctx context.Context, version string) ([]string, error) {
	if _, err := b.sluice(ctx, "build", "--version", version); err != nil {
		return nil, err
	}
	return []string{"deploy", "app:" + version, "--env", "bench"}, nil
}

// remove takes a project's namespace away.
func (b *bed) remove(p project) {
	_ = exec.Command(b.Kubectl, "--kubeconfig", b.Kubeconfig, "delete", "namespace", "bench-"+p.name, "--ignore-not-found", "--wait=true").Run()
}
