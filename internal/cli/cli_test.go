package cli

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/fault"
)

func TestCommandLineErrors(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"deply"}, "did you mean `sluice deploy`?"},
		{"unknown flag", []string{"deploy", "--evn", "dev"}, "did you mean --env?"},
		{"no release", []string{"deploy", "--env", "dev"}, "RELEASE is missing"},
		{"no environment", []string{"deploy", "calculator:1.0.0"}, "--env is missing"},
		{"unknown environment", []string{"status", "--env", "prd"}, "did you mean prod? known: dev, prod"},
		{"unknown service", []string{"build", "calculater"}, "did you mean calculator?"},
		{"which environment", []string{"resume"}, "has dev, prod"},
		{"too many arguments", []string{"run", "a", "b"}, "one SERVICE at most, but got 2: a b"},
		{"no argument taken", []string{"version", "x"}, "takes no argument"},
		{"unknown format", []string{"version", "-o", "xml"}, "must be one of text, json, yaml"},
		{"missing file", []string{"check", "-f", "other.yaml"}, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := w.must(2, tt.args...)
			if !strings.Contains(r.stderr, tt.want) || r.stdout != "" {
				t.Errorf("stdout %q, stderr %q; want %q on stderr only", r.stdout, r.stderr, tt.want)
			}
		})
	}
}

func TestErrorsAreDocumentsToo(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{
		{"status", "--env", "prd", "-o", "json"},
		{"--output=json", "nonsense"},
		{"deploy", "--evn", "x", "-o", "json"},
	} {
		r := w.must(2, args...)
		if doc := decode[errorDocument](t, r.stdout); doc.Kind != "Error" || doc.APIVersion != "sluice.dev/v1alpha1" || doc.ExitCode != 2 || doc.Message == "" {
			t.Errorf("%v: %s", args, r.stdout)
		}
	}
	w.write("sluice.yaml", projectFile+"colour: red\nregistree: x\n")
	r := w.must(2, "check", "-o", "json")
	if doc := decode[errorDocument](t, r.stdout); len(doc.Problems) != 2 || doc.Problems[0].Line == 0 {
		t.Errorf("problems: %s", r.stdout)
	}
	if !strings.HasSuffix(strings.TrimSpace(r.stderr), "error: 2 problems in "+w.dir+"/sluice.yaml") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	w := newWorld(t)
	w.environment["SLUICE_OUTPUT"] = "json"
	w.environment["SLUICE_VERSION"] = "3.2.1"
	if doc := decode[releaseDocument](t, w.must(0, "build").stdout); doc.Version != "3.2.1" {
		t.Errorf("version %s", doc.Version)
	}
	if doc := decode[releaseDocument](t, w.must(0, "build", "--version", "4.0.0").stdout); doc.Version != "4.0.0" {
		t.Errorf("the flag does not win: version %s", doc.Version)
	}
	w.environment["SLUICE_NUMBER"] = "many"
	if r := w.must(2, "history", "--env", "dev", "-o", "text"); !strings.Contains(r.stderr, "environment variable SLUICE_NUMBER") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

func TestYAMLOutput(t *testing.T) {
	w := newWorld(t)
	var doc checkDocument
	if err := yaml.UnmarshalStrict([]byte(w.must(0, "check", "-o", "yaml").stdout), &doc); err != nil || doc.Kind != "CheckResult" || len(doc.Environments) != 2 {
		t.Errorf("%v: %+v", err, doc)
	}
}

func TestDeployFromAnEmptyFolder(t *testing.T) {
	w := newWorld(t)
	w.must(0, "build", "--version", "1.0.0")
	w.dir = t.TempDir()
	if r := w.must(2, "deploy", "calculator:1.0.0", "--env", "dev"); !strings.Contains(r.stderr, "give --registry PREFIX") {
		t.Errorf("stderr: %s", r.stderr)
	}
	w.must(0, "deploy", "calculator:1.0.0", "--env", "dev", "--registry", "localhost:5000/calculator")
	w.must(0, "deploy", "localhost:5000/calculator/calculator@"+digestOf("1.0.0"), "--env", "prod")
}

func TestPluginIsExecuted(t *testing.T) {
	w := newWorld(t)
	t.Setenv("PATH", t.TempDir())
	if r := w.must(2, "local", "up"); !strings.Contains(r.stderr, "sluice-local is neither beside sluice nor in the PATH") || strings.Count(r.stderr, "\n") != 2 {
		t.Errorf("stderr: %s", r.stderr)
	}
}

// commands lists every command that a person can call.
func commands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{}
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			all = append(all, c)
		}
	}
	return all
}

func TestHelpIsTrue(t *testing.T) {
	w := newWorld(t)
	for _, c := range commands(newRoot(&invocation{Process: Process{Stdout: io.Discard}})) {
		t.Run(c.Name(), func(t *testing.T) {
			help := w.must(0, c.Name(), "--help").stdout
			if !strings.Contains(help, "Exit codes:\n  0    done") || c.Example == "" || c.GroupID == "" {
				t.Errorf("help lacks exit codes, example or group:\n%s", help)
			}
			for _, line := range strings.Split(c.Example, "\n") {
				example(t, strings.TrimSpace(line))
			}
		})
	}
}

// example parses one line of an example: the command exists, so do its flags, and its arguments are accepted.
func example(t *testing.T, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " > ")
	words := splitWords(line)
	if len(words) < 2 || words[0] != "sluice" {
		t.Errorf("%q is no call of sluice", line)
		return
	}
	cmd, rest, err := newRoot(&invocation{}).Find(words[1:])
	if err != nil || !cmd.HasParent() {
		t.Errorf("%q: no such command: %v", line, err)
		return
	}
	if cmd.DisableFlagParsing {
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", line, err)
	} else if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("%q: %v", line, err)
	}
}

// splitWords splits at blanks outside of double quotes.
func splitWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func TestFlagNamesMakeDistinctVariables(t *testing.T) {
	for _, c := range commands(newRoot(&invocation{})) {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no usage", c.Name(), f.Name)
			}
			names = append(names, environmentName(f.Name))
		})
		slices.Sort(names)
		if len(slices.Compact(names)) != len(names) {
			t.Errorf("%s: two flags share a variable: %v", c.Name(), names)
		}
	}
}

func TestMeaningOfEveryExitCode(t *testing.T) {
	for kind := fault.Internal; kind.String() != "unknown"; kind++ {
		code := fault.ExitCode(fault.New(kind, "x", "y"))
		if meaning(code) == "unknown" {
			t.Errorf("exit code %d of %s has no meaning", code, kind)
		}
	}
}

func TestClosest(t *testing.T) {
	for word, want := range map[string]string{"prd": "prod", "PROD": "prod", "stagign": "staging", "x": "", "production": "", "de": "dev"} {
		if got := closest(word, []string{"prod", "staging", "dev"}); got != want {
			t.Errorf("closest(%q) = %q, want %q", word, got, want)
		}
	}
}
