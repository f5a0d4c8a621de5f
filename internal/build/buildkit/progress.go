package buildkit

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/variables"
)

// steps turns what BuildKit says of a build into lines, and keeps the end of each step's output for the case that it fails.
type steps struct {
	say     func(string)
	secrets *variables.Masker

	mu     sync.Mutex
	byID   map[digest.Digest]*step
	failed *step
}

type step struct {
	name   string
	done   bool
	tail   build.Tail
	pieces map[int]string
}

func newSteps(say func(string), secrets *variables.Masker) *steps {
	return &steps{say: say, secrets: secrets, byID: map[digest.Digest]*step{}}
}

func (s *steps) take(status *client.SolveStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range status.Vertexes {
		s.vertex(v)
	}
	for _, l := range status.Logs {
		s.output(s.of(l.Vertex), l.Stream, string(l.Data))
	}
	for _, w := range status.Warnings {
		s.say("warning: " + s.secrets.String(string(w.Short)))
	}
}

func (s *steps) of(id digest.Digest) *step {
	one, ok := s.byID[id]
	if !ok {
		one = &step{pieces: map[int]string{}}
		s.byID[id] = one
	}
	return one
}

// vertex tells that a step ended. BuildKit's own errands are not worth a line unless they fail.
func (s *steps) vertex(v *client.Vertex) {
	one := s.of(v.Digest)
	one.name = s.secrets.String(strings.Join(strings.Fields(v.Name), " "))
	if v.Completed == nil || one.done {
		return
	}
	one.done = true
	for stream := range one.pieces {
		s.output(one, stream, "\n")
	}
	took := ""
	if v.Started != nil {
		took = " in " + v.Completed.Sub(*v.Started).Round(100*time.Millisecond).String()
	}
	switch {
	case v.Error != "":
		if s.failed == nil && !strings.Contains(v.Error, "context canceled") {
			s.failed = one
		}
		s.say(one.name + " failed" + took)
	case strings.HasPrefix(one.name, "[internal]"), one.name == "":
	case v.Cached:
		s.say(one.name + " (as before)")
	default:
		s.say(one.name + " done" + took)
	}
}

// output tells what a step prints, line by line.
func (s *steps) output(one *step, stream int, data string) {
	text := one.pieces[stream] + strings.ReplaceAll(data, "\r\n", "\n")
	lines := strings.Split(text, "\n")
	one.pieces[stream] = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		if at := strings.LastIndex(line, "\r"); at >= 0 {
			line = line[at+1:] // A progress bar: its last state is what remains of it.
		}
		line = strings.ToValidUTF8(s.secrets.String(strings.TrimRight(line, " \t")), "")
		if line == "" {
			continue
		}
		one.tail.Add(line)
		s.say(label(one.name) + line)
	}
}

// label is the stage and number at the head of a step's name: "[build 2/4] ".
func label(name string) string {
	if end := strings.Index(name, "]"); end > 0 && strings.HasPrefix(name, "[") {
		return name[:end+1] + " "
	}
	return ""
}

// find is the step that failed: the one that the error names, else the first one that said so.
func (s *steps) find(id digest.Digest) (name, tail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byID[id]
	if one == nil {
		one = s.failed
	}
	if one == nil {
		return "", ""
	}
	return one.name, one.tail.String()
}

// hide takes the secrets out of a text.
func (s *steps) hide(text string) string { return s.secrets.String(text) }

// writer is a process's output as lines of a step.
type writer struct {
	steps  *steps
	step   *step
	stream int
}

// writers are the two outputs of a process that is no step of BuildKit's.
func (s *steps) writers(name string) (stdout, stderr *writer, one *step) {
	one = &step{name: fmt.Sprintf("[%s]", name), pieces: map[int]string{}}
	return &writer{s, one, 1}, &writer{s, one, 2}, one
}

func (w *writer) Write(p []byte) (int, error) {
	w.steps.mu.Lock()
	defer w.steps.mu.Unlock()
	w.steps.output(w.step, w.stream, string(p))
	return len(p), nil
}

// Close tells a last line that does not end.
func (w *writer) Close() error {
	_, err := w.Write([]byte("\n"))
	return err
}
