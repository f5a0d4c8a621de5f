package release_test

import (
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

func TestVersionFromTheName(t *testing.T) {
	const derived = "1.2.4-dev.4.g0123456789"
	changed := []build.Change{{Path: "a"}, {Path: "b"}, {Path: "c"}, {Path: "d"}, {Path: "e"}}
	tests := map[string]struct {
		ref         string
		tags        []string
		pullRequest bool
		changed     []build.Change
		want        string
		kind        fault.Kind
		err, hint   string
	}{
		"main":                           {ref: "refs/heads/main", want: derived},
		"a feature":                      {ref: "refs/heads/feature/shop/x", want: derived},
		"the release branch":             {ref: "refs/heads/release/shop/2.0.0", want: "2.0.0"},
		"the release branch, with a v":   {ref: "refs/heads/release/shop/v2.0.0", want: "2.0.0"},
		"the release branch under refs":  {ref: "refs/release/shop/v2.0.0", want: "2.0.0"},
		"a release candidate":            {ref: "refs/heads/release/shop/2.0.0-rc.1", want: "2.0.0-rc.1"},
		"build metadata":                 {ref: "refs/heads/release/shop/2.0.0+azure.7", want: "2.0.0+azure.7"},
		"the release branch of another":  {ref: "refs/heads/release/other/2.0.0", want: derived},
		"no version, but of another":     {ref: "refs/heads/release/other/next", want: derived},
		"the repository's":               {ref: "refs/heads/release/2.0.0", want: "2.0.0"},
		"the repository's, own tags":     {ref: "refs/heads/release/2.0.0", tags: []string{"shop/v1.2.3"}, want: derived},
		"the tag":                        {ref: "refs/tags/shop/v2.0.0", want: "2.0.0"},
		"the repository's tag":           {ref: "refs/tags/v2.0.0", want: "2.0.0"},
		"another tag":                    {ref: "refs/tags/nightly", want: derived},
		"a pull request of its branch":   {ref: "refs/heads/release/shop/2.0.0", pullRequest: true, want: derived},
		"not committed, not released":    {ref: "refs/heads/main", changed: changed, want: "1.2.4-dev.4.g0123456789.dirty.hfedcba98"},
		"not committed":                  {ref: "refs/heads/release/shop/2.0.0", changed: changed, kind: fault.Refused, err: "branch release/shop/2.0.0: not committed: a, b, c, 2 more.", hint: "commit"},
		"not committed, a tag":           {ref: "refs/tags/shop/v2.0.0", changed: changed[:1], kind: fault.Refused, err: "tag shop/v2.0.0: not committed: a.", hint: "commit"},
		"no version":                     {ref: "refs/heads/release/shop/next", kind: fault.Usage, err: `"next" is no semantic version`, hint: "release/shop/1.2.3"},
		"latest":                         {ref: "refs/heads/release/shop/latest", kind: fault.Usage, err: `"latest" is no semantic version`, hint: "release/shop/1.2.3"},
		"a tag without a version":        {ref: "refs/tags/shop/v2", kind: fault.Usage, err: `"2" is no semantic version`, hint: "shop/v1.2.3"},
		"a repository without a version": {ref: "refs/heads/release/soon", kind: fault.Usage, err: `"soon" is no semantic version`, hint: "1.2.3"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := clean()
			s.checkout.Ref, s.checkout.PullRequest, s.checkout.Uncommitted = tt.ref, tt.pullRequest, tt.changed
			if tt.tags != nil {
				s.checkout.Tags, s.distance = tt.tags, map[string]int{tt.tags[0]: 4}
			}
			if tt.changed != nil {
				s.checkout.Changed = "fedcba9876543210"
			}
			m := &release.Maker{Sources: s}
			got, source, err := m.Version(t.Context(), ".", "shop")
			if tt.want == "" {
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.err) || !strings.Contains(fault.HintOf(err), tt.hint) {
					t.Errorf("got %q, %v of kind %v, hint %q", got, err, fault.KindOf(err), fault.HintOf(err))
				}
				return
			}
			if err != nil || got != tt.want || source.Commit != commit {
				t.Fatalf("got %q of %+v, %v; want %q", got, source, err, tt.want)
			}
		})
	}
}

func TestWhoSaysTheVersionIsNotAskedForItsName(t *testing.T) {
	project, dir := shop(t)
	s := clean()
	s.checkout.Ref, s.checkout.Changed, s.checkout.Uncommitted = "refs/heads/release/shop/next", "fedcba9876543210", []build.Change{{Path: "a"}}
	rel, _, err := maker(&builder{}, s, &registrytest.Memory{}).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "3.0.0"})
	if err != nil || rel.Version != "3.0.0" || !rel.Source.Dirty {
		t.Errorf("got %s of %+v, %v", rel.Version, rel.Source, err)
	}
}

func TestAReleaseThatIsNotCommittedPushesNothing(t *testing.T) {
	project, dir := shop(t)
	s, reg := clean(), &registrytest.Memory{}
	s.checkout.Ref, s.checkout.Changed, s.checkout.Uncommitted = "refs/heads/release/shop/3.0.0", "fedcba9876543210", []build.Change{{Path: "a"}}
	_, _, err := maker(&builder{}, s, reg).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir})
	if !fault.Is(err, fault.Refused) || len(reg.Pushed()) > 0 {
		t.Errorf("%v, pushed %v", err, reg.Pushed())
	}
}

func TestAShallowCloneIsCompleted(t *testing.T) {
	whole := func() *sources {
		return &sources{
			checkout: build.Checkout{Commit: commit, Tags: []string{"v1.2.3", "own/v3.0.0"}},
			distance: map[string]int{"v1.2.3": 2, "own/v3.0.0": 5},
		}
	}
	for name, tt := range map[string]struct {
		ref  string
		tags []string
		want map[string]string
	}{
		"where no tag is seen":           {"refs/heads/main", nil, map[string]string{"shop": "1.2.4-dev.2.g0123456789", "own": "3.0.1-dev.5.g0123456789"}},
		"where one service's tag is":     {"refs/heads/main", []string{"v1.2.3"}, map[string]string{"shop": "1.2.4-dev.2.g0123456789", "own": "3.0.1-dev.5.g0123456789"}},
		"for a release of everything":    {"refs/tags/v2.0.0", []string{"v2.0.0"}, map[string]string{"shop": "2.0.0", "own": "3.0.1-dev.5.g0123456789"}},
		"not for a release of a service": {"refs/tags/own/v4.0.0", nil, map[string]string{"own": "4.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sources{checkout: build.Checkout{Commit: commit, Ref: tt.ref, Tags: tt.tags, Shallow: true}, distance: map[string]int{"": 1, "v1.2.3": 1}, whole: whole()}
			var services []string
			for service := range tt.want {
				services = append(services, service)
			}
			got, err := (&release.Maker{Sources: s}).Versions(t.Context(), ".", s.checkout, services)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if s.checkout.Shallow != (len(tt.want) == 1) {
				t.Errorf("shallow afterwards: %t", s.checkout.Shallow)
			}
		})
	}
}

func TestANameIsAReleaseOnlyOfWhatItNames(t *testing.T) {
	for ref, want := range map[string]release.Naming{
		"":                                 {},
		"refs/heads/main":                  {Name: "main", Trunk: true},
		"refs/heads/master":                {Name: "master", Trunk: true},
		"refs/heads/main/x":                {Name: "main/x"},
		"refs/heads/feature/shop/x":        {Name: "feature/shop/x", Service: "shop"},
		"refs/heads/feature/shop":          {Name: "feature/shop"},
		"refs/heads/topic/shop/x/y":        {Name: "topic/shop/x/y", Service: "shop"},
		"refs/heads/release":               {Name: "release"},
		"refs/heads/release/shop/v1.0.0":   {Name: "release/shop/v1.0.0", Release: true, Service: "shop", Version: "1.0.0"},
		"refs/heads/releases/shop/v1.0.0":  {Name: "releases/shop/v1.0.0"},
		"refs/tags/v1.0.0":                 {Name: "v1.0.0", Tag: true, Release: true, Version: "1.0.0"},
		"refs/tags/1.0.0":                  {Name: "1.0.0", Tag: true},
		"refs/tags/vnext":                  {Name: "vnext", Tag: true},
		"refs/tags/a/b/v1.0.0":             {Name: "a/b/v1.0.0", Tag: true, Release: true, Service: "a/b", Version: "1.0.0"},
		"refs/tags/release/shop/1.0.0":     {Name: "release/shop/1.0.0", Tag: true},
		"refs/tags/main":                   {Name: "main", Tag: true},
		"refs/pull/7/merge":                {Name: "pull/7/merge"},
		"refs/heads/refs/release/s/v1.0.0": {Name: "release/s/v1.0.0", Release: true, Service: "s", Version: "1.0.0"},
	} {
		if diff := cmp.Diff(want, release.NamingOf(ref)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", ref, diff)
		}
	}
}

// FuzzVersion wants of every name either a version that is semver, and what is derived a pre-release, or an error with a cure.
func FuzzVersion(f *testing.F) {
	for _, ref := range []string{"refs/heads/main", "refs/heads/release/shop/1.0.0", "refs/tags/shop/v1.0.0-rc.1+b", "refs/tags/v1.0.0", "release//", "refs/tags//v", "\xff/\x00", "refs/heads/release/shop/01.0.0"} {
		f.Add(ref, "v1.2.3")
	}
	f.Fuzz(func(t *testing.T, ref, tag string) {
		s := &sources{checkout: build.Checkout{Commit: commit, Ref: ref, Tags: []string{tag}}, distance: map[string]int{"": 1, tag: 1}}
		got, _, err := (&release.Maker{Sources: s}).Version(t.Context(), ".", "shop")
		if err != nil {
			if fault.HintOf(err) == "" {
				t.Errorf("%v: without a cure", err)
			}
			return
		}
		version, err := semver.StrictNewVersion(got)
		if err != nil || version.Prerelease() == "" && !release.NamingOf(ref).Release {
			t.Errorf("%q gives the version %q, %v", ref, got, err)
		}
	})
}
