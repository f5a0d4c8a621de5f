package release_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

const prod = "memory.test:5000/prod"

func madeIn(t *testing.T, reg *registrytest.Memory, version string) (v1alpha1.Release, v1alpha1.ReleaseRef) {
	t.Helper()
	project, dir := shop(t)
	rel, ref, err := maker(&builder{}, clean(), reg).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	return rel, ref
}

func TestAPromotedReleaseNamesItsCopies(t *testing.T) {
	reg := &registrytest.Memory{}
	rel, ref := madeIn(t, reg, "1.0.0")
	if _, err := reg.Attach(t.Context(), registry.Artifact{Type: "application/seal"}, ref.Ref); err != nil {
		t.Fatal(err)
	}
	there, pinned, _, err := release.Promote(t.Context(), reg, rel, ref, prod)
	if err != nil {
		t.Fatal(err)
	}
	if pinned.Ref != prod+"/shop@"+ref.Digest || pinned.Digest != ref.Digest {
		t.Errorf("the copy is %+v", pinned)
	}
	loaded, again, err := release.Load(t.Context(), reg, prod+"/shop:1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if again != pinned {
		t.Errorf("loaded as %+v, promoted as %+v", again, pinned)
	}
	for name, got := range loaded.Images {
		want := prod + "/shop/" + name + "@" + rel.Images[name][strings.Index(rel.Images[name], "sha256:"):]
		if got != want || there.Images[name] != want {
			t.Errorf("image %s is loaded as %s and promoted as %s, want %s", name, got, there.Images[name], want)
		}
	}
	if !strings.HasPrefix(loaded.Chart, prod+"/shop/charts/shop@") || loaded.Chart != there.Chart {
		t.Errorf("the chart is loaded as %s and promoted as %s", loaded.Chart, there.Chart)
	}
	if strings.Contains(strings.Join([]string{rel.Chart, rel.Images["front"]}, " "), prod) {
		t.Error("the release at home was changed")
	}
	if found, err := reg.Referrers(t.Context(), pinned.Ref, "application/seal"); err != nil || len(found) != 1 {
		t.Errorf("the copy's seals are %v, %v", found, err)
	}
	home, _, err := release.Load(t.Context(), reg, ref.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rel.Images, home.Images); diff != "" {
		t.Errorf("at home the images differ (-made +loaded):\n%s", diff)
	}
}

func TestPromotingTwiceOrToWhereItIsCopiesNothing(t *testing.T) {
	reg := &registrytest.Memory{}
	rel, ref := madeIn(t, reg, "1.0.0")
	there, pinned, _, err := release.Promote(t.Context(), reg, rel, ref, prod)
	if err != nil {
		t.Fatal(err)
	}
	reg.Fail = func(string, string) error { return fault.New(fault.Internal, "", "nobody should ask") }
	if _, again, _, err := release.Promote(t.Context(), reg, there, pinned, prod); err != nil || again != pinned {
		t.Errorf("promoting the copy to where it is gave %+v, %v", again, err)
	}
	if _, again, _, err := release.Promote(t.Context(), reg, rel, ref, prefix); err != nil || again != ref {
		t.Errorf("promoting to where it was made gave %+v, %v", again, err)
	}
}

func TestAPromotionThatFailsLeavesNoRelease(t *testing.T) {
	for _, failing := range []string{"/shop/front", "/shop/back", "/shop/charts/shop", "/shop"} {
		reg := &registrytest.Memory{}
		rel, ref := madeIn(t, reg, "1.0.0")
		reg.Fail = func(method, target string) error {
			if method == "Copy" && target == prod+failing {
				return fault.New(fault.Unreachable, "copy", "no answer")
			}
			return nil
		}
		_, pinned, _, err := release.Promote(t.Context(), reg, rel, ref, prod)
		if !fault.Is(err, fault.Unreachable) || pinned != ref {
			t.Errorf("%s: got %+v, %v", failing, pinned, err)
		}
		reg.Fail = nil
		if _, err := reg.Resolve(t.Context(), prod+"/shop:1.0.0"); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: the release is there, %v", failing, err)
		}
	}
}

func TestAPromotionDoesNotMoveAVersion(t *testing.T) {
	reg := &registrytest.Memory{}
	rel, ref := madeIn(t, reg, "1.0.0")
	if _, err := reg.Push(t.Context(), registrytest.Sample("other"), prod+"/shop/front", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := release.Promote(t.Context(), reg, rel, ref, prod); !fault.Is(err, fault.Usage) {
		t.Errorf("got %v", err)
	}
}

func TestListSortsByVersionAndKnowsTheSource(t *testing.T) {
	reg := &registrytest.Memory{}
	for _, version := range []string{"1.10.0", "1.9.0", "1.10.0-rc.1", "1.10.0+b2"} {
		madeIn(t, reg, version)
	}
	if _, err := reg.Push(t.Context(), registrytest.Sample("no release"), prefix+"/shop", "3.0.0"); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Push(t.Context(), registrytest.Sample("no version"), prefix+"/shop", "latest"); err != nil {
		t.Fatal(err)
	}
	entries, err := release.List(t.Context(), reg, prefix, "shop")
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, e := range entries {
		versions = append(versions, strings.TrimSuffix(e.Version, "+b2"))
		if e.Commit != commit || e.Time.Unix() != 1_700_000_000 || !strings.HasSuffix(e.Ref, e.Digest) {
			t.Errorf("the entry is %+v", e)
		}
	}
	if diff := cmp.Diff([]string{"1.10.0", "1.10.0", "1.9.0"}, slicesWithout(versions, "1.10.0-rc.1")); diff != "" || versions[2] != "1.10.0-rc.1" {
		t.Errorf("the versions are %v", versions)
	}
	if none, err := release.List(t.Context(), reg, prefix, "unknown"); err != nil || len(none) != 0 {
		t.Errorf("a service without releases has %v, %v", none, err)
	}
}

func TestPredecessor(t *testing.T) {
	reg := &registrytest.Memory{}
	made := map[string]v1alpha1.ReleaseRef{}
	for _, version := range []string{"1.9.0", "1.10.0-rc.1", "1.10.0-rc.2", "1.10.0"} {
		_, made[version] = madeIn(t, reg, version)
	}
	if _, err := reg.Push(t.Context(), registrytest.Sample("no release"), prefix+"/shop", "1.9.5"); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"1.10.0": "1.9.0", "1.10.0-rc.2": "1.10.0-rc.1", "1.10.0-rc.1": "1.9.0", "1.9.0": ""} {
		got, err := release.Predecessor(t.Context(), reg, &v1alpha1.Release{Version: version}, made[version])
		switch {
		case err != nil:
			t.Errorf("%s: %v", version, err)
		case got == nil && want != "", got != nil && got.Version != want:
			t.Errorf("before %s comes %+v, want %q", version, got, want)
		case got != nil && got.Commit != commit:
			t.Errorf("before %s: the commit is %q", version, got.Commit)
		}
	}
	reg.Fail = func(string, string) error { return fault.New(fault.Unreachable, "", "connection refused") }
	if _, err := release.Predecessor(t.Context(), reg, &v1alpha1.Release{Version: "1.10.0"}, made["1.10.0"]); !fault.Is(err, fault.Unreachable) {
		t.Errorf("a registry that is away gives %v", err)
	}
}

func slicesWithout(s []string, v string) (out []string) {
	for _, e := range s {
		if e != v {
			out = append(out, e)
		}
	}
	return out
}

func TestVerifyNamesTheBrokenPart(t *testing.T) {
	reg := &registrytest.Memory{}
	rel, ref := madeIn(t, reg, "1.0.0")
	parts, err := release.Verify(t.Context(), reg, &rel, ref)
	if err != nil || len(parts) != 4 {
		t.Fatalf("got %v, %v", parts, err)
	}
	reg.Delete(rel.Images["front"])
	parts, err = release.Verify(t.Context(), reg, &rel, ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if (part.Error != "") != (part.Name == "image front") {
			t.Errorf("%s: %q", part.Name, part.Error)
		}
	}
}
