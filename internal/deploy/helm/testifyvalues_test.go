package helm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// compared are the differences of two values files, blue being live unless other slots are named.
func compared(t *testing.T, live, candidate string, slots ...v1alpha1.Slot) []string {
	t.Helper()
	slots = append(slots, v1alpha1.SlotBlue, v1alpha1.SlotGreen)[:2]
	c := comparison{service: "shop", live: slots[0], candidate: slots[1], hide: func(text string) string {
		return strings.ReplaceAll(text, "hunter2", "[redacted]")
	}}
	var leaves [2]map[string]leaf
	for i, text := range []string{live, candidate} {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		leaves[i] = map[string]leaf{}
		flatten("", v, false, leaves[i])
	}
	return c.lines(leaves[0], leaves[1])
}

func TestDifferences(t *testing.T) {
	digest := func(c string) string { return "registry.example.com/shop/web@sha256:" + strings.Repeat(c, 64) }
	for _, c := range []struct {
		name, live, candidate string
		want                  []string
	}{
		{"nothing", "a: {b: [1, x]}", "a: {b: [1, x]}", nil},
		{"scalars", "a: 1\nb: true\nc: x\nd: 100000000\ne: ''", "a: 2\nb: false\nc: \"5\"\nd: null\ne: q",
			[]string{"a: 1 → 2", "b: true → false", `c: x → "5"`, "d: 100000000 → null", `e: "" → q`}},
		{"absent", "old: {x: 1}", "new: {y.z: 2}", []string{`new.y\.z: (none) → 2`, "old.x: 1 → (none)"}},
		{"empty", "a: {}\nb: []", "a: {x: 1}\nb: [1]", []string{"a: {} → (none)", "a.x: (none) → 1", "b: [] → (none)", "b[0]: (none) → 1"}},
		{"lists by name", "env: [{name: B, value: x}]", "env: [{name: A, value: q}, {name: B, value: z}]",
			[]string{"env[A].value: (none) → q", "env[B].value: x → z"}},
		{"several lines", "a: \"x\\ny\"", "a: \"x\\nz\"", []string{`a: "x\ny" → "x\nz"`}},
		{"images", "image: " + digest("a"), "image: " + digest("b"),
			[]string{"image: registry.example.com/shop/web@sha256:aaaaaaaaaaaa… → registry.example.com/shop/web@sha256:bbbbbbbbbbbb…"}},
		{"an image named like a secret", "image: r/token:1@sha256:" + strings.Repeat("a", 64), "image: r/token:2@sha256:" + strings.Repeat("b", 64),
			[]string{"image: r/token:1@sha256:aaaaaaaaaaaa… → r/token:2@sha256:bbbbbbbbbbbb…"}},
		{"what slots differ in", "host: blue.example.com\nname: shop-blue\nreal: shop-blue:1", "host: green.example.com\nname: shop-green\nreal: shop-green:2",
			[]string{"real: shop-blue:1 → shop-green:2"}},
		{"hidden variables", "config: {secretName: shop-variables-00aa}", "config: {secretName: shop-variables-00bb}",
			[]string{"config.secretName: (changed: other variables in it)"}},
		{"known secrets", "a: hunter2\nb: \"x hunter2 y\"", "a: other\nb: \"x hunter2 z\"", []string{"a: '[redacted]' → other", "b: x [redacted] y → x [redacted] z"}},
	} {
		if d := cmp.Diff(c.want, compared(t, c.live, c.candidate)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestNoSecretIsInADifference(t *testing.T) {
	for _, format := range []string{
		"db: {password: %s}", "dbPassword: %s", "DB_PASSWD: %s", "apiKey: %s", "api: {key: %s}", "token: {value: {deep: [%s]}}", "credentials: [{a: %s}]",
		"env: [{name: DB_PASSWORD, value: %s}]", "args: [--token, %s]", "args: [\"--password=%s\"]", "url: \"postgres://shop:%s@db/shop\"",
		"settings: \"host=db;Password=%s\"", "file: |\n  a: 1\n  secret: %s", "pem: %s", "text: \"-----BEGIN PRIVATE KEY-----\\n%s\"", "sasUrl: %s", "json: '{\"clientSecret\": \"%s\"}'",
		"header: \"Authorization: Bearer %s\"",
	} {
		have := compared(t, fmt.Sprintf(format, "s3cr3t-one"), fmt.Sprintf(format, "s3cr3t-two"))
		if len(have) != 1 || strings.Contains(have[0], "s3cr3t") || !strings.HasSuffix(have[0], ": (changed)") {
			t.Errorf("%s: %q", format, have)
		}
	}
	for _, name := range []string{"keepAlive", "monkey", "replicas", "host", "certificateless", "author", "path"} {
		if namesSecret(name) {
			t.Errorf("%s is taken for a secret", name)
		}
	}
}

func TestTheDirectSlotHasNoNamesOfItsOwn(t *testing.T) {
	if have := compared(t, "fullnameOverride: ''\nname: shop", "fullnameOverride: shop-green\nname: shop-green", v1alpha1.SlotDirect, v1alpha1.SlotGreen); len(have) != 0 {
		t.Errorf("from direct to slots: %q", have)
	}
	// Where there is one slot, nothing differs by slots.
	if have := compared(t, "name: blue", "name: green", v1alpha1.SlotDirect, v1alpha1.SlotDirect); len(have) != 1 {
		t.Errorf("in one slot: %q", have)
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	var live, candidate strings.Builder
	for i := range 60 {
		fmt.Fprintf(&live, "path%02d: %s\n", i, strings.Repeat("ä", 300)+"1")
		fmt.Fprintf(&candidate, "path%02d: %s\n", i, strings.Repeat("ä", 300)+"2")
	}
	live.WriteString(strings.Repeat("p", 250) + ": 1\n")
	have := compared(t, live.String(), candidate.String())
	if len(have) != maxDifferences+1 || have[maxDifferences] != "… and 21 more" || !strings.HasSuffix(have[0], "ä2") {
		t.Fatalf("%d lines, the last %q, the first %q", len(have), have[len(have)-1], have[0])
	}
	for _, line := range have {
		if n := len([]rune(line)); n > maxDifference {
			t.Errorf("a line of %d characters", n)
		}
	}
}
