package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/variables"
)

// canary is a secret with characters that everybody writes differently.
const canary = `c4n4ry/"Zürich"+<$7f3a9c21>'&`

// searched fails where one of the secrets shows in what a command printed, in any encoding.
func searched(t *testing.T, r result, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, text := range variables.Encodings(secret) {
			for name, output := range map[string]string{"stdout": r.stdout, "stderr": r.stderr} {
				if at := strings.Index(output, text); at >= 0 {
					t.Errorf("%s shows the secret as %q: …%s…", name, text, output[max(0, at-60):min(len(output), at+len(text)+20)])
				}
			}
		}
	}
}

// formatsOf are the formats of a result, with how their documents are checked.
func formatsOf() map[string]func(text string) error {
	return map[string]func(string) error{
		"text": func(string) error { return nil },
		"json": func(text string) error { return json.Unmarshal([]byte(text), new(any)) },
		"yaml": func(string) error { return nil },
	}
}

func TestNoSecretIsPrinted(t *testing.T) {
	quoted := fmt.Sprintf("%s, %q, %s and %s", canary, canary, url.QueryEscape(canary), strconv.QuoteToASCII(canary))
	for name, c := range map[string]struct {
		code    int
		args    []string
		prepare func(*world)
	}{
		"the log of a build": {0, []string{"build"}, func(w *world) {
			w.building = func(say func(string)) error { say(quoted); return nil }
		}},
		"a build that fails": {2, []string{"build"}, func(w *world) {
			w.building = func(func(string)) error {
				return fault.New(fault.Usage, "run it", "%w\nit said:\n%s", errors.New(canary), quoted).WithHint("unset %s", quoted)
			}
		}},
		"a gate's evidence": {4, []string{"run", "--to", "dev"}, func(w *world) {
			w.gate = gatetest.NewScript(gatetest.Fail("the body begins: " + quoted))
			w.write("sluice.yaml", strings.Replace(projectFile, "strategy: {direct: {}}", "strategy: {direct: {}}\n    entry: http://dev.example.com\n    gates: [{http: {path: /ping}}]", 1))
		}},
		"a policy": {3, []string{"run"}, func(w *world) {
			w.verify = func(*v1alpha1.Project, *v1alpha1.Release, string) ([]seal.Proof, error) {
				return nil, fault.New(fault.Refused, "verify", "%s", quoted)
			}
		}},
		"a command line": {2, []string{"status", "--env", canary}, func(*world) {}},
		"a flag":         {2, []string{"build", "--" + canary}, func(*world) {}},
		"a file": {2, []string{"check"}, func(w *world) {
			w.write("sluice.yaml", projectFile+fmt.Sprintf("%q: 1\n", canary))
		}},
		"a panic": {1, []string{"build"}, func(w *world) {
			w.building = func(func(string)) error { panic(errors.New(quoted)) }
		}},
	} {
		for format, valid := range formatsOf() {
			t.Run(name+" as "+format, func(t *testing.T) {
				w := newWorld(t)
				w.environment["SOME_TOKEN"] = canary
				c.prepare(w)
				r := w.must(c.code, append(c.args, "-o", format)...)
				searched(t, r, canary)
				if !strings.Contains(r.stderr, variables.Redacted) {
					t.Errorf("nothing is masked, so nothing was there:\n%s", r.stderr)
				}
				if err := valid(r.stdout); err != nil {
					t.Errorf("stdout is no longer what programs can read: %v\n%s", err, r.stdout)
				}
			})
		}
	}
}

func TestPanicIsAnErrorLikeAnyOther(t *testing.T) {
	w := newWorld(t)
	w.building = func(func(string)) error { panic("out of cheese") }
	r := w.must(1, "build", "-o", "json")
	doc := decode[errorDocument](t, r.stdout)
	if doc.Message != "panic: out of cheese" || doc.Reason != "internal" || !strings.Contains(r.stderr, "secret_test.go:") {
		t.Errorf("%+v\n%s", doc, r.stderr)
	}
}

func TestNumbersAndNamesOfResultsStay(t *testing.T) {
	w := newWorld(t)
	w.environment["A_TOKEN"], w.environment["GITHUB_TOKEN"], w.environment["VAULT_TOKEN"] = "apiVersion", "calculator", "sluice.yaml"
	r := w.must(0, "check", "-o", "json")
	var doc map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	want := map[string]any{"apiVersion": "sluice.dev/v1alpha1", "kind": "CheckResult", "file": w.dir + "/[redacted]", "services": []any{"[redacted]"}, "environments": []any{"dev", "prod"}}
	if diff := cmp.Diff(want, doc); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsOfTheEnvironment(t *testing.T) {
	got := secretsIn([]string{
		"PATH=/usr/bin:/bin", "HOME=/root", "DB_PASSWORD=hunter-22", "db_password=postgres", "MY_TOKEN=abc", "GITHUB_TOKEN=short1", "TOKEN_FILE=/var/run/secret-1",
		"CLIENT_SECRET=/run/secrets/client-secret", "KEY=-----BEGIN PRIVATE KEY-----\nabc", "DATABASE_URL=postgres://app:p%40ss-word@db:5432/x", "URL=https://example.com/a",
		"SYSTEM_ACCESSTOKEN=eyJ0eXAi", "API_KEY=qwertyuiopasdfgh", "EMPTY_TOKEN=",
	})
	want := []string{"hunter-22", "short1", "-----BEGIN PRIVATE KEY-----\nabc", "p@ss-word", "p%40ss-word", "eyJ0eXAi", "qwertyuiopasdfgh"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCISystemsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		variable, value, command string
		reads                    bool
	}{
		"GitHub Actions":         {"GITHUB_ACTIONS", "true", "::add-mask::c4n4ry-100%25\n", true},
		"Azure Pipelines":        {"TF_BUILD", "True", "##vso[task.setsecret]c4n4ry-100%AZP25\n", true},
		"GitHub Actions, 2>file": {"GITHUB_ACTIONS", "true", "", false},
		"neither":                {"CI", "true", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.environment["MY_TOKEN"], w.environment["OTHER_TOKEN"], w.environment[c.variable] = "c4n4ry-100%", "c4n4ry-100%", c.value
			w.ciReads = c.reads
			r := w.must(0, "check", "-o", "json")
			if r.stderr != c.command {
				t.Errorf("stderr is %q, want %q", r.stderr, c.command)
			}
			if strings.Contains(r.stdout, "mask") {
				t.Errorf("stdout is for the result:\n%s", r.stdout)
			}
		})
	}
}

func TestCommandsForCIBeginALine(t *testing.T) {
	var out bytes.Buffer
	s := &stream{to: &out}
	fmt.Fprint(s, "Continue? ")
	s.line("::add-mask::a")
	s.line("::add-mask::b")
	fmt.Fprint(s, "text\n")
	s.line("::add-mask::c")
	if want := "Continue? \n::add-mask::a\n::add-mask::b\ntext\n::add-mask::c\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// TestWhatIsWrittenPastUs lets a library and a program write to standard error themselves.
func TestWhatIsWrittenPastUs(t *testing.T) {
	secrets := &variables.Masker{}
	secrets.Add(canary)
	var mu sync.Mutex
	var out bytes.Buffer
	w := secrets.Writer(&locked{&mu, &out})
	before := os.Stderr
	stop := redirect(w)
	fmt.Fprintln(os.Stderr, "a library says", canary)
	cmd := exec.Command("sh", "-c", `printf '%s\n' "a helper says $SECRET" >&2`)
	cmd.Env, cmd.Stderr = append(os.Environ(), "SECRET="+canary), os.Stderr
	err := cmd.Run()
	stop()
	if err != nil || os.Stderr != before {
		t.Fatalf("%v; standard error is itself again: %t", err, os.Stderr == before)
	}
	_ = w.Close()
	if want := "a library says [redacted]\na helper says [redacted]\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestTreeMasksBeforeItCuts(t *testing.T) {
	var out bytes.Buffer
	secrets := &variables.Masker{}
	secrets.Add(strings.Repeat("c4n4ry-", 10))
	w := newWorld(t)
	tr := newTree(&out, style{}, w.time, secrets)
	r, o := sample(w.time())
	r.Environment = "prod-and-more-" + strings.Repeat("c4n4ry-", 10)
	tr.Observed(r, o, rollout.Decision{})
	tr.Stop()
	if strings.Contains(out.String(), "c4n4ry") || !strings.Contains(out.String(), variables.Redacted) {
		t.Errorf("the frame is\n%s", out.String())
	}
}
