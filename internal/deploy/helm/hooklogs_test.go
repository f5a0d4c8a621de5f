package helm

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestTailKeepsTheEnd(t *testing.T) {
	w := &tail{}
	for range 1000 {
		if _, err := w.Write([]byte("some line of a log\n")); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = w.Write([]byte("the last words\n"))
	if s := w.String(); len(s) > tailBytes || !strings.HasSuffix(s, "the last words") || !strings.HasPrefix(s, "some line") {
		t.Errorf("%d bytes: %q … %q", len(s), s[:20], s[len(s)-20:])
	}
}

// TestNoHalfSecretIsTold cuts in the middle of a secret, wherever the cut falls.
func TestNoHalfSecretIsTold(t *testing.T) {
	const secret = "c4n4ry/of-the-c0al-mine+and its friends"
	hide := func(text string) string { return strings.ReplaceAll(text, secret, "[redacted]") }
	for shift := range 2 * len(secret) {
		w := &tail{hide: hide}
		for range 200 {
			_, _ = w.Write([]byte(secret + ","))
		}
		_, _ = w.Write([]byte(strings.Repeat("x", shift)))
		if s := w.String(); strings.Contains(s, "c4n4ry") || strings.Contains(s, "mine") || len(s) > tailBytes+len("…") {
			t.Fatalf("shifted by %d: %q", shift, s[:60])
		}
	}
	// Of what nobody hides, the first word goes.
	w := &tail{}
	_, _ = w.Write([]byte(strings.Repeat("y", 3000)))
	if s := w.String(); s != "…" {
		t.Errorf("%d bytes of one word are told", len(s))
	}
	message := exit(&corev1.ContainerStateTerminated{ExitCode: 1, Message: "ine+and-its-friends " + strings.Repeat("z", 2048)}, 0)
	if strings.Contains(message, "friends") || !strings.Contains(message, "zzz") {
		t.Errorf("%.60q", message)
	}
}
