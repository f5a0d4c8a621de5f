package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/ci"
	"github.com/sluice-dev/sluice/internal/fault"
)

// summarize shows what became of a rollout at the end of the CI job, where the system can. That it cannot be shown is no failure.
func (inv *invocation) summarize(doc *rolloutDocument, err error) {
	system := ci.Detect(inv.LookupEnv)
	e, ok := inv.epilogue(doc, err)
	if system == "" || !ok {
		return
	}
	// A name is given once: what is shown under it again would replace what was shown before.
	r := e.rollout
	to := system.Summary(inv.LookupEnv, fmt.Sprintf("sluice-%s-%s-%d-%s", r.Service, r.Environment, r.Number, inv.Now().UTC().Format("20060102T150405")))
	if to.Path == "" {
		return
	}
	if err := appendSummary(to.Path, inv.secrets.String(e.markdown())); err != nil {
		inv.log("warning: what became of %s is missing in the job's summary: %v", subjectOf(r), err)
		return
	}
	if to.Command != "" {
		inv.command(to.Command)
	}
}

// appendSummary writes all of a text to the end of a file, or nothing.
func appendSummary(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size() + int64(len(text)); size > ci.MaxSummary {
		return fmt.Errorf("%s would have %d bytes, and %d are shown", path, size, ci.MaxSummary)
	}
	_, err = f.WriteString(text)
	return err
}

// epilogue is what people are told of a rollout at the end.
type epilogue struct {
	rollout v1alpha1.Rollout
	outcome string
	// good says it in a sentence where all went well, cause where it did not, and next what to do then.
	good, cause string
	next        []string
	// hide takes secrets out; they are looked for before a text is written as Markdown, in which they would look different.
	hide func(string) string
}

// epilogue tells of a result, or of an error with a rollout; false for one without.
func (inv *invocation) epilogue(doc *rolloutDocument, err error) (epilogue, bool) {
	if err == nil && doc != nil {
		e := epilogue{rollout: doc.Rollout, outcome: "live", good: oneLine(doc.summary), hide: inv.secrets.String}
		if doc.AlreadyLive {
			e.outcome = "was already live"
		}
		return e, true
	}
	var failed *rolloutError
	if !errors.As(err, &failed) || failed.rollout.Number == 0 {
		return epilogue{}, false
	}
	said := errorDocument{failure: failureOf(err, nil), Rollout: &failed.rollout}
	e := epilogue{rollout: failed.rollout, outcome: outcomeOf(failed.rollout, err), cause: said.Message, next: nextSteps(said), hide: inv.secrets.String}
	if cause := failed.rollout.Cause; cause != "" && failed.rollout.Phase.Final() {
		e.cause = cause
	}
	return e, true
}

// outcomeOf says in few words what became of a rollout that did not go well.
func outcomeOf(r v1alpha1.Rollout, err error) string {
	switch r.Phase {
	case v1alpha1.RolledBack:
		return "rolled back"
	case v1alpha1.Cancelled:
		return "cancelled, nothing was changed"
	case v1alpha1.FailedPhase:
		return "failed, and a human is needed"
	case v1alpha1.Pending, v1alpha1.Deploying, v1alpha1.Shifting, v1alpha1.Analyzing, v1alpha1.Settling, v1alpha1.RollingBack, v1alpha1.Succeeded:
	}
	if fault.Is(err, fault.Waiting) {
		return "waiting, " + stage(r)
	}
	return "unfinished, " + stage(r)
}

// Bounds of a section, so that many fit into one summary: bytes of a block, rows of a table and characters of a cell.
const (
	maxBlock = 64 << 10
	maxRows  = 100
	maxCell  = 300
)

// markdown is the section about the rollout.
func (e epilogue) markdown() string {
	r := e.rollout
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s %s → %s: %s\n", e.inline(r.Service), e.inline(r.Release.Version), e.inline(r.Environment), e.inline(e.outcome))
	if e.good != "" {
		fmt.Fprintf(&b, "\n%s\n", e.prose(e.good))
	}
	if first, more, _ := strings.Cut(strings.TrimSpace(e.cause), "\n"); first != "" {
		fmt.Fprintf(&b, "\n**Cause:** %s\n", e.inline(first))
		b.WriteString(e.block(more))
	}
	judged := ""
	if j := r.Judgement; j != nil && j.Sentence != "" {
		judged = strings.Join(j.Evidence, "\n")
		fmt.Fprintf(&b, "\n**Analysis:** %s\n", e.inline(j.Sentence))
		b.WriteString(e.block(judged))
	}
	b.WriteString(e.gates())
	seen := slices.DeleteFunc(slices.Concat(r.Evidence, r.Testimony), func(line string) bool {
		return strings.Contains(e.cause, line) || strings.Contains(judged, line)
	})
	if len(seen) > 0 && e.good == "" {
		b.WriteString("\n**What was seen:**\n" + e.block(strings.Join(seen, "\n")))
	}
	if len(e.next) > 0 {
		b.WriteString("\n**Next:**\n\n")
	}
	for _, step := range e.next {
		fmt.Fprintf(&b, "- %s\n", e.prose(step))
	}
	return b.String()
}

// gates is the table of their answers; "" where none was asked.
func (e epilogue) gates() string {
	results := e.rollout.Results
	if len(results) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| gate | answer | step | evidence |\n|---|---|---|---|\n")
	for _, g := range results[:min(len(results), maxRows)] {
		step := fmt.Sprint(g.Step + 1)
		if g.Step < 0 {
			step = "way back"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", e.inline(g.Gate), e.inline(string(g.Verdict)), step, e.inline(g.Evidence))
	}
	if left := len(results) - maxRows; left > 0 {
		fmt.Fprintf(&b, "\n… and %d more answers\n", left)
	}
	return b.String()
}
