package rollout

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// changeCause says in one line what a rollout deploys, by whom and why:
// release 1.4.0 (commit 0123456789) by ann@laptop: INC-42.
func changeCause(r v1alpha1.Rollout, source v1alpha1.Source) string {
	text := "release " + r.Release.Version
	if r.Back {
		text = "back to " + text
	}
	if source.Commit != "" {
		dirty := ""
		if source.Dirty {
			dirty = " with changes"
		}
		text += fmt.Sprintf(" (commit %.10s%s)", source.Commit, dirty)
	}
	if r.By == "" {
		return text
	}
	return text + " by " + because(r.By, r.Reason)
}

// because names a person, with the reason that was given.
func because(by, reason string) string {
	if reason == "" {
		return by
	}
	return by + ": " + reason
}
