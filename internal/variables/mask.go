package variables

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Masker takes secret values out of texts and streams, in every encoding in which tools print them (see Encodings). It is safe for
// concurrent use, values may be added at any time, and its zero value knows none.
//
// A text is masked as far as it was not handed on before its secret became known.
type Masker struct {
	mu     sync.Mutex
	values map[string]bool
	texts  map[string]bool
	heard  []func(value string)
	// warned holds what was said not to be masked.
	warned map[string]bool
	// current finds the texts; nil where they changed since it was made.
	current atomic.Pointer[automaton]
}

// Add makes values known as secrets. One that is not Maskable stays visible, and is not kept.
func (m *Masker) Add(values ...string) {
	var fresh []string
	m.mu.Lock()
	for _, value := range values {
		if !Maskable(value) || m.values[value] {
			continue
		}
		if m.values == nil {
			m.values, m.texts = map[string]bool{}, map[string]bool{}
		}
		m.values[value] = true
		fresh = append(fresh, value)
		for _, text := range Encodings(value) {
			m.texts[text] = true
		}
	}
	if len(fresh) > 0 {
		m.current.Store(nil)
	}
	heard := m.heard
	m.mu.Unlock()
	for _, value := range fresh {
		for _, hear := range heard {
			hear(value)
		}
	}
}

// AddAuthorization makes the credentials known that stand in the value of an Authorization header, and the password in those of kind Basic.
func (m *Masker) AddAuthorization(value string) {
	kind, credentials, _ := strings.Cut(strings.TrimSpace(value), " ")
	m.Add(credentials)
	if plain, err := base64.StdEncoding.DecodeString(credentials); err == nil && strings.EqualFold(kind, "Basic") {
		_, password, _ := strings.Cut(string(plain), ":")
		m.Add(password)
	}
}

// Keep is Add for a secret that somebody was told to use: where it cannot be masked say is told so, once for each name of a secret.
func (m *Masker) Keep(name, value string, say func(line string)) {
	m.Add(value)
	if value == "" || Maskable(value) {
		return
	}
	m.mu.Lock()
	again := m.warned[name]
	if m.warned == nil {
		m.warned = map[string]bool{}
	}
	m.warned[name] = true
	m.mu.Unlock()
	if !again {
		say("warning: " + name + " is too short or too common a word to be taken out of what is printed; take a longer one")
	}
}

// Each calls hear for every value that is known and, once each, for every one that becomes known. hear may be called concurrently.
func (m *Masker) Each(hear func(value string)) {
	m.mu.Lock()
	m.heard = append(slices.Clip(m.heard), hear)
	known := slices.Sorted(maps.Keys(m.values))
	m.mu.Unlock()
	for _, value := range known {
		hear(value)
	}
}

// finder is the automaton for all that is known now.
func (m *Masker) finder() *automaton {
	if a := m.current.Load(); a != nil {
		return a
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.current.Load(); a != nil {
		return a
	}
	a := newAutomaton(slices.Collect(maps.Keys(m.texts)))
	m.current.Store(a)
	return a
}

// String is a text with every secret in it replaced by Redacted.
func (m *Masker) String(text string) string {
	a := m.finder()
	_, found := a.scan(0, []byte(text), 0, nil)
	if len(found) == 0 {
		return text
	}
	return string(redact(nil, []byte(text), 0, found))
}

// Holds says whether a text holds a secret.
func (m *Masker) Holds(text string) bool { return m.String(text) != text }

// redact appends a text, whose first byte is at base, with the spans replaced.
func redact(to, text []byte, base int, found []span) []byte {
	for _, s := range found {
		to = append(append(to, text[:s.from-base]...), Redacted...)
		text, base = text[s.to-base:], s.to
	}
	return append(to, text...)
}

// JSON is a JSON text with every secret in its strings replaced by Redacted: it stays the JSON that it was, and numbers and names of fields
// stay what they are. What is no JSON is masked as a text.
func (m *Masker) JSON(text []byte) []byte {
	if !json.Valid(text) {
		return []byte(m.String(string(text)))
	}
	var out []byte
	for len(text) > 0 {
		at := bytes.IndexByte(text, '"')
		if at < 0 {
			break
		}
		out = append(out, text[:at]...)
		text = text[at:]
		end := 1
		for text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		literal := text[:end+1]
		text = text[end+1:]
		if rest := bytes.TrimLeft(text, " \t\r\n"); len(rest) == 0 || rest[0] != ':' {
			literal = m.literal(literal)
		}
		out = append(out, literal...)
	}
	return append(out, text...)
}

// literal masks a JSON string.
func (m *Masker) literal(quoted []byte) []byte {
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return quoted
	}
	masked := m.String(text)
	if masked == text {
		return quoted
	}
	// A string has always an encoding.
	out, _ := json.Marshal(masked)
	return out
}

// Writer masks what is written to it on its way to another writer.
func (m *Masker) Writer(to io.Writer) *Writer { return &Writer{masker: m, to: to} }

// Writer masks a stream, however it is cut into pieces. It hands on everything at once but an end that may be the beginning of a secret,
// which waits for what comes next: a whole line appears when it is written unless its end is how a secret begins. It is safe for
// concurrent use.
type Writer struct {
	masker *Masker
	to     io.Writer

	mu     sync.Mutex
	finder *automaton
	state  uint32
	// held is what was not handed on yet, found are the secrets in it.
	held  []byte
	found []span
}

// Write takes all of p, or returns the error of the writer behind it.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.masker.finder(); a != w.finder {
		// More is secret than before: what is held is looked at anew.
		w.finder = a
		w.state, w.found = a.scan(0, w.held, 0, nil)
	}
	w.state, w.found = w.finder.scan(w.state, p, len(w.held), w.found)
	text := p
	if len(w.held) > 0 {
		w.held = append(w.held, p...)
		text = w.held
	}
	settled := len(text) - int(w.finder.nodes[w.state].depth)
	whole := w.found
	for len(whole) > 0 && whole[len(whole)-1].to > settled {
		// What comes may make it longer.
		settled = min(settled, whole[len(whole)-1].from)
		whole = whole[:len(whole)-1]
	}
	out := text[:settled]
	if len(whole) > 0 {
		out = redact(make([]byte, 0, settled), out, 0, whole)
	}
	waiting := w.found[len(whole):]
	w.found = nil
	for _, s := range waiting {
		w.found = append(w.found, span{s.from - settled, s.to - settled})
	}
	var err error
	if len(out) > 0 {
		_, err = w.to.Write(out)
	}
	w.held = append(w.held[:0:0], text[settled:]...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush hands on what waits, for the case that nothing follows it: a secret that goes on after it is not recognised.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	out := redact(nil, w.held, 0, w.found)
	w.held, w.found, w.state = nil, nil, 0
	_, err := w.to.Write(out)
	return err
}

// Close flushes; the writer behind it stays open.
func (w *Writer) Close() error { return w.Flush() }
