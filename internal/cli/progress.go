package cli

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/rollout"
)

// heartbeat is how long a log may be silent while something goes on.
const heartbeat = 30 * time.Second

// progress shows people what goes on. Its methods may be called from several goroutines.
type progress interface {
	// Note is a line about anything else than a rollout.
	Note(line string)
	Event(r v1alpha1.Rollout, e v1alpha1.Event)
	Observed(r v1alpha1.Rollout, o rollout.Observation, d rollout.Decision)
	// Stop ends the display; what is printed next comes below it.
	Stop()
}

// progress is a live tree where stderr is a terminal, else one line per change.
func (inv *invocation) progress() progress {
	if isTerminal(inv.Stderr) && inv.smart() {
		return newTree(inv.Stderr, inv.style(), inv.Now, inv.secrets)
	}
	return newLines(inv.Stderr, inv.Now)
}

// smart says whether the terminal can move its cursor.
func (inv *invocation) smart() bool {
	kind, ok := inv.LookupEnv("TERM")
	return ok && kind != "" && kind != "dumb"
}

// stage is the phase with its step, for people.
func stage(r v1alpha1.Rollout) string {
	steps := r.Plan.Steps
	if (r.Phase != v1alpha1.Shifting && r.Phase != v1alpha1.Analyzing) || r.Step >= len(steps) || len(steps) < 2 {
		return string(r.Phase)
	}
	return fmt.Sprintf("%s step %d/%d (%d %%)", r.Phase, r.Step+1, len(steps), steps[r.Step].Weight)
}

func subjectOf(r v1alpha1.Rollout) string {
	return fmt.Sprintf("%s/%s #%d", r.Service, r.Environment, r.Number)
}

// readiness is a slot's pods, for people.
func readiness(s deploy.Slot) string {
	switch s.State {
	case deploy.Deployed:
		return fmt.Sprintf("%d/%d ready", s.Ready, s.Desired)
	case "":
		return string(deploy.Absent)
	case deploy.Pending, deploy.Broken, deploy.Absent, deploy.Retired:
	}
	return string(s.State)
}

// elapsed rounds a duration for people.
func elapsed(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
