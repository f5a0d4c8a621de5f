package release_test

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/sbom"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/seal"
)

// located is a fake of source control that knows where the repository is.
type located struct {
	*sources
	url string
	err error
}

func (r located) Remote(context.Context, string) (string, error) { return r.url, r.err }

// noBills is a fake that describes nothing.
type noBills struct{}

func (noBills) Make(context.Context, sbom.Request) ([]sbom.Document, error) { return nil, nil }

// finder is a fake scanner.
type finder struct{ findings []scan.Finding }

func (f *finder) Scan(context.Context, scan.Target) (scan.Result, error) {
	return scan.Result{Scanner: "fake", Findings: f.findings}, nil
}

func sealed(reg *registrytest.Memory, s build.Sources, f *finder) *release.Maker {
	m := maker(&builder{}, s, reg)
	m.Seal = &seal.Sealer{Registry: reg, Bills: noBills{}, Run: provenance.Environment{Builder: "b"}, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	if f != nil {
		m.Seal.Scanner, m.Seal.Scan = f, v1alpha1.Scan{FailOn: "high"}
	}
	return m
}

// TestScansDoNotMakeAnotherRelease: what scanners know changes from day to day, and the same sources stay the same release.
func TestScansDoNotMakeAnotherRelease(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	f := &finder{findings: []scan.Finding{{ID: "CVE-1", Severity: "low"}}}
	req := release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"}
	first, ref, err := sealed(reg, clean(), f).Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if first.Scans["front"].Found["low"] != 1 {
		t.Fatalf("the release says of its scans %+v", first.Scans)
	}
	f.findings = append(f.findings, scan.Finding{ID: "CVE-2", Severity: "medium"})
	again := sealed(reg, clean(), f)
	_, second, err := again.Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if second != ref {
		t.Errorf("%v became %v", ref, second)
	}
	if len(again.Seal.Report().Scans["front"].Findings) != 2 {
		t.Errorf("today's scan is not reported: %+v", again.Seal.Report())
	}
	// Other values make another release, which the version's name is not free for.
	put(t, dir, "values.yaml", "replicas: 3\n")
	project.Environments["dev"] = v1alpha1.Environment{Namespace: "other"}
	if _, _, err := sealed(reg, clean(), f).Make(t.Context(), req); !fault.Is(err, fault.Usage) {
		t.Errorf("another release under the same version gave %v", err)
	}
}

func TestAFailedScanMakesNoRelease(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	_, _, err := sealed(reg, clean(), &finder{findings: []scan.Finding{{ID: "CVE-1", Severity: "critical"}}}).
		Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
	if !fault.Is(err, fault.Refused) {
		t.Fatalf("it gave %v", err)
	}
	if _, _, err := reg.Pull(t.Context(), prefix+"/shop:1.0.0"); !fault.Is(err, fault.NotFound) {
		t.Errorf("there is a release: %v", err)
	}
}

func TestWhereTheSourcesComeFrom(t *testing.T) {
	project, dir := shop(t)
	req := release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"}
	for name, c := range map[string]struct {
		sources build.Sources
		want    string
		kind    fault.Kind
	}{
		"a remote":          {located{sources: clean(), url: "https://me:secret@h.example/shop.git"}, "https://h.example/shop", 0},
		"no remote":         {clean(), "", 0},
		"no source control": {located{sources: clean(), err: fault.New(fault.NotFound, "", "none")}, "", 0},
		"not known":         {located{sources: clean(), err: fault.New(fault.Usage, "", "broken")}, "", fault.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			reg := &registrytest.Memory{}
			_, ref, err := sealed(reg, c.sources, nil).Make(t.Context(), req)
			if c.kind != 0 {
				if !fault.Is(err, c.kind) {
					t.Errorf("it gave %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			list, err := reg.Referrers(t.Context(), ref.Ref, provenance.MediaType)
			if err != nil || len(list) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			artifact, _, err := reg.Pull(t.Context(), list[0].Ref)
			if err != nil {
				t.Fatal(err)
			}
			st, err := provenance.Parse(artifact.Layers[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			p, err := st.Provenance()
			if err != nil {
				t.Fatal(err)
			}
			if s := p.Sources(); len(s) != 1 || s[0].Repository != c.want || s[0].Commit != commit {
				t.Errorf("sources %+v", s)
			}
		})
	}
}
