package release_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

const prefix = "memory.test:5000/shop"

// builder is a fake that writes an image whose content is the request's folder and name.
type builder struct {
	fail map[string]error
	// salt makes other images of the same.
	salt string
	// pushed are the references by digest of images that the builder pushed itself, by name.
	pushed map[string]string

	mu     sync.Mutex
	built  []string
	most   int
	within int
	gate   chan struct{}
}

func (b *builder) Build(ctx context.Context, req build.Request, dir string) (build.Image, error) {
	b.mu.Lock()
	b.built = append(b.built, req.Name)
	b.within++
	b.most = max(b.most, b.within)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.within--
	}()
	if b.gate != nil {
		select {
		case <-b.gate:
		case <-ctx.Done():
			return build.Image{}, fault.Wrap(fault.Interrupted, "build", ctx.Err())
		}
	}
	if err := b.fail[req.Name]; err != nil {
		return build.Image{}, err
	}
	if ref, ok := b.pushed[req.Name]; ok {
		_, digest, _ := strings.Cut(ref, "@")
		return build.Image{Reference: ref, Digest: digest}, nil
	}
	path := filepath.Join(dir, req.Name)
	digest, err := registrytest.PutLayout(path, req.Image.Ko+" "+req.Name+b.salt)
	return build.Image{Layout: path, Digest: digest}, err
}

// sources is a fake of source control.
type sources struct {
	checkout build.Checkout
	distance map[string]int
	err      error
	// whole is what a shallow clone is once it is completed; nil where there is nobody to fetch from.
	whole *sources
}

func (s *sources) Describe(context.Context, string) (build.Checkout, error) { return s.checkout, s.err }

func (s *sources) Complete(context.Context, string) error {
	if s.whole == nil {
		return fault.New(fault.Usage, "complete the shallow clone", "there is no remote")
	}
	*s = *s.whole
	return nil
}

func (s *sources) Distances(_ context.Context, _ string, tags []string) (map[string]int, error) {
	distances := map[string]int{}
	for _, tag := range tags {
		n, ok := s.distance[tag]
		if !ok {
			return nil, fmt.Errorf("nobody should ask for the distance to %q", tag)
		}
		distances[tag] = n
	}
	return distances, nil
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func clean() *sources {
	return &sources{
		checkout: build.Checkout{Commit: commit, Time: time.Unix(1_700_000_000, 0), Tags: []string{"v1.2.3"}},
		distance: map[string]int{"v1.2.3": 4},
	}
}

// shop is a project with two images, two environments and a chart, in a folder of its own.
func shop(t *testing.T) (v1alpha1.Project, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"chart/Chart.yaml":          "apiVersion: v2\nname: shop\nversion: 0.0.0\n",
		"chart/values.yaml":         "images: {}\n",
		"chart/templates/none.yaml": "\n",
		"values.yaml":               "replicas: 2\n",
		"env/values-prod.yaml":      "replicas: 4\n",
	} {
		put(t, dir, name, content)
	}
	return v1alpha1.Project{
		Name: "shop", Registry: prefix,
		Services: map[string]v1alpha1.Service{"shop": {
			Images:      map[string]v1alpha1.Image{"front": {Ko: "./front"}, "back": {Ko: "./back"}},
			Chart:       "chart",
			ImageValues: map[string]string{"front": "images.front", "back": "images.back"},
		}},
		Environments: map[string]v1alpha1.Environment{
			"dev":  {Namespace: "shop-dev", Values: []string{"./values.yaml"}, Strategy: v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}},
			"prod": {Namespace: "shop-prod", Values: []string{"values.yaml", "env/values-prod.yaml"}, After: []string{"dev"}, Gates: []v1alpha1.Gate{{HelmTest: &v1alpha1.HelmTestGate{}}}},
		},
	}, dir
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func maker(b build.Builder, s build.Sources, r *registrytest.Memory) *release.Maker {
	return &release.Maker{Builders: map[string]build.Builder{"ko": b}, Charts: chart.Packer{}, Sources: s, Registry: r}
}

func TestMakePushesTheReleaseLastAndLoadsItBack(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	var progress []string
	made, ref, err := maker(&builder{}, clean(), reg).Make(t.Context(), release.MakeRequest{
		Project: project, Service: "shop", Dir: dir, Version: "1.0.0", Progress: func(line string) { progress = append(progress, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	pushed := reg.Pushed()
	want := []string{
		prefix + "/shop/back:1.0.0", prefix + "/shop/charts/shop:1.0.0", prefix + "/shop/front:1.0.0", prefix + "/shop:1.0.0",
	}
	if last := pushed[len(pushed)-1]; last != prefix+"/shop:1.0.0" {
		t.Errorf("the last push is %s, not the release", last)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(pushed))); diff != "" {
		t.Errorf("pushes differ (-want +got):\n%s", diff)
	}
	loaded, again, err := release.Load(t.Context(), reg, ref.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&made, loaded); diff != "" {
		t.Errorf("the loaded release differs (-made +loaded):\n%s", diff)
	}
	if diff := cmp.Diff(ref, again); diff != "" {
		t.Errorf("its reference differs (-made +loaded):\n%s", diff)
	}
	if _, byTag, err := release.Load(t.Context(), reg, prefix+"/shop:1.0.0"); err != nil || byTag != ref {
		t.Errorf("loaded by tag it is %v, %v", byTag, err)
	}
	wantSource := v1alpha1.Source{Commit: commit, Time: time.Unix(1_700_000_000, 0).UTC()}
	if diff := cmp.Diff(wantSource, loaded.Source); diff != "" {
		t.Errorf("its source differs (-want +got):\n%s", diff)
	}
	for file, content := range map[string]string{"values.yaml": "replicas: 2\n", "env/values-prod.yaml": "replicas: 4\n"} {
		if got := string(loaded.Files[file]); got != content {
			t.Errorf("%s holds %q", file, got)
		}
	}
	if got := loaded.Environments["dev"].Values; !slices.Equal(got, []string{"values.yaml"}) {
		t.Errorf("dev names its values files %q, which are no keys of the release's", got)
	}
	if project.Environments["dev"].Values[0] != "./values.yaml" {
		t.Error("Make changed the project that it was given")
	}
	if got := strings.Join(progress, "\n"); !strings.Contains(got, "building image back from ./back") || !strings.Contains(got, "released "+ref.Ref) {
		t.Errorf("progress says\n%s", got)
	}
}

func TestMakeIsDeterministic(t *testing.T) {
	digests := map[string]bool{}
	for range 3 {
		project, dir := shop(t)
		_, ref, err := maker(&builder{}, clean(), &registrytest.Memory{}).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		digests[ref.Digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("the same sources gave the digests %v", digests)
	}
	project, dir := shop(t)
	put(t, dir, "values.yaml", "replicas: 3\n")
	_, ref, err := maker(&builder{}, clean(), &registrytest.Memory{}).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if digests[ref.Digest] {
		t.Error("other values gave the same digest")
	}
}

func TestMakeTwiceUnderOneVersion(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	req := release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"}
	_, first, err := maker(&builder{}, clean(), reg).Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := maker(&builder{}, clean(), reg).Make(t.Context(), req)
	if err != nil || first != second {
		t.Errorf("the same again gave %v, %v; want %v", second, err, first)
	}
	put(t, dir, "values.yaml", "replicas: 5\n")
	if _, _, err := maker(&builder{}, clean(), reg).Make(t.Context(), req); !fault.Is(err, fault.Usage) {
		t.Errorf("something else under the same version gave %v, want a usage error", err)
	}
}

func TestNothingNamesWhatIsNotThere(t *testing.T) {
	for _, failing := range []string{"/shop/front", "/shop/back", "/shop/charts/shop", "/shop"} {
		t.Run(failing, func(t *testing.T) {
			project, dir := shop(t)
			reg := &registrytest.Memory{Fail: func(method, target string) error {
				if strings.HasPrefix(method, "Push") && target == prefix+failing {
					return fault.New(fault.Unreachable, "push", "no answer")
				}
				return nil
			}}
			_, ref, err := maker(&builder{}, clean(), reg).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
			if !fault.Is(err, fault.Unreachable) || ref != (v1alpha1.ReleaseRef{}) {
				t.Fatalf("got %v and %v", ref, err)
			}
			if slices.Contains(reg.Pushed(), prefix+"/shop:1.0.0") {
				t.Error("the release was pushed")
			}
		})
	}
}

func TestAFailedBuildPushesNothingAndStopsTheOthers(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	b := &builder{fail: map[string]error{"back": fault.New(fault.Usage, "go build", "main.go:1:1: nonsense").WithHint("mend it")}}
	m := maker(b, clean(), reg)
	m.Places = make(chan struct{}, 1)
	_, _, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "image back") || fault.HintOf(err) != "mend it" {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
	if len(reg.Pushed()) != 0 {
		t.Errorf("%v was pushed", reg.Pushed())
	}
}

func TestAnUnreachableRegistryIsFoundBeforeBuilding(t *testing.T) {
	project, dir := shop(t)
	b := &builder{}
	reg := &registrytest.Memory{Fail: func(string, string) error { return fault.New(fault.Unreachable, "connect", "refused") }}
	_, _, err := maker(b, clean(), reg).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
	if !fault.Is(err, fault.Unreachable) || len(b.built) != 0 {
		t.Errorf("got %v after building %v", err, b.built)
	}
}

func TestImagesAreBuiltInParallelWithALimit(t *testing.T) {
	project, dir := shop(t)
	service := project.Services["shop"]
	for _, name := range []string{"a", "b", "c", "d"} {
		service.Images[name] = v1alpha1.Image{Ko: "./" + name}
		service.ImageValues[name] = "images." + name
	}
	for limit, want := range map[int]int{1: 1, 3: 3} {
		b := &builder{gate: make(chan struct{})}
		m := maker(b, clean(), &registrytest.Memory{})
		m.Places = make(chan struct{}, limit)
		done := make(chan error, 1)
		go func() {
			_, _, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
			done <- err
		}()
		// Nobody leaves before as many as may are inside; more than may would be seen in most.
		for started := 0; started < want; {
			b.mu.Lock()
			started = b.within
			b.mu.Unlock()
			runtime.Gosched()
		}
		close(b.gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if b.most != want || len(b.built) != 6 {
			t.Errorf("limit %d: %d at once, %d built", limit, b.most, len(b.built))
		}
	}
}

func TestAnInterruptedMakeSaysSo(t *testing.T) {
	project, dir := shop(t)
	ctx, cancel := context.WithCancel(t.Context())
	b := &builder{gate: make(chan struct{})}
	reg := &registrytest.Memory{}
	req := release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0", Progress: func(line string) {
		if strings.HasPrefix(line, "building") {
			cancel()
		}
	}}
	_, _, err := maker(b, clean(), reg).Make(ctx, req)
	if !fault.Is(err, fault.Interrupted) || len(reg.Pushed()) != 0 {
		t.Errorf("got %v of kind %v, pushed %v", err, fault.KindOf(err), reg.Pushed())
	}
}

func TestMakeRefusesBadInput(t *testing.T) {
	tests := map[string]struct {
		change        func(p *v1alpha1.Project, s *v1alpha1.Service, dir string)
		message, hint string
	}{
		"registry missing": {func(p *v1alpha1.Project, _ *v1alpha1.Service, _ string) { p.Registry = "" }, "registry", "localhost:5000"},
		"image not in imageValues": {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { delete(s.ImageValues, "back") },
			"services.shop.imageValues", "back"},
		"imageValues without image": {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { s.ImageValues["bakc"] = "x" },
			"imageValues.bakc", "back, front"},
		"image's name": {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { s.Images["Front"] = v1alpha1.Image{Ko: "."} },
			`"Front"`, "lower case"},
		"no builder": {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { s.Images["back"] = v1alpha1.Image{} },
			"services.shop.images.back", "ko:"},
		"chart missing":      {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { s.Chart = "chrat" }, "chrat", "chart:"},
		"chart outside":      {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { s.Chart = "../chart" }, "services.shop.chart", "relative"},
		"chart not given":    {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { s.Chart = "" }, "services.shop.chart", "relative"},
		"no Chart.yaml":      {func(_ *v1alpha1.Project, s *v1alpha1.Service, _ string) { s.Chart = "env" }, "Chart.yaml", "helm create"},
		"values missing":     {values("values-dve.yaml"), "values-dve.yaml: environments.dev.values", "write it"},
		"values outside":     {values("../values.yaml"), "outside", "beside sluice.yaml"},
		"values absolute":    {values("/etc/passwd"), "outside", "beside sluice.yaml"},
		"values are a dir":   {values("env"), "no regular file", ""},
		"values lead away":   {values("link.yaml"), "link.yaml", ""},
		"values are too big": {values("big.yaml"), "1048577 bytes", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			project, dir := shop(t)
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.yaml")); err != nil {
				t.Fatal(err)
			}
			put(t, dir, "big.yaml", strings.Repeat("#", 1<<20+1))
			service := project.Services["shop"]
			tt.change(&project, &service, dir)
			project.Services["shop"] = service
			reg, b := &registrytest.Memory{}, &builder{}
			_, _, err := maker(b, clean(), reg).Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
			switch {
			case !fault.Is(err, fault.Usage):
				t.Fatalf("got %v of kind %v, want a usage error", err, fault.KindOf(err))
			case !strings.Contains(err.Error(), tt.message):
				t.Errorf("%q does not say %q", err, tt.message)
			case !strings.Contains(fault.HintOf(err), tt.hint):
				t.Errorf("the hint %q does not say %q", fault.HintOf(err), tt.hint)
			case len(b.built) != 0 || len(reg.Pushed()) != 0:
				t.Errorf("it built %v and pushed %v", b.built, reg.Pushed())
			}
		})
	}
	project, dir := shop(t)
	_, _, err := maker(&builder{}, clean(), &registrytest.Memory{}).Make(t.Context(), release.MakeRequest{Project: project, Service: "shpo", Dir: dir})
	if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "shop") {
		t.Errorf("an unknown service gave %v, hint %q", err, fault.HintOf(err))
	}
}

func values(file string) func(*v1alpha1.Project, *v1alpha1.Service, string) {
	return func(p *v1alpha1.Project, _ *v1alpha1.Service, _ string) {
		p.Environments["dev"] = v1alpha1.Environment{Values: []string{file}}
	}
}
