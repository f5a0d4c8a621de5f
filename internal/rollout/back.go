package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// rollingBackRows bring the environment to where it was: traffic first, everything else later.
func rollingBackRows() []row {
	back := phases(v1alpha1.RollingBack)
	rows := []row{{
		Row:  Row{"21a", back, "nothing of this rollout is there", "–", "Cancelled; RolledBack where it was there before"},
		when: func(v *view) bool { return v.untouched() },
		then: func(v *view, d *Decision) {
			d.Next, d.Message = v1alpha1.Cancelled, "nothing was changed"
			if v.undone() {
				// Something was begun and is gone again: that is a rollback, not a refusal.
				d.Next, d.Message = v1alpha1.RolledBack, "everything is as it was"
			}
			if v.undone() && v.first() {
				d.Message = "the first installation was removed again"
			}
		},
	}, {
		Row:  Row{"27", back, "attempts exhausted, or the deadline passed", "– (notify)", "Failed"},
		when: func(v *view) bool { return v.exhausted() || v.phaseOlderThan(v.rollbackTimeout()) },
		then: func(v *view, d *Decision) {
			d.Next = v1alpha1.FailedPhase
			d.Message = "could not be rolled back; a human is needed"
			if v.r.LastError != "" {
				d.Message += ": " + v.r.LastError
			}
		},
	}, {
		Row:  Row{"21b", back, "first installation: routes, then the candidate are removed", "**Remove(candidate)**", "RollingBack"},
		when: func(v *view) bool { return v.first() },
		then: func(v *view, d *Decision) {
			d.Act, d.Slot, d.Message = RemoveAct, v.r.Candidate, "removing the first installation"
		},
	}}
	return append(append(rows, twoSlotRows(back)...), oneSlotRows(back)...)
}

// undone says that this rollout has taken away what it had deployed.
func (v *view) undone() bool {
	return slices.ContainsFunc(v.r.History, func(e v1alpha1.Event) bool {
		return e.Phase == v1alpha1.RollingBack && (e.Action == string(RemoveAct) || e.Action == string(RetireAct))
	})
}

// rollbackTimeout is longer than the deployment's own: a rollback may have to start pods and stop others.
func (v *view) rollbackTimeout() time.Duration { return 2 * v.timeout() }

func twoSlotRows(back []v1alpha1.Phase) []row {
	return []row{{
		Row: Row{"26", back, "two slots, traffic not back, old cannot serve while the candidate can", "**Restore(old)**", "RollingBack"},
		when: func(v *view) bool {
			return v.r.Plan.Slots && !v.back() && !v.oldCanServe() && !v.neitherCanServe() &&
				(v.old().State != deploy.Deployed || v.old().Desired == 0)
		},
		then: func(v *view, d *Decision) {
			d.Act, d.Slot, d.Message = RestoreAct, v.r.Return.Slot, fmt.Sprintf("restoring slot %s first", v.r.Return.Slot)
		},
	}, {
		Row:  Row{"26a", back, "the same, restored but not ready yet", "– (retry)", "RollingBack"},
		when: func(v *view) bool { return v.r.Plan.Slots && !v.back() && !v.oldCanServe() && !v.neitherCanServe() },
		then: func(v *view, d *Decision) {
			d.Message = fmt.Sprintf("waiting for slot %s: %d of %d ready", v.r.Return.Slot, v.old().Ready, v.old().Desired)
		},
	}, {
		Row:  Row{"21", back, "two slots, split is not {old 100, no header}, and old can serve, or neither can", "**Shift(old 100)**", "RollingBack"},
		when: func(v *view) bool { return v.r.Plan.Slots && !v.back() },
		then: func(v *view, d *Decision) {
			d.Act, d.Split, d.Rest = ShiftAct, v1alpha1.Only(v.r.Return.Slot), v.o.Traffic.Wait
			d.Message = "traffic back to " + d.Split.String()
		},
	}, {
		Row:  Row{"21c", back, "split is back, not converged yet", "– (retry)", "RollingBack"},
		when: func(v *view) bool { return v.r.Plan.Slots && !v.o.Traffic.Converged() },
		then: waitForProxies,
	}, {
		Row: Row{"22", back, "split back, candidate present", "**Retire(candidate)**", "RollingBack"},
		when: func(v *view) bool {
			state := v.candidate().State
			return v.r.Plan.Slots && state != "" && state != deploy.Absent && state != deploy.Retired
		},
		then: func(v *view, d *Decision) {
			d.Act, d.Slot, d.Message = RetireAct, v.r.Candidate, fmt.Sprintf("retiring slot %s", v.r.Candidate)
		},
	}, {
		Row:  Row{"23", back, "split back, candidate retired or absent", "–", "RolledBack"},
		when: func(v *view) bool { return v.r.Plan.Slots },
		then: to(v1alpha1.RolledBack, "everything is as it was"),
	}}
}

func oneSlotRows(back []v1alpha1.Phase) []row {
	return []row{{
		Row:  Row{"24", back, "one slot, it does not carry the last verified release", "**Restore(slot)**", "RollingBack"},
		when: func(v *view) bool { return !restored(v.r, v.candidate()) },
		then: func(v *view, d *Decision) {
			d.Act, d.Slot = RestoreAct, v.r.Candidate
			d.Message = fmt.Sprintf("restoring %s (Helm revision %d)", orRevision(v.r.Return), v.r.Return.HelmRevision)
		},
	}, {
		Row:  Row{"25", back, "one slot, it carries the last verified release, ready, gates pass again", "–", "RolledBack"},
		when: func(v *view) bool { return v.candidate().IsReady() && v.gatesPassed() },
		then: to(v1alpha1.RolledBack, "everything is as it was"),
	}, {
		Row:  Row{"25a", back, "the same, not ready yet or gates waiting, before the deadline", "– (retry)", "RollingBack"},
		when: always,
		then: func(v *view, d *Decision) {
			d.Message = fmt.Sprintf("waiting for the restored version: %d of %d ready", v.candidate().Ready, v.candidate().Desired)
		},
	}}
}

func orRevision(t v1alpha1.ReturnTarget) string {
	if t.Release.Version == "" {
		return "what was there"
	}
	return t.Release.Version
}
