package release_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	helm "helm.sh/helm/v4/pkg/registry"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/build/git"
	"github.com/sluice-dev/sluice/internal/build/ko"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/test/distribution"
)

// Everything in this file is real: Go toolchain, Git, Helm's packer and client, and a registry over HTTP that fails every fifth request.

func realMaker() *release.Maker {
	reg := oci.New(oci.Options{
		Backoff: remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 8}, Keychain: authn.NewMultiKeychain(),
	})
	return &release.Maker{
		Builders: map[string]build.Builder{"ko": ko.New(ko.Options{Base: reg.Descriptor})},
		Charts:   chart.Packer{}, Sources: git.Git{}, Registry: reg, Shelf: reg,
	}
}

func serve(t *testing.T) string {
	t.Helper()
	server := distribution.Serve(distribution.Options{Referrers: true, Fault: distribution.Every(5, distribution.Answer(http.StatusServiceUnavailable))})
	t.Cleanup(server.Close)
	return server.Host
}

// checkedOut writes the project of shop with sources and commits it, always as the same commit.
func checkedOut(t *testing.T) (v1alpha1.Project, string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	project, dir := shop(t)
	put(t, dir, "go.mod", "module example.test/shop\n\ngo 1.26\n")
	put(t, dir, "front/main.go", "package main\n\nfunc main() { println(\"front\") }\n")
	put(t, dir, "back/main.go", "package main\n\nfunc main() { println(\"back\") }\n")
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"commit", "-q", "-m", "first"}, {"tag", "v1.4.0"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.test", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return project, dir
}

func TestFromSourcesToARegistryAndBack(t *testing.T) {
	host := serve(t)
	m := realMaker()
	project, dir := checkedOut(t)
	project.Registry = host + "/shop"
	made, ref, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if made.Version != "1.4.0" || made.Source.Dirty || made.Source.Commit == "" {
		t.Errorf("version %s of %+v", made.Version, made.Source)
	}

	// The same commit in another folder, pushed to the same place: the same release.
	again, elsewhere := checkedOut(t)
	again.Registry = project.Registry
	_, second, err := m.Make(t.Context(), release.MakeRequest{Project: again, Service: "shop", Dir: elsewhere})
	if err != nil || second != ref {
		t.Fatalf("built again it is %v, %v; want %v", second, err, ref)
	}

	// From an empty folder, by the name that a person uses.
	t.Chdir(t.TempDir())
	full, err := release.Resolve(project.Registry, "shop:1.4.0")
	if err != nil {
		t.Fatal(err)
	}
	loaded, pinned, err := release.Load(t.Context(), m.Registry, full)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&made, loaded); diff != "" || pinned != ref {
		t.Errorf("it comes back as %v, differing (-made +loaded):\n%s", pinned, diff)
	}
	for image, reference := range loaded.Images {
		pullable(t, image, reference)
	}
	helmPulls(t, loaded)
}

// pullable makes sure that the registry holds every blob of an image.
func pullable(t *testing.T, image, reference string) {
	t.Helper()
	ref, err := name.NewDigest(reference)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Errorf("image %s: %v", image, err)
	}
	config, err := pulled.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if want := "/ko-app/" + image; len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != want {
		t.Errorf("image %s starts %v, not %s", image, config.Config.Entrypoint, want)
	}
}

// helmPulls does what `helm pull oci://…` does with the release's chart.
func helmPulls(t *testing.T, rel *v1alpha1.Release) {
	t.Helper()
	client, err := helm.NewClient(helm.ClientOptPlainHTTP(), helm.ClientOptWriter(io.Discard),
		helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "none.json")))
	if err != nil {
		t.Fatal(err)
	}
	repository, _, _ := strings.Cut(rel.Chart, "@")
	result, err := client.Pull(repository + ":" + rel.Version)
	if err != nil {
		t.Fatalf("Helm cannot pull the chart: %v", err)
	}
	if !bytes.Equal(result.Chart.Data, rel.ChartArchive) {
		t.Error("Helm pulls another archive than the release holds")
	}
	if result.Chart.Meta.Name != "shop" || result.Chart.Meta.Version != rel.Version || result.Chart.Meta.AppVersion != rel.Version {
		t.Errorf("Helm sees chart %s %s of %s", result.Chart.Meta.Name, result.Chart.Meta.Version, result.Chart.Meta.AppVersion)
	}
	if _, err := loader.LoadArchive(bytes.NewReader(rel.ChartArchive)); err != nil {
		t.Errorf("Helm cannot load the archive: %v", err)
	}
}

func TestUncommittedFilesGetAVersionOfTheirOwn(t *testing.T) {
	host := serve(t)
	m := realMaker()
	project, dir := checkedOut(t)
	project.Registry = host + "/shop"
	versions := map[string]bool{}
	for _, text := range []string{"replicas: 7\n", "replicas: 8\n"} {
		put(t, dir, "values.yaml", text)
		rel, _, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if !rel.Source.Dirty || !strings.HasPrefix(rel.Version, "1.4.1-dev.0.g") || !strings.Contains(rel.Version, ".dirty.h") {
			t.Errorf("version %s of %+v", rel.Version, rel.Source)
		}
		versions[rel.Version] = true
	}
	if len(versions) != 2 {
		t.Errorf("two states share the version %v", versions)
	}
}

func TestTwoBuildsOfOneCommitAtOnce(t *testing.T) {
	host := serve(t)
	type result struct {
		ref v1alpha1.ReleaseRef
		err error
	}
	results := make(chan result, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for range cap(results) {
		project, dir := checkedOut(t)
		project.Registry = host + "/shop"
		go func() {
			_, ref, err := realMaker().Make(ctx, release.MakeRequest{Project: project, Service: "shop", Dir: dir})
			results <- result{ref, err}
		}()
	}
	first := <-results
	for range cap(results) - 1 {
		if r := <-results; r != first || r.err != nil {
			t.Errorf("one got %v, another %v", first, r)
		}
	}
}
