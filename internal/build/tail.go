package build

import "strings"

// maxTail is how much of a failed build's output an error tells, in bytes.
const maxTail = 4000

// Tail keeps the end of what a build prints, for the case that it fails: its last lines say why. The zero value is ready to use.
type Tail struct{ text []byte }

// Add takes a line.
func (t *Tail) Add(line string) {
	t.text = append(append(t.text, line...), '\n')
	if len(t.text) > 4*maxTail {
		t.text = append(t.text[:0], t.text[len(t.text)-2*maxTail:]...)
	}
}

// whole leaves out the rest of a word whose beginning was cut off: half a secret would not be known for one.
func whole(text string) string {
	if at := strings.IndexAny(text, " \t\n"); at >= 0 {
		return text[at:]
	}
	return ""
}

// String is the end, at most about 4000 bytes, without a line's end; an ellipsis stands for what is left out.
func (t *Tail) String() string {
	text := strings.TrimRight(string(t.text), "\n")
	if len(text) > maxTail {
		text = "…" + whole(strings.ToValidUTF8(text[len(text)-maxTail:], ""))
	}
	return text
}
