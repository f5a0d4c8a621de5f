package release_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/test/distribution"
)

// In this file the registry and its client are real, and what they are used for goes wrong. Images come from a fake that is fast.

func client() *oci.Registry {
	return oci.New(oci.Options{Backoff: remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 8}, Keychain: authn.NewMultiKeychain()})
}

func started(t *testing.T, o distribution.Options) *distribution.Server {
	t.Helper()
	server := distribution.Serve(o)
	t.Cleanup(server.Close)
	return server
}

// makeIn makes version 1.0.0 of shop, whose project lies in dir, in a registry.
func makeIn(t *testing.T, project v1alpha1.Project, dir, host string) (v1alpha1.ReleaseRef, error) {
	t.Helper()
	reg := client()
	m := &release.Maker{
		Builders: map[string]build.Builder{"ko": knowing{&builder{}, build.Inputs{"sources": "one"}, nil}},
		Charts:   chart.Packer{}, Sources: clean(), Registry: reg, Shelf: reg,
	}
	project.Registry = host + "/shop"
	_, ref, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
	return ref, err
}

// wantWhole fails where a registry holds the release and not all that it names.
func wantWhole(t *testing.T, host string) (there bool) {
	t.Helper()
	reg := client()
	rel, ref, err := release.Load(t.Context(), reg, host+"/shop/shop:1.0.0")
	if fault.Is(err, fault.NotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	parts, err := release.Verify(t.Context(), reg, rel, ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if part.Error != "" {
			t.Errorf("the release names %s, but %s", part.Ref, part.Error)
		}
	}
	return true
}

func TestAFullRegistryIsSaidToBeFull(t *testing.T) {
	for _, code := range []int{http.StatusInsufficientStorage, http.StatusInternalServerError} {
		for writes := int64(0); ; writes++ {
			server := started(t, distribution.Options{Fault: distribution.Full(writes, code)})
			project, dir := shop(t)
			_, err := makeIn(t, project, dir, server.Host)
			if err == nil {
				if writes < 10 {
					t.Errorf("the whole release took only %d writes", writes)
				}
				break
			}
			if !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "full") || fault.HintOf(err) == "" {
				t.Fatalf("full with %d after %d writes, it gave %v of kind %v, hint %q", code, writes, err, fault.KindOf(err), fault.HintOf(err))
			}
			if wantWhole(t, server.Host) {
				t.Errorf("full after %d writes, the release is there", writes)
			}
		}
	}
}

// TestHelperMakes is no test: it is the process that TestKilledWhilePushing starts and kills.
func TestHelperMakes(t *testing.T) {
	host := os.Getenv("SLUICE_TEST_REGISTRY")
	if host == "" {
		t.Skip("only for TestKilledWhilePushing")
	}
	project, dir := shop(t)
	if _, err := makeIn(t, project, dir, host); err != nil {
		t.Fatal(err)
	}
}

// killing is a registry whose caller is killed when it sends its n-th request, which is answered or not.
type killing struct {
	at      int64
	answer  bool
	count   atomic.Int64
	process atomic.Pointer[os.Process]
}

func (k *killing) fault(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		process := k.process.Load()
		now := process != nil && k.count.Add(1) == k.at
		if now && !k.answer {
			_ = process.Kill()
			return
		}
		next.ServeHTTP(w, r)
		if now {
			_ = process.Kill()
		}
	})
}

func TestKilledWhilePushing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	killed := 0
	for at := int64(1); ; at += 5 {
		k := &killing{at: at, answer: at%2 == 0}
		server := started(t, distribution.Options{Referrers: true, Fault: k.fault})
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperMakes$")
		cmd.Env = append(os.Environ(), "SLUICE_TEST_REGISTRY="+server.Host)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		k.process.Store(cmd.Process)
		err := cmd.Wait()
		k.process.Store(nil)
		there := wantWhole(t, server.Host)
		if err == nil {
			if !there || killed < 5 {
				t.Errorf("the process was killed %d times; at the end the release is there: %v", killed, there)
			}
			return
		}
		if cmd.ProcessState.Exited() {
			t.Fatalf("the process was not killed, it failed: %v", err)
		}
		killed++
		project, dir := shop(t)
		ref, err := makeIn(t, project, dir, server.Host)
		if err != nil {
			t.Fatalf("killed at request %d, the next build gave %v", at, err)
		}
		again, err := makeIn(t, project, dir, server.Host)
		if err != nil || again != ref || !wantWhole(t, server.Host) {
			t.Errorf("killed at request %d, the next build gave %v and the one after it %v, %v", at, ref, again, err)
		}
	}
}

func TestAReleaseIsPromotedBetweenRegistriesAndWithinOne(t *testing.T) {
	home, away := started(t, distribution.Options{Referrers: true}), started(t, distribution.Options{})
	project, dir := shop(t)
	ref, err := makeIn(t, project, dir, home.Host)
	if err != nil {
		t.Fatal(err)
	}
	reg := client()
	rel, _, err := release.Load(t.Context(), reg, ref.Ref)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, free := range map[string]bool{home.Host + "/prod": true, away.Host + "/prod": false} {
		_, pinned, moved, err := release.Promote(t.Context(), reg, *rel, ref, prefix)
		if err != nil {
			t.Fatal(err)
		}
		if (moved == 0) != free {
			t.Errorf("promoting to %s moved %d bytes", prefix, moved)
		}
		there, _, err := release.Load(t.Context(), reg, pinned.Ref)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := release.Verify(t.Context(), reg, there, pinned)
		if err != nil || strings.Contains(fmt.Sprint(parts), "missing") {
			t.Errorf("the copy holds %v, %v", parts, err)
		}
		for name, image := range there.Images {
			if !strings.HasPrefix(image, prefix+"/shop/"+name+"@") {
				t.Errorf("image %s is pulled from %s", name, image)
			}
		}
	}
}
