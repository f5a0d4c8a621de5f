package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/variables"
)

// tree is the progress of a terminal: one frame that is drawn again in place.
type tree struct {
	w     io.Writer
	style style
	now   func() time.Time
	stop  func()
	// secrets are taken out of a line before it is cut: half a secret would not be known for one.
	secrets *variables.Masker

	mu      sync.Mutex
	rollout v1alpha1.Rollout
	seen    rollout.Observation
	message string
	// drawn counts the lines of the frame on the screen.
	drawn int
}

func newTree(w io.Writer, s style, now func() time.Time, secrets *variables.Masker) *tree {
	t := &tree{w: w, style: s, now: now, secrets: secrets}
	t.stop = every(time.Second, t.refresh)
	return t
}

// Stop draws the last frame and leaves it where it is.
func (t *tree) Stop() {
	t.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draw()
	t.drawn, t.rollout = 0, v1alpha1.Rollout{}
}

// Note prints a line above the frame.
func (t *tree) Note(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rollout.Phase.Final() {
		// What is over stays above.
		t.draw()
		t.drawn, t.rollout = 0, v1alpha1.Rollout{}
	}
	t.erase()
	fmt.Fprintln(t.w, strings.TrimRight(line, "\n"))
	t.draw()
}

// Event shows what happened last.
func (t *tree) Event(r v1alpha1.Rollout, e v1alpha1.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.follow(r)
	t.message = e.Message
	t.draw()
}

// Observed shows what was seen.
func (t *tree) Observed(r v1alpha1.Rollout, o rollout.Observation, _ rollout.Decision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.follow(r)
	t.seen = o
	t.draw()
}

// follow keeps the frame of the last rollout on the screen when another one begins.
func (t *tree) follow(r v1alpha1.Rollout) {
	if t.rollout.Number > 0 && subjectOf(t.rollout) != subjectOf(r) {
		t.draw()
		t.drawn, t.seen, t.message = 0, rollout.Observation{}, ""
	}
	t.rollout = r
}

func (t *tree) refresh() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.rollout.Phase.Final() {
		t.draw()
	}
}

func (t *tree) erase() {
	if t.drawn > 0 {
		fmt.Fprintf(t.w, "\x1b[%dA\x1b[J", t.drawn)
	}
	t.drawn = 0
}

// draw replaces the frame. Lines are cut at the terminal's width: a wrapped one would count as two.
func (t *tree) draw() {
	if t.rollout.Number == 0 {
		return
	}
	columns, height := size(t.w)
	frame := t.frame()
	if len(frame) > height-1 {
		frame = frame[:height-1]
	}
	t.erase()
	var b strings.Builder
	for _, line := range frame {
		b.WriteString(cut(t.secrets.String(line), columns-1))
		b.WriteByte('\n')
	}
	// One write per frame, so that nothing is seen half drawn.
	_, _ = io.WriteString(t.w, b.String())
	t.drawn = len(frame)
}

func (t *tree) frame() []string {
	r := t.rollout
	until := t.now()
	if r.Phase.Final() {
		until = r.FinishedAt
	}
	title := fmt.Sprintf("%s %s → %s  #%d  %s  %s", t.style.strong(r.Service), r.Release.Version, t.style.strong(r.Environment), r.Number,
		t.phase(r), t.style.dim(elapsed(until.Sub(r.CreatedAt))))
	branches := []string{}
	if r.Plan.Slots && t.seen.Traffic.Split.Weights != nil {
		traffic := "traffic " + t.seen.Traffic.Split.String()
		if t.seen.Traffic.Transition || !t.seen.Traffic.Converged() {
			traffic += t.style.busy(" …")
		}
		branches = append(branches, traffic)
	}
	for _, slot := range v1alpha1.Slots() {
		if s, ok := t.seen.Slots[slot]; ok {
			branches = append(branches, t.slot(r, slot, s)...)
		}
	}
	branches = append(branches, t.step(r)...)
	for _, g := range t.seen.Gates {
		branches = append(branches, t.gate(g))
	}
	branches = append(branches, t.judgement()...)
	if t.message != "" {
		branches = append(branches, t.style.dim(firstLine(t.message)))
	}
	lines := []string{title}
	for i, branch := range branches {
		lines = append(lines, map[bool]string{true: "└─ ", false: "├─ "}[i == len(branches)-1]+branch)
	}
	return lines
}

func (t *tree) phase(r v1alpha1.Rollout) string {
	switch r.Phase {
	case v1alpha1.Succeeded, v1alpha1.Settling:
		return t.style.good(stage(r))
	case v1alpha1.RollingBack, v1alpha1.RolledBack, v1alpha1.FailedPhase, v1alpha1.Cancelled:
		return t.style.bad(stage(r))
	case v1alpha1.Pending, v1alpha1.Deploying, v1alpha1.Shifting, v1alpha1.Analyzing:
	}
	return t.style.busy(stage(r))
}

func (t *tree) slot(r v1alpha1.Rollout, slot v1alpha1.Slot, s deploy.Slot) []string {
	role := ""
	switch slot {
	case t.seen.Traffic.Split.Live():
		role = "live"
	case r.Candidate:
		role = "candidate"
	}
	state := readiness(s)
	if s.IsReady() {
		state = t.style.good(state)
	} else if s.State == deploy.Deployed || s.State == deploy.Broken {
		state = t.style.busy(state)
	}
	lines := []string{fmt.Sprintf("slot %-6s %-9s  %s  %s", slot, role, s.Release.Version, state)}
	for _, fact := range s.Facts {
		lines = append(lines, t.style.bad("   "+firstLine(fact.String())))
	}
	return lines
}

func (t *tree) step(r v1alpha1.Rollout) []string {
	if r.Phase != v1alpha1.Analyzing || r.Step >= len(r.Plan.Steps) {
		return nil
	}
	hold := r.Plan.Steps[r.Step].Hold.D()
	left := hold - t.now().Sub(r.StepSince)
	if hold == 0 || left < 0 {
		return nil
	}
	return []string{fmt.Sprintf("hold %s, %s left", hold, elapsed(left))}
}

func (t *tree) gate(g v1alpha1.GateResult) string {
	verdict := string(g.Verdict)
	switch g.Verdict {
	case v1alpha1.Passed:
		verdict = t.style.good("✓ " + verdict)
	case v1alpha1.Failed:
		verdict = t.style.bad("✗ " + verdict)
	case v1alpha1.Waiting:
		verdict = t.style.busy("… " + verdict)
	}
	line := "gate " + g.Gate + "  " + verdict
	if g.Evidence != "" && g.Verdict != v1alpha1.Passed {
		line += "  " + firstLine(g.Evidence)
	}
	return line
}

// told says a judgement in one line.
func told(j v1alpha1.Judgement) string {
	if j.Verdict == "" {
		return j.Sentence
	}
	return j.Verdict + ": " + j.Sentence
}

// judgement is what the analysis says of the candidate.
func (t *tree) judgement() []string {
	j := t.seen.Judgement
	if j == nil || t.rollout.Phase.Final() {
		return nil
	}
	word := j.Verdict
	switch {
	case j.Decision == string(analysis.Abort):
		word = t.style.bad("✗ " + word)
	case j.Verdict == string(analysis.Good):
		word = t.style.good("✓ " + word)
	case word != "":
		word = t.style.busy("… " + word)
	default:
		word = t.style.busy("…")
	}
	return []string{"analysis  " + word + "  " + firstLine(j.Sentence)}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// cut shortens a line to a width, not counting colour codes.
func cut(line string, width int) string {
	if visible(line) <= width {
		return line
	}
	seen, coloured := 0, ""
	for i := 0; i < len(line); i++ {
		if line[i] == 0x1b {
			if end := strings.IndexByte(line[i:], 'm'); end >= 0 {
				i, coloured = i+end, "\x1b[0m"
				continue
			}
		}
		if line[i]&0xC0 == 0x80 {
			continue
		}
		if seen == width-1 {
			return line[:i] + "…" + coloured
		}
		seen++
	}
	return line
}

// visible counts the characters of a line that are no colour codes.
func visible(line string) int {
	n := 0
	for i := 0; i < len(line); i++ {
		if line[i] == 0x1b {
			if end := strings.IndexByte(line[i:], 'm'); end >= 0 {
				i += end
				continue
			}
		}
		if line[i]&0xC0 != 0x80 {
			n++
		}
	}
	return n
}
