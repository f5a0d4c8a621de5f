package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
)

func TestProblemsOfPaths(t *testing.T) {
	const at = "10:13: services.calculator.paths[0]: "
	for _, c := range []struct{ name, paths, want string }{
		{"folders, files and patterns", `[., frontend/, ../, 'lib*', "!**/*.md", "!bin", "values-{dev,prod}.yaml", "chart/[a-z]?/**"]`, ""},
		{"an empty one", `[""]`, at + `"" is no path: it is empty, or begins or ends with a space`},
		{"nothing taken out", `["!"]`, at + `"!" is no path: it is empty, or begins or ends with a space`},
		{"a space before it", `[" chart"]`, at + `" chart" is no path: it is empty, or begins or ends with a space`},
		{"taken out twice", `["!!chart"]`, at + `"!!chart" begins with more than one !; one ! takes a path out`},
		{"a backslash", `['frontend\x']`, at + `"frontend\\x" holds a \; separate folders with /`},
		{"an absolute one", `[/chart]`, at + `"/chart" is no path relative to the folder of sluice.yaml; paths begin in the folder of sluice.yaml; ../ leads out of it`},
		{"an open bracket", `["lib[a"]`, at + `"lib[a" is no pattern: a bracket or brace is not closed; * ? ** [a-z] {a,b} are known`},
		{"an open brace", `["lib{a"]`, at + `"lib{a" is no pattern: a bracket or brace is not closed; * ? ** [a-z] {a,b} are known`},
		{"up from nowhere", `["*/../lib"]`, at + `"*/../lib" leads up behind a wildcard; write ../ first`},
		{"one that is not there", `[lib]`, at + `there is no file or folder "lib" in the folder of sluice.yaml`},
		{"one twice", `[chart, chart]`, `10:20: services.calculator.paths[1]: "chart" is named twice; remove it`},
		{"no list", `chart`, "10:12: services.calculator.paths: must be a list, not the string \"chart\""},
	} {
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		change{c.name, "    imageValues:", "    paths: " + c.paths + "\n    imageValues:", want}.run(t)
	}
}

func TestEarlier(t *testing.T) {
	path := write(t, small)
	now, err := config.Load(path, getenv)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"chart", "frontend", "values-dev.yaml"} {
		if err := os.RemoveAll(filepath.Join(filepath.Dir(path), name)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := config.Earlier(path, []byte(small), getenv)
	if diff := cmp.Diff(now.Project, before); err != nil || diff != "" {
		t.Errorf("%v; the same text gives another project (-now +before):\n%s", err, diff)
	}
	for name, text := range map[string]string{
		"no YAML": "a: [", "an unknown key": strings.Replace(small, "kind:", "colour: red\nkind:", 1), "nothing": "",
	} {
		if _, err := config.Earlier(path, []byte(text), getenv); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
