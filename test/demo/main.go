// Command demo plays the first days of a service on the local cluster and measures what its users lose; it must use nothing but the sluice binary.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// act is one command of the demo and what it cost the users.
type act struct {
	Name     string `json:"name"`
	Outcome  string `json:"outcome"`
	ExitCode int    `json:"exitCode"`
	Requests int    `json:"requests"`
	// Failed requests were lost; Noise and Bad are answers that fail on purpose: in every version, and in a broken one only, which users saw
	// for BadSeconds from the first to the last.
	Failed     int     `json:"failed"`
	Noise      int     `json:"noise"`
	Bad        int     `json:"bad"`
	BadSeconds float64 `json:"badSeconds"`
	Seconds    float64 `json:"seconds"`

	want int
}

// stage is where the demo plays.
type stage struct {
	bin   string
	root  string // the project's folder
	dir   string // the copy of the example that the demo edits
	entry string // port of the cluster's entry point
	stdin string // what the next command reads
	acts  []act
}

func run(ctx context.Context) error {
	s, err := prepare()
	if err != nil {
		return err
	}
	defer s.save()
	if err := s.play(ctx, "cluster up", 0, nil, "local", "up"); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.story(ctx); err != nil {
		return err
	}
	s.summary()
	if err := s.look(ctx); err != nil {
		return err
	}
	for _, a := range s.acts {
		if a.ExitCode != a.want || a.Failed > 0 {
			return fmt.Errorf("act %q: exit code %d (want %d), %d failed requests (want 0)", a.Name, a.ExitCode, a.want, a.Failed)
		}
	}
	return nil
}

// noise is what production fails in every version, as real services do: half a percent. A threshold on few requests would take healthy
// versions back for it.
const noise = "faults: {failureRate: 0.005, component: frontend}\n"

// story is the demo: two good versions, a renewed token and two bad versions, with both routers.
func (s *stage) story(ctx context.Context) error {
	prods := []string{"prod", "prod-gateway"}
	fmt.Println("\n── production fails one request in 200, whatever the version: good versions must pass nevertheless")
	for _, env := range prods {
		if err := s.misconfigure(env, noise); err != nil {
			return err
		}
	}
	if err := s.play(ctx, "files for variables", 0, nil, "variables", "init"); err != nil {
		return err
	}
	for _, env := range append([]string{"dev"}, prods...) {
		if err := s.renew(ctx, env); err != nil {
			return err
		}
	}
	if err := s.play(ctx, "v1 to dev", 0, nil, "run", "--version", "1.0.0", "--to", "dev"); err != nil {
		return err
	}
	for _, env := range prods {
		if err := s.play(ctx, "v1 to "+env, 0, nil, "deploy", "calculator:1.0.0", "--env", env); err != nil {
			return err
		}
	}
	if err := s.play(ctx, "v2 to dev, under load", 0, []string{"dev"}, "run", "--version", "2.0.0", "--to", "dev"); err != nil {
		return err
	}
	for _, env := range prods {
		if err := s.play(ctx, "v2 to "+env+", under load", 0, []string{env}, "deploy", "calculator:2.0.0", "--env", env); err != nil {
			return err
		}
	}
	for _, env := range prods {
		if err := s.renew(ctx, env); err != nil {
			return err
		}
	}
	if err := s.play(ctx, "v2.0.1, renewed tokens, to dev", 0, nil, "run", "--version", "2.0.1", "--to", "dev"); err != nil {
		return err
	}
	for _, env := range prods {
		if err := s.play(ctx, "v2.0.1 to "+env+", under load", 0, []string{env}, "deploy", "calculator:2.0.1", "--env", env); err != nil {
			return err
		}
	}
	return s.broken(ctx, prods)
}

// broken are the bad versions: one that only a gate can see, and one that no gate can.
func (s *stage) broken(ctx context.Context, prods []string) error {
	for _, v := range []struct{ version, about, faults string }{
		{"3.0.0", "v3 answers 200 with wrong factors, but only with production's settings: dev will not notice. A gate reads the body, before any user does",
			"faults: {failureRate: 0.005, component: frontend, wrongBody: true}\n"},
		{"4.0.0", "v4 fails 5 % of its requests, ten times the noise: the gates, which ask a few times, pass. The analysis counts users' requests",
			"faults: {failureRate: 0.05}\n"},
	} {
		fmt.Println("\n── " + v.about)
		for _, env := range prods {
			if err := s.misconfigure(env, v.faults); err != nil {
				return err
			}
		}
		name := "v" + v.version[:1] + " (broken) to "
		if err := s.play(ctx, name+"dev", 0, nil, "run", "--version", v.version, "--to", "dev"); err != nil {
			return err
		}
		for _, env := range prods {
			if err := s.play(ctx, name+env+", under load", 4, []string{env}, "deploy", "calculator:"+v.version, "--env", env); err != nil {
				return err
			}
			if v.version == "4.0.0" {
				if err := s.explain(ctx, env); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// renew writes a new token into an environment's encrypted file.
func (s *stage) renew(ctx context.Context, env string) error {
	s.stdin = rand.Text()
	defer func() { s.stdin = "" }()
	return s.play(ctx, "a new token for "+env, 0, nil, "variables", "set", "BACKEND_TOKEN", "--env", env)
}

// prepare copies the example to a folder that may be edited, as a module of its own: its sources need the standard library only.
func prepare() (*stage, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	s := &stage{bin: filepath.Join(root, "bin", "sluice"), root: root, dir: filepath.Join(root, ".sluice", "demo", "calculator")}
	if _, err := os.Stat(s.bin); err != nil {
		return nil, fmt.Errorf("%w\nrun it with: make demo", err)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return nil, err
	}
	if err := os.CopyFS(s.dir, os.DirFS(filepath.Join(root, "examples", "calculator"))); err != nil {
		return nil, err
	}
	module := "module github.com/sluice-dev/sluice/examples/calculator\n\ngo 1.26\n"
	return s, os.WriteFile(filepath.Join(s.dir, "go.mod"), []byte(module), 0o644)
}

// connect asks the local cluster where its registry and its entry point are.
func (s *stage) connect(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, s.bin, "local", "status", "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("sluice local status: %w", err)
	}
	var status struct {
		Registry string   `json:"registry"`
		Entries  []string `json:"entryURLs"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return fmt.Errorf("sluice local status: %w", err)
	}
	if len(status.Entries) == 0 {
		return errors.New("the local cluster has no entry point")
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(status.Entries[0], "http://"), ":")
	s.entry = strings.TrimSuffix(port, "/")
	// A folder of its own for each run: a version that exists with another content is refused, and the example may be edited.
	registry := fmt.Sprintf("%s/demo-%d", status.Registry, time.Now().Unix())
	// Written into the copy, so that the commands which the summary names work as they stand.
	file := filepath.Join(s.dir, "sluice.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, prod, _ := strings.Cut(string(text), "\n  prod:\n")
	dev := strings.TrimSuffix(string(text), prod)
	// A helm test asks once, so that one in 200 would take the noise for a fault.
	edited := dev + strings.ReplaceAll(prod, "      - helmTest: {}\n", "")
	return os.WriteFile(file, []byte(strings.NewReplacer("${REGISTRY}", registry, "${ENTRY_PORT}", s.entry).Replace(edited)), 0o644)
}

// play runs one command, under load where environments are named, and keeps what happened.
func (s *stage) play(ctx context.Context, name string, want int, loaded []string, args ...string) error {
	fmt.Printf("\n── %s\n   $ sluice %s\n", name, strings.Join(args, " "))
	var users []*audience
	for _, env := range loaded {
		users = append(users, attend(ctx, s.url(env)))
	}
	begin := time.Now()
	code, err := s.exec(ctx, args)
	a := act{Name: name, ExitCode: code, want: want, Seconds: time.Since(begin).Seconds(), Outcome: outcome(code)}
	for _, audience := range users {
		r, on := audience.leave()
		a.Requests, a.Failed = a.Requests+r.Requests, a.Failed+r.Failed
		a.Noise, a.Bad, a.BadSeconds = a.Noise+on.Noise, a.Bad+on.Bad, on.lasted().Seconds()
		fmt.Printf("   users: %v; %v\n", r, on)
	}
	s.acts = append(s.acts, a)
	if err != nil {
		return err
	}
	if code != want {
		return fmt.Errorf("act %q ended with exit code %d, want %d", name, code, want)
	}
	return nil
}

func (s *stage) exec(ctx context.Context, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dir, strings.NewReader(s.stdin), os.Stdout, os.Stderr
	// A key of its own: whoever tries the demo keeps theirs out of it.
	cmd.Env = append(os.Environ(), "SOPS_AGE_KEY_FILE="+filepath.Join(s.dir, "keys.txt"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return -1, fmt.Errorf("sluice %s: %w", strings.Join(args, " "), err)
	}
	return 0, nil
}

func (s *stage) url(env string) string {
	return "http://" + env + ".calculator.localhost:" + s.entry
}

// misconfigure gives an environment other faults than the example has.
func (s *stage) misconfigure(env, faults string) error {
	file := "values-" + env + ".yaml"
	text, err := os.ReadFile(filepath.Join(s.root, "examples", "calculator", file))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, file), append(text, faults...), 0o644)
}

func outcome(code int) string {
	switch code {
	case 0:
		return "done"
	case 3:
		return "refused, nothing changed"
	case 4:
		return "rolled back"
	case 5:
		return "failed, a human is needed"
	default:
		return fmt.Sprintf("exit code %d", code)
	}
}

// save leaves what happened for programs.
func (s *stage) save() {
	data, err := json.MarshalIndent(map[string]any{"acts": s.acts}, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(s.root, ".sluice", "demo.json"), append(data, '\n'), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: could not write .sluice/demo.json:", err)
	}
}

func (s *stage) summary() {
	fmt.Printf("\n%-40s %-14s %9s %6s %6s %12s %8s\n", "act", "outcome", "requests", "lost", "noise", "bad, for", "seconds")
	for _, a := range s.acts {
		bad := "0"
		if a.Bad > 0 {
			bad = fmt.Sprintf("%d, %.1f s", a.Bad, a.BadSeconds)
		}
		fmt.Printf("%-40s %-14s %9d %6d %6d %12s %8.1f\n", a.Name, a.Outcome, a.Requests, a.Failed, a.Noise, bad, a.Seconds)
	}
	fmt.Println("lost: wrong, refused or never answered. noise: failed on purpose by every version. bad: failed by v4 only, until it was taken back.")
}

// look says where to look next, and makes sure that there is something to see.
func (s *stage) look(ctx context.Context) error {
	fmt.Printf("\nWhere to look next:\n  %-15s %s  (header \"canary: always\" leads to a candidate)\n", "the service", s.url("prod"))
	for _, next := range []struct{ what, command string }{
		{"its history", "history --env prod"}, {"what runs", "status --env prod"}, {"the cluster", "local status"},
	} {
		cmd := exec.CommandContext(ctx, s.bin, strings.Fields(next.command)...)
		cmd.Dir = s.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("sluice %s: %w\n%s", next.command, err, out)
		}
		fmt.Printf("  %-15s cd %s && %s %s\n", next.what, s.dir, s.bin, next.command)
	}
	fmt.Printf("  %-15s %s local down\n", "clean up", s.bin)
	return nil
}
