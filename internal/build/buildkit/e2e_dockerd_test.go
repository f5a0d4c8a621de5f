//go:build e2e

package buildkit_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
	"github.com/sluice-dev/sluice/internal/fault"
)

// dockerHost is the variable that names a Docker daemon for tests, as $DOCKER_HOST would. The daemon must run on this machine, which is
// where the registry with the base image listens.
const dockerHost = "SLUICE_TEST_DOCKER_HOST"

// newDocker is a world whose builder goes through a real Docker's API.
func newDocker(t *testing.T) *world {
	t.Helper()
	host := os.Getenv(dockerHost)
	if host == "" {
		t.Skipf("no Docker daemon is named: set %s, for example to unix:///var/run/docker.sock", dockerHost)
	}
	w := newWorldAt(t, "docker")
	w.builder = buildkit.New(buildkit.Options{LookupEnv: func(name string) (string, bool) {
		switch name {
		case "DOCKER_HOST":
			return host, true
		case "NPM_TOKEN":
			return "hunter22", true
		}
		return "", false
	}})
	return w
}

const throughDocker = `FROM BASE AS build
ARG GREETING=none
RUN ["/tool", "env", "GREETING", "/out/arg"]
COPY greeting.txt /in/
RUN ["/tool", "copy", "/in/greeting.txt", "/out/greeting"]
RUN --mount=type=secret,id=npm,target=/npm ["/tool", "length", "/npm", "/out/length"]
FROM build AS testrunner
ENTRYPOINT ["/tool", "test", "/results", "3", "0"]
FROM build AS failing
ENTRYPOINT ["/tool", "test", "/results", "3", "2"]
FROM scratch AS final
COPY --from=build /out/ /
USER 65532
`

// TestE2ERealDocker builds as through any BuildKit: stages, arguments, secrets, caches and tests.
func TestE2ERealDocker(t *testing.T) {
	w := newDocker(t)
	w.put(t, "app/Dockerfile", throughDocker)
	w.put(t, "app/greeting.txt", "hello "+w.registry)
	spec := v1alpha1.Image{
		Args: map[string]string{"GREETING": "good day"}, Secrets: map[string]v1alpha1.BuildSecret{"npm": {Env: "NPM_TOKEN"}},
		Cache: &v1alpha1.BuildCache{From: []string{w.registry + "/cache:1", "./.sluice/cache"}, To: []string{w.registry + "/cache:1", "./.sluice/cache"}},
	}
	built, index, said := w.build(t, spec)
	got, _, all := files(t, image(t, index))
	if !strings.HasPrefix(got["greeting"], "hello") || got["arg"] != "good day" || got["length"] != "8" {
		t.Errorf("the image holds %q", got)
	}
	if strings.Contains(all+said, "hunter22") {
		t.Error("the secret is in the image or in the log")
	}
	if again, _, said := w.build(t, spec); again.Digest != built.Digest || !strings.Contains(said, "as before") {
		t.Errorf("built again it is %s, not %s\n%s", again.Digest, built.Digest, said)
	}
	for target, passes := range map[string]bool{"testrunner": true, "failing": false} {
		spec := v1alpha1.Image{Args: spec.Args, Secrets: spec.Secrets, TestTarget: target, TestResults: "/results"}
		req, said := w.request(spec)
		dir := t.TempDir()
		tested, err := w.builder.Test(t.Context(), req, dir)
		if err != nil {
			t.Fatalf("%s: %v (%s)\n%s", target, err, fault.HintOf(err), said)
		}
		if tested.Passed != passes || !strings.Contains(said.String(), "running") {
			t.Errorf("%s: got %+v\n%s", target, tested, said)
		}
		if _, err := os.Stat(dir + "/deep/junit.xml"); err != nil {
			t.Error(err)
		}
	}
	w.put(t, "app/Dockerfile", "FROM BASE\nRUN [\"/tool\", \"fail\", \"3\", \"out of memory\"]\n")
	req, _ := w.request(v1alpha1.Image{})
	if _, err := w.builder.Build(t.Context(), req, t.TempDir()); !fault.Is(err, fault.Usage) || !strings.HasSuffix(err.Error(), "out of memory") {
		t.Errorf("a failing step gave %v of kind %v", err, fault.KindOf(err))
	}
}
