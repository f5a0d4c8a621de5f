package sops_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/sops"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

// home gives the test a user of its own, without any key, and returns a folder of it.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("GNUPGHOME", filepath.Join(dir, "gnupg"))
	for _, name := range []string{"SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_CMD", "SOPS_CONFIG"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	return dir
}

func keyPath(dir string) string { return filepath.Join(dir, "config", "sops", "age", "keys.txt") }

func file(dir, name string) sops.File {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return sops.File{Path: filepath.Join(dir, "project", "env", name), Name: "env/" + name, Now: func() time.Time { return at }}
}

func created(t *testing.T, dir, name string) sops.File {
	t.Helper()
	f := file(dir, name)
	if _, err := f.Create(); err != nil {
		t.Fatal(err)
	}
	return f
}

func set(t *testing.T, f sops.File, name, content string) {
	t.Helper()
	if _, err := f.Set(t.Context(), name, variables.NewValue(content), false); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, f sops.File) string {
	t.Helper()
	data, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestContract(t *testing.T) {
	for _, name := range []string{"dev.yaml", "dev.yml", "dev.json", "dev.env"} {
		t.Run(name, func(t *testing.T) {
			variablestest.Run(t, func(t *testing.T) variablestest.Subject {
				dir := home(t)
				f := created(t, dir, name)
				return variablestest.Subject{
					Store: f.Store(),
					Put:   func(t *testing.T, name, content string) { set(t, f, name, content) },
					Refuse: func(t *testing.T) {
						if err := os.Remove(keyPath(dir)); err != nil {
							t.Fatal(err)
						}
					},
				}
			})
		})
	}
}

func TestCreateMakesAKeyThatOnlyItsUserReads(t *testing.T) {
	dir := home(t)
	f := file(dir, "dev.yaml")
	made, err := f.Create()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(keyPath(dir))
	if err != nil || made.KeyFile != keyPath(dir) || info.Mode().Perm() != 0o600 {
		t.Errorf("%+v: %v, %v", made, info, err)
	}
	if folder, err := os.Stat(filepath.Dir(keyPath(dir))); err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("the key's folder: %v, %v", folder.Mode(), err)
	}
	if again, err := file(dir, "prod.yaml").Create(); err != nil || again.KeyFile != "" || again.Recipients[0] != made.Recipients[0] {
		t.Errorf("the second file: %+v, %v; want the key of the first", again, err)
	}
	if _, err := f.Create(); !fault.Is(err, fault.Conflict) {
		t.Errorf("it was made twice: %v", err)
	}
	if strings.Contains(text(t, f), "AGE-SECRET-KEY") {
		t.Error("the private key is in the file")
	}
}

func TestCreateFollowsTheRules(t *testing.T) {
	dir := home(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write := func(rules string) {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "project"), 0o755), os.WriteFile(filepath.Join(dir, "project", ".sops.yaml"), []byte(rules), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("creation_rules:\n  - path_regex: env/prod\\.yaml$\n    encrypted_regex: PASSWORD\n    age: " + identity.Recipient().String() + "\n")
	if _, err := file(dir, "dev.yaml").Create(); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), ".sops.yaml") {
		t.Errorf("no rule fits, and it gave %v", err)
	}
	f := file(dir, "prod.yaml")
	made, err := f.Create()
	if err != nil || made.KeyFile != "" || fmt.Sprint(made.Recipients) != "[age "+identity.Recipient().String()+"]" {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := f.Set(t.Context(), "A", variables.NewValue("x"), false); !fault.Is(err, fault.Unreachable) {
		t.Errorf("it was written without a key: %v", err)
	}
	t.Setenv("SOPS_AGE_KEY", identity.String())
	set(t, f, "DB_PASSWORD", "hidden")
	set(t, f, "LEVEL", "debug")
	if got := text(t, f); strings.Contains(got, "hidden") || !strings.Contains(got, "LEVEL: debug") {
		t.Errorf("the rule for what is encrypted was not followed:\n%s", got)
	}
	found, err := f.Store().Resolve(t.Context(), []variables.Query{{Name: "DB_PASSWORD"}, {Name: "LEVEL"}})
	if err != nil || found[0].Exposed || !found[1].Exposed {
		t.Errorf("in clear text: %+v, %v", found, err)
	}
	whole := text(t, f)
	if _, err := f.Set(t.Context(), "API_KEY", variables.NewValue("c4nary"), true); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "API_KEY") || text(t, f) != whole {
		t.Errorf("a secret that would lie open gave %v", err)
	}
	o, err := f.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	more := o.Text().Reveal() + "API_KEY: c4nary\n"
	if _, err := o.Replace(variables.NewValue(more), "API_KEY", "ABSENT"); !fault.Is(err, fault.Refused) || text(t, f) != whole {
		t.Errorf("an editor that adds one gave %v", err)
	}
	if aside, err := o.Aside(variables.NewValue(more)); err != nil || strings.Contains(text(t, sops.File{Path: aside}), "c4nary") {
		t.Errorf("what was kept aside lies open, or %v", err)
	}
	write("creation_rules:\n  - path_regex: env/\n")
	if _, err := file(dir, "no-key.yaml").Create(); !fault.Is(err, fault.Usage) {
		t.Errorf("a rule without a key gave %v", err)
	}
}

// TestTamperedFilesAreRefused: no message repeats what somebody wrote into a file in clear text.
func TestTamperedFilesAreRefused(t *testing.T) {
	f := created(t, home(t), "dev.yaml")
	set(t, f, "A", "c4nary-a")
	set(t, f, "B", "c4nary-b")
	whole := text(t, f)
	line := regexp.MustCompile(`(?m)^A: (.*)$`).FindStringSubmatch(whole)[1]
	for name, c := range map[string]struct {
		text string
		want fault.Kind
		says string
	}{
		"an entry in clear text":    {strings.Replace(whole, line, "c4nary-by-hand", 1), fault.Refused, "not encrypted where sops expects it: A"},
		"an entry renamed":          {strings.Replace(whole, "A: ", "C: ", 1), fault.Refused, "there is none in"},
		"an entry less":             {strings.Replace(whole, "B: ", "B_unencrypted: ", 1), fault.Refused, "MAC"},
		"an entry more":             {"X_unencrypted: c4nary\n" + whole, fault.Refused, "MAC"},
		"a bit less":                {strings.Replace(whole, "data:", "data:A", 1), fault.Refused, "damaged"},
		"no code of authentication": {regexp.MustCompile(`(?m)^    mac: .*$`).ReplaceAllString(whole, "    mac: ''"), fault.Refused, "MAC"},
		"a conflict of a merge":     {"<<<<<<< c4nary\n" + whole, fault.Refused, "cannot be read"},
		"no sops":                   {"A: c4nary\n", fault.Refused, "not encrypted by sops"},
		"nothing":                   {"", fault.Refused, "not encrypted by sops"},
		"a list":                    {"- c4nary\n", fault.Refused, "cannot be read"},
		"sops as a text":            {"A: c4nary\nsops: c4nary\n", fault.Refused, "cannot be read"},
		"twice the same":            {"A: c4nary\n" + whole, fault.Refused, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(f.Path, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := f.Store().Resolve(t.Context(), []variables.Query{{Name: "A"}})
			if got != nil || !fault.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || fault.HintOf(err) == "" {
				t.Errorf("%v (%v): %v", err, fault.KindOf(err), got)
			}
			if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "c4nary") {
				t.Errorf("it repeats the content: %v", err)
			}
		})
	}
}

func TestOtherTypesAreTexts(t *testing.T) {
	f := created(t, home(t), "dev.yaml")
	edit(t, f, func(string) string {
		return "bool: true\nint: 42\nfloat: 0.25\ntime: 2026-01-02\nempty: ''\nnothing: null\nmany: [1, 2]\nmore: {a: b}\n"
	})
	for name, want := range map[string]string{"bool": "true", "int": "42", "float": "0.25", "time": "2026-01-02T00:00:00Z", "empty": ""} {
		got, err := f.Store().Resolve(t.Context(), []variables.Query{{Name: name}})
		if err != nil || got[0].Value.Reveal() != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"nothing", "many", "more"} {
		if _, err := f.Store().Resolve(t.Context(), []variables.Query{{Name: name}}); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutAKeyItSaysWhatWasTried(t *testing.T) {
	dir := home(t)
	f := created(t, dir, "dev.yaml")
	set(t, f, "A", "c4nary")
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.TrimSpace(strings.Split(text(t, f), "recipient: ")[1][:62])
	if err := os.Remove(keyPath(dir)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOPS_AGE_KEY", other.String())
	t.Setenv("SOPS_AGE_KEY_FILE", filepath.Join(dir, "none.txt"))
	_, err = f.Store().Resolve(t.Context(), []variables.Query{{Name: "A"}})
	if !fault.Is(err, fault.Unreachable) {
		t.Fatalf("it gave %v", err)
	}
	for _, part := range []string{"age " + theirs, "$SOPS_AGE_KEY (for " + other.Recipient().String() + ")", "none.txt: not there", keyPath(dir) + " (not there)", "sops file env/dev.yaml"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("it does not say %q: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "AGE-SECRET-KEY") || strings.Contains(err.Error(), "c4nary") {
		t.Errorf("it says too much: %v", err)
	}
	t.Setenv("SOPS_AGE_KEY", "AGE-SECRET-KEY-1C4NARY")
	if _, err = f.Store().Resolve(t.Context(), []variables.Query{{Name: "A"}}); err == nil || strings.Contains(err.Error(), "C4NARY") {
		t.Errorf("it repeats the key: %v", err)
	}
}

func TestMissingFileIsMissing(t *testing.T) {
	_, err := file(home(t), "dev.yaml").Store().Resolve(context.Background(), []variables.Query{{Name: "A"}})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("it gave %v", err)
	}
}

// TestPGP encrypts for a key of GnuPG, which must be installed.
func TestPGP(t *testing.T) {
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Skip("gpg is not installed")
	}
	dir := home(t)
	// The agent's socket must have a short path.
	gnupg, err := os.MkdirTemp("/tmp", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", gnupg)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", gnupg, "--kill", "all").Run()
		_ = os.RemoveAll(gnupg)
	})
	if out, err := exec.CommandContext(t.Context(), gpg, "--batch", "--passphrase", "", "--quick-generate-key", "test@example.com", "default", "default", "never").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), gpg, "--with-colons", "--fingerprint").Output()
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := regexp.MustCompile(`(?m)^fpr:+([0-9A-F]+):`).FindStringSubmatch(string(out))[1]
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "project"), 0o755), os.WriteFile(filepath.Join(dir, "project", ".sops.yaml"), []byte("creation_rules:\n  - pgp: "+fingerprint+"\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	f := created(t, dir, "dev.yaml")
	set(t, f, "A", "by pgp")
	got, err := f.Store().Resolve(t.Context(), []variables.Query{{Name: "A"}})
	if err != nil || got[0].Value.Reveal() != "by pgp" {
		t.Fatalf("%v, %v", got, err)
	}
	t.Setenv("GNUPGHOME", filepath.Join(dir, "nobody"))
	if _, err := f.Store().Resolve(t.Context(), []variables.Query{{Name: "A"}}); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "pgp "+fingerprint) {
		t.Errorf("without the key it gave %v", err)
	}
}
