package script

import (
	"bytes"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/variables"
)

// maxLine bounds a line that does not end, in bytes.
const maxLine = 64 << 10

// transcript takes the lines of both outputs as they come.
type transcript struct {
	say func(string)
	// secrets are taken out of a line before anybody hears of it, and before it is cut.
	secrets *variables.Masker
	mu      sync.Mutex
	tail    build.Tail
}

func (t *transcript) line(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text = t.secrets.String(text)
	t.say(text)
	t.tail.Add(text)
}

// told is the end of what was said, as it follows an error.
func (t *transcript) told() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := t.tail.String(); text != "" {
		return "\n" + text
	}
	return ""
}

// lines is one output of a command, cut into lines. One goroutine writes to it.
type lines struct {
	to *transcript
	// keep says that the last line is looked at afterwards.
	keep bool
	last string
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	text := append(l.rest, p...)
	for {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		if !ended && len(line) < maxLine {
			l.rest = append([]byte(nil), line...)
			return len(p), nil
		}
		l.take(string(line))
		text = rest
	}
}

// end takes a last line that does not end.
func (l *lines) end() {
	if len(l.rest) > 0 {
		l.take(string(l.rest))
		l.rest = nil
	}
}

func (l *lines) take(text string) {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "")
	if text == "" {
		return
	}
	if l.keep {
		l.last = text
	}
	l.to.line(text)
}
