package variables_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/variables"
)

func masker(values ...string) *variables.Masker {
	m := &variables.Masker{}
	m.Add(values...)
	return m
}

// pieces writes a text in pieces of the lengths given, over and over.
func pieces(t *testing.T, m *variables.Masker, text string, lengths ...int) string {
	t.Helper()
	var out bytes.Buffer
	w := m.Writer(&out)
	for i := 0; text != ""; i++ {
		n := min(max(lengths[i%len(lengths)], 1), len(text))
		if got, err := w.Write([]byte(text[:n])); err != nil || got != n {
			t.Fatalf("Write took %d of %d bytes: %v", got, n, err)
		}
		text = text[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const awkward = "p@ss'w\"o\\r d<&>/+$`ü€😀%=:?"

// encodings as the standard library and others make them, without a look at what the masker does.
func encodings(t testing.TB, value string) map[string]string {
	t.Helper()
	marshal := func(escape bool) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escape)
		if err := e.Encode(value); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
	all := map[string]string{
		"plain": value, "query": url.QueryEscape(value), "path": url.PathEscape(value), "user": url.UserPassword("u", value).String(),
		"json": marshal(true), "json without html": marshal(false), "go": strconv.Quote(value), "go ascii": strconv.QuoteToASCII(value),
		"hex": hex.EncodeToString([]byte(value)), "HEX": fmt.Sprintf("%X", value), "html": html.EscapeString(value),
		"base64": base64.StdEncoding.EncodeToString([]byte(value)), "base64 raw url": base64.RawURLEncoding.EncodeToString([]byte(value)),
		"base64 url": base64.URLEncoding.EncodeToString([]byte(value)), "shell": "'" + strings.ReplaceAll(value, "'", `'\''`) + "'",
		"lower query": strings.ToLower(url.QueryEscape(strings.ToLower(value))),
	}
	if nested, err := json.Marshal("it says " + all["json"]); err == nil {
		all["json in json"] = string(nested)
	}
	return all
}

func TestMaskerKnowsEncodings(t *testing.T) {
	for _, value := range []string{"hunter22", awkward, "tab\tand\nmore lines\nof it", "sk-A9/b+Zq==", strings.Repeat("long-secret/", 40)} {
		m := masker(value, strings.ToLower(value))
		for name, text := range encodings(t, value) {
			for _, around := range []string{"", "x", "\n", `"`, "==="} {
				got := pieces(t, m, around+text+around, 1)
				for _, secret := range []string{value, strings.Trim(text, `"'=`)} {
					if strings.Contains(got, secret) {
						t.Errorf("%s of %q: %q stays in %q", name, value, secret, got)
					}
				}
				if !strings.Contains(got, variables.Redacted) {
					t.Errorf("%s of %q: nothing is masked in %q", name, value, got)
				}
			}
		}
	}
}

// TestMaskerKnowsOtherLanguages are encodings that the standard library does not make, written out.
func TestMaskerKnowsOtherLanguages(t *testing.T) {
	for _, c := range []struct{ name, value, text string }{
		{"python json.dumps", "pässword😀1", `p\u00e4ssword\ud83d\ude001`},
		{".NET JSON", "a+b<c>&'d", `a\u002Bb\u003Cc\u003E\u0026\u0027d`},
		{"php json_encode", "ab/cd/ef", `ab\/cd\/ef`},
		{"encodeURIComponent", "a!b(c) 'd'", "a!b(c)%20'd'"},
		{"python quote", "a/b c:d", "a/b%20c%3Ad"},
		{"form", "a*b c~d", "a*b+c%7Ed"},
		{"python shlex", "it's secret", `it'"'"'s secret`},
		{"bash %q", "se cr$et'1", `se\ cr\$et\'1`},
		{"double quotes", "a$b`c\"d\\e", "a\\$b\\`c\\\"d\\\\e"},
		{"ansi-c", "li'ne\none", `li\'ne\none`},
		{"yaml single", "it's secret", "it''s secret"},
		{"xml", `a"b'c<d`, "a&quot;b&apos;c&lt;d"},
		{"python html", `a"b'c<d`, "a&quot;b&#x27;c&lt;d"},
		{"docker auth", "hunter22", base64.StdEncoding.EncodeToString([]byte("robot:hunter22"))},
		{"windows lines", "first line of it\nab", "first line of it\r\nab"},
	} {
		if got, want := masker(c.value).String("<"+c.text+">"), "<"+variables.Redacted+">"; got != want && c.name != "docker auth" {
			t.Errorf("%s: %q becomes %q", c.name, c.text, got)
		}
	}
}

func TestMaskerFindsValuesInsideBase64(t *testing.T) {
	const value = "correct-horse"
	m := masker(value)
	for before := range 4 {
		for after := range 4 {
			text := strings.Repeat("u", before) + value + strings.Repeat("v", after)
			for name, encoding := range map[string]*base64.Encoding{"std": base64.StdEncoding, "raw": base64.RawURLEncoding} {
				got := pieces(t, m, encoding.EncodeToString([]byte(text)), 3)
				left := strings.Split(got, variables.Redacted)
				if len(left) != 2 || len(left[0]) > (8*before+5)/6 || len(strings.TrimRight(left[1], "=")) > 1+(8*after+5)/6 {
					t.Errorf("%s of %q is %q", name, text, got)
				}
			}
		}
	}
	// `base64` breaks its lines after 76 characters, PEM after 64.
	long := strings.Repeat("0123456789abcdef-secret-", 12)
	whole := base64.StdEncoding.EncodeToString([]byte(long))
	for _, width := range []int{64, 76} {
		var wrapped []string
		for line := range slices.Chunk([]byte(whole), width) {
			wrapped = append(wrapped, string(line))
		}
		got := masker(long).String(strings.Join(wrapped, "\n"))
		if rest := strings.Trim(strings.ReplaceAll(got, variables.Redacted, ""), "=\n"); len(rest) > 7 {
			t.Errorf("of lines of %d there stays %q", width, rest)
		}
	}
}

const pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1111111111111111\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nshort\n-----END PRIVATE KEY-----\n"

func TestMaskerTakesLinesOneByOne(t *testing.T) {
	m := masker(pem)
	got := m.String("key:\n    -----BEGIN PRIVATE KEY-----\n    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n    short\n    -----END PRIVATE KEY-----")
	want := "key:\n    -----BEGIN PRIVATE KEY-----\n    [redacted]\r\n    short\n    -----END PRIVATE KEY-----"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("indented lines: %s", diff)
	}
	for _, text := range []string{pem, strings.ReplaceAll(pem, "\n", "\r\n"), strings.ReplaceAll(pem, "\n", `\n`)} {
		if got := strings.TrimRight(m.String(text), "\r\n\\n"); got != variables.Redacted {
			t.Errorf("the whole of it is %q", got)
		}
	}
}

func TestWhatIsNotMasked(t *testing.T) {
	for _, value := range []string{"", "abc", "true", "False", " null ", "8080", "12345", "   ", "localhost"} {
		if variables.Maskable(value) {
			t.Errorf("%q is said to be maskable", value)
		}
		text := "a text with " + value + " abc true 8080"
		if got := masker(value).String(text); got != text {
			t.Errorf("%q: %q", value, got)
		}
	}
	for _, value := range []string{"abcd", "123456", "truely", " 1a2b "} {
		if !variables.Maskable(value) {
			t.Errorf("%q is said not to be maskable", value)
		}
	}
	if got := masker().String("nothing is known"); got != "nothing is known" {
		t.Errorf("without values: %q", got)
	}
}

func TestWhatCannotBeMaskedIsSaidOnce(t *testing.T) {
	var said []string
	m := &variables.Masker{}
	for range 2 {
		m.Keep("secret a", "abc", func(line string) { said = append(said, line) })
		m.Keep("secret b", "", func(line string) { said = append(said, line) })
		m.Keep("secret c", "long-enough", func(line string) { said = append(said, line) })
	}
	if diff := cmp.Diff([]string{"warning: secret a is too short or too common a word to be taken out of what is printed; take a longer one"}, said); diff != "" {
		t.Error(diff)
	}
	if got := m.String("long-enough"); got != variables.Redacted {
		t.Errorf("%q", got)
	}
}

// recorder keeps every Write by itself.
type recorder struct{ writes []string }

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func TestWriterHoldsBackOnlyWhatMayBeASecret(t *testing.T) {
	r := &recorder{}
	w := masker("hunter22", "sesame-open").Writer(r)
	for _, step := range []struct{ write, want string }{
		{"deployed 1/2\n", "deployed 1/2\n"},
		{"Continue? [y/N] ", "Continue? [y/N] "},
		{"the password is hunt", "the password is "},
		{"er", ""},
		{"22", variables.Redacted},
		{" hunter21\n", " hunter21\n"},
		{"ends in hun", "ends in "},
		{"\n", "hun\n"},
	} {
		r.writes = nil
		if _, err := w.Write([]byte(step.write)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.writes, "|"); got != step.want {
			t.Errorf("after %q: %q, want %q", step.write, got, step.want)
		}
	}
	r.writes = nil
	_, _ = w.Write([]byte("sesame"))
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil || strings.Join(r.writes, "|") != "sesame" {
		t.Errorf("after Flush and Close: %q, %v", r.writes, err)
	}
}

func TestValuesMayBeAddedAtAnyTime(t *testing.T) {
	m := masker("first-secret")
	var out bytes.Buffer
	w := m.Writer(&out)
	_, _ = w.Write([]byte("first-sec"))
	m.Add("sec-second-one")
	_, _ = w.Write([]byte("-second-one first-"))
	m.Add("other-thing")
	_, _ = w.Write([]byte("secret other-thing\n"))
	if want := "first-[redacted] [redacted] [redacted]\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	var heard []string
	m.Each(func(value string) { heard = append(heard, value) })
	m.Add("last-of-them", "other-thing", "no")
	if diff := cmp.Diff([]string{"first-secret", "other-thing", "sec-second-one", "last-of-them"}, heard); diff != "" {
		t.Errorf("heard of: %s", diff)
	}
}

func TestWriterIsSafeForConcurrentUse(t *testing.T) {
	m := masker("hunter22")
	var out bytes.Buffer
	w := m.Writer(&out)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				m.Add(fmt.Sprintf("value-%d-%d", i, j))
				fmt.Fprintf(w, "%d hunter22 value-%d-%d\n", i, i, j)
			}
		})
	}
	all.Wait()
	_ = w.Close()
	for line := range strings.Lines(out.String()) {
		if !strings.HasSuffix(line, " [redacted] [redacted]\n") {
			t.Fatalf("a line is %q", line)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriterReportsWhatIsBehindIt(t *testing.T) {
	w := masker("hunter22").Writer(broken{})
	if _, err := w.Write([]byte("text\n")); err == nil {
		t.Error("the error is lost")
	}
	_, _ = w.Write([]byte("hunt"))
	if err := w.Close(); err == nil {
		t.Error("the error of the last bytes is lost")
	}
}

func TestJSONStaysJSON(t *testing.T) {
	m := masker("nabcd-efg", `","kind":"`, "123456", `a"b\c<d`, "hunter22")
	doc := map[string]any{
		"a": "\nabcd-efg and hunter22", "b": []string{"", "kind"}, "n": 123456, "s": "123456", "q": `<a"b\c<d>`, "hunter22": true, "ü": "nabcd-efg",
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(m.JSON(data), &got); err != nil {
		t.Fatalf("%v\n%s", err, m.JSON(data))
	}
	want := map[string]any{
		"a": "\nabcd-efg and [redacted]", "b": []any{"", "kind"}, "n": 123456.0, "s": "[redacted]", "q": "<[redacted]>", "hunter22": true, "ü": "[redacted]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := string(m.JSON([]byte("no json: hunter22"))); got != "no json: [redacted]" {
		t.Errorf("%q", got)
	}
	// What holds no secret keeps its bytes.
	text := []byte("{\"a\": \"\\u003c\\/\", \"b\" :  [\"x\\\\\"]}\n")
	if got := m.JSON(text); !bytes.Equal(got, text) {
		t.Errorf("%q becomes %q", text, got)
	}
	if data, err = yaml.JSONToYAML(m.JSON(data)); err != nil || strings.Contains(string(data), "hunter22\n") {
		t.Errorf("as YAML: %v\n%s", err, data)
	}
}

func TestAuthorizationHeaders(t *testing.T) {
	var m variables.Masker
	m.AddAuthorization("Bearer t0ken-of-the-cluster")
	m.AddAuthorization(" basic " + base64.StdEncoding.EncodeToString([]byte("ci:hunter22-hunter22")))
	m.AddAuthorization("")
	for _, text := range []string{"t0ken-of-the-cluster", "hunter22-hunter22", base64.StdEncoding.EncodeToString([]byte("ci:hunter22-hunter22"))} {
		if !m.Holds("it says " + text) {
			t.Errorf("%q is not known", text)
		}
	}
	if m.Holds("ci: Bearer, basic") {
		t.Error("what is no secret is known for one")
	}
}
