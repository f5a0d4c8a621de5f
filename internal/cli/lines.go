package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/rollout"
)

// lines is the progress of a log: one timestamped line per change, and a heartbeat.
type lines struct {
	w    io.Writer
	now  func() time.Time
	stop func()

	mu      sync.Mutex
	printed time.Time
	// current is the rollout last heard of; zero before the first and after the last.
	current v1alpha1.Rollout
	seen    map[string]string
}

func newLines(w io.Writer, now func() time.Time) *lines {
	l := &lines{w: w, now: now, printed: now(), seen: map[string]string{}}
	l.stop = every(time.Second, l.beat)
	return l
}

// every calls f once per period until the returned function is called.
func every(period time.Duration, f func()) func() {
	ticker, done, ended := time.NewTicker(period), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				f()
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		ticker.Stop()
		close(done)
		<-ended
	})
}

// Stop ends the heartbeat.
func (l *lines) Stop() { l.stop() }

// Note prints a line.
func (l *lines) Note(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.print(line)
}

// Event prints an entry of a rollout's history.
func (l *lines) Event(r v1alpha1.Rollout, e v1alpha1.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Phase, r.Step = e.Phase, e.Step
	l.current = r
	l.print(subjectOf(r) + " " + stage(r) + ": " + e.Message)
}

// Observed prints what changed since the last look: ready pods, facts, what the analysis says and the gates' answers.
func (l *lines) Observed(r v1alpha1.Rollout, o rollout.Observation, _ rollout.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = r
	prefix := subjectOf(r) + " "
	for _, slot := range v1alpha1.Slots() {
		s, ok := o.Slots[slot]
		if !ok {
			continue
		}
		l.changed(prefix+"slot "+string(slot), readiness(s), "")
		for _, fact := range s.Facts {
			l.changed(prefix+"slot "+string(slot)+": "+fact.Pod+"/"+fact.Container+"/"+fact.Reason, fact.Reason, fact.String())
		}
	}
	if j := o.Judgement; j != nil && (r.Phase == v1alpha1.Analyzing || j.Decision == string(analysis.Abort) || j.Verdict == string(analysis.SourceDown)) {
		l.changed(prefix+"analysis", fmt.Sprintf("%d %s %s", j.Step, j.Decision, j.Verdict), "analysis: "+told(*j))
	}
	for _, g := range o.Gates {
		if g.Verdict == v1alpha1.Waiting {
			// The history tells what is waited for.
			continue
		}
		line := "gate " + g.Gate + ": " + string(g.Verdict)
		if g.Evidence != "" {
			line += ": " + g.Evidence
		}
		l.changed(fmt.Sprintf("%sgate %s step %d", prefix, g.Gate, g.Step), string(g.Verdict), line)
	}
}

// changed prints a line where the value of a key is another than before.
func (l *lines) changed(key, value, line string) {
	if l.seen[key] == value {
		return
	}
	l.seen[key] = value
	if line == "" {
		l.print(key + ": " + value)
		return
	}
	l.print(subjectOf(l.current) + " " + line)
}

// beat says that something still goes on where nothing was printed for a while.
func (l *lines) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now().Sub(l.printed) < heartbeat {
		return
	}
	if l.current.Number == 0 || l.current.Phase.Final() {
		l.print("still working")
		return
	}
	l.print(fmt.Sprintf("%s %s: still going, for %s", subjectOf(l.current), stage(l.current), elapsed(l.now().Sub(l.current.PhaseSince))))
}

func (l *lines) print(line string) {
	l.printed = l.now()
	stamp := l.printed.UTC().Format("2006-01-02T15:04:05Z")
	fmt.Fprintf(l.w, "%s %s\n", stamp, strings.ReplaceAll(strings.TrimRight(line, "\n"), "\n", "\n    "))
}
