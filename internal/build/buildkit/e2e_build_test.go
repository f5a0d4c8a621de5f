//go:build e2e

package buildkit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
	"github.com/sluice-dev/sluice/internal/fault"
)

const multiStage = `# syntax=docker/dockerfile:1
FROM BASE AS build
ARG GREETING=none
COPY greeting.txt /in/
RUN ["/tool", "copy", "/in/greeting.txt", "/out/greeting"]
RUN ["/tool", "env", "GREETING", "/out/arg"]
FROM scratch AS final
COPY --from=build /out/ /
USER 65532
ENTRYPOINT ["/greeting"]
`

func TestE2EMultiStageWithArgs(t *testing.T) {
	w := newWorld(t)
	w.put(t, "app/Dockerfile", multiStage)
	w.put(t, "app/greeting.txt", "hello")
	spec := v1alpha1.Image{Args: map[string]string{"GREETING": "good day"}}
	built, index, said := w.build(t, spec)
	got, times, _ := files(t, image(t, index))
	if got["greeting"] != "hello" || got["arg"] != "good day" {
		t.Errorf("the image holds %q", got)
	}
	if _, leaked := got["tool"]; leaked {
		t.Error("the image holds what only the build stage needs")
	}
	for file, at := range times {
		if at.After(time.Unix(1_700_000_000, 0)) {
			t.Errorf("%s is dated %s, after the commit", file, at)
		}
	}
	config, err := image(t, index).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532" || config.Created.Unix() != 1_700_000_000 {
		t.Errorf("user %q, created %s", config.Config.User, config.Created)
	}
	if strings.Contains(said, "runs as root") {
		t.Errorf("a user without rights is taken for root:\n%s", said)
	}
	if !strings.Contains(said, "[build 4/4] RUN") {
		t.Errorf("the progress does not tell the steps:\n%s", said)
	}
	// Another checkout: other times, other modes, the same image.
	file := filepath.Join(w.dir, "app", "greeting.txt")
	if err := os.Chtimes(file, time.Unix(1_600_000_000, 0), time.Unix(1_600_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if again, _, _ := w.build(t, spec); again.Digest != built.Digest {
		t.Errorf("built again it is %s, not %s", again.Digest, built.Digest)
	}
	// A change that keeps the size is a change.
	w.put(t, "app/greeting.txt", "hullo")
	_, changed, _ := w.build(t, spec)
	if got, _, _ := files(t, image(t, changed)); got["greeting"] != "hullo" {
		t.Errorf("after the change the image holds %q", got["greeting"])
	}
	// An earlier stage is another image.
	if other, _, _ := w.build(t, v1alpha1.Image{Target: "build"}); other.Digest == built.Digest {
		t.Error("the target makes no difference")
	}
}

func TestE2EBasesPinWhatTheDockerfileNames(t *testing.T) {
	w := newWorld(t)
	w.put(t, "app/Dockerfile", "FROM golang:1.26 AS build\nRUN [\"/tool\", \"write\", \"/out/a\", \"b\"]\nFROM scratch\nCOPY --from=build /out/ /\n")
	ref, err := name.ParseReference(w.base)
	if err != nil {
		t.Fatal(err)
	}
	there, err := remote.Head(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	_, index, said := w.build(t, v1alpha1.Image{Bases: map[string]string{"golang:1.26": w.registry + "/base@" + there.Digest.String()}})
	if got, _, _ := files(t, image(t, index)); got["a"] != "b" {
		t.Errorf("the image holds %q", got)
	}
	if !strings.Contains(said, "runs as root") {
		t.Errorf("nobody says that it runs as root:\n%s", said)
	}
}

func TestE2ESecretReachesNoLayerAndNoLog(t *testing.T) {
	const secret = "open sesame, said nobody"
	w := newWorld(t)
	w.put(t, "app/Dockerfile", `FROM BASE AS build
RUN --mount=type=secret,id=token ["/tool", "length", "/run/secrets/token", "/out/length", "BASE"]
RUN --mount=type=secret,id=file ["/tool", "length", "/run/secrets/file", "/out/second"]
`)
	w.put(t, "token.txt", "another secret that is long")
	t.Setenv("THE_TOKEN", secret)
	_, index, said := w.build(t, v1alpha1.Image{Secrets: map[string]v1alpha1.BuildSecret{"token": {Env: "THE_TOKEN"}, "file": {File: "token.txt"}}})
	got, _, all := files(t, image(t, index))
	if got["out/length"] != "24" || got["out/second"] != "27" {
		t.Errorf("the steps did not see the secrets: %q and %q", got["out/length"], got["out/second"])
	}
	config, err := image(t, index).RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{secret, "another secret that is long"} {
		for where, text := range map[string]string{"layer": all, "configuration": string(config), "log": said} {
			if strings.Contains(text, hidden) {
				t.Errorf("a secret is in the %s", where)
			}
		}
	}
	if !strings.Contains(said, "it says [redacted]") {
		t.Errorf("the log does not show that something was taken out:\n%s", said)
	}
}

func TestE2ECacheMovesBetweenBuilders(t *testing.T) {
	for _, kind := range []string{"registry", "local"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			place := w.registry + "/cache:main"
			if kind == "local" {
				place = "./.sluice/cache"
			}
			w.put(t, "app/Dockerfile", multiStage)
			w.put(t, "app/greeting.txt", "cached "+w.registry)
			w.build(t, v1alpha1.Image{Cache: &v1alpha1.BuildCache{From: []string{place}, To: []string{place}}})
			if kind == "local" {
				if _, err := os.Stat(filepath.Join(w.dir, ".sluice", "cache", "index.json")); err != nil {
					t.Error(err)
				}
			} else {
				ref, err := name.ParseReference(place)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := remote.Head(ref, remote.WithContext(t.Context())); err != nil {
					t.Errorf("the cache was not written: %v", err)
				}
			}
			_, _, said := w.build(t, v1alpha1.Image{Cache: &v1alpha1.BuildCache{From: []string{place}}})
			if !strings.Contains(said, "(as before)") {
				t.Errorf("nothing is taken from the cache:\n%s", said)
			}
			if kind == "registry" && !strings.Contains(said, "importing cache manifest") {
				t.Errorf("the cache is not read:\n%s", said)
			}
		})
	}
}

func TestE2ETwoPlatformsWithoutEmulation(t *testing.T) {
	w := newWorld(t)
	w.put(t, "app/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY for-${TARGETARCH}.txt /who\n")
	w.put(t, "app/for-amd64.txt", "amd64")
	w.put(t, "app/for-arm64.txt", "arm64")
	_, outer, _ := w.build(t, v1alpha1.Image{Platforms: []string{"linux/amd64", "linux/arm64"}})
	top, err := outer.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := outer.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 {
		t.Fatalf("the index holds %d manifests: images of two platforms are wanted, and no attestation", len(manifest.Manifests))
	}
	for _, m := range manifest.Manifests {
		one, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := files(t, one); got["who"] != m.Platform.Architecture {
			t.Errorf("%s holds %q", m.Platform, got["who"])
		}
	}
}

func TestE2EFailures(t *testing.T) {
	w := newWorld(t)
	w.put(t, "fails/Dockerfile", "FROM BASE AS build\n\nRUN [\"/tool\", \"fail\", \"3000\", \"the last word\"]\n")
	w.put(t, "syntax/Dockerfile", "FROM BASE\nRUNN nothing\n")
	w.put(t, "lost/Dockerfile", "FROM "+w.registry+"/nothing:1\n")
	w.put(t, "gone/Dockerfile", "FROM 127.0.0.1:1/nothing:1\n")
	w.put(t, "copy/Dockerfile", "FROM BASE\nCOPY missing.txt /\n")
	w.put(t, "ok/Dockerfile", "FROM BASE\n")
	outside := filepath.Join(filepath.Dir(w.dir), "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		image v1alpha1.Image
		kind  fault.Kind
		says  []string
		ends  string
	}{
		"step":          {v1alpha1.Image{Dockerfile: "fails/Dockerfile"}, fault.Usage, []string{"step [2/2] RUN", "fails/Dockerfile:3", "exit code: 7"}, "the last word"},
		"syntax":        {v1alpha1.Image{Dockerfile: "syntax/Dockerfile"}, fault.Usage, []string{"syntax/Dockerfile:2", "RUNN"}, ""},
		"no such base":  {v1alpha1.Image{Dockerfile: "lost/Dockerfile"}, fault.Usage, []string{"lost/Dockerfile:1", "not found"}, ""},
		"no registry":   {v1alpha1.Image{Dockerfile: "gone/Dockerfile"}, fault.Unreachable, []string{"127.0.0.1:1"}, ""},
		"no such file":  {v1alpha1.Image{Dockerfile: "copy/Dockerfile"}, fault.Usage, []string{"copy/Dockerfile:2", "missing.txt"}, ""},
		"no Dockerfile": {v1alpha1.Image{Dockerfile: "none/Dockerfile"}, fault.Usage, []string{"there is no Dockerfile none/Dockerfile"}, ""},
		"no target":     {v1alpha1.Image{Dockerfile: "ok/Dockerfile", Target: "nosuch"}, fault.Usage, []string{"nosuch"}, ""},
		"context above": {v1alpha1.Image{Dockerfile: "ok/Dockerfile", Context: ".."}, fault.Usage, []string{"lies outside"}, ""},
		"context link":  {v1alpha1.Image{Dockerfile: "ok/Dockerfile", Context: "link"}, fault.Usage, []string{"lies outside"}, ""},
		"secret unset":  {v1alpha1.Image{Dockerfile: "ok/Dockerfile", Secrets: map[string]v1alpha1.BuildSecret{"a": {Env: "SURELY_NOT_SET"}}}, fault.Usage, []string{"SURELY_NOT_SET is not set"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, said := w.request(test.image)
			_, err := w.builder.Build(t.Context(), req, t.TempDir())
			if !fault.Is(err, test.kind) {
				t.Fatalf("got %v of kind %v, want %v\n%s", err, fault.KindOf(err), test.kind, said)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in: %v", text, err)
				}
			}
			if !strings.HasSuffix(err.Error(), test.ends) || len(err.Error()) > 6000 {
				t.Errorf("it ends (after %d bytes) in: …%.100s", len(err.Error()), err.Error()[max(0, len(err.Error())-100):])
			}
		})
	}
}

func TestE2EInterrupt(t *testing.T) {
	w := newWorld(t)
	w.put(t, "app/Dockerfile", "FROM BASE\nRUN [\"/tool\", \"sleep\"]\n")
	req, said := w.request(v1alpha1.Image{})
	ctx, cancel := cancelSoon(t)
	defer cancel()
	req.Log = func(line string) {
		said.add(line)
		if strings.Contains(line, "sleeping") {
			cancel()
		}
	}
	if _, err := w.builder.Build(ctx, req, t.TempDir()); !fault.Is(err, fault.Interrupted) || !strings.Contains(said.String(), "sleeping") {
		t.Errorf("got %v of kind %v\n%s", err, fault.KindOf(err), said)
	}
}

func TestE2ENobodyAnswers(t *testing.T) {
	w := newWorld(t)
	w.put(t, "app/Dockerfile", "FROM scratch\nCOPY . /\n")
	w.builder = buildkit.New(buildkit.Options{Address: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	req, _ := w.request(v1alpha1.Image{})
	if _, err := w.builder.Build(t.Context(), req, t.TempDir()); !fault.Is(err, fault.Unreachable) || strings.Contains(err.Error(), "\n") || fault.HintOf(err) == "" {
		t.Errorf("got %v (hint %q)", err, fault.HintOf(err))
	}
}
