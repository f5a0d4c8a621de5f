package script_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/script"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
)

const pushed = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// resolver is a registry that holds one image.
func resolver(_ context.Context, reference string) (string, error) {
	switch reference {
	case "localhost:5000/shop:1.0.0", "localhost:5000/shop@" + pushed:
		return pushed, nil
	case "localhost:5000/away:1.0.0":
		return "", fault.New(fault.Unreachable, "", "connection refused")
	}
	return "", fault.New(fault.NotFound, "", "there is no %s", reference)
}

type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

func request(t *testing.T, text string) (build.Request, *said) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "build.sh"), []byte("#!/bin/sh\nset -eu\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	out := &said{}
	return build.Request{
		Dir: dir, Service: "shop", Name: "app", Version: "1.0.0+7", Commit: "c0ffee", Time: time.Unix(1_700_000_000, 0), Log: out.add,
		Image: v1alpha1.Image{Script: &v1alpha1.Script{Run: []string{"./build.sh", "an argument"}, Env: map[string]string{"EXTRA": "mine"}}, Platforms: []string{"linux/amd64"}},
	}, out
}

func builder() *script.Builder { return script.New(script.Options{Resolve: resolver}) }

func TestLayout(t *testing.T) {
	from, digest := registrytest.WriteLayout(t, "content")
	req, out := request(t, `
echo "$1 $EXTRA $SLUICE_SERVICE $SLUICE_IMAGE $SLUICE_VERSION $SLUICE_COMMIT $SLUICE_PLATFORMS $SOURCE_DATE_EPOCH"
cp -r `+from+`/* "$SLUICE_OUTPUT"
echo done >&2
`)
	work := t.TempDir()
	got, err := builder().Build(t.Context(), req, work)
	if err != nil {
		t.Fatal(err)
	}
	if want := (build.Image{Layout: filepath.Join(work, "app"), Digest: digest}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := "an argument mine shop app 1.0.0+7 c0ffee linux/amd64 1700000000"; !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "done") {
		t.Errorf("it said %q", out)
	}
}

func TestReference(t *testing.T) {
	for _, printed := range []string{"localhost:5000/shop:1.0.0", "localhost:5000/shop@" + pushed} {
		req, _ := request(t, "echo pushing\necho "+printed+"\necho ready >&2\n")
		got, err := builder().Build(t.Context(), req, t.TempDir())
		if want := (build.Image{Reference: "localhost:5000/shop@" + pushed, Digest: pushed}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", printed, got, err)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	layout, _ := registrytest.WriteLayout(t, "content")
	for name, test := range map[string]struct {
		script, says string
		kind         fault.Kind
	}{
		"nothing":           {"true", "printed nothing", fault.Usage},
		"chatter":           {"echo all fine", "no image reference", fault.Usage},
		"no tag":            {"echo localhost:5000/shop", "no image reference", fault.Usage},
		"Docker Hub":        {"echo shop:1.0.0", "no image reference", fault.Usage},
		"latest":            {"echo localhost:5000/shop:latest", "latest", fault.Usage},
		"not pushed":        {"echo localhost:5000/shop:2.0.0", "holds no such image", fault.Usage},
		"registry away":     {"echo localhost:5000/away:1.0.0", "connection refused", fault.Unreachable},
		"no layout":         {"echo x > $SLUICE_OUTPUT/file", "no OCI image layout", fault.Usage},
		"layout with holes": {"cp -r " + layout + "/* $SLUICE_OUTPUT; rm -r $SLUICE_OUTPUT/blobs", "no OCI image layout", fault.Usage},
		"altered layout":    {"cp -r " + layout + "/* $SLUICE_OUTPUT; for f in $SLUICE_OUTPUT/blobs/sha256/*; do echo >> $f; done", "no OCI image layout", fault.Usage},
		"failure":           {"echo before >&2; echo 'the reason' >&2; exit 3", "exit status 3\nbefore\nthe reason", fault.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := request(t, test.script+"\n")
			got, err := builder().Build(t.Context(), req, t.TempDir())
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %+v, %v of kind %v", got, err, fault.KindOf(err))
			}
		})
	}
	for name, run := range map[string][]string{"absent": {"./nosuch"}, "not in the PATH": {"surely-no-program"}, "empty": nil} {
		req, _ := request(t, "true\n")
		req.Image.Script.Run = run
		if _, err := builder().Build(t.Context(), req, t.TempDir()); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: got %v of kind %v", name, err, fault.KindOf(err))
		}
	}
	req, _ := request(t, "true\n")
	if err := os.Chmod(filepath.Join(req.Dir, "build.sh"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := builder().Build(t.Context(), req, t.TempDir()); !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "chmod") {
		t.Errorf("not executable: got %v (hint %q)", err, fault.HintOf(err))
	}
}

func TestLongOutputIsToldFromItsEnd(t *testing.T) {
	req, _ := request(t, "seq 100000\necho the end\nexit 1\n")
	_, err := builder().Build(t.Context(), req, t.TempDir())
	if err == nil || len(err.Error()) > 5000 || !strings.HasSuffix(err.Error(), "100000\nthe end") {
		t.Errorf("got %d bytes: %v", len(err.Error()), err)
	}
}

func TestInterruptReachesTheChildren(t *testing.T) {
	req, out := request(t, "sleep 600 &\necho child $!\nwait\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req.Log = func(line string) {
		out.add(line)
		if strings.HasPrefix(line, "child") {
			cancel()
		}
	}
	if _, err := builder().Build(ctx, req, t.TempDir()); !fault.Is(err, fault.Interrupted) {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
	gone(t, out)
}

func TestWhatIsLeftRunningEndsWithTheBuild(t *testing.T) {
	req, out := request(t, "sleep 600 >/dev/null 2>&1 &\necho child $!\necho localhost:5000/shop:1.0.0\n")
	if _, err := builder().Build(t.Context(), req, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	gone(t, out)
}

// gone waits until the child that a script named is no more; a zombie that nobody reaped is none.
func gone(t *testing.T, out *said) {
	t.Helper()
	for _, line := range strings.Split(out.String(), "\n") {
		text, ok := strings.CutPrefix(line, "child ")
		if !ok {
			continue
		}
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			state, err := os.ReadFile("/proc/" + text + "/stat")
			if err != nil || strings.Contains(string(state), ") Z ") || syscall.Kill(pid, 0) != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("process %d still runs", pid)
		return
	}
	t.Errorf("the script named no child: %q", out)
}
