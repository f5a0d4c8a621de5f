package variables

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// minValue is the shortest value that is masked, in bytes: shorter ones occur in every log by accident.
	minValue = 4
	// minDigits is the shortest value that is masked of those that are a number: a port or a year occurs in many a log.
	minDigits = 6
	// minLine is the shortest line of a value that is masked by itself.
	minLine = 8
	// maxWhole is the longest value of which more than its lines is masked, in bytes.
	maxWhole = 64 << 10
)

// Maskable says whether a value can be masked without taking half of every log along: one that is shorter than 4 bytes, a number of
// fewer than 6 digits, or a word such as true cannot.
func Maskable(value string) bool {
	value = strings.TrimSpace(value)
	switch strings.ToLower(value) {
	case "true", "false", "null", "none", "default", "localhost", "enabled", "disabled", "latest", "info", "debug", "warn", "error":
		return false
	}
	if len(value) < minDigits && strings.Trim(value, "0123456789") == "" {
		return false
	}
	return len(value) >= minValue
}

// Encodings are all texts as which a value is printed by the tools of the trade, the value itself among them:
//   - base64 in both alphabets, padded or not, also inside a longer text in base64 (the characters that it shares with its neighbours
//     excepted), and broken into lines of 64 or 76 characters;
//   - hexadecimal in both cases;
//   - escaped for URLs by whichever set of characters, in both cases;
//   - as a string of JSON, also within a string of JSON; of Go, of YAML, HTML and XML;
//   - quoted for a shell;
//   - with either kind of line ends, and each line by itself that has 8 bytes or more, but for the frame of a PEM block.
func Encodings(value string) []string {
	all := map[string]bool{}
	add := func(texts ...string) {
		for _, text := range texts {
			if len(text) >= minValue {
				all[text] = true
			}
		}
	}
	plain := strings.TrimSpace(value)
	lines := strings.Split(strings.ReplaceAll(plain, "\r\n", "\n"), "\n")
	forms := []string{plain}
	if len(lines) > 1 {
		forms = append(forms, strings.Join(lines, "\n"), strings.Join(lines, "\r\n"))
	}
	if len(plain) <= maxWhole {
		for _, form := range slices.Compact(forms) {
			add(written(form)...)
			add(base64s(form)...)
			add(hex.EncodeToString([]byte(form)), strings.ToUpper(hex.EncodeToString([]byte(form))))
		}
	}
	if len(lines) > 1 || len(plain) > maxWhole {
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= minLine && !strings.HasPrefix(line, "-----") && Maskable(line) {
				add(written(line)...)
			}
		}
	}
	var texts []string
	for text := range all {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}

// written are the ways to write a text that leave most of its characters as they are.
func written(text string) []string {
	all := []string{text}
	all = append(all, escaped(text)...)
	all = append(all, quoted(text)...)
	all = append(all, shell(text)...)
	all = append(all, strings.ReplaceAll(text, "'", "''")) // YAML
	marked := html.EscapeString(text)
	all = append(all, marked, strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(marked),
		strings.NewReplacer("&#34;", "&quot;", "&#39;", "&#x27;").Replace(marked), strings.NewReplacer("&#39;", "'", "&#34;", `"`).Replace(marked))
	return all
}

// base64s are a text in base64 at each place that it can have among the groups of three bytes.
func base64s(text string) []string {
	var all []string
	for shift := range 3 {
		whole := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), text...))
		// What depends on the text alone, and what does where the text is the end.
		from, to := (8*shift+5)/6, 8*(shift+len(text))/6
		all = append(all, whole[from:to], whole[from:])
	}
	whole := base64.StdEncoding.EncodeToString([]byte(text))
	for _, width := range []int{64, 76} {
		for line := range slices.Chunk([]byte(whole), width) {
			if len(whole) > width && len(line) >= minLine {
				all = append(all, string(line))
			}
		}
	}
	url := strings.NewReplacer("+", "-", "/", "_")
	for _, one := range slices.Clone(all) {
		all = append(all, url.Replace(one))
	}
	return all
}

// escaped are the ways to escape a text for a part of a URL: they differ in what is left as it is.
func escaped(text string) []string {
	var all []string
	for _, kept := range []string{
		"-_.~",                   // a query, RFC 3986
		"-_.~/",                  // Python's quote
		"-_.~$&+=:@",             // a segment of a path
		"-_.~$&+,;=",             // user and password
		"-_.~!*'()",              // JavaScript's encodeURIComponent
		"-_.~!*'();/?:@&=+$,#",   // JavaScript's encodeURI
		"-_.~!$&'()*+,;=:@/?[]#", // nothing but what never stands in a URL
		"-_.*",                   // a form
		"",
	} {
		for _, digits := range []string{"0123456789ABCDEF", "0123456789abcdef"} {
			all = append(all, percent(text, kept, "%20", digits), percent(text, kept, "+", digits))
		}
	}
	return all
}

func percent(text, kept, space, digits string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case alphanumeric(c) || strings.IndexByte(kept, c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteString(space)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// quoted are the ways to write a text between double quotes in JSON and the languages like it.
func quoted(text string) []string {
	all := []string{inner(strconv.Quote(text)), inner(strconv.QuoteToASCII(text)), inner(strconv.QuoteToGraphic(text))}
	for _, special := range []string{"", "<>&", "<>&'\"+`", "/"} {
		for _, format := range []string{`\u%04x`, `\u%04X`} {
			all = append(all, jsonString(text, special, format, false), jsonString(text, special, format, true))
		}
	}
	if data, err := json.Marshal(text); err == nil {
		all = append(all, inner(string(data)))
	}
	// A message that quotes it, and is a string of JSON in turn.
	for _, one := range slices.Compact(slices.Sorted(slices.Values(all))) {
		if strings.Contains(one, `\`) {
			all = append(all, jsonString(one, "", `\u%04x`, false), jsonString(one, "<>&", `\u%04x`, false))
		}
	}
	return all
}

func inner(s string) string { return s[1 : len(s)-1] }

// jsonString escapes a text for JSON: what JSON demands, the special characters, and all that is not ASCII where that is wanted.
func jsonString(text, special, format string, ascii bool) string {
	var b strings.Builder
	for _, r := range text {
		switch at := strings.IndexRune("\"\\\b\f\n\r\t", r); {
		case r == '/' && special == "/":
			b.WriteString(`\/`)
		case strings.ContainsRune(special, r):
			fmt.Fprintf(&b, format, r)
		case at >= 0:
			b.WriteString(`\` + `"\bfnrt`[at:at+1])
		case r < 0x20 || r == 0x7f && ascii:
			fmt.Fprintf(&b, format, r)
		case r > 0xffff && ascii:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, format+format, high, low)
		case r >= utf8.RuneSelf && ascii:
			fmt.Fprintf(&b, format, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// shell are the ways to quote a text for a shell, and those in which a shell that traces its commands does.
func shell(text string) []string {
	double := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")
	var bare strings.Builder
	for i := range len(text) {
		if c := text[i]; !alphanumeric(c) && strings.IndexByte("-_./:@%+=,", c) < 0 && c < utf8.RuneSelf && c != '\n' {
			bare.WriteByte('\\')
		}
		bare.WriteByte(text[i])
	}
	return []string{
		strings.ReplaceAll(text, "'", `'\''`), strings.ReplaceAll(text, "'", `'"'"'`), double.Replace(text), bare.String(),
		strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(text), // $'…'
	}
}
