package calculator

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/sluice-dev/sluice/examples/calculator/internal/chaos"
	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
	"github.com/sluice-dev/sluice/examples/calculator/internal/serving"
	"github.com/sluice-dev/sluice/internal/config"
)

// services renders the chart and returns each service's settings and faults as the service itself reads them.
func services(t *testing.T, values string) (settings map[string]serving.Settings, faults map[string]chaos.Faults) {
	t.Helper()
	all := mustRender(t, "calculator-blue", values)
	settings, faults = map[string]serving.Settings{}, map[string]chaos.Faults{}
	for _, name := range []string{"frontend", "backend"} {
		vars := variables(object[*appsv1.Deployment](t, all, "Deployment/calculator-blue-"+name))
		reader := env.NewReader(func(v string) string { return vars[v] })
		settings[name], faults[name] = serving.FromEnv(name, "", reader), chaos.FromEnv(reader)
		if err := reader.Err(); err != nil {
			t.Fatalf("%s does not understand what the chart tells it: %v", name, err)
		}
	}
	return settings, faults
}

func TestFaultsReachTheService(t *testing.T) {
	off := chaos.Faults{DelayRate: 1}
	with := func(change func(*chaos.Faults)) chaos.Faults {
		f := off
		change(&f)
		return f
	}
	for _, tt := range []struct {
		values            string
		frontend, backend chaos.Faults
	}{
		{"{}", off, off},
		{"failureRate: 0.2", off, with(func(f *chaos.Faults) { f.FailureRate = 0.2 })},
		{"{delay: 800ms, delayRate: 0.5}", off, with(func(f *chaos.Faults) { f.Delay, f.DelayRate = 800*time.Millisecond, 0.5 })},
		{"wrongBody: true", off, with(func(f *chaos.Faults) { f.WrongBody = true })},
		{"bugAt19: true", off, with(func(f *chaos.Faults) { f.BugAt19 = true })},
		{"crash: 3", off, with(func(f *chaos.Faults) { f.Crash = 3 * time.Second })},
		{"crash: 500ms", off, with(func(f *chaos.Faults) { f.Crash = 500 * time.Millisecond })},
		{"neverReady: true", off, with(func(f *chaos.Faults) { f.NeverReady = true })},
		{"memory: 2000000", off, with(func(f *chaos.Faults) { f.Memory = 2000000 })},
		{"{component: frontend, failureRate: 1, crash: 3, wrongBody: true}",
			with(func(f *chaos.Faults) { f.FailureRate, f.Crash = 1, 3*time.Second }),
			with(func(f *chaos.Faults) { f.WrongBody = true })},
	} {
		t.Run(tt.values, func(t *testing.T) {
			_, got := services(t, "faults: "+braced(tt.values))
			if diff := cmp.Diff(map[string]chaos.Faults{"frontend": tt.frontend, "backend": tt.backend}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func braced(values string) string { return "{" + strings.Trim(values, "{}") + "}" }

func TestSettingsReachTheService(t *testing.T) {
	got, _ := services(t, "{version: 2.0.0, shutdown: {drainDelay: 7s, grace: 9s}}")
	for name, s := range got {
		if s.Drain != 7*time.Second || s.Grace != 9*time.Second || s.Identity.Version != "2.0.0" || s.Identity.Slot != "calculator-blue" {
			t.Errorf("%s: %+v %+v", name, s, s.Identity)
		}
	}
	got, _ = services(t, "{slot: blue, faults: {sayVersion: false}}")
	for name, s := range got {
		if s.Identity != nil {
			t.Errorf("%s tells its version with sayVersion: false", name)
		}
	}
	got, _ = services(t, "slot: blue")
	if slot := got["frontend"].Identity.Slot; slot != "blue" {
		t.Errorf("slot %q, want blue", slot)
	}
}

func TestServicesTakeTheTokenFromTheSecret(t *testing.T) {
	for values, want := range map[string]string{"{}": "", "config: {secretName: calculator-variables}": "calculator-variables"} {
		all := mustRender(t, "calculator", values)
		for _, part := range []string{"frontend", "backend"} {
			got := ""
			for _, from := range object[*appsv1.Deployment](t, all, "Deployment/calculator-"+part).Spec.Template.Spec.Containers[0].EnvFrom {
				got += from.SecretRef.Name
			}
			if got != want {
				t.Errorf("with %s the %s takes %q", values, part, got)
			}
		}
	}
}

func TestDefaultShutdownFitsTheGracePeriod(t *testing.T) {
	got, _ := services(t, "{}")
	pod := object[*appsv1.Deployment](t, mustRender(t, "calculator"), "Deployment/calculator-frontend").Spec.Template.Spec
	most := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if s := got["frontend"]; s.Drain < 5*time.Second || s.Drain+s.Grace >= most {
		t.Errorf("drain %s + grace %s against %s: Kubernetes would kill requests in flight", s.Drain, s.Grace, most)
	}
}

func TestBadValues(t *testing.T) {
	for values, want := range map[string]string{
		"images: {frontend: null}":                             "set images.frontend to a full image reference",
		"ingress: {enabled: true, weigth: 100}":                "weigth",
		"fault: {crash: 3}":                                    "fault",
		"faults: {failureRate: 2}":                             "failureRate",
		"faults: {failureRate: often}":                         "failureRate",
		"faults: {delay: soon}":                                "delay",
		"faults: {crash: -1}":                                  "crash",
		"faults: {component: all}":                             "component",
		"faults: {memory: 64Mi}":                               "memory",
		"frontend: {replicas: two}":                            "replicas",
		"migration: {exitCode: 300}":                           "exitCode",
		"{ingress: {enabled: true}, gateway: {enabled: true}}": "two routes would claim one host",
		"gateway: {parentRefs: []}":                            "parentRefs",
	} {
		t.Run(values, func(t *testing.T) {
			_, _, err := render("calculator", images, values)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one about %q", err, want)
			}
		})
	}
}

func TestLint(t *testing.T) {
	linter := lint.RunAll("chart", map[string]any{"images": map[string]any{"frontend": "a", "backend": "b"}}, "somewhere")
	if len(linter.Messages) == 0 {
		t.Error("the linter says nothing at all, not even that the icon is missing: did it run?")
	}
	for _, m := range linter.Messages {
		if m.Severity > support.InfoSev {
			t.Errorf("%s: %v", m.Path, m.Err)
		}
	}
}

func TestNotes(t *testing.T) {
	for values, want := range map[string]string{
		"{}": "port-forward service/calculator-blue-frontend 8080:80",
		"{host: a.example.com, ingress: {enabled: true}}": "http://a.example.com/api/calculate?number=221",
	} {
		_, notes, err := render("calculator-blue", images, values)
		if err != nil || !strings.Contains(notes, want) {
			t.Errorf("notes with %s lack %q (error %v):\n%s", values, want, err, notes)
		}
	}
}

// TestProject loads sluice.yaml as the product does and renders the chart with the values of each environment.
func TestProject(t *testing.T) {
	vars := map[string]string{"REGISTRY": "localhost:5000", "ENTRY_PORT": "8080"}
	file, err := config.LoadUnmade("sluice.yaml", func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range file.Project.Environments {
		t.Run(name, func(t *testing.T) {
			values := []string{}
			for _, file := range e.Values {
				values = append(values, readFile(t, file))
			}
			all := mustRender(t, "calculator", values...)
			kind := "Ingress/calculator"
			if e.Strategy.BlueGreen != nil && e.Strategy.BlueGreen.Traffic.Gateway != nil {
				kind = "HTTPRoute/calculator"
			}
			if all[kind] == nil {
				t.Errorf("no %s for the environment's router", kind)
			}
			if want := "http://" + name + ".calculator.localhost:8080"; e.Entry != want || !strings.Contains(values[0], "host: "+name+".calculator.localhost\n") {
				t.Errorf("entry %s and values %q: want both at %s", e.Entry, values[0], want)
			}
			if want, got := map[string]int32{"dev": 1, "prod": 2, "prod-gateway": 2}[name], *object[*appsv1.Deployment](t, all, "Deployment/calculator-frontend").Spec.Replicas; got != want {
				t.Errorf("%d replicas, want %d", got, want)
			}
		})
	}
	service := file.Project.Services["calculator"]
	if service.ImageValues["frontend"] != "images.frontend" || service.ImageValues["backend"] != "images.backend" || len(service.Images) != 2 {
		t.Errorf("images %v, imageValues %v", service.Images, service.ImageValues)
	}
}
