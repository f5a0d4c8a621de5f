package registrytest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

const (
	noteType = "application/vnd.example.note.v1+json"
	sealType = "application/vnd.example.seal.v1+json"
)

// note is an artifact to attach, of a type that its configuration does not tell.
func note(kind, text string) registry.Artifact {
	return registry.Artifact{
		Type: kind, Layers: []registry.Blob{{MediaType: "text/plain", Data: []byte(text)}},
		Annotations: map[string]string{"example.dev/text": text},
	}
}

func push(t *testing.T, port Port, repository, tag, text string) string {
	t.Helper()
	ref, err := port.Push(t.Context(), Sample(text), repository, tag)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func attach(t *testing.T, port Port, artifact registry.Artifact, subject string) string {
	t.Helper()
	ref, err := port.Attach(t.Context(), artifact, subject)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// wantReferrers compares what refers to a subject, as type and text, with what should.
func wantReferrers(t *testing.T, port Port, subject, kind string, want map[string]string) {
	t.Helper()
	found, err := port.Referrers(t.Context(), subject, kind)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range found {
		got[r.Annotations["example.dev/text"]] = r.Type
	}
	if diff := cmp.Diff(want, got); diff != "" || len(found) != len(want) {
		t.Errorf("what refers to %s differs (-want +got), %d found:\n%s", subject, len(found), diff)
	}
}

func resolves(t *testing.T, port Port, prefix string) {
	ref := push(t, port, prefix+"/thing", "1.0.0", "x")
	for _, name := range []string{prefix + "/thing:1.0.0", ref} {
		if got, err := port.Resolve(t.Context(), name); err != nil || got != ref {
			t.Errorf("Resolve(%s) gave %s, %v, want %s", name, got, err, ref)
		}
	}
	if _, err := port.Resolve(t.Context(), prefix+"/thing:2.0.0"); !fault.Is(err, fault.NotFound) {
		t.Errorf("resolving a tag that does not exist gave %v, want a not-found error", err)
	}
	if _, err := port.Resolve(t.Context(), prefix+"/thing"); !fault.Is(err, fault.Usage) {
		t.Errorf("resolving a repository gave %v, want a usage error", err)
	}
}

func attaches(t *testing.T, port Port, prefix string) {
	subject := push(t, port, prefix+"/thing", "1.0.0", "x")
	wantReferrers(t, port, subject, "", map[string]string{})
	want := note(noteType, "first")
	ref := attach(t, port, want, subject)
	if !strings.HasPrefix(ref, prefix+"/thing@sha256:") {
		t.Errorf("Attach returned %s, which is no reference by digest in the subject's repository", ref)
	}
	attach(t, port, note(sealType, "second"), subject)
	got, _, err := port.Pull(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was attached differs (-attached +pulled):\n%s", diff)
	}
	wantReferrers(t, port, subject, "", map[string]string{"first": noteType, "second": sealType})
	wantReferrers(t, port, subject, sealType, map[string]string{"second": sealType})
	wantReferrers(t, port, subject, "application/vnd.example.other", map[string]string{})
	if pinned, err := port.Resolve(t.Context(), prefix+"/thing:1.0.0"); err != nil || pinned != subject {
		t.Errorf("the subject's tag names %s after attaching, %v", pinned, err)
	}
}

func attachesOnce(t *testing.T, port Port, prefix string) {
	subject := push(t, port, prefix+"/thing", "1.0.0", "x")
	first := attach(t, port, note(noteType, "same"), subject)
	if second := attach(t, port, note(noteType, "same"), subject); first != second {
		t.Errorf("the same was attached as %s and as %s", first, second)
	}
	wantReferrers(t, port, subject, "", map[string]string{"same": noteType})
	other := push(t, port, prefix+"/thing", "2.0.0", "y")
	if third := attach(t, port, note(noteType, "same"), other); third == first {
		t.Errorf("%s refers to two subjects", third)
	}
}

func attachesAtOnce(t *testing.T, port Port, prefix string) {
	subject := push(t, port, prefix+"/thing", "1.0.0", "x")
	want := map[string]string{}
	var wg sync.WaitGroup
	for i := range 6 {
		text := fmt.Sprintf("note %d", i)
		want[text] = noteType
		wg.Go(func() {
			if _, err := port.Attach(t.Context(), note(noteType, text), subject); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantReferrers(t, port, subject, noteType, want)
}

func refusesSubjects(t *testing.T, port Port, prefix string) {
	push(t, port, prefix+"/thing", "1.0.0", "x")
	nothing := prefix + "/thing@sha256:" + strings.Repeat("0", 64)
	if _, err := port.Attach(t.Context(), note(noteType, "x"), nothing); !fault.Is(err, fault.NotFound) {
		t.Errorf("attaching to what does not exist gave %v, want a not-found error", err)
	}
	wantReferrers(t, port, nothing, "", map[string]string{})
	for _, subject := range []string{"", prefix + "/thing", prefix + "/thing:1.0.0", prefix + "/thing@sha256:12"} {
		if _, err := port.Attach(t.Context(), note(noteType, "x"), subject); !fault.Is(err, fault.Usage) {
			t.Errorf("attaching to %q gave %v, want a usage error", subject, err)
		}
		if _, err := port.Referrers(t.Context(), subject, ""); !fault.Is(err, fault.Usage) {
			t.Errorf("Referrers(%q) gave %v, want a usage error", subject, err)
		}
	}
}

func copies(t *testing.T, port Port, prefix string) {
	from := push(t, port, prefix+"/thing", "1.0.0", "x")
	seal := attach(t, port, note(sealType, "seal"), from)
	attach(t, port, note(noteType, "note on the seal"), seal)
	copied, err := port.Copy(t.Context(), from, prefix+"/prod/thing", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if want := prefix + "/prod/thing@" + from[strings.Index(from, "@")+1:]; copied.Ref != want {
		t.Fatalf("the copy is %s, want %s", copied.Ref, want)
	}
	got, pinned, err := port.Pull(t.Context(), prefix+"/prod/thing:v1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Sample("x"), got); diff != "" || pinned != copied.Ref {
		t.Errorf("the copy is %s and differs (-original +copy):\n%s", pinned, diff)
	}
	wantReferrers(t, port, copied.Ref, "", map[string]string{"seal": sealType})
	wantReferrers(t, port, prefix+"/prod/thing@"+seal[strings.Index(seal, "@")+1:], "", map[string]string{"note on the seal": noteType})
}

func copiesAgain(t *testing.T, port Port, prefix string) {
	from := push(t, port, prefix+"/thing", "1.0.0", "x")
	copied, err := port.Copy(t.Context(), from, prefix+"/prod/thing", "v1")
	if err != nil {
		t.Fatal(err)
	}
	wantReferrers(t, port, copied.Ref, "", map[string]string{})
	attach(t, port, note(sealType, "late"), from)
	for range 2 {
		if _, err := port.Copy(t.Context(), from, prefix+"/prod/thing", "v1"); err != nil {
			t.Fatal(err)
		}
		wantReferrers(t, port, copied.Ref, "", map[string]string{"late": sealType})
	}
	if _, err := port.Copy(t.Context(), from, prefix+"/thing", "also"); err != nil {
		t.Fatal(err)
	}
	if pinned, err := port.Resolve(t.Context(), prefix+"/thing:also"); err != nil || pinned != from {
		t.Errorf("the second tag names %s, %v, want %s", pinned, err, from)
	}
}

func copiesToFreeTags(t *testing.T, port Port, prefix string) {
	from := push(t, port, prefix+"/thing", "1.0.0", "x")
	taken := push(t, port, prefix+"/prod/thing", "v1", "other")
	if _, err := port.Copy(t.Context(), from, prefix+"/prod/thing", "v1"); !fault.Is(err, fault.Usage) {
		t.Fatalf("copying to a tag that names something else gave %v, want a usage error", err)
	}
	if pinned, err := port.Resolve(t.Context(), prefix+"/prod/thing:v1"); err != nil || pinned != taken {
		t.Errorf("the tag names %s, %v, want %s", pinned, err, taken)
	}
	written := prefix + "/prod/thing@" + from[strings.Index(from, "@")+1:]
	if _, err := port.Resolve(t.Context(), written); !fault.Is(err, fault.NotFound) {
		t.Errorf("resolving what was refused gave %v, want a not-found error", err)
	}
}

func refusesCopies(t *testing.T, port Port, prefix string) {
	from := push(t, port, prefix+"/thing", "1.0.0", "x")
	nothing := prefix + "/thing@sha256:" + strings.Repeat("0", 64)
	if _, err := port.Copy(t.Context(), nothing, prefix+"/prod/thing", "v1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("copying what does not exist gave %v, want a not-found error", err)
	}
	for _, to := range [][2]string{{"UPPER", "v1"}, {prefix + "/prod/thing", "not a tag"}} {
		if _, err := port.Copy(t.Context(), from, to[0], to[1]); !fault.Is(err, fault.Usage) {
			t.Errorf("copying to %s:%s gave %v, want a usage error", to[0], to[1], err)
		}
	}
	if _, err := port.Copy(t.Context(), prefix+"/thing:1.0.0", prefix+"/prod/thing", "v1"); !fault.Is(err, fault.Usage) {
		t.Errorf("copying a tag gave %v, want a usage error", err)
	}
}

func describes(t *testing.T, port Port, prefix string) {
	ref := push(t, port, prefix+"/thing", "1.0.0", "x")
	want := registry.Description{Ref: ref, Type: Sample("x").Type, Annotations: Sample("x").Annotations}
	for _, name := range []string{prefix + "/thing:1.0.0", ref} {
		got, err := port.Describe(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Describe(%s) differs (-want +got):\n%s", name, diff)
		}
	}
	if _, err := port.Describe(t.Context(), prefix+"/thing:2.0.0"); !fault.Is(err, fault.NotFound) {
		t.Errorf("describing what does not exist gave %v, want a not-found error", err)
	}
}

func verifies(t *testing.T, port Port, prefix string) {
	ref := push(t, port, prefix+"/thing", "1.0.0", "x")
	if err := port.Complete(t.Context(), ref); err != nil {
		t.Error(err)
	}
	got, err := port.Verify(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	// Two of the three layers are the same blob.
	want := registry.Contents{Manifests: 1, Blobs: 3, Bytes: int64(len(`{"text":"x"}`) + len("second") + len("the same bytes as the next"))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the contents differ (-want +got):\n%s", diff)
	}
	nothing := prefix + "/thing@sha256:" + strings.Repeat("0", 64)
	if _, err := port.Verify(t.Context(), nothing); !fault.Is(err, fault.NotFound) {
		t.Errorf("verifying what does not exist gave %v, want a not-found error", err)
	}
	if err := port.Complete(t.Context(), nothing); !fault.Is(err, fault.NotFound) {
		t.Errorf("looking for what does not exist gave %v, want a not-found error", err)
	}
	if err := port.Complete(t.Context(), prefix+"/thing:1.0.0"); !fault.Is(err, fault.Usage) {
		t.Errorf("looking below a tag gave %v, want a usage error", err)
	}
}

func compares(t *testing.T, port Port, prefix string) {
	var refs []string
	for _, content := range []string{"one", "other"} {
		dir, _ := WriteLayout(t, content)
		ref, err := port.PushLayout(t.Context(), dir, prefix+"/image", content)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	if lines, err := port.Compare(t.Context(), refs[0], refs[0]); err != nil || len(lines) != 0 {
		t.Errorf("an image differs from itself: %q, %v", lines, err)
	}
	if lines, err := port.Compare(t.Context(), refs[0], refs[1]); err != nil || len(lines) == 0 {
		t.Errorf("two images do not differ: %q, %v", lines, err)
	}
}
