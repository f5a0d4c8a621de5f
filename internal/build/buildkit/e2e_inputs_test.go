//go:build e2e

package buildkit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

const shared = `FROM BASE AS build
ARG GREETING=none
COPY app/greeting.txt lib/*.txt /in/
RUN ["/tool", "copy", "/in/greeting.txt", "/out/greeting"]
FROM build AS checked
COPY app/expected.txt /in/
ENTRYPOINT ["/tool", "copy", "/in/expected.txt", "/out/checked"]
FROM scratch AS final
COPY --from=build /out/ /
ENTRYPOINT ["/greeting"]
`

// project is one whose Dockerfile reads a part of the repository.
func (w *world) project(t *testing.T) v1alpha1.Image {
	t.Helper()
	w.put(t, "app/Dockerfile", shared)
	w.put(t, "app/greeting.txt", "hello")
	w.put(t, "app/expected.txt", "hello")
	w.put(t, "lib/one.txt", "1")
	w.put(t, "lib/one.md", "1")
	w.put(t, "other/file.txt", "x")
	return v1alpha1.Image{Context: ".", Target: "final", TestTarget: "checked"}
}

func (w *world) inputs(t *testing.T, image v1alpha1.Image) build.Inputs {
	t.Helper()
	req, said := w.request(image)
	inputs, err := w.builder.Inputs(t.Context(), req)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return inputs
}

func TestE2EInputsAreWhatAnImageIsMadeFrom(t *testing.T) {
	w := newWorld(t)
	spec := w.project(t)
	first := w.inputs(t, spec)
	if len(first) == 0 {
		t.Fatal("nothing is known")
	}
	for about, change := range map[string]struct {
		do   func(*v1alpha1.Image)
		same bool
	}{
		"nothing":                    {func(*v1alpha1.Image) {}, true},
		"a file that is not read":    {func(*v1alpha1.Image) { w.put(t, "other/file.txt", "y") }, true},
		"a file beside the pattern":  {func(*v1alpha1.Image) { w.put(t, "lib/one.md", "2") }, true},
		"a comment":                  {func(*v1alpha1.Image) { w.put(t, "app/Dockerfile", "# Greets.\n"+shared) }, true},
		"the time of a file":         {func(*v1alpha1.Image) { touch(t, filepath.Join(w.dir, "app/greeting.txt")) }, true},
		"a file that is read":        {func(*v1alpha1.Image) { w.put(t, "app/greeting.txt", "hullo") }, false},
		"a new file of the pattern":  {func(*v1alpha1.Image) { w.put(t, "lib/two.txt", "2") }, false},
		"a file that the tests read": {func(*v1alpha1.Image) { w.put(t, "app/expected.txt", "hullo") }, false},
		"a step": {func(*v1alpha1.Image) {
			w.put(t, "app/Dockerfile", strings.Replace(shared, "/out/greeting\"", "/out/greet\"", 1))
		}, false},
		"what starts": {func(*v1alpha1.Image) {
			w.put(t, "app/Dockerfile", strings.Replace(shared, `["/greeting"]`, `["/greet"]`, 1))
		}, false},
		"an ignore file that matters": {func(*v1alpha1.Image) { w.put(t, ".dockerignore", "lib\n!lib/none.txt\n") }, false},
		"the target":                  {func(i *v1alpha1.Image) { i.Target = "build" }, false},
		"the platform":                {func(i *v1alpha1.Image) { i.Platforms = []string{"linux/arm64"} }, false},
		"the base image":              {func(*v1alpha1.Image) { w.pushBase(t) }, true},
	} {
		t.Run(about, func(t *testing.T) {
			w.project(t)
			if err := os.RemoveAll(filepath.Join(w.dir, ".dockerignore")); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(w.dir, "lib/two.txt")); err != nil {
				t.Fatal(err)
			}
			changed := spec
			change.do(&changed)
			if same := cmp.Equal(first, w.inputs(t, changed)); same != change.same {
				t.Errorf("the inputs are the same: %t", same)
			}
		})
	}
}

func TestE2EAnotherBaseIsAnotherInput(t *testing.T) {
	w := newWorld(t)
	spec := w.project(t)
	first := w.inputs(t, spec)
	w.pushImage(t, "/in")
	if cmp.Equal(first, w.inputs(t, spec)) {
		t.Error("the tag of the base names another image, but the inputs are the same")
	}
}

func TestE2EUnknownInputs(t *testing.T) {
	w := newWorld(t)
	for _, dockerfile := range []string{
		"FROM BASE\nADD http://REGISTRY/v2/ /from-elsewhere\n",
		"FROM BASE\nADD https://github.com/moby/buildkit.git#master /from-elsewhere\n",
	} {
		w.put(t, "app/Dockerfile", strings.ReplaceAll(dockerfile, "REGISTRY", w.registry))
		req, said := w.request(v1alpha1.Image{})
		inputs, err := w.builder.Inputs(t.Context(), req)
		if err != nil || len(inputs) != 0 || !strings.Contains(said.String(), "built every time") {
			t.Errorf("%s: %v, %v, said %q", dockerfile, inputs, err, said)
		}
	}
	w.put(t, "app/Dockerfile", "FROM BASE\nADD --checksum=sha256:"+strings.Repeat("0", 64)+" http://"+w.registry+"/v2/ /from-elsewhere\n")
	if len(w.inputs(t, v1alpha1.Image{})) == 0 {
		t.Error("nothing is known although the file is named by its checksum")
	}
}

func TestE2EInputsFailAsTheBuildDoes(t *testing.T) {
	w := newWorld(t)
	for dockerfile, part := range map[string]string{
		"FROM BASE\nCOPY\n":                "COPY requires at least two arguments",
		"FROM " + w.registry + "/none:1\n": "none:1",
	} {
		w.put(t, "app/Dockerfile", dockerfile)
		req, _ := w.request(v1alpha1.Image{})
		_, err := w.builder.Inputs(t.Context(), req)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v (%s)", dockerfile, err, fault.KindOf(err))
		}
	}
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.Chtimes(file, time.Unix(1_600_000_000, 0), time.Unix(1_600_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
}
