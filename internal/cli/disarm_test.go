package cli

import (
	"strings"
	"testing"
)

func TestCommandsOfOthersAreDisarmed(t *testing.T) {
	for text, armed := range map[string]string{
		"  said ##vso[task.setvariable variable=a]b": "##vso[",
		"##[error]no":              "##[",
		"\t::add-mask::a":          "::add-mask",
		"a\n::stop-commands::x\nb": "\n::stop",
		"\r::error::x":             "::error",
		"###vso[a]":                "##vso[",
		// White space is more than blanks, and there is what nobody sees.
		"\u00a0::stop-commands::x":        "::stop",
		"\v\f\u0085::stop-commands::x":    "::stop",
		"a\n\u2003\u3000 \u2028::debug::": "::debug",
		"\ufeff::stop-commands::x":        "::stop",
		"\x00\x1b\u200d::stop-commands::": "::stop",
		"\xa0\xe2\x80::stop-commands::x":  "::stop",
		"\u0301::stop-commands::x":        "::stop",
	} {
		for cut := range len(text) {
			var b strings.Builder
			d := &disarmed{to: &b}
			for _, part := range []string{text[:cut], text[cut:]} {
				if n, err := d.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if strings.Contains(b.String(), armed) || strings.ReplaceAll(b.String(), apart, "") != text {
				t.Errorf("%q cut at %d: %q", text, cut, b.String())
			}
		}
	}
	for _, text := range []string{"a::b::c", "# heading\n## heading of a kind\n", "http://[::1]:80", "a : : b", "é::b", "\u00a0世::b", "\ufffd::b"} {
		var b strings.Builder
		_, _ = (&disarmed{to: &b}).Write([]byte(text))
		if strings.ReplaceAll(b.String(), "#"+apart+"#", "##") != text {
			t.Errorf("%q became %q", text, b.String())
		}
	}
}
