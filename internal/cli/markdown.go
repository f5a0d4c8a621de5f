package cli

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// inline is a text of others within a line of Markdown: nothing in it is more than text.
func (e epilogue) inline(text string) string {
	text = strings.Join(strings.Fields(e.clean(text)), " ")
	if letters := []rune(text); len(letters) > maxCell {
		text = string(letters[:maxCell-1]) + "…"
	}
	return literal(text)
}

// prose is a sentence of ours, in which commands stand between backticks.
func (e epilogue) prose(text string) string {
	text = strings.Join(strings.Fields(e.clean(text)), " ")
	parts := strings.Split(text, "`")
	for i, part := range parts {
		// What is quoted in it may hold backticks that are no pairs.
		if len(parts)%2 == 0 || part == "" && i > 0 && i < len(parts)-1 {
			return literal(text)
		}
		if i%2 == 0 {
			parts[i] = literal(part)
		}
	}
	return strings.Join(parts, "`")
}

// block is a text of others as it is, in lines; "" for none. Its fence is longer than any in it.
func (e epilogue) block(text string) string {
	text = strings.Trim(e.clean(text), "\n")
	if strings.TrimSpace(text) == "" {
		return ""
	}
	if len(text) > maxBlock {
		kept := text[:strings.LastIndex(text[:maxBlock], "\n")+1]
		if kept == "" {
			kept = strings.ToValidUTF8(text[:maxBlock], "") + "\n"
		}
		text = fmt.Sprintf("%s… and %d bytes more", kept, len(text)-len(kept))
	}
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return "\n" + fence + "text\n" + text + "\n" + fence + "\n"
}

// clean is a text without secrets, and without what only a terminal understands.
func (e epilogue) clean(text string) string {
	text = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]").ReplaceAllString(e.hide(text), "")
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	// What was among the letters of a secret may have hidden it.
	return e.hide(text)
}

// literal writes a text so that Markdown and HTML see nothing in it.
func literal(text string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;",
		`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "$", `\$`, "#", `\#`,
	).Replace(text)
}
