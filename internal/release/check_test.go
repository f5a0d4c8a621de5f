package release_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/check/checktest"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/release"
)

// packer is a fake that packs nothing.
type packer struct {
	chart build.Chart
	err   error
}

func (p packer) Pack(context.Context, string, string) (build.Chart, error) { return p.chart, p.err }

// pointer is a layer that finds the value a.b in the values file wrong.
type pointer struct{ err error }

func (p pointer) Check(_ context.Context, s check.Subject) (check.Report, error) {
	f := check.Finding{Service: s.Release.Service, Environments: []string{s.Environment}, File: "dev.yaml", Path: "a.b", Keys: []string{"a", "b"}, Message: "wrong"}
	return check.Report{Findings: []check.Finding{f}}, p.err
}

func checkRequest(t *testing.T) release.MakeRequest {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, "dev.yaml", "a:\n  b: 1\n")
	put(t, dir, "chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.0.0\n")
	environment := v1alpha1.Environment{Values: []string{"dev.yaml"}}
	return release.MakeRequest{Dir: dir, Service: "shop", Project: v1alpha1.Project{
		Registry: "registry.test", Environments: map[string]v1alpha1.Environment{"dev": environment, "prod": environment},
		Services: map[string]v1alpha1.Service{"shop": {Chart: "chart", Images: map[string]v1alpha1.Image{"web": {Ko: "."}}, ImageValues: map[string]string{"web": "image"}}},
	}}
}

func TestCheckShowsLayersWhatABuildWouldRelease(t *testing.T) {
	layer := &checktest.Layer{}
	checker := release.Checker{Charts: chart.Packer{Offline: true}, Layers: []check.Layer{pointer{}, layer}}
	report, err := checker.Check(t.Context(), checkRequest(t), []string{"dev", "prod"})
	if err != nil || len(report.Findings) != 1 {
		t.Fatal(err, report)
	}
	if have := report.Findings[0].String(); have != "dev.yaml:2:3: a.b: wrong (service shop in dev, prod)" {
		t.Error(have)
	}
	if len(layer.Shown) != 2 {
		t.Fatalf("the layer was asked %d times", len(layer.Shown))
	}
	shown := layer.Shown[1].Release
	want := map[string]string{"web": "registry.test/shop/web@sha256:" + strings.Repeat("0", 64)}
	if diff := cmp.Diff(want, shown.Images); diff != "" || len(shown.ChartArchive) == 0 || string(shown.Files["dev.yaml"]) != "a:\n  b: 1\n" {
		t.Errorf("shown: %+v\n%s", shown, diff)
	}
}

func TestCheckTellsWhatKeepsAServiceFromBeingLookedAt(t *testing.T) {
	two := fault.Wrap(fault.Usage, "pack", errors.Join(fault.New(fault.Usage, "a", "one").WithHint("first"), fault.New(fault.Usage, "b", "two").WithHint("second")))
	for name, c := range map[string]struct {
		packer packer
		change func(*release.MakeRequest)
		want   string
	}{
		"two dependencies": {packer{err: two}, nil, "chart/Chart.yaml: a: one (service shop); first\nchart/Chart.yaml: b: two (service shop); second"},
		"one chart":        {packer{err: fault.New(fault.Usage, "pack", "no").WithHint("do")}, nil, "chart/Chart.yaml: pack: no (service shop); do"},
		"what is missing": {packer{chart: build.Chart{Missing: []string{"db 1 of oci://x"}}}, nil, "chart/Chart.yaml: dependencies: db 1 of oci://x is not in the chart's folder charts " +
			"and nothing is fetched, so neither its schema nor any template was looked at (service shop); `helm dependency build chart` fetches it"},
		"no registry": {packer{}, func(r *release.MakeRequest) { r.Project.Registry = "" }, "read service shop: registry: is missing (service shop); say where images go, for example registry: localhost:5000/"},
	} {
		t.Run(name, func(t *testing.T) {
			req := checkRequest(t)
			if c.change != nil {
				c.change(&req)
			}
			report, err := release.Checker{Charts: c.packer, Layers: []check.Layer{&checktest.Layer{}}}.Check(t.Context(), req, []string{"dev"})
			var have []string
			for _, f := range append(report.Findings, report.Unchecked...) {
				have = append(have, f.String())
			}
			if err != nil || strings.Join(have, "\n") != c.want {
				t.Errorf("%v, have\n%s\nwant\n%s", err, strings.Join(have, "\n"), c.want)
			}
		})
	}
	stopped := fault.Wrap(fault.Interrupted, "pack", context.Canceled)
	for _, checker := range []release.Checker{{Charts: packer{err: stopped}}, {Charts: packer{}, Layers: []check.Layer{pointer{stopped}}}} {
		if report, err := checker.Check(t.Context(), checkRequest(t), []string{"dev"}); !fault.Is(err, fault.Interrupted) || len(report.Findings) > 0 {
			t.Errorf("interrupted: %v, %v", report, err)
		}
	}
}
