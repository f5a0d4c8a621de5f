// Package registrytest holds the contract that every registry keeps, and a registry in memory; it must not know any adapter.
package registrytest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// Port is what the contract is about.
type Port interface {
	registry.Registry
	registry.Lister
	registry.Resolver
	registry.Attacher
	registry.Copier
	registry.Describer
	registry.Inspector
}

// Run checks the contract. open returns a registry and a repository prefix in it that nothing was pushed to.
func Run(t *testing.T, open func(t *testing.T) (Port, string)) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Port, string){
		"an artifact comes back as it was pushed":               comesBack,
		"an artifact without layers and type comes back":        comesBackBare,
		"the same artifact has the same digest":                 sameDigest,
		"a tag is not moved":                                    keepsTag,
		"what does not exist is not found":                      notFound,
		"what cannot be a reference is a usage error":           malformed,
		"an image of a layout is pushed by its digest":          pushesLayout,
		"a layout's tag is not moved":                           keepsLayoutTag,
		"tags are listed in order":                              listsTags,
		"a repository that does not exist yet can be pushed to": checks,
		"a tag resolves to its digest":                          resolves,
		"what is attached is listed by its type":                attaches,
		"the same is attached once":                             attachesOnce,
		"everything that is attached at once is listed":         attachesAtOnce,
		"what cannot be a subject is refused":                   refusesSubjects,
		"a copy has the same digest and the same referrers":     copies,
		"a copy of a copy adds what was attached since":         copiesAgain,
		"a copy does not move a tag":                            copiesToFreeTags,
		"what cannot be copied is refused":                      refusesCopies,
		"a manifest describes itself":                           describes,
		"what is there is complete and verified":                verifies,
		"images are compared":                                   compares,
	} {
		t.Run(name, func(t *testing.T) {
			port, prefix := open(t)
			test(t, port, prefix)
		})
	}
}

// Sample is an artifact with everything that one can have.
func Sample(text string) registry.Artifact {
	return registry.Artifact{
		Type:   "application/vnd.example.thing.v1+json",
		Config: registry.Blob{MediaType: "application/vnd.example.thing.v1+json", Data: []byte(`{"text":"` + text + `"}`)},
		Layers: []registry.Blob{
			{MediaType: "text/plain", Title: "b/second.txt", Data: []byte("second")},
			{MediaType: "text/plain", Title: "a.txt", Data: []byte("the same bytes as the next")},
			{MediaType: "text/plain", Title: "c.txt", Data: []byte("the same bytes as the next")},
		},
		Annotations: map[string]string{"example.dev/b": "2", "example.dev/a": "1"},
	}
}

func comesBack(t *testing.T, port Port, prefix string) {
	want := Sample("hello")
	pushed, err := port.Push(t.Context(), want, prefix+"/thing", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(pushed, prefix+"/thing@sha256:") {
		t.Fatalf("Push returned %q, which is no reference by digest in the repository", pushed)
	}
	for _, ref := range []string{prefix + "/thing:1.0.0", pushed} {
		got, pinned, err := port.Pull(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Pull(%s) differs (-pushed +pulled):\n%s", ref, diff)
		}
		if pinned != pushed {
			t.Errorf("Pull(%s) says it is %s, but %s was pushed", ref, pinned, pushed)
		}
	}
}

func comesBackBare(t *testing.T, port Port, prefix string) {
	want := registry.Artifact{Config: registry.Blob{MediaType: "application/vnd.example.config+json", Data: []byte(`{}`)}}
	pushed, err := port.Push(t.Context(), want, prefix+"/bare", "")
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := port.Pull(t.Context(), pushed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("it differs (-pushed +pulled):\n%s", diff)
	}
}

func sameDigest(t *testing.T, port Port, prefix string) {
	first, err := port.Push(t.Context(), Sample("same"), prefix+"/same", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	second, err := port.Push(t.Context(), Sample("same"), prefix+"/same", "1.0.0")
	if err != nil {
		t.Fatalf("pushing the same again: %v", err)
	}
	if first != second {
		t.Errorf("the first push gave %s, the second %s", first, second)
	}
}

func keepsTag(t *testing.T, port Port, prefix string) {
	first, err := port.Push(t.Context(), Sample("one"), prefix+"/kept", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	_, err = port.Push(t.Context(), Sample("other"), prefix+"/kept", "1.0.0")
	if !fault.Is(err, fault.Usage) {
		t.Fatalf("pushing something else under the tag gave %v, want a usage error", err)
	}
	_, pinned, err := port.Pull(t.Context(), prefix+"/kept:1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if pinned != first {
		t.Errorf("the tag moved from %s to %s", first, pinned)
	}
}

func notFound(t *testing.T, port Port, prefix string) {
	if _, err := port.Push(t.Context(), Sample("here"), prefix+"/here", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{
		prefix + "/nowhere:1.0.0",
		prefix + "/here:2.0.0",
		prefix + "/here@sha256:" + strings.Repeat("0", 64),
	} {
		if _, _, err := port.Pull(t.Context(), ref); !fault.Is(err, fault.NotFound) {
			t.Errorf("Pull(%s) gave %v, want a not-found error", ref, err)
		}
	}
}

func malformed(t *testing.T, port Port, prefix string) {
	for _, ref := range []string{"", "no-host", prefix + "/no-tag", prefix + "/UPPER:1.0.0", prefix + "/x@sha256:12"} {
		if _, _, err := port.Pull(t.Context(), ref); !fault.Is(err, fault.Usage) {
			t.Errorf("Pull(%q) gave %v, want a usage error", ref, err)
		}
	}
	if _, err := port.Push(t.Context(), Sample("x"), prefix+"/x", "not a tag"); !fault.Is(err, fault.Usage) {
		t.Errorf("pushing under a malformed tag gave %v, want a usage error", err)
	}
	if err := port.Check(t.Context(), "UPPER"); !fault.Is(err, fault.Usage) {
		t.Errorf("checking a malformed repository gave %v, want a usage error", err)
	}
}

func pushesLayout(t *testing.T, port Port, prefix string) {
	dir, digest := WriteLayout(t, "first")
	for range 2 {
		ref, err := port.PushLayout(t.Context(), dir, prefix+"/image", "1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		if want := prefix + "/image@" + digest; ref != want {
			t.Fatalf("PushLayout returned %s, want %s", ref, want)
		}
	}
}

func keepsLayoutTag(t *testing.T, port Port, prefix string) {
	first, _ := WriteLayout(t, "first")
	if _, err := port.PushLayout(t.Context(), first, prefix+"/image", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	second, _ := WriteLayout(t, "second")
	_, err := port.PushLayout(t.Context(), second, prefix+"/image", "1.0.0")
	if !fault.Is(err, fault.Usage) {
		t.Errorf("pushing another image under the tag gave %v, want a usage error", err)
	}
}

func listsTags(t *testing.T, port Port, prefix string) {
	tags, err := port.Tags(t.Context(), prefix+"/listed")
	if err != nil || len(tags) != 0 {
		t.Fatalf("a repository that does not exist has tags %v, error %v", tags, err)
	}
	for _, tag := range []string{"2.0.0", "1.0.0", "10.0.0"} {
		if _, err := port.Push(t.Context(), Sample(tag), prefix+"/listed", tag); err != nil {
			t.Fatal(err)
		}
	}
	tags, err = port.Tags(t.Context(), prefix+"/listed")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1.0.0", "10.0.0", "2.0.0"}, tags); diff != "" {
		t.Errorf("tags differ (-want +got):\n%s", diff)
	}
}

func checks(t *testing.T, port Port, prefix string) {
	if err := port.Check(t.Context(), prefix+"/not-there-yet"); err != nil {
		t.Errorf("Check: %v", err)
	}
	if tags, err := port.Tags(t.Context(), prefix+"/not-there-yet"); err != nil || len(tags) != 0 {
		t.Errorf("Check left tags %v behind, error %v", tags, err)
	}
}
