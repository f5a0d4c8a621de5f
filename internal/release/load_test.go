package release_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

// made is a release in a registry of its own.
func made(t *testing.T) (*registrytest.Memory, v1alpha1.Release, v1alpha1.ReleaseRef) {
	t.Helper()
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	rel, ref, err := maker(&builder{}, clean(), reg).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	return reg, rel, ref
}

func TestLoadRefusesWhatIsNoReleaseOfThisVersion(t *testing.T) {
	// edit changes the JSON of the release.
	edit := func(change func(map[string]any)) func(*registry.Artifact) {
		return func(a *registry.Artifact) {
			var content map[string]any
			if err := json.Unmarshal(a.Config.Data, &content); err != nil {
				t.Fatal(err)
			}
			change(content)
			data, err := json.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			a.Config.Data = data
		}
	}
	tests := map[string]struct {
		change  func(*registry.Artifact)
		message string
	}{
		"another artifact": {func(a *registry.Artifact) { a.Type, a.Config.MediaType = "application/vnd.example+json", "" }, "application/vnd.example+json"},
		"a newer version":  {edit(func(m map[string]any) { m["apiVersion"] = "sluice.dev/v2" }), "sluice.dev/v2"},
		"another kind":     {edit(func(m map[string]any) { m["kind"] = "Rollout" }), "Rollout"},
		"an unknown field": {edit(func(m map[string]any) { m["signature"] = "x" }), `"signature"`},
		"an unknown field inside": {edit(func(m map[string]any) {
			m["environments"].(map[string]any)["dev"].(map[string]any)["region"] = "x"
		}), `"region"`},
		"a wrong type":       {edit(func(m map[string]any) { m["images"] = "x" }), "images"},
		"no JSON":            {func(a *registry.Artifact) { a.Config.Data = []byte("{") }, "JSON"},
		"empty":              {func(a *registry.Artifact) { a.Config.Data = nil }, "JSON"},
		"two documents":      {func(a *registry.Artifact) { a.Config.Data = append(a.Config.Data, "{}"...) }, "after top-level value"},
		"image by tag":       {edit(func(m map[string]any) { m["images"].(map[string]any)["back"] = "memory.test/back:1.0.0" }), "image back"},
		"image missing":      {edit(func(m map[string]any) { delete(m["images"].(map[string]any), "back") }), "image back"},
		"chart by tag":       {edit(func(m map[string]any) { m["chart"] = "memory.test/chart:1.0.0" }), "chart"},
		"version latest":     {edit(func(m map[string]any) { m["version"] = "latest" }), "latest"},
		"no service":         {edit(func(m map[string]any) { delete(m, "service") }), "service"},
		"values missing":     {func(a *registry.Artifact) { a.Layers = a.Layers[:1] }, "values.yaml"},
		"values twice":       {func(a *registry.Artifact) { a.Layers = append(a.Layers, a.Layers[0]) }, "twice"},
		"a path that climbs": {func(a *registry.Artifact) { a.Layers[0].Title = "../values.yaml" }, "../values.yaml"},
		"an unknown layer":   {func(a *registry.Artifact) { a.Layers[0].MediaType = "application/sql" }, "application/sql"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			reg, _, ref := made(t)
			artifact, _, err := reg.Pull(t.Context(), ref.Ref)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(&artifact)
			reg.Put(ref.Ref, artifact)
			rel, _, err := release.Load(t.Context(), reg, ref.Ref)
			want := fault.Fatal
			if name == "another artifact" {
				want = fault.Usage
			}
			if !fault.Is(err, want) || rel != nil {
				t.Fatalf("got %v, %v of kind %v; want %v", rel, err, fault.KindOf(err), want)
			}
			if !strings.Contains(err.Error(), tt.message) || !strings.Contains(err.Error(), ref.Ref) {
				t.Errorf("%q does not name the release and %q", err, tt.message)
			}
		})
	}
}

func TestLoadTellsAbsentFromIncomplete(t *testing.T) {
	reg, rel, ref := made(t)
	_, _, err := release.Load(t.Context(), reg, prefix+"/shop:2.0.0")
	if !fault.Is(err, fault.NotFound) || !strings.Contains(fault.HintOf(err), "sluice build") {
		t.Errorf("a release that was never made gave %v of kind %v", err, fault.KindOf(err))
	}
	chartArtifact, _, err := reg.Pull(t.Context(), rel.Chart)
	if err != nil {
		t.Fatal(err)
	}
	broken := chartArtifact
	broken.Layers = nil
	reg.Put(rel.Chart, broken)
	if _, _, err := release.Load(t.Context(), reg, ref.Ref); !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "no Helm chart") {
		t.Errorf("a chart without content gave %v", err)
	}
	reg.Delete(rel.Chart)
	if _, _, err := release.Load(t.Context(), reg, ref.Ref); !fault.Is(err, fault.Fatal) || !strings.Contains(fault.HintOf(err), "build the release again") {
		t.Errorf("a chart that was deleted gave %v of kind %v", err, fault.KindOf(err))
	}
	reg.Fail = func(string, string) error { return fault.New(fault.Unreachable, "connect", "refused") }
	if _, _, err := release.Load(t.Context(), reg, ref.Ref); !fault.Is(err, fault.Unreachable) {
		t.Errorf("an unreachable registry gave %v of kind %v", err, fault.KindOf(err))
	}
}

func TestLoadRefusesAnotherDigestThanAskedFor(t *testing.T) {
	reg, _, ref := made(t)
	lying := liar{reg, prefix + "/shop@sha256:" + strings.Repeat("0", 64)}
	if _, _, err := release.Load(t.Context(), lying, ref.Ref); !fault.Is(err, fault.Fatal) {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
}

// liar is a registry that answers with something else than it is asked for.
type liar struct {
	*registrytest.Memory
	says string
}

func (l liar) Pull(ctx context.Context, reference string) (registry.Artifact, string, error) {
	a, _, err := l.Memory.Pull(ctx, reference)
	return a, l.says, err
}

func TestTheArtifactIsCanonical(t *testing.T) {
	reg, rel, ref := made(t)
	artifact, _, err := reg.Pull(t.Context(), ref.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if artifact.Type != "application/vnd.sluice.release.v1alpha1+json" || artifact.Config.MediaType != artifact.Type {
		t.Errorf("the types are %q and %q", artifact.Type, artifact.Config.MediaType)
	}
	var titles []string
	for _, l := range artifact.Layers {
		titles = append(titles, l.Title)
	}
	if diff := cmp.Diff([]string{"env/values-prod.yaml", "values.yaml"}, titles); diff != "" {
		t.Errorf("titles differ (-want +got):\n%s", diff)
	}
	want := map[string]string{
		"org.opencontainers.image.title": "shop", "org.opencontainers.image.version": "1.0.0",
		"org.opencontainers.image.revision": commit, "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
	}
	if diff := cmp.Diff(want, artifact.Annotations); diff != "" {
		t.Errorf("annotations differ (-want +got):\n%s", diff)
	}
	chartArtifact, _, err := reg.Pull(t.Context(), rel.Chart)
	if err != nil {
		t.Fatal(err)
	}
	if chartArtifact.Type != "" || chartArtifact.Config.MediaType != "application/vnd.cncf.helm.config.v1+json" ||
		chartArtifact.Layers[0].MediaType != "application/vnd.cncf.helm.chart.content.v1.tar+gzip" {
		t.Errorf("the chart is %q, %q, %q", chartArtifact.Type, chartArtifact.Config.MediaType, chartArtifact.Layers[0].MediaType)
	}
}
