package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// services of the repository that is planned, and files of each beside its chart and its main package.
	services, files = 500, 20
	// planRuns is how often each plan is made.
	planRuns = 21
)

// planMonorepo times the whole process of `sluice plan` on the trunk of a repository whose services all have tags of their own: a commit that
// touches three of them, one that touches a library of 50, and one that touches all, each with one file that is not committed.
func planMonorepo(ctx context.Context, b *bed) error {
	m := monorepo{dir: filepath.Join(b.dir, "monorepo"), ctx: ctx}
	if err := m.make(); err != nil {
		return err
	}
	for _, c := range []struct {
		figure, path string
		touched      int
	}{
		{"plan_500_services_ms", "services/s%03d/main.go", 3},
		{"plan_500_services_library_ms", "libs/l7/lib.go", 50},
		{"plan_500_services_all_ms", "go.mod", services},
	} {
		if err := m.change(c.path); err != nil {
			return err
		}
		var times []float64
		for range planRuns {
			took, touched, err := m.plan(b.bin)
			if err != nil {
				return err
			}
			if touched != c.touched {
				return fmt.Errorf("%s: %d services touched, %d expected", c.figure, touched, c.touched)
			}
			times = append(times, float64(took.Microseconds())/1000)
		}
		figure(c.figure, median(times), "ms")
	}
	return nil
}

// monorepo is a repository of many services in one sluice.yaml.
type monorepo struct {
	dir string
	ctx context.Context
}

func (m monorepo) make() error {
	var file strings.Builder
	file.WriteString("apiVersion: sluice.dev/v1alpha1\nkind: Project\nname: monorepo\nregistry: localhost:5000/monorepo\nservices:\n")
	var tags bytes.Buffer
	for i := range services {
		name := fmt.Sprintf("s%03d", i)
		fmt.Fprintf(&file, "  %[1]s:\n    images: {app: {ko: services/%[1]s}}\n    chart: services/%[1]s/chart\n    imageValues: {app: image}\n    paths: [libs/l%[2]d]\n", name, i%10)
		fmt.Fprintf(&tags, "create refs/tags/%s/v1.%d.0 HEAD~%d\n", name, i, 1+i%40)
		if err := m.service(name); err != nil {
			return err
		}
		if err := m.write(fmt.Sprintf("libs/l%d/lib.go", i%10), "package lib\n"); err != nil {
			return err
		}
	}
	file.WriteString("environments:\n  dev:\n    cluster: {context: none}\n    namespace: dev\n    strategy: {direct: {}}\n")
	if err := m.write("sluice.yaml", file.String()); err != nil {
		return err
	}
	if err := m.write("go.mod", "module example.com/monorepo\n\ngo 1.26\n"); err != nil {
		return err
	}
	if err := m.git(nil, "init", "-q", "-b", "main"); err != nil {
		return err
	}
	if err := m.git(nil, "add", "."); err != nil {
		return err
	}
	for range 50 {
		if err := m.git(nil, "commit", "-q", "--allow-empty", "-m", "more"); err != nil {
			return err
		}
	}
	return m.git(&tags, "update-ref", "--stdin")
}

// service writes the files of a service.
func (m monorepo) service(name string) error {
	folder := "services/" + name + "/"
	contents := map[string]string{
		"main.go": "package main\n\nfunc main() {}\n", "chart/Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: 0.0.0\n", "chart/values.yaml": "image: \"\"\n",
	}
	for i := range files {
		contents[fmt.Sprintf("internal/file%02d.go", i)] = "package internal\n"
	}
	for file, text := range contents {
		if err := m.write(folder+file, text); err != nil {
			return err
		}
	}
	return nil
}

// change commits a change of what a pattern names, of three services where it names one of them, and leaves one file uncommitted.
func (m monorepo) change(path string) error {
	paths := []string{path}
	if strings.Contains(path, "%") {
		paths = []string{fmt.Sprintf(path, 1), fmt.Sprintf(path, 250), fmt.Sprintf(path, 499)}
	}
	for _, p := range paths {
		if err := m.append(p, "// changed\n"); err != nil {
			return err
		}
	}
	if err := m.git(nil, "commit", "-q", "-a", "-m", "change"); err != nil {
		return err
	}
	return m.write("notes.txt", "not committed\n")
}

// plan runs the binary, and returns how long it took and how many services are touched.
func (m monorepo) plan(bin string) (time.Duration, int, error) {
	cmd := exec.CommandContext(m.ctx, bin, "plan", "-o", "json")
	cmd.Dir = m.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if err != nil {
		return took, 0, fmt.Errorf("sluice plan: %w\n%s", err, &stderr)
	}
	var doc struct {
		Build []string `json:"build"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
		return took, 0, fmt.Errorf("plan -o json: %w", err)
	}
	return took, len(doc.Build), nil
}

// git runs git in the repository as somebody.
func (m monorepo) git(stdin *bytes.Buffer, args ...string) error {
	cmd := exec.CommandContext(m.ctx, "git", append([]string{"-c", "user.name=bench", "-c", "user.email=bench@example.test", "-C", m.dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w\n%s", args[0], err, out)
	}
	return nil
}

func (m monorepo) write(name, text string) error {
	path := filepath.Join(m.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func (m monorepo) append(name, text string) error {
	file, err := os.OpenFile(filepath.Join(m.dir, filepath.FromSlash(name)), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
