package rollout

import (
	"reflect"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/store"
)

// maxHistory bounds the record; the oldest events that were announced go first.
const maxHistory = 200

// advance writes a decision into the record. It is pure.
func advance(r v1alpha1.Rollout, o Observation, d Decision, now time.Time) v1alpha1.Rollout {
	if d.Cause != "" && r.Cause == "" {
		r.Cause, r.Evidence = d.Cause, d.Evidence
	}
	if d.Moved {
		r = enter(r, o, d, now)
	}
	if d.Act != NoAct {
		r.Acts++
	}
	if d.Moved || news(r, d) {
		r.History = appendEvent(r.History, v1alpha1.Event{
			At: now, Phase: r.Phase, Step: r.Step, Row: d.Row, Action: string(d.Act), Message: d.Message,
		}, r.Announced)
	}
	return r
}

// enter stamps what begins with a phase or step.
func enter(r v1alpha1.Rollout, o Observation, d Decision, now time.Time) v1alpha1.Rollout {
	if d.Next == v1alpha1.Deploying {
		r.Return = returnTarget(r, o)
	}
	if d.Next == v1alpha1.Settling {
		r.VerifiedAt = now
		r.HelmRevision = o.Slots[r.Candidate].HelmRevision
	}
	if d.Next == v1alpha1.Analyzing {
		r.StepSince = now
	}
	if d.Next.Final() {
		r.FinishedAt = now
	}
	r.Phase, r.Step, r.PhaseSince, r.Attempts = d.Next, d.Step, now, 0
	return r
}

// returnTarget is where a rollback will go: what serves users now, and in place the last release that passed its gates.
func returnTarget(r v1alpha1.Rollout, o Observation) v1alpha1.ReturnTarget {
	slot := r.Return.Slot
	seen, ok := o.Slots[slot]
	if !ok || seen.State == deploy.Absent {
		return v1alpha1.ReturnTarget{}
	}
	target := v1alpha1.ReturnTarget{
		Slot: slot, DeployDigest: seen.DeployDigest, Release: seen.Release, HelmRevision: seen.HelmRevision, Foreign: seen.Foreign,
	}
	verified := o.Verified
	if !r.Plan.Slots && verified != nil && verified.Candidate == slot && verified.DeployDigest != seen.DeployDigest && verified.HelmRevision > 0 {
		target.DeployDigest, target.Release, target.HelmRevision = verified.DeployDigest, verified.Release, verified.HelmRevision
		target.Foreign = false
	}
	return target
}

// news says whether a decision that does not move the phase is worth an event: a new act, or a new message.
func news(r v1alpha1.Rollout, d Decision) bool {
	if d.Message == "" {
		return false
	}
	if len(r.History) == 0 {
		return true
	}
	last := r.History[len(r.History)-1]
	return last.Message != d.Message || last.Action != string(d.Act)
}

func appendEvent(history []v1alpha1.Event, e v1alpha1.Event, announced int) []v1alpha1.Event {
	e.Seq = 1
	if len(history) > 0 {
		e.Seq = history[len(history)-1].Seq + 1
	}
	history = append(append([]v1alpha1.Event(nil), history...), e)
	for len(history) > maxHistory && history[0].Seq <= announced {
		history = history[1:]
	}
	return history
}

func changed(a, b v1alpha1.Rollout) bool {
	b.Generation = a.Generation
	return !reflect.DeepEqual(a, b)
}

// Active returns the oldest unfinished rollout: the one that a driver moves first.
func Active(records []store.Record) (v1alpha1.Rollout, bool) {
	return find(records, func(r v1alpha1.Rollout) bool { return !r.Phase.Final() }, false)
}

// LastVerified returns the newest rollout that passed its gates and was not taken back.
func LastVerified(records []store.Record) (v1alpha1.Rollout, bool) {
	return find(records, func(r v1alpha1.Rollout) bool {
		return r.Phase == v1alpha1.Succeeded || r.Phase == v1alpha1.Settling
	}, true)
}

func find(records []store.Record, match func(v1alpha1.Rollout) bool, newest bool) (v1alpha1.Rollout, bool) {
	var found v1alpha1.Rollout
	ok := false
	for _, record := range records {
		r := record.Rollout
		if match(r) && (!ok || (r.Number > found.Number) == newest) {
			found, ok = r, true
		}
	}
	return found, ok
}
