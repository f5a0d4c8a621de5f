package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
)

// small is the whole file of a small service.
const small = `apiVersion: sluice.dev/v1alpha1
kind: Project
name: calculator
registry: ${REGISTRY}/calculator
services:
  calculator:
    images:
      frontend: {ko: ./frontend}
    chart: chart
    imageValues: {frontend: images.frontend}
environments:
  dev:
    cluster: {context: sluice-local}
    namespace: calculator-dev
    values: [values-dev.yaml]
    entry: http://dev.calculator.localhost:8080
    strategy: {direct: {}}
    gates:
      - http: {path: /api/calculate?number=221, expect: {json: {factors: [13, 17], who: "${WHO}"}}}
      - helmTest: {}
  prod:
    after: [dev]
    cluster: {context: sluice-local}
    namespace: calculator-prod
    strategy:
      canary:
        traffic: {gateway: {}}
        steps: [{weight: 0}, {weight: 20, hold: 10s}, {weight: 100}]
        keepOld: 30m
`

// write lays out a project's folder around the text of a sluice.yaml and returns the file's path.
func write(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"chart/Chart.yaml": "name: calculator\n", "frontend/main.go": "package main\n", "values-dev.yaml": "{}\n",
		"values-prod.yaml": "{}\n", "empty/.keep": "", "backend/Dockerfile": "FROM scratch\n", "build.sh": "#!/bin/sh\n", config.FileName: text,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, config.FileName)
}

func getenv(name string) (string, bool) {
	v, ok := map[string]string{"REGISTRY": "localhost:5000", "WHO": "a ${REGISTRY} b", "EMPTY": ""}[name]
	return v, ok
}

func TestSmallServiceNeedsFewerThan30Lines(t *testing.T) {
	if n := strings.Count(small, "\n"); n >= 30 {
		t.Errorf("the file of a small service has %d lines", n)
	}
	if _, err := config.Load(write(t, small), getenv); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	path := write(t, small)
	f, err := config.Load(path, getenv)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.File{Dir: filepath.Dir(path), Path: path, Project: v1alpha1.Project{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindProject, Name: "calculator", Registry: "localhost:5000/calculator",
		Services: map[string]v1alpha1.Service{"calculator": {
			Chart: "chart", Images: map[string]v1alpha1.Image{"frontend": {Ko: "./frontend"}},
			ImageValues: map[string]string{"frontend": "images.frontend"},
		}},
		Environments: map[string]v1alpha1.Environment{
			"dev": {
				Cluster: v1alpha1.Cluster{Context: "sluice-local"}, Namespace: "calculator-dev", Values: []string{"values-dev.yaml"},
				Entry: "http://dev.calculator.localhost:8080", Timeout: v1alpha1.Duration(5 * time.Minute),
				Strategy: v1alpha1.Strategy{Direct: &v1alpha1.Direct{}},
				Gates: []v1alpha1.Gate{
					{HTTP: &v1alpha1.HTTPGate{Path: "/api/calculate?number=221", Method: "GET", Attempts: 3, Timeout: v1alpha1.Duration(5 * time.Second),
						Expect: v1alpha1.HTTPExpect{Status: 200, JSON: []byte(`{"factors":[13,17],"who":"a ${REGISTRY} b"}`)}}},
					{HelmTest: &v1alpha1.HelmTestGate{Timeout: v1alpha1.Duration(5 * time.Minute)}},
				},
			},
			"prod": {
				After: []string{"dev"}, Cluster: v1alpha1.Cluster{Context: "sluice-local"}, Namespace: "calculator-prod",
				Timeout: v1alpha1.Duration(5 * time.Minute),
				Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{
					Traffic: v1alpha1.Traffic{Gateway: &v1alpha1.GatewayTraffic{}, Convergence: v1alpha1.Duration(5 * time.Second)},
					Header:  v1alpha1.Header{Name: "canary", Value: "always"},
					Steps:   []v1alpha1.Step{{}, {Weight: 20, Hold: v1alpha1.Duration(10 * time.Second)}, {Weight: 100}},
					KeepOld: v1alpha1.Duration(30 * time.Minute),
				}},
			},
		},
	}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestAllProblemsAtOnce has one of everything, and wants every line of the answer in the file's order.
func TestAllProblemsAtOnce(t *testing.T) {
	path := write(t, `apiVersion: sluice.dev/v1
kind: Project
nmae: calculator
registry: http://localhost:5000
services:
  calculator:
    chart: 5
    imagesValues: {frontend: images.frontend}
environments:
  dev:
    after: [prod]
    cluster: {context: a, identity: "${NOWHERE}"}
    namespace: [x]
    values: [values-stage.yaml]
    strategy: {direct: {}, canary: {traffic: {nginx: {}}, steps: [{weight: "5"}]}}
  prod:
    after: [dve]
    cluster: {context: a}
    namespace: Prod
    strategy: {}
    timeout: 5 minutes
`)
	_, err := config.Load(path, getenv)
	want := []string{
		`1:1: name: is missing`,
		`1:13: apiVersion: must be sluice.dev/v1alpha1, not "sluice.dev/v1"`,
		`3:1: nmae: unknown key; did you mean "name"?`,
		`4:11: registry: "http://localhost:5000" has a scheme; write it as host[:port]/path, for example localhost:5000/calculator`,
		`7:12: services.calculator.chart: must be a string, not the number 5; put it in quotes: "5"`,
		`8:5: services.calculator.imagesValues: unknown key; did you mean "imageValues"?`,
		`12:37: environments.dev.cluster.identity: the environment variable NOWHERE is not set; set it where sluice runs`,
		`13:16: environments.dev.namespace: must be a string, not a list`,
		`14:14: environments.dev.values[0]: there is no file "values-stage.yaml" in the folder of sluice.yaml`,
		`15:28: environments.dev.strategy: has direct and canary, and needs exactly one of them; remove all but one`,
		`15:76: environments.dev.strategy.canary.steps[0].weight: must be a whole number, not the string "5"; write it without quotes`,
		`17:13: environments.prod.after[0]: there is no environment "dve"; did you mean "dev"?`,
		`19:16: environments.prod.namespace: "Prod" is no DNS label: lower-case letters, digits and hyphens are allowed, and it begins and ends with a letter or digit`,
		`20:5: environments.prod.strategy: needs exactly one of direct, blueGreen, canary`,
		`21:14: environments.prod.timeout: "5 minutes" is no duration such as 30s or 5m`,
	}
	compareProblems(t, path, err, want)
	if got := fault.ExitCode(err); got != 2 {
		t.Errorf("exit code %d, want 2", got)
	}
}

func compareProblems(t *testing.T, path string, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	var got []string
	for _, p := range config.ProblemsOf(err) {
		got = append(got, strings.TrimPrefix(p.String(), path+":"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(want) {
		t.Errorf("the error prints %d lines for %d problems: %v", len(lines), len(want), err)
	}
}

func TestExampleIsValid(t *testing.T) {
	f, err := config.LoadUnmade("../../examples/calculator/sluice.yaml", func(name string) (string, bool) {
		v, ok := map[string]string{"REGISTRY": "localhost:5000", "ENTRY_PORT": "8080"}[name]
		return v, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Project.Environments) < 2 {
		t.Errorf("the example has %d environments, and should show a path", len(f.Project.Environments))
	}
}

func TestLoadOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	_, err := config.Load(filepath.Join(dir, "none.yaml"), getenv)
	if fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("a file that does not exist: %v (%v)", err, fault.KindOf(err))
	}
	_, err = config.Load(dir, getenv)
	if fault.KindOf(err) != fault.Usage {
		t.Errorf("a folder: %v (%v)", err, fault.KindOf(err))
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "repo", "services", "one", "src")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"sluice.yaml", "repo/services/one/sluice.yml"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := config.Find(deep)
	if want := filepath.Join(dir, "sluice.yaml"); err != nil || got != want {
		t.Errorf("from below: %q, %v; want %q", got, err, want)
	}
	t.Chdir(deep)
	got, err = config.Find(".")
	if want := "../../../../sluice.yaml"; err != nil || got != want {
		t.Errorf("from a relative folder: %q, %v; want %q", got, err, want)
	}
	if err := os.Mkdir(filepath.Join(dir, "repo", ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = config.Find(deep)
	if fault.KindOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), "sluice.yml") {
		t.Errorf("above the repository: %v; hint %q", err, fault.HintOf(err))
	}
}

func ExampleProblem_String() {
	fmt.Println(config.Problem{File: "sluice.yaml", Line: 3, Column: 1, Path: "nmae", Message: "unknown key", Hint: `did you mean "name"?`})
	// Output: sluice.yaml:3:1: nmae: unknown key; did you mean "name"?
}
