package release_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

func TestVersionFromSourceControl(t *testing.T) {
	const changed = "fedcba9876543210"
	tests := map[string]struct {
		tags     []string
		changed  string
		shallow  bool
		distance map[string]int
		want     string
	}{
		"no tag":                      {nil, "", false, map[string]int{"": 7}, "0.1.0-dev.7.g0123456789"},
		"no tag, changed":             {nil, changed, false, map[string]int{"": 7}, "0.1.0-dev.7.g0123456789.dirty.hfedcba98"},
		"on the tag":                  {[]string{"v1.2.3"}, "", false, map[string]int{"v1.2.3": 0}, "1.2.3"},
		"on the tag, changed":         {[]string{"v1.2.3"}, changed, false, map[string]int{"v1.2.3": 0}, "1.2.4-dev.0.g0123456789.dirty.hfedcba98"},
		"after the tag":               {[]string{"v1.2.3"}, "", false, map[string]int{"v1.2.3": 4}, "1.2.4-dev.4.g0123456789"},
		"the highest tag counts":      {[]string{"v1.9.0", "v1.10.0", "v1.2.0"}, "", false, map[string]int{"v1.10.0": 1}, "1.10.1-dev.1.g0123456789"},
		"the service's own tag wins":  {[]string{"v9.0.0", "shop/v1.0.0", "other/v5.0.0"}, "", false, map[string]int{"shop/v1.0.0": 2}, "1.0.1-dev.2.g0123456789"},
		"tags that are no version":    {[]string{"v2026", "vnext", "nightly", "1.2.3", "v1.0"}, "", false, map[string]int{"": 3}, "0.1.0-dev.3.g0123456789"},
		"after a release candidate":   {[]string{"v2.0.0-rc.1"}, "", false, map[string]int{"v2.0.0-rc.1": 5}, "2.0.0-rc.1.dev.5.g0123456789"},
		"on a release candidate":      {[]string{"v2.0.0-rc.1"}, "", false, map[string]int{"v2.0.0-rc.1": 0}, "2.0.0-rc.1"},
		"a shallow clone on the tag":  {[]string{"v1.2.3"}, "", true, map[string]int{"v1.2.3": 0}, "1.2.3"},
		"a shallow clone after a tag": {[]string{"v1.2.3"}, "", true, map[string]int{"v1.2.3": 1}, ""},
		"a shallow clone without tag": {nil, "", true, map[string]int{"": 1}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := &release.Maker{Sources: &sources{
				checkout: build.Checkout{Commit: commit, Tags: tt.tags, Changed: tt.changed, Shallow: tt.shallow}, distance: tt.distance,
			}}
			got, source, err := m.Version(t.Context(), ".", "shop")
			if tt.want == "" {
				if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "--unshallow") {
					t.Errorf("got %q, %v, hint %q; want a usage error", got, err, fault.HintOf(err))
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %q, %v; want %q", got, err, tt.want)
			}
			if err := release.CheckVersion(got); err != nil {
				t.Errorf("the derived version is refused: %v", err)
			}
			if release.Tag(got) != got {
				t.Errorf("%q cannot be a tag as it is", got)
			}
			if source.Dirty != (tt.changed != "") || source.Commit != commit {
				t.Errorf("the source is %+v", source)
			}
		})
	}
}

func TestDerivedVersionsSortInTheOrderOfTheCommits(t *testing.T) {
	version := func(tag string, distance int) *semver.Version {
		var tags []string
		if tag != "" {
			tags = []string{tag}
		}
		m := &release.Maker{Sources: &sources{checkout: build.Checkout{Commit: commit, Tags: tags}, distance: map[string]int{tag: distance}}}
		v, _, err := m.Version(t.Context(), ".", "shop")
		if err != nil {
			t.Fatal(err)
		}
		return semver.MustParse(v)
	}
	inOrder := []*semver.Version{
		version("", 1), version("", 9), version("", 10), version("v1.0.0-rc.1", 0), version("v1.0.0-rc.1", 1), version("v1.0.0-rc.2", 0),
		version("v1.0.0", 0), version("v1.0.0", 2), version("v1.0.0", 11), version("v1.0.1", 0),
	}
	if !slices.IsSortedFunc(inOrder, (*semver.Version).Compare) {
		t.Errorf("not in order: %v", inOrder)
	}
}

func TestMakeSettlesVersionAndSource(t *testing.T) {
	outside := &sources{err: fault.New(fault.NotFound, "git", "there is none")}
	broken := &sources{err: fault.New(fault.Internal, "git", "it crashed")}
	given := v1alpha1.Source{Commit: "given", Time: time.Unix(1, 0).UTC()}
	fromGit := v1alpha1.Source{Commit: commit, Time: time.Unix(1_700_000_000, 0).UTC()}
	tests := map[string]struct {
		sources *sources
		version string
		source  v1alpha1.Source
		want    string
		from    v1alpha1.Source
		kind    fault.Kind
		hint    string
	}{
		"derived":                   {sources: clean(), want: "1.2.4-dev.4.g0123456789", from: fromGit},
		"given version":             {sources: clean(), version: "3.0.0", want: "3.0.0", from: fromGit},
		"given source":              {sources: clean(), source: given, want: "1.2.4-dev.4.g0123456789", from: given},
		"both given, outside":       {sources: outside, version: "3.0.0", source: given, want: "3.0.0", from: given},
		"version given, outside":    {sources: outside, version: "3.0.0", want: "3.0.0"},
		"nothing given, outside":    {sources: outside, kind: fault.Usage, hint: "--version"},
		"version given, git broken": {sources: broken, version: "3.0.0", kind: fault.Internal},
		"nothing given, git broken": {sources: broken, kind: fault.Internal},
		"build metadata":            {sources: clean(), version: "3.0.0+build.5", want: "3.0.0+build.5", from: fromGit},
		"latest":                    {sources: clean(), version: "latest", kind: fault.Usage, hint: "1.2.3"},
		"with a v":                  {sources: clean(), version: "v3.0.0", kind: fault.Usage, hint: "3.0.0"},
		"no semver":                 {sources: clean(), version: "3.0", kind: fault.Usage, hint: "1.2.3"},
		"too long":                  {sources: clean(), version: "3.0.0-" + strings.Repeat("x", 130), kind: fault.Usage},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			project, dir := shop(t)
			reg := &registrytest.Memory{}
			rel, ref, err := maker(&builder{}, tt.sources, reg).Make(t.Context(), release.MakeRequest{
				Project: project, Service: "shop", Dir: dir, Version: tt.version, Source: tt.source,
			})
			if tt.want == "" {
				if !fault.Is(err, tt.kind) || !strings.Contains(fault.HintOf(err), tt.hint) || len(reg.Pushed()) > 0 {
					t.Errorf("got %v of kind %v, hint %q, pushed %v", err, fault.KindOf(err), fault.HintOf(err), reg.Pushed())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rel.Version != tt.want || ref.Version != tt.want || rel.Source != tt.from {
				t.Errorf("got %s, %s from %+v", rel.Version, ref.Version, rel.Source)
			}
			name, err := release.Resolve(prefix, "shop:"+tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if _, again, err := release.Load(t.Context(), reg, name); err != nil || again != ref {
				t.Errorf("by its version it is %v, %v; want %v", again, err, ref)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	good := map[string]string{
		"shop:1.2.3":                        prefix + "/shop:1.2.3",
		"shop:1.2.3-rc.1":                   prefix + "/shop:1.2.3-rc.1",
		"shop:1.2.3+build.5":                prefix + "/shop:1.2.3_build.5",
		"shop@" + digest:                    prefix + "/shop@" + digest,
		"shop:1.2.3@" + digest:              prefix + "/shop@" + digest,
		"localhost:5000/a/shop:1.2.3":       "localhost:5000/a/shop:1.2.3",
		"oci://registry.test/shop:1.2.3":    "registry.test/shop:1.2.3",
		"localhost:5000/a/shop@" + digest:   "localhost:5000/a/shop@" + digest,
		"localhost:5000/a/shop:1.2.3_build": "localhost:5000/a/shop:1.2.3_build",
	}
	for ref, want := range good {
		if got, err := release.Resolve(prefix, ref); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", ref, got, err, want)
		}
	}
	for _, ref := range []string{
		"", " ", "oci://", "shop", "shop:", "shop:latest", "shop:1", "shop:v1.2.3", "shop@sha256:12", "shop@" + strings.ToUpper(digest), "@" + digest, ":1.2.3",
		"Shop:1.2.3", "localhost:5000/shop", "localhost:5000/shop:latest", "localhost:5000/Shop:1.2.3", "localhost:5000//shop:1.2.3", "shop:latest@" + digest,
		"shop:1.2.3\n", "registry.test/../shop:1.2.3",
	} {
		if got, err := release.Resolve(prefix, ref); !fault.Is(err, fault.Usage) {
			t.Errorf("Resolve(%q) = %q, %v; want a usage error", ref, got, err)
		} else if fault.HintOf(err) == "" {
			t.Errorf("Resolve(%q) says %v without a cure", ref, err)
		}
	}
	if _, err := release.Resolve("", "shop:1.2.3"); !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "sluice.yaml") {
		t.Errorf("without a project: %v, hint %q", err, fault.HintOf(err))
	}
	if got, err := release.Resolve("", "localhost:5000/shop:1.2.3"); err != nil || got != "localhost:5000/shop:1.2.3" {
		t.Errorf("a full reference without a project: %q, %v", got, err)
	}
}
