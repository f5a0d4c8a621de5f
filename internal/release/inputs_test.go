package release_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

// knowing is a fake builder that knows the inputs of its images.
type knowing struct {
	*builder
	inputs build.Inputs
	err    error
}

func (k knowing) Inputs(context.Context, build.Request) (build.Inputs, error) { return k.inputs, k.err }

// shelved makes a release with a builder, and returns what was built and said.
func shelved(t *testing.T, reg *registrytest.Memory, project v1alpha1.Project, dir, version string, rebuild bool, b build.Builder) (v1alpha1.Release, []string) {
	t.Helper()
	var said []string
	m := maker(b, clean(), reg)
	m.Shelf = reg
	rel, _, err := m.Make(t.Context(), release.MakeRequest{
		Project: project, Service: "shop", Dir: dir, Version: version, Rebuild: rebuild, Progress: func(line string) { said = append(said, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return rel, said
}

func TestWhatIsKnownIsNotBuiltAgain(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	inputs := build.Inputs{"sources": "one"}
	first, _ := shelved(t, reg, project, dir, "1.0.0", false, knowing{&builder{}, inputs, nil})
	if len(first.Unchanged) != 0 {
		t.Errorf("the first build found %v", first.Unchanged)
	}
	second := &builder{}
	again, said := shelved(t, reg, project, dir, "1.1.0", false, knowing{second, inputs, nil})
	if len(second.built) != 0 {
		t.Errorf("%v was built again", second.built)
	}
	if diff := cmp.Diff(first.Images, again.Images); diff != "" {
		t.Errorf("the images differ (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"front": "1.0.0", "back": "1.0.0"}, again.Unchanged); diff != "" {
		t.Errorf("what is unchanged differs (-want +got):\n%s", diff)
	}
	line := "image front unchanged since 1.0.0: " + first.Images["front"][strings.Index(first.Images["front"], "sha256:"):]
	if !slices.Contains(said, line) {
		t.Errorf("%q does not say %q", said, line)
	}
	if ref, err := reg.Resolve(t.Context(), prefix+"/shop/front:1.1.0"); err != nil || ref != first.Images["front"] {
		t.Errorf("the new version's tag names %s, %v", ref, err)
	}
}

func TestOtherInputsAreBuilt(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.Project, *knowing){
		"sources": func(_ *v1alpha1.Project, k *knowing) { k.inputs = build.Inputs{"sources": "two"} },
		"settings": func(p *v1alpha1.Project, _ *knowing) {
			p.Services["shop"].Images["front"] = v1alpha1.Image{Ko: "./front", Platforms: []string{"linux/s390x"}}
		},
		"cannot be told": func(_ *v1alpha1.Project, k *knowing) { k.inputs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			project, dir := shop(t)
			reg := &registrytest.Memory{}
			shelved(t, reg, project, dir, "1.0.0", false, knowing{&builder{}, build.Inputs{"sources": "one"}, nil})
			second := knowing{&builder{}, build.Inputs{"sources": "one"}, nil}
			change(&project, &second)
			shelved(t, reg, project, dir, "1.1.0", false, second)
			if !slices.Contains(second.built, "front") {
				t.Errorf("only %v was built", second.built)
			}
		})
	}
}

func TestABuilderThatKnowsNoInputsBuilds(t *testing.T) {
	project, dir := shop(t)
	reg, second := &registrytest.Memory{}, &builder{}
	shelved(t, reg, project, dir, "1.0.0", false, &builder{})
	shelved(t, reg, project, dir, "1.1.0", false, second)
	if len(second.built) != 2 {
		t.Errorf("%v was built", second.built)
	}
}

func TestWhatIsNotAllThereIsBuiltAgain(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	inputs := build.Inputs{"sources": "one"}
	first, _ := shelved(t, reg, project, dir, "1.0.0", false, knowing{&builder{}, inputs, nil})
	reg.Delete(first.Images["front"])
	second := &builder{}
	_, said := shelved(t, reg, project, dir, "1.1.0", false, knowing{second, inputs, nil})
	if diff := cmp.Diff([]string{"front"}, second.built); diff != "" {
		t.Errorf("what was built differs (-want +got):\n%s", diff)
	}
	if !strings.Contains(strings.Join(said, "\n"), "front was built before and is not all there") {
		t.Errorf("%q does not say why it was built", said)
	}
}

func TestARecordOfSomethingElseIsNotTaken(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	inputs := build.Inputs{"sources": "one"}
	shelved(t, reg, project, dir, "1.0.0", false, knowing{&builder{}, inputs, nil})
	tags, err := reg.Tags(t.Context(), prefix+"/shop/front")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(tags, func(tag string) bool { return strings.HasPrefix(tag, "in-") })
	if at < 0 {
		t.Fatalf("the tags are %v", tags)
	}
	record, pinned, err := reg.Pull(t.Context(), prefix+"/shop/front:"+tags[at])
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]registry.Artifact{
		"other inputs": {Type: release.RecordType, Annotations: map[string]string{"dev.sluice.image": record.Annotations["dev.sluice.image"], "dev.sluice.inputs": "{}"}},
		"other type":   {Type: "application/other", Annotations: record.Annotations},
		"no image":     {Type: release.RecordType, Annotations: map[string]string{"dev.sluice.inputs": record.Annotations["dev.sluice.inputs"]}},
	} {
		reg.Put(pinned, wrong)
		second := &builder{}
		shelved(t, reg, project, dir, "1.1.0", false, knowing{second, inputs, nil})
		if !slices.Contains(second.built, "front") {
			t.Errorf("a record with %s was taken", name)
		}
	}
}

func TestRebuildComparesWithWhatIsKnown(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	inputs := build.Inputs{"sources": "one"}
	shelved(t, reg, project, dir, "1.0.0", false, knowing{&builder{}, inputs, nil})
	same := &builder{}
	_, said := shelved(t, reg, project, dir, "1.1.0", true, knowing{same, inputs, nil})
	if len(same.built) != 2 || !strings.Contains(strings.Join(said, "\n"), "front was built again, with the digest that it has since 1.0.0") {
		t.Errorf("%v was built, and %q said", same.built, said)
	}
	_, said = shelved(t, reg, project, dir, "1.2.0", true, knowing{&builder{salt: "other"}, inputs, nil})
	if !strings.Contains(strings.Join(said, "\n"), "front is not reproducible: from the same inputs") {
		t.Errorf("the difference is not told: %q", said)
	}
}

func TestInputsThatCannotBeToldFailTheBuild(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	m := maker(knowing{&builder{}, nil, fault.New(fault.Usage, "build ./front", "no folder").WithHint("make one")}, clean(), reg)
	m.Shelf = reg
	_, _, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
	if !fault.Is(err, fault.Usage) || fault.HintOf(err) != "make one" {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
	down := fault.New(fault.Unreachable, "read", "no answer")
	reg.Fail = func(method, _ string) error {
		if method == "Pull" {
			return down
		}
		return nil
	}
	m.Builders["ko"] = knowing{&builder{}, build.Inputs{"a": "b"}, nil}
	if _, _, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"}); !fault.Is(err, fault.Unreachable) {
		t.Errorf("a registry that does not answer gave %v", err)
	}
}

// proving is a fake builder that knows its inputs and runs tests.
type proving struct {
	*tester
	inputs build.Inputs
}

func (p proving) Inputs(context.Context, build.Request) (build.Inputs, error) { return p.inputs, nil }

func TestWhatTestsSaidIsKeptWithTheImage(t *testing.T) {
	f := &tester{ended: build.Tested{Passed: true, Collected: true}, files: map[string]string{"junit.xml": good}}
	m, req := tested(t, f)
	reg := &registrytest.Memory{}
	m.Registry, m.Shelf = reg, reg
	m.Builders["dockerfile"] = proving{f, build.Inputs{"image": "one"}}
	req.Version = "1.0.0"
	first, ref, err := m.Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	// Were they run again, they would fail.
	f.ended = build.Tested{Reason: "exit code 1"}
	again, second, err := m.Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if ref != second {
		t.Errorf("the same release is %s, and %s with the tests of before", ref.Digest, second.Digest)
	}
	want := map[string]v1alpha1.Tests{"back": {Passed: 2, Skipped: 1}}
	if diff := cmp.Diff(want, again.Tests); diff != "" || !cmp.Equal(first.Tests, again.Tests) {
		t.Errorf("the tests differ (-want +got):\n%s", diff)
	}
	left, err := os.ReadDir(filepath.Join(req.Dir, release.TestsDir("shop", "back")))
	if err != nil || len(left) != 0 {
		t.Errorf("results of an earlier run are left: %v, %v", left, err)
	}
	m.Builders["dockerfile"] = proving{f, build.Inputs{"image": "two"}}
	if _, _, err := m.Make(t.Context(), req); fault.KindOf(err) != fault.Refused {
		t.Errorf("with other inputs the tests are not run: %v", err)
	}
}

func TestAnotherNumberOfSkippedTestsIsTheSameRelease(t *testing.T) {
	f := &tester{ended: build.Tested{Passed: true, Collected: true}, files: map[string]string{"junit.xml": good}}
	m, req := tested(t, f)
	req.Version = "1.0.0"
	_, first, err := m.Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	f.files["junit.xml"] = strings.ReplaceAll(good, "<skipped/>", "")
	made, second, err := m.Make(t.Context(), req)
	if err != nil || first != second || made.Tests["back"].Skipped != 1 {
		t.Errorf("made %s, and then %s with %+v: %v", first.Digest, second.Digest, made.Tests, err)
	}
}

func TestAnImageThatLiesElsewhereStaysThere(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	layout := filepath.Join(t.TempDir(), "front")
	if _, err := registrytest.PutLayout(layout, "front"); err != nil {
		t.Fatal(err)
	}
	at, err := reg.PushLayout(t.Context(), layout, "elsewhere.example/front", "1")
	if err != nil {
		t.Fatal(err)
	}
	b := knowing{&builder{pushed: map[string]string{"front": at}}, build.Inputs{"files": "one"}, nil}
	first, _ := shelved(t, reg, project, dir, "1.0.0", false, b)
	again, _ := shelved(t, reg, project, dir, "1.1.0", false, b)
	if first.Images["front"] != at || again.Images["front"] != at || again.Unchanged["front"] != "1.0.0" {
		t.Errorf("the images are %v, then %v (unchanged %v)", first.Images, again.Images, again.Unchanged)
	}
}
