package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/plan"
)

// mono is a project of three services; sluice.yaml lies in the folder app of the repository.
func mono() v1alpha1.Project {
	service := func(name string, paths ...string) v1alpha1.Service {
		return v1alpha1.Service{
			Images: map[string]v1alpha1.Image{"app": {Ko: "./src/" + name}}, Chart: "charts/" + name, Paths: paths,
			ImageValues: map[string]string{"app": "image"},
		}
	}
	return v1alpha1.Project{
		Name: "mono", Registry: "localhost:5000/mono",
		Services: map[string]v1alpha1.Service{
			"delivery": service("delivery", "lib/money", "../proto/*.proto", "!**/*.md"),
			"ingest":   service("ingest", "lib", "!lib/money", "lib/money/go"),
			"web":      service("web"),
		},
		Environments: map[string]v1alpha1.Environment{
			"dev":  {Namespace: "dev", Values: []string{"values-dev.yaml"}},
			"prod": {Namespace: "prod", Values: []string{"values-prod.yaml"}},
		},
	}
}

func changes(paths ...string) []build.Change {
	var list []build.Change
	for _, p := range paths {
		name, folder := strings.CutSuffix(p, "/")
		list = append(list, build.Change{Path: name, Folder: folder})
	}
	return list
}

func input(paths ...string) plan.Input {
	before := mono()
	return plan.Input{
		Project: mono(), File: "app/sluice.yaml", Before: &before, Event: plan.Push, Base: "0123", Changes: changes(paths...),
		Checkout: build.Checkout{Commit: "4567", Ref: "refs/heads/main"},
	}
}

func planOf(t *testing.T, in plan.Input) plan.Plan {
	t.Helper()
	p, err := plan.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// touchedBy lists the touched services with the rule that touched them first.
func touchedBy(p plan.Plan) []string {
	var list []string
	for _, s := range p.Services {
		if s.Touched {
			list = append(list, s.Name+" by "+s.Reasons[0].Rule)
		}
	}
	return list
}

func TestWhatAPathTouches(t *testing.T) {
	all := func(rule string) []string {
		return []string{"delivery by " + rule, "ingest by " + rule, "web by " + rule}
	}
	for path, want := range map[string][]string{
		"app/src/delivery/main.go":         {"delivery by services.delivery.images.app: ./src/delivery"},
		"app/src/delivery":                 {"delivery by services.delivery.images.app: ./src/delivery"},
		"app/src/delivery/docs/readme.md":  nil,
		"app/src/web/docs/readme.md":       {"web by services.web.images.app: ./src/web"},
		"app/src/delivery2/main.go":        nil,
		"src/delivery/main.go":             nil,
		"app/charts/web/values.yaml":       {"web by services.web.chart: charts/web"},
		"app/charts/README.txt":            nil,
		"app/lib/money/money.go":           {"delivery by services.delivery.paths[0]: lib/money"},
		"app/lib/money/go/money.go":        {"delivery by services.delivery.paths[0]: lib/money", "ingest by services.ingest.paths[2]: lib/money/go"},
		"app/lib/time/time.go":             {"ingest by services.ingest.paths[0]: lib"},
		"proto/order.proto":                {"delivery by services.delivery.paths[1]: ../proto/*.proto"},
		"proto/v2/order.proto":             nil,
		"proto/dir.proto/order.txt":        {"delivery by services.delivery.paths[1]: ../proto/*.proto"},
		"app/values-dev.yaml":              all("environments.dev.values[0]: values-dev.yaml"),
		"app/values-other.yaml":            nil,
		"app/src/web/go.mod":               {"web by services.web.images.app: ./src/web"},
		"app/go.sum":                       {"delivery by services.delivery.images.app is of the Go module of go.sum", "ingest by services.ingest.images.app is of the Go module of go.sum", "web by services.web.images.app is of the Go module of go.sum"},
		"go.work":                          {"delivery by services.delivery.images.app is of the Go module of go.work", "ingest by services.ingest.images.app is of the Go module of go.work", "web by services.web.images.app is of the Go module of go.work"},
		"app/other/go.mod":                 nil,
		"README.md":                        nil,
		"app/src/":                         {"delivery by services.delivery.images.app: ./src/delivery", "ingest by services.ingest.images.app: ./src/ingest", "web by services.web.images.app: ./src/web"},
		"proto/":                           {"delivery by services.delivery.paths[1]: ../proto/*.proto"},
		"app/lib/":                         {"delivery by services.delivery.paths[0]: lib/money", "ingest by services.ingest.paths[2]: lib/money/go"},
		"app/src":                          {"delivery by services.delivery.images.app: ./src/delivery", "ingest by services.ingest.images.app: ./src/ingest", "web by services.web.images.app: ./src/web"},
		"app/src/delivery/na\nme \"x\".go": {"delivery by services.delivery.images.app: ./src/delivery"},
	} {
		p := planOf(t, input(path))
		if diff := cmp.Diff(want, touchedBy(p)); diff != "" {
			t.Errorf("%q touches (-want +got):\n%s", path, diff)
		}
		if unclaimed := len(p.Unclaimed) == 1; unclaimed != (len(want) == 0) || p.Changed != 1 {
			t.Errorf("%q: unclaimed %q, %d changed", path, p.Unclaimed, p.Changed)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		paths   []string
		changed string
		want    bool
	}{
		{[]string{"lib/*/api"}, "lib/a/api/x/y.go", true},
		{[]string{"lib/*/api"}, "lib/a/b/api/x.go", false},
		{[]string{"lib/**/api"}, "lib/a/b/api/x.go", true},
		{[]string{"lib/**"}, "lib/a", true},
		{[]string{"lib/**/*.go"}, "lib/a.go", true},
		{[]string{"lib/**/*.go"}, "lib/a.txt", false},
		{[]string{"**/*.sql"}, "db/deep/a.sql", true},
		{[]string{"*.sql"}, "db/a.sql", false},
		{[]string{"lib/[ab]/x"}, "lib/b/x", true},
		{[]string{"lib/{a,b}"}, "lib/b/x", true},
		{[]string{"lib/?"}, "lib/bb", false},
		{[]string{"lib", "!lib/**/testdata"}, "lib/a/testdata/x", false},
		{[]string{"lib", "!lib/**/testdata"}, "lib/a/x", true},
		{[]string{"lib", "!lib/gen", "lib/gen/keep"}, "lib/gen/keep/x", true},
		{[]string{"lib", "!lib/gen", "lib/gen/keep"}, "lib/gen/x", false},
		{[]string{"."}, "anything", true},
		{[]string{"./lib/"}, "lib/a", true},
		{[]string{"lib/*/api"}, "lib/a/", true},
		{[]string{"lib/*/api"}, "lib/a", false},
		{[]string{"lib/x*/api"}, "lib/a/", false},
		{[]string{"lib/**/api"}, "lib/a/", true},
		{[]string{"lib/*/api/v1"}, "lib/a/api/", true},
		{[]string{"lib/{a/x,b}/api"}, "lib/a/", true},
	} {
		p := planOf(t, plan.Input{
			Project: v1alpha1.Project{Services: map[string]v1alpha1.Service{"a": {Chart: "chart", Paths: c.paths}, "b": {Chart: "other"}}},
			File:    "sluice.yaml", Event: plan.Push, Base: "0123", Changes: changes(c.changed), Checkout: build.Checkout{Ref: "refs/heads/main"},
		})
		if got := p.Services[0].Touched; got != c.want {
			t.Errorf("paths %q and a change of %s: touched %t, want %t", c.paths, c.changed, got, c.want)
		}
	}
}

func TestTheOnlyServiceIsTheWholeFolder(t *testing.T) {
	for name, c := range map[string]struct {
		paths   []string
		changed string
		want    bool
	}{
		"something beside":              {nil, "app/internal/api.go", true},
		"outside":                       {nil, "README.md", false},
		"taken out":                     {[]string{"!docs"}, "app/docs/a.md", false},
		"with something taken out":      {[]string{"!docs"}, "app/internal/api.go", true},
		"paths say it all":              {[]string{"lib"}, "app/internal/api.go", false},
		"paths say it all, and keys do": {[]string{"lib"}, "app/chart/values.yaml", true},
	} {
		p := planOf(t, plan.Input{
			Project: v1alpha1.Project{Services: map[string]v1alpha1.Service{"a": {Chart: "chart", Paths: c.paths}}},
			File:    "app/sluice.yaml", Event: plan.Push, Base: "0123", Changes: changes(c.changed), Checkout: build.Checkout{Ref: "refs/heads/main"},
		})
		if got := p.Services[0].Touched; got != c.want {
			t.Errorf("%s: touched %t", name, got)
		}
	}
}

func TestImagesOfUnknownSourcesAreTheWholeFolder(t *testing.T) {
	in := input("app/anything")
	in.Project.Services["web"] = v1alpha1.Service{Chart: "charts/web", Images: map[string]v1alpha1.Image{"x": {}}}
	if got := touchedBy(planOf(t, in)); len(got) != 1 || got[0] != "web by services.web.images.x: ." {
		t.Errorf("touched: %q", got)
	}
}

func TestTheFileItself(t *testing.T) {
	all := func(rule string) []string {
		return []string{"delivery by " + rule, "ingest by " + rule, "web by " + rule}
	}
	for name, c := range map[string]struct {
		edit func(now, before *v1alpha1.Project)
		want []string
	}{
		"nothing that it says": {func(_, _ *v1alpha1.Project) {}, nil},
		"its name":             {func(now, _ *v1alpha1.Project) { now.Name = "other" }, nil},
		"a service": {func(now, _ *v1alpha1.Project) {
			now.Services["web"] = v1alpha1.Service{Chart: "charts/web2"}
		}, []string{"web by services.web changed"}},
		"a new service": {func(_, before *v1alpha1.Project) { delete(before.Services, "web") }, []string{"web by services.web is new"}},
		"a service gone": {func(now, before *v1alpha1.Project) {
			before.Services["old"] = v1alpha1.Service{Chart: "old"}
		}, nil},
		"the registry": {func(now, _ *v1alpha1.Project) { now.Registry = "elsewhere" }, all("registry changed")},
		"an environment": {func(now, _ *v1alpha1.Project) {
			now.Environments["prod"] = v1alpha1.Environment{Namespace: "other"}
		}, all("environments.prod changed")},
		"a new environment":   {func(_, before *v1alpha1.Project) { delete(before.Environments, "dev") }, all("environments.dev is new")},
		"an environment gone": {func(now, _ *v1alpha1.Project) { delete(now.Environments, "dev") }, all("environments.dev is gone")},
	} {
		in := input("app/sluice.yaml")
		c.edit(&in.Project, in.Before)
		p := planOf(t, in)
		if diff := cmp.Diff(c.want, touchedBy(p)); diff != "" || len(p.Unclaimed) > 0 {
			t.Errorf("%s touches (-want +got), unclaimed %q:\n%s", name, p.Unclaimed, diff)
		}
	}
	in := input("app/sluice.yaml")
	in.Before = nil
	if diff := cmp.Diff(all("what changed in it cannot be told"), touchedBy(planOf(t, in))); diff != "" {
		t.Errorf("an unknown file before (-want +got):\n%s", diff)
	}
}

func TestConventions(t *testing.T) {
	type want struct {
		delivery, ingest plan.Stage
		why              string
		err, hint        string
	}
	for name, c := range map[string]struct {
		ref   string
		event plan.Event
		tags  []string
		want  want
	}{
		"main":                                   {ref: "refs/heads/main", want: want{delivery: plan.Prerelease, why: "branch main"}},
		"master":                                 {ref: "refs/heads/master", want: want{delivery: plan.Prerelease, why: "branch master"}},
		"a feature of the service":               {ref: "refs/heads/feature/delivery/drones", want: want{delivery: plan.Test, why: "branch feature/delivery/drones"}},
		"a feature of another":                   {ref: "refs/heads/feature/ingest/x", want: want{delivery: plan.None, why: "branch feature/ingest/x is for ingest: the pull request verifies it"}},
		"a feature of nobody":                    {ref: "refs/heads/feature/JIRA-1/x", want: want{delivery: plan.Test, why: "branch feature/JIRA-1/x"}},
		"a topic":                                {ref: "refs/heads/topic/x", want: want{delivery: plan.Test, why: "branch topic/x"}},
		"a topic of the service":                 {ref: "refs/heads/topic/delivery/x", want: want{delivery: plan.Test, why: "branch topic/delivery/x"}},
		"any branch":                             {ref: "refs/heads/fix-it", want: want{delivery: plan.Test, why: "branch fix-it"}},
		"no branch":                              {want: want{delivery: plan.Test, why: "no branch is checked out"}},
		"a pull request":                         {ref: "refs/pull/7/merge", event: plan.PullRequest, want: want{delivery: plan.Verify, why: "pull request"}},
		"a pull request of a release":            {ref: "refs/heads/release/delivery/1.0.0", event: plan.PullRequest, want: want{delivery: plan.Verify, why: "pull request"}},
		"a pull request of an unknown service":   {ref: "refs/heads/release/delivry/1.0.0", event: plan.PullRequest, want: want{delivery: plan.Verify, why: "pull request"}},
		"a pull request of no version":           {ref: "refs/heads/release/delivery/next", event: plan.PullRequest, want: want{delivery: plan.Verify, why: "pull request"}},
		"a release":                              {ref: "refs/heads/release/delivery/1.0.2", want: want{delivery: plan.Release, why: "branch release/delivery/1.0.2"}},
		"a release with a v":                     {ref: "refs/heads/release/delivery/v1.0.2", want: want{delivery: plan.Release, why: "branch release/delivery/v1.0.2"}},
		"a release under refs":                   {ref: "refs/release/delivery/v1.0.2", want: want{delivery: plan.Release, why: "branch release/delivery/v1.0.2"}},
		"a branch called refs/release":           {ref: "refs/heads/refs/release/delivery/v1.0.2", want: want{delivery: plan.Release, why: "branch release/delivery/v1.0.2"}},
		"the release of another":                 {ref: "refs/heads/release/ingest/1.0.2", want: want{delivery: plan.None, ingest: plan.Release, why: "branch release/ingest/1.0.2 does not release it"}},
		"a tag":                                  {ref: "refs/tags/delivery/v1.0.2", want: want{delivery: plan.Release, why: "tag delivery/v1.0.2"}},
		"the tag of another":                     {ref: "refs/tags/ingest/v1.0.2", want: want{delivery: plan.None, ingest: plan.Release, why: "tag ingest/v1.0.2 does not release it"}},
		"the tag of a nested Go module":          {ref: "refs/tags/tools/v1.0.2", want: want{why: "tag tools/v1.0.2 does not release it"}},
		"a tag of the repository":                {ref: "refs/tags/v2.0.0", want: want{delivery: plan.Release, ingest: plan.Release, why: "tag v2.0.0"}},
		"a tag of the repository, own tags":      {ref: "refs/tags/v2.0.0", tags: []string{"delivery/v1.0.0", "v2.0.0"}, want: want{ingest: plan.Release, why: "tag v2.0.0 does not release it"}},
		"a release of the repository":            {ref: "refs/heads/release/2.0.0", want: want{delivery: plan.Release, ingest: plan.Release, why: "branch release/2.0.0"}},
		"another tag":                            {ref: "refs/tags/nightly", want: want{why: "tag nightly asks for nothing"}},
		"a tag that is nearly a version":         {ref: "refs/tags/v2026", want: want{why: "tag v2026 asks for nothing"}},
		"a branch called release":                {ref: "refs/heads/release", want: want{delivery: plan.Test, why: "branch release"}},
		"a release that is no version":           {ref: "refs/heads/release/delivery/next", want: want{err: `branch release/delivery/next: "next" is no semantic version`, hint: "release/delivery/1.2.3"}},
		"a release of two numbers":               {ref: "refs/heads/release/delivery/1.0", want: want{err: `"1.0" is no semantic version`, hint: "release/delivery/1.2.3"}},
		"a release called latest":                {ref: "refs/heads/release/delivery/latest", want: want{err: `"latest" is no semantic version`, hint: "release/delivery/1.2.3"}},
		"a release with a folder":                {ref: "refs/heads/release/delivery/1.0.0/hotfix", want: want{err: `"1.0.0/hotfix" is no semantic version`, hint: "release/delivery/1.2.3"}},
		"a release of an unknown service":        {ref: "refs/heads/release/delivry/1.0.0", want: want{err: `app/sluice.yaml has no service "delivry"`, hint: "delivery, ingest, web"}},
		"a tag of the service, no version":       {ref: "refs/tags/delivery/vnext", want: want{err: `tag delivery/vnext: "next" is no semantic version`, hint: "delivery/v1.2.3"}},
		"a release of the repository, no semver": {ref: "refs/heads/release/next", want: want{err: `branch release/next: "next" is no semantic version`, hint: "1.2.3"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := input("app/src/delivery/main.go")
			in.Checkout.Ref, in.Checkout.Tags, in.Event = c.ref, c.tags, c.event
			if in.Event == "" {
				in.Event = plan.Push
			}
			p, err := plan.Make(in)
			if c.want.err != "" {
				if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.want.err) || !strings.Contains(fault.HintOf(err), c.want.hint) {
					t.Fatalf("got %v, hint %q", err, fault.HintOf(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			delivery, ingest, web := p.Services[0], p.Services[1], p.Services[2]
			none := func(s plan.Stage) plan.Stage { return map[plan.Stage]plan.Stage{"": plan.None}[s] + s }
			if delivery.Stage != none(c.want.delivery) || ingest.Stage != none(c.want.ingest) || delivery.Why != c.want.why {
				t.Errorf("delivery %s because of %q, ingest %s because of %q", delivery.Stage, delivery.Why, ingest.Stage, ingest.Why)
			}
			if web.Touched || web.Why == "" {
				t.Errorf("web: %+v", web)
			}
		})
	}
}

func TestStagesAddSteps(t *testing.T) {
	project := mono()
	project.Services["web"].Images["app"] = v1alpha1.Image{Dockerfile: "Dockerfile", TestTarget: "test"}
	steps := func() map[plan.Stage]string {
		said := map[plan.Stage]string{}
		for _, stage := range []plan.Stage{plan.None, plan.Test, plan.Verify, plan.Prerelease, plan.Release} {
			said[stage] = fmt.Sprint(stage.Steps(project, "delivery"), stage.Steps(project, "web"))
		}
		return said
	}
	want := map[plan.Stage]string{
		plan.None: "[] []", plan.Test: "[build] [build test]", plan.Verify: "[build image] [build test image]",
		plan.Prerelease: "[build image release] [build test image release]", plan.Release: "[build image release] [build test image release]",
	}
	if diff := cmp.Diff(want, steps()); diff != "" {
		t.Errorf("without a scanner (-want +got):\n%s", diff)
	}
	project.Scan = &v1alpha1.Scan{}
	want[plan.Verify], want[plan.Release] = "[build image scan] [build test image scan]", "[build image scan release] [build test image scan release]"
	want[plan.Prerelease] = want[plan.Release]
	if diff := cmp.Diff(want, steps()); diff != "" {
		t.Errorf("with a scanner (-want +got):\n%s", diff)
	}
}

func TestUncommittedPathsCountOnce(t *testing.T) {
	in := input("app/src/web/a.go", "app/src/web/b.go")
	in.Checkout.Uncommitted = changes("app/src/web/b.go", "app/src/web/c.go", "app/x")
	p := planOf(t, in)
	if web := p.Services[2]; web.Paths != 3 || p.Changed != 4 || p.Uncommitted != 3 || !slices.Equal(p.Unclaimed, []string{"app/x"}) {
		t.Errorf("%+v", p)
	}
}

func TestReasonsAreFew(t *testing.T) {
	var paths []string
	for i := range 100 {
		paths = append(paths, fmt.Sprintf("app/src/web/%03d.go", i))
	}
	if web := planOf(t, input(paths...)).Services[2]; web.Paths != 100 || len(web.Reasons) != 5 || web.Reasons[0].Path != paths[0] {
		t.Errorf("%+v", web)
	}
}

func TestOnlyTheServicesThatAreAskedFor(t *testing.T) {
	in := input("app/src/web/a.go", "app/src/ingest/b.go")
	in.Services = []string{"web"}
	if p := planOf(t, in); len(p.Services) != 1 || p.Services[0].Name != "web" || len(p.Unclaimed) > 0 {
		t.Errorf("%+v", p)
	}
}

func TestAPathOutsideTheRepository(t *testing.T) {
	in := input("x")
	in.Project.Services["web"] = v1alpha1.Service{Chart: "charts/web", Paths: []string{"lib", "../../other"}}
	if _, err := plan.Make(in); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), `services.web.paths[1]: "../../other" leads out of the repository`) {
		t.Errorf("%v", err)
	}
}

// FuzzMake wants no panic, and either a plan of every service or an error that names the cure.
func FuzzMake(f *testing.F) {
	for _, ref := range []string{"refs/heads/main", "refs/tags/delivery/v1.0.0", "release//", "refs/heads/release/delivery/v", "refs/", "refs/heads/refs/heads/x", "feature//", "\x00", "refs/tags//v1.0.0", "refs/heads/release/delivery/1.0.0+b"} {
		f.Add(ref, "lib/**", "app/src/web/x", true)
	}
	f.Add("", "!{a,", "../x", false)
	f.Add("x", "[", "/", true)
	f.Fuzz(func(t *testing.T, ref, pattern, changed string, folder bool) {
		in := input()
		in.Changes = []build.Change{{Path: changed, Folder: folder}}
		in.Checkout.Ref = ref
		in.Project.Services["web"] = v1alpha1.Service{Chart: "charts/web", Paths: []string{pattern}}
		p, err := plan.Make(in)
		switch {
		case err != nil && fault.HintOf(err) == "":
			t.Errorf("%v: without a cure", err)
		case err == nil && (len(p.Services) != 3 || p.Changed != 1):
			t.Errorf("%+v", p)
		}
	})
}

func TestAScriptThatSaysWhatItReads(t *testing.T) {
	project := mono()
	project.Services["web"].Images["app"] = v1alpha1.Image{Script: &v1alpha1.Script{
		Run: []string{"./make.sh"}, Inputs: []string{"pages/**/*.html", "!pages/old", "lib/css"},
	}}
	for path, want := range map[string]string{
		"app/pages/a/b.html":     "services.web.images.app.script.inputs[0]: pages/**/*.html",
		"app/pages/old/b.html":   "services.web.images.app.script.inputs[0]: pages/**/*.html",
		"app/lib/css/main.css":   "services.web.images.app.script.inputs[2]: lib/css",
		"app/make.sh":            "services.web.images.app.script.run[0]: ./make.sh",
		"app/pages/b.md":         "",
		"app/src/web/main.go":    "",
		"app/charts/web/a.yaml":  "services.web.chart: charts/web",
		"app/elsewhere/make.sh":  "",
		"elsewhere/pages/b.html": "",
	} {
		in := input(path)
		in.Project, in.Before = project, &project
		got := ""
		if s := planOf(t, in).Services[2]; s.Touched {
			got = s.Reasons[0].Rule
		}
		if got != want {
			t.Errorf("%s touches web by %q, want %q", path, got, want)
		}
	}
}
