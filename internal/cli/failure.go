package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/seal"
)

// failure is why something was not done.
type failure struct {
	// Reason is the class of the error, ExitCode the number that stands for it.
	Reason   string `json:"reason"`
	ExitCode int    `json:"exitCode"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
	// Problems of a file, where that is what failed.
	Problems []config.Problem `json:"problems,omitempty"`
	// Scans of the images, where one of them failed.
	Scans map[string]seal.Scanned `json:"scans,omitempty"`
}

func failureOf(err error, scans map[string]seal.Scanned) failure {
	return failure{
		Reason: fault.KindOf(err).String(), ExitCode: fault.ExitCode(err),
		Message: err.Error(), Hint: hintOf(err), Problems: config.ProblemsOf(err), Scans: scans,
	}
}

// errorDocument is the result of a command that failed.
type errorDocument struct {
	document
	failure
	// Rollout as it was left, where there is one.
	Rollout *v1alpha1.Rollout `json:"rollout,omitempty"`
}

// rolloutError is an error that a rollout ended with; the record explains it.
type rolloutError struct {
	err     error
	rollout v1alpha1.Rollout
	// resume is the command that goes on, "" where nothing is left to be done.
	resume string
}

func (e *rolloutError) Error() string { return e.err.Error() }
func (e *rolloutError) Unwrap() error { return e.err }

// reportedError is an error of which the result already speaks: no document of its own follows.
type reportedError struct{ err error }

func (e *reportedError) Error() string { return e.err.Error() }
func (e *reportedError) Unwrap() error { return e.err }

// end reports what a command ended with and returns the exit code.
func (inv *invocation) end(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	switch fault.ExitCode(err) {
	case 1, 2, 8:
		if ctx.Err() != nil {
			// What breaks while everything is being cancelled broke because of that.
			err = fault.Wrap(fault.Interrupted, "interrupted", err)
		}
	}
	doc := errorDocument{document: head("Error"), failure: failureOf(err, inv.scans)}
	var failed *rolloutError
	if errors.As(err, &failed) && failed.rollout.Number > 0 {
		doc.Rollout = &failed.rollout
	}
	var reported *reportedError
	if !errors.As(err, &reported) && inv.output.structured() {
		if err := inv.marshal(doc); err != nil {
			inv.log("error: %v", err)
		}
	}
	inv.explain(doc)
	return doc.ExitCode
}

// explain prints the failure for people: cause, evidence, the exact next step, in this order and as the last thing.
func (inv *invocation) explain(doc errorDocument) {
	style := inv.style()
	if len(doc.Problems) > 0 {
		for _, p := range doc.Problems {
			inv.log("%s", p)
		}
		inv.log("%s %s", style.bad("error:"), problemCount(doc.Problems))
		return
	}
	inv.log("%s %s", style.bad("error:"), indentRest(doc.Message))
	if doc.Rollout != nil {
		for _, line := range evidence(*doc.Rollout) {
			// What the cause says already is not said twice.
			if !strings.Contains(doc.Message, line) {
				inv.log("  %s", indentRest(line))
			}
		}
	}
	for _, line := range nextSteps(doc) {
		inv.log("%s %s", style.dim("hint:"), indentRest(line))
	}
}

func problemCount(problems []config.Problem) string {
	if len(problems) == 1 {
		return "1 problem in " + problems[0].File
	}
	return fmt.Sprintf("%d problems in %s", len(problems), problems[0].File)
}

// nextSteps says what to do, the exact command last.
func nextSteps(doc errorDocument) []string {
	var steps []string
	if doc.Hint != "" {
		steps = append(steps, doc.Hint)
	}
	r := doc.Rollout
	if r == nil || !r.Phase.Final() {
		return steps
	}
	tell := fmt.Sprintf("`sluice history %s --env %s --number %d` tells it in full", r.Service, r.Environment, r.Number)
	if r.Phase == v1alpha1.FailedPhase {
		return append(steps, fmt.Sprintf("look with `sluice status %s --env %s`; %s", r.Service, r.Environment, tell))
	}
	return append(steps, "correct the cause, build again and deploy the new release; "+tell)
}

// evidence lists what was seen: the record's own evidence, what was to be seen of the candidate, then the gates that did not pass on the way
// forward.
func evidence(r v1alpha1.Rollout) []string {
	lines := slices.Concat(r.Evidence, r.Testimony)
	for _, g := range r.Results {
		if g.Verdict == v1alpha1.Passed || g.Step < 0 || contains(append(lines, r.Cause), g.Evidence) {
			continue
		}
		line := fmt.Sprintf("gate %s: %s", g.Gate, g.Verdict)
		if g.Evidence != "" {
			line += ": " + g.Evidence
		}
		lines = append(lines, line)
	}
	return lines
}

func contains(lines []string, part string) bool {
	for _, line := range lines {
		if part != "" && strings.Contains(line, part) {
			return true
		}
	}
	return false
}

func hintOf(err error) string {
	hint := fault.HintOf(err)
	var failed *rolloutError
	if errors.As(err, &failed) && failed.resume != "" {
		return strings.TrimPrefix(hint+"; go on with `"+failed.resume+"`", "; ")
	}
	return hint
}

// indentRest keeps the lines of a longer text below its first.
func indentRest(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}
