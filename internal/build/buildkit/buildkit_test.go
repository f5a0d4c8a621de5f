package buildkit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func environment(set map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, ok := set[name]; return value, ok }
}

func TestEndpoints(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	local := func(context.Context) string { return "unix:///local.sock" }
	none := filepath.Join(t.TempDir(), "none")
	for name, test := range map[string]struct {
		o    Options
		env  map[string]string
		want []string
	}{
		"nothing":              {o: Options{DockerSocket: none}},
		"the address wins":     {o: Options{Address: "tcp://b:1", DockerSocket: socket, Local: local}, env: map[string]string{"BUILDKIT_HOST": "tcp://c:1"}, want: []string{"BuildKit at tcp://b:1 (as named for this build)"}},
		"then the environment": {o: Options{DockerSocket: socket, Local: local}, env: map[string]string{"BUILDKIT_HOST": "tcp://c:1", "DOCKER_HOST": "tcp://d:1"}, want: []string{"BuildKit at tcp://c:1 ($BUILDKIT_HOST)"}},
		"then Docker's host":   {o: Options{DockerSocket: socket, Local: local}, env: map[string]string{"DOCKER_HOST": "tcp://d:1"}, want: []string{"Docker's BuildKit at tcp://d:1 ($DOCKER_HOST)"}},
		"then what is there":   {o: Options{DockerSocket: socket, Local: local}, want: []string{"Docker's BuildKit at unix://" + socket + " (its usual socket)", "BuildKit at unix:///local.sock (the local cluster's)"}},
		"the local one alone":  {o: Options{DockerSocket: none, Local: local}, want: []string{"BuildKit at unix:///local.sock (the local cluster's)"}},
		"Docker by name":       {o: Options{Address: "docker", DockerSocket: socket}, want: []string{"Docker's BuildKit at unix://" + socket + " (its usual socket)"}},
		"Docker elsewhere":     {o: Options{Address: "docker://d:2375", DockerSocket: socket}, want: []string{"Docker's BuildKit at tcp://d:2375 (as named for this build)"}},
	} {
		test.o.LookupEnv = environment(test.env)
		found, err := New(test.o).endpoints(t.Context(), "build")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, e := range found {
			got = append(got, e.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEndpointsThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		address string
		env     map[string]string
	}{
		"no scheme":                    {address: "builder:1234"},
		"another scheme":               {address: "https://builder"},
		"nothing behind":               {address: "unix://"},
		"Docker by ssh":                {env: map[string]string{"DOCKER_HOST": "ssh://me@host"}},
		"an unknown word behind the ?": {address: "tcp://b:1?tlscacrt=ca.pem"},
		"no host":                      {address: "tcp://?tlscacert=ca.pem"},
		"a certificate without a key":  {address: "tcp://b:1?tlscert=cert.pem"},
	} {
		_, err := New(Options{Address: test.address, LookupEnv: environment(test.env)}).endpoints(t.Context(), "build")
		if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
			t.Errorf("%s: got %v of kind %v", name, err, fault.KindOf(err))
		}
	}
}

func TestNoBuilderIsOneLineWithTheCure(t *testing.T) {
	_, _, err := New(Options{DockerSocket: filepath.Join(t.TempDir(), "none"), LookupEnv: environment(nil)}).connect(t.Context(), "build Dockerfile")
	if !fault.Is(err, fault.Unreachable) || strings.Contains(err.Error(), "\n") || !strings.Contains(fault.HintOf(err), "sluice local up --with buildkit") {
		t.Errorf("got %v (hint %q)", err, fault.HintOf(err))
	}
}

func TestWhoReadsTheDockerfile(t *testing.T) {
	for text, builtin := range map[string]bool{
		"FROM scratch\n": true,
		"# syntax=docker/dockerfile:1\nFROM scratch\n":              true,
		"# syntax = docker.io/docker/dockerfile:1.20\nFROM scratch": true,
		"# syntax=docker/dockerfile\nFROM scratch\n":                true,
		"# syntax=docker/dockerfile:1-labs\nFROM scratch\n":         false,
		"# syntax=ghcr.io/acme/frontend:2\nFROM scratch\n":          false,
		"# syntax=docker/dockerfile:1@sha256:aa\nFROM scratch\n":    false,
	} {
		file := filepath.Join(t.TempDir(), "Dockerfile")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := readsBuiltin(file); err != nil || got != builtin {
			t.Errorf("%q: built in is %t, %v", text, got, err)
		}
	}
}

func TestSourcesAreSentAsACheckoutHasThem(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"a.txt": 0o600, "run.sh": 0o700, ".sluice/tests/old.xml": 0o644} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	epoch := time.Unix(1_700_000_000, 0)
	seen := func() map[string]string {
		mounts, err := sources{context: dir, folder: dir}.mounts("build", epoch)
		if err != nil {
			t.Fatal(err)
		}
		modes := map[string]string{}
		err = mounts["context"].Walk(t.Context(), "", func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			if at := info.ModTime(); !at.After(epoch) || at.After(epoch.Add(time.Second)) {
				t.Errorf("%s is dated %s", path, at)
			}
			modes[path] = info.Mode().String() + " " + info.ModTime().String()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return modes
	}
	first := seen()
	if len(first) != 2 || !strings.HasPrefix(first["a.txt"], "-rw-r--r--") || !strings.HasPrefix(first["run.sh"], "-rwxr-xr-x") {
		t.Errorf("sent are %v", first)
	}
	// BuildKit tells changes by size and time: another real time must be another time there.
	if err := os.Chtimes(filepath.Join(dir, "a.txt"), epoch, time.Unix(1_800_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	if second := seen(); second["a.txt"] == first["a.txt"] || second["run.sh"] != first["run.sh"] {
		t.Errorf("before %v, after %v", first, second)
	}
}

func TestOutputOfSteps(t *testing.T) {
	var said []string
	secrets := &variables.Masker{}
	secrets.Add("hunter22\n", "BEGIN\nAAAABBBB\nEND")
	s := newSteps(func(line string) { said = append(said, line) }, secrets)
	began := time.Unix(100, 0)
	ended := began.Add(1500 * time.Millisecond)
	s.take(&client.SolveStatus{
		Vertexes: []*client.Vertex{
			{Digest: "a", Name: "[build 2/3] RUN go  build", Started: &began},
			{Digest: "i", Name: "[internal] load build definition", Started: &began, Completed: &ended},
			{Digest: "c", Name: "[build 1/3] COPY . .", Started: &began, Completed: &began, Cached: true},
		},
		Logs: []*client.VertexLog{
			{Vertex: "a", Stream: 1, Data: []byte("one\ntoken hunter22 and AAAA")}, {Vertex: "a", Stream: 2, Data: []byte("10%\r100%\n")}, {Vertex: "a", Stream: 1, Data: []byte("BBBB\nlast")},
		},
	})
	s.take(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "a", Name: "[build 2/3] RUN go  build", Started: &began, Completed: &ended, Error: "exit code: 1"}}})
	want := []string{
		"[build 1/3] COPY . . (as before)",
		"[build 2/3] one", "[build 2/3] 100%", "[build 2/3] token [redacted] and [redacted]", "[build 2/3] last",
		"[build 2/3] RUN go build failed in 1.5s",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if name, tail := s.find(""); name != "[build 2/3] RUN go build" || !strings.HasSuffix(tail, "\nlast") || strings.Contains(tail, "hunter22") {
		t.Errorf("the failed step is %q, its output %q", name, tail)
	}
}

func TestSecretsThatAreNotThere(t *testing.T) {
	for name, secret := range map[string]v1alpha1.BuildSecret{"variable": {Env: "NONE"}, "empty variable": {Env: "EMPTY"}, "file": {File: "none.txt"}} {
		req := build.Request{Dir: t.TempDir(), Image: v1alpha1.Image{Secrets: map[string]v1alpha1.BuildSecret{"token": secret}}}
		if _, err := loadSecrets("build", req, environment(map[string]string{"EMPTY": ""})); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "secret token") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLayoutThatIsNotWhatWasSaid(t *testing.T) {
	dir := t.TempDir()
	if err := checkLayout(dir, "sha256:aa"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	for text, good := range map[string]bool{
		`{"manifests":[{"digest":"sha256:aa"}]}`:                        true,
		`{"manifests":[{"digest":"sha256:bb"}]}`:                        false,
		`{"manifests":[]}`:                                              false,
		`{"manifests":[{"digest":"sha256:aa"},{"digest":"sha256:bb"}]}`: false,
		`{`: false,
	} {
		if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := checkLayout(dir, "sha256:aa"); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
