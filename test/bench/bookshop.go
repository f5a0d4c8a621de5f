package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/test/distribution"
	"github.com/sluice-dev/sluice/test/toolchain"
)

// bookshop is a copy of the example monorepo with a registry of its own. Its two sides build the same three services: Sluice with the
// builders of its sluice.yaml, and the plain sequence, buildctl build, helm package and helm push, with a Dockerfile for each. The plain
// sequence has nothing that runs tests, so neither side does, but for one figure.
type bookshop struct {
	bed      *bed
	ctx      context.Context
	dir      string
	registry string
	buildkit string
	// cache is Go's, for what Sluice compiles itself.
	cache string
	round int
}

// buildsOf is how often a build is timed after the cold ones.
const buildsOf = 5

// buildBookshop times a build of all three services from nothing, after a change to one of them, and after no change, each side in turn.
func buildBookshop(ctx context.Context, b *bed) error {
	server := distribution.Serve(distribution.Options{Referrers: true})
	defer server.Close()
	shop := &bookshop{bed: b, ctx: ctx, dir: filepath.Join(b.dir, "bookshop"), registry: server.Host, cache: filepath.Join(b.dir, "gocache")}
	defer func() { _ = shop.forget() }()
	if err := shop.prepare(); err != nil {
		return err
	}
	for _, c := range []struct {
		name   string
		rounds int
		before func() error
	}{
		{"cold", 1, shop.forget},
		{"one_service", buildsOf, shop.change},
		{"noop", buildsOf, func() error { return nil }},
	} {
		ours, theirs, err := shop.compare(c.rounds, c.before)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		figure("bookshop_"+c.name+"_s", ours, "s")
		figure("bookshop_"+c.name+"_plain_s", theirs, "s")
		figure("bookshop_"+c.name+"_vs_plain_ratio", ours/theirs, "")
	}
	return shop.tested()
}

// tested times a build after a change to the service that has tests, with them.
func (s *bookshop) tested() error {
	file := filepath.Join(s.dir, "sluice.yaml")
	if err := errors.Join(edit(file, untested, tests), edit(file, "# /results ", "testResults: /results ")); err != nil {
		return err
	}
	var walls []float64
	for range buildsOf {
		s.round++
		if err := s.change(); err != nil {
			return err
		}
		begin := time.Now()
		if err := s.sluice(); err != nil {
			return err
		}
		walls = append(walls, time.Since(begin).Seconds())
	}
	figure("bookshop_one_service_tested_s", median(walls), "s")
	return nil
}

// The key that gives a service of the example its tests, and what stands there where they are not run.
const tests, untested = "testTarget: testrunner ", "target: final "

// compare times both sides after the same preparation, and returns the medians in seconds.
func (s *bookshop) compare(rounds int, before func() error) (ours, theirs float64, err error) {
	var sides [2][]float64
	for range rounds {
		for side, build := range []func() error{s.sluice, s.plain} {
			if err := before(); err != nil {
				return 0, 0, err
			}
			s.round++
			begin := time.Now()
			if err := build(); err != nil {
				return 0, 0, err
			}
			sides[side] = append(sides[side], time.Since(begin).Seconds())
		}
	}
	return median(sides[0]), median(sides[1]), nil
}

// prepare copies the example, gives the plain sequence the Dockerfiles that it needs, and pushes the Go image that all of them begin with.
func (s *bookshop) prepare() error {
	if s.buildkit = os.Getenv("BUILDKIT_HOST"); s.buildkit == "" {
		s.buildkit = s.bed.Buildkit
	}
	if s.buildkit == "" {
		return errors.New("no BuildKit: set BUILDKIT_HOST, or start one with `bin/sluice local up --with buildkit`")
	}
	if err := os.CopyFS(s.dir, os.DirFS(filepath.Join(s.bed.root, "examples", "bookshop"))); err != nil {
		return err
	}
	golang := s.registry + "/golang:1.26"
	if err := toolchain.Push(s.ctx, golang); err != nil {
		return err
	}
	if err := edit(filepath.Join(s.dir, "sluice.yaml"), "# args: {GO_IMAGE: registry.example.com/golang:1.26}", "args: {GO_IMAGE: "+golang+"}"); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "sluice.yaml")
	if err := errors.Join(edit(file, tests, untested), edit(file, "testResults: /results ", "# /results ")); err != nil {
		return err
	}
	for _, service := range []string{"catalog", "basket"} {
		text, err := os.ReadFile(filepath.Join(s.dir, "receipts", "Dockerfile"))
		if err != nil {
			return err
		}
		file := filepath.Join(s.dir, service, "Dockerfile")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "receipts", service)), 0o644); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-q", "-m", "bench"}} {
		if err := s.run("git", args...); err != nil {
			return err
		}
	}
	return nil
}

// forget empties the caches of BuildKit and Go.
func (s *bookshop) forget() error {
	if err := s.run(filepath.Join(s.bed.root, "bin", "buildctl"), "--addr", s.buildkit, "prune", "--all"); err != nil {
		return err
	}
	return os.RemoveAll(s.cache)
}

// change changes the program of one service.
func (s *bookshop) change() error {
	return os.WriteFile(filepath.Join(s.dir, "receipts", "round.go"), fmt.Appendf(nil, "package main\n\nfunc init() { println(%d) }\n", s.round), 0o644)
}

// sluice builds all services in one process.
func (s *bookshop) sluice() error {
	cmd := exec.CommandContext(s.ctx, s.bed.bin, "build", "-o", "json")
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "REGISTRY="+s.registry, "SLUICE_BUILDKIT="+s.buildkit, "GOCACHE="+s.cache, "GOFLAGS=-trimpath")
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("sluice build: %w\n%s", err, log.String())
	}
	var doc struct {
		Results []struct{ Release *struct{ Version string } }
	}
	if err := json.Unmarshal(out, &doc); err != nil || len(doc.Results) != 3 {
		return fmt.Errorf("sluice build: %d results, %w", len(doc.Results), err)
	}
	return nil
}

// plain is what a script does for every service: build and push the image, package and push the chart.
func (s *bookshop) plain() error {
	version := fmt.Sprintf("0.1.%d", s.round)
	for _, service := range []string{"basket", "catalog", "receipts"} {
		image := fmt.Sprintf("type=image,name=%s/plain/%s:%s,push=true,registry.insecure=true", s.registry, service, version)
		if err := s.run(filepath.Join(s.bed.root, "bin", "buildctl"), "--addr", s.buildkit, "build", "--frontend", "dockerfile.v0", "--local", "context=.",
			"--local", "dockerfile="+service, "--opt", "target=final", "--opt", "cmdline=builtin", "--opt", "build-arg:GO_IMAGE="+s.registry+"/golang:1.26",
			"--output", image); err != nil {
			return err
		}
		helm := filepath.Join(s.bed.root, "bin", "helm")
		if err := s.run(helm, "package", "chart", "--version", version, "--app-version", version, "--destination", "charts"); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(s.dir, "charts", "*-"+version+".tgz"))
		if err != nil || len(archives) != 1 {
			return fmt.Errorf("helm package left %v: %w", archives, err)
		}
		if err := s.run(helm, "push", archives[0], "oci://"+s.registry+"/plain/"+service+"/charts", "--plain-http"); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(s.dir, "charts"))
}

// run runs a command in the shop's folder.
func (s *bookshop) run(name string, args ...string) error {
	cmd := exec.CommandContext(s.ctx, name, args...)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[0], err, out)
	}
	return nil
}

// edit replaces a text in a file that must hold it.
func edit(file, old, text string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.Contains(string(content), old) {
		return fmt.Errorf("%s does not hold %q", file, old)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(content), old, text, 1)), 0o644)
}
