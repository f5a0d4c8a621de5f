package variables_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/internal/variables"
)

// FuzzMasker has the property that no text that is left contains a value in any of its encodings, however the text was cut into pieces, and
// that a text without one is left as it is.
func FuzzMasker(f *testing.F) {
	f.Add("hunter22", "s3same", "before ", " after", []byte{1})
	f.Add(awkward, "aaaa", "aaa", "aaaa", []byte{2, 5})
	f.Add(pem, "abab", "aba", "bab", []byte{64})
	f.Add("ab\r\ncd\r\nefghijklmnop", "[redacted]", "[redac", "ted]", []byte{3, 1})
	f.Add("\x00\xff\xfe\x80", "edac", "%", "\\", []byte{0})
	f.Fuzz(func(t *testing.T, value, other, before, after string, cuts []byte) {
		if !variables.Maskable(value) || strings.TrimSpace(value) != value || len(cuts) == 0 {
			t.Skip()
		}
		m := masker(value, other)
		lengths := make([]int, len(cuts))
		for i, c := range cuts {
			lengths[i] = int(c)
		}
		all := encodings(t, value)
		all["base64 within"] = base64.StdEncoding.EncodeToString([]byte(before + value + after))
		for name, encoded := range all {
			if name == "lower query" || !utf8.ValidString(value) && strings.HasPrefix(name, "json") {
				// What is changed before it is encoded is another value.
				continue
			}
			text := before + encoded + after
			got := pieces(t, m, text, lengths...)
			if whole := m.String(text); got != whole {
				t.Fatalf("%s: in pieces %q, at once %q", name, got, whole)
			}
			for _, left := range strings.Split(got, variables.Redacted) {
				for kind, secret := range all {
					if kind == "base64 within" {
						continue
					}
					// The quotes around it are no part of the secret; where it ends in quotes itself, what is left says less than it.
					if secret = strings.Trim(secret, `"'=`); len(secret) >= len(value) && strings.Contains(left, secret) {
						t.Fatalf("%s: %s %q stays in %q", name, kind, secret, got)
					}
				}
			}
		}
		clean := before + after
		for _, known := range append(variables.Encodings(value), variables.Encodings(other)...) {
			if strings.Contains(clean, known) {
				return
			}
		}
		if got := pieces(t, m, clean, lengths...); got != clean {
			t.Fatalf("%q becomes %q", clean, got)
		}
	})
}

// FuzzMaskedJSON has the property that JSON stays JSON, of the same shape.
func FuzzMaskedJSON(f *testing.F) {
	f.Add("nabcd", "\nabcd", "nabcd")
	f.Add(`","kind":"`, "x", "y")
	f.Add(awkward, awkward, "é"+awkward)
	f.Fuzz(func(t *testing.T, value, one, two string) {
		m := masker(value)
		data, err := json.Marshal(map[string]any{"one": one, "two": []string{two}, "three": 123456})
		if err != nil {
			t.Fatal(err)
		}
		var was, is struct {
			One   string
			Two   []string
			Three int
		}
		if err := errors.Join(json.Unmarshal(data, &was), json.Unmarshal(m.JSON(data), &is)); err != nil {
			t.Fatal(err)
		}
		if is.One != m.String(was.One) || len(is.Two) != 1 || is.Two[0] != m.String(was.Two[0]) || is.Three != 123456 {
			t.Fatalf("%s becomes %s", data, m.JSON(data))
		}
	})
}

func BenchmarkMasker(b *testing.B) {
	m := &variables.Masker{}
	for i := range 50 {
		m.Add(fmt.Sprintf("s3cr3t/%d+value-%d", i*7919, i))
	}
	line := []byte("2026-11-27T12:00:00Z calculator/prod #12 Analyzing step 2/4 (25 %): gate http GET /api/calculate: passed, sha256:0123456789abcdef\n")
	text := bytes.Repeat(line, 500)
	w := m.Writer(&discard{})
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, _ = w.Write(text)
	}
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }
