package rollout

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/deploy"
)

func phases(p ...v1alpha1.Phase) []v1alpha1.Phase { return p }

func requestRows() []row {
	return []row{{
		Row: Row{"20", phases(v1alpha1.Deploying, v1alpha1.Shifting, v1alpha1.Analyzing, v1alpha1.Settling),
			"abort, rollback or (unverified) supersede requested, or verified and the candidate is gone beyond grace; in Settling only while the old slot is kept", "–", "RollingBack"},
		when: func(v *view) bool {
			if v.r.Phase == v1alpha1.Settling {
				return !v.oldGone() && (has(v.requested(v1alpha1.RequestAbort, v1alpha1.RequestRollback)) || v.beyondGrace())
			}
			return has(v.requested(v1alpha1.RequestAbort, v1alpha1.RequestRollback, v1alpha1.RequestSupersede))
		},
		then: func(v *view, d *Decision) {
			request, ok := v.requested(v1alpha1.RequestAbort, v1alpha1.RequestRollback, v1alpha1.RequestSupersede)
			if !ok {
				cause, evidence := v.whyNotReady()
				giveUp(d, "the verified version is no longer ready: "+cause, evidence)
				return
			}
			cause := fmt.Sprintf("%s requested by %s", request.Kind, request.By)
			if request.Reason != "" {
				cause += ": " + request.Reason
			}
			giveUp(d, cause, nil)
		},
	}}
}

// guardRows come before all others of their phases: what is known to be bad loses its traffic, whatever else is under way.
func guardRows() []row {
	return []row{{
		Row: Row{"20a", phases(v1alpha1.Deploying, v1alpha1.Shifting, v1alpha1.Analyzing, v1alpha1.Settling),
			"the guard gives the candidate up; in Settling only for being bad, and while the old slot is kept", "–", "RollingBack"},
		when: func(v *view) bool {
			if v.r.Phase == v1alpha1.Settling {
				return v.guardSaysBad() && !v.oldGone() && v.o.Judgement.Verdict == string(analysis.Bad)
			}
			return v.guardSaysBad()
		},
		then: func(v *view, d *Decision) { giveUp(d, v.o.Judgement.Sentence, v.o.Judgement.Evidence) },
	}}
}

func driftRows() []row {
	return []row{{
		Row: Row{"28", phases(v1alpha1.Shifting, v1alpha1.Analyzing, v1alpha1.Settling),
			"a foreign hand deployed something else into the candidate slot", "–", "RollingBack"},
		when: func(v *view) bool { return v.tampered() && v.r.Plan.Slots && !v.oldGone() },
		then: func(v *view, d *Decision) {
			giveUp(d, fmt.Sprintf("slot %s was changed by a foreign hand: it carries %s, not %s", v.r.Candidate,
				orForeign(v.candidate().DeployDigest), v.r.DeployDigest), nil)
		},
	}, {
		Row: Row{"28a", phases(v1alpha1.Analyzing),
			"a foreign hand changed the split", "–", "Shifting(i): corrected"},
		when: func(v *view) bool { return !v.onPlan() },
		then: func(v *view, d *Decision) {
			d.Next = v1alpha1.Shifting
			d.Message = "traffic was changed by a foreign hand; correcting: " + describe(v)
		},
	}}
}

func orForeign(digest string) string {
	if digest == "" {
		return "a release that is not Sluice's"
	}
	return digest
}

func describe(v *view) string {
	if v.o.Traffic.Foreign != "" {
		return v.o.Traffic.Foreign
	}
	if v.onPlan() && v.o.Traffic.Lag != "" {
		return v.o.Traffic.Lag
	}
	return fmt.Sprintf("found %s, wanted %s", v.o.Traffic.Split, v.planned())
}

// waitForProxies says which proxy does not follow, where that is known.
func waitForProxies(v *view, d *Decision) {
	d.Message, d.Rest = "waiting for the proxies to follow", v.o.Traffic.Wait
	if v.o.Traffic.Lag != "" {
		d.Message += ": " + v.o.Traffic.Lag
	}
}

func pendingRows() []row {
	pending := phases(v1alpha1.Pending)
	return []row{{
		Row: Row{"4", pending, "an entry gate failed, or abort requested", "–", "Cancelled"},
		when: func(v *view) bool {
			return v.o.Entry.Verdict == v1alpha1.Failed || has(v.requested(v1alpha1.RequestAbort))
		},
		then: func(v *view, d *Decision) {
			d.Next, d.Cause = v1alpha1.Cancelled, v.o.Entry.Evidence
			if request, ok := v.requested(v1alpha1.RequestAbort); ok {
				d.Cause = "abort requested by " + request.By
			}
			d.Message = "cancelled: " + d.Cause
		},
	}, {
		Row:  Row{"1", pending, "a newer rollout for the same service and environment exists", "–", "Cancelled"},
		when: func(v *view) bool { return v.o.Newer },
		then: func(_ *view, d *Decision) {
			d.Next, d.Cause, d.Message = v1alpha1.Cancelled, "superseded by a newer rollout", "cancelled: superseded by a newer rollout"
		},
	}, {
		Row: Row{"2a", pending, "an older rollout is unfinished: a verified one is ended, an unverified one taken back", "**Supersede(older)**", "Pending"},
		when: func(v *view) bool {
			return v.o.Older != nil && !has((&view{r: *v.o.Older}).requested(v1alpha1.RequestSupersede))
		},
		then: func(v *view, d *Decision) {
			d.Act = SupersedeAct
			d.Message = fmt.Sprintf("rollout %d is in %s and makes room first", v.o.Older.Number, v.o.Older.Phase)
		},
	}, {
		Row:  Row{"3", pending, "an older rollout is unfinished, or an entry gate is waiting", "– (retry)", "Pending"},
		when: func(v *view) bool { return v.o.Older != nil || v.o.Entry.Verdict == v1alpha1.Waiting },
		then: func(v *view, d *Decision) { d.Message = v.o.Entry.Evidence },
	}, {
		Row:  Row{"2", pending, "no other unfinished rollout here; entry gates passed", "–", "Deploying"},
		when: always,
		then: func(v *view, d *Decision) {
			d.Next = v1alpha1.Deploying
			d.Message = fmt.Sprintf("deploying %s into slot %s", v.r.Release.Version, v.r.Candidate)
		},
	}}
}

func deployingRows() []row {
	deploying := phases(v1alpha1.Deploying)
	return []row{{
		Row: Row{"8", deploying, "deploy failed and attempts exhausted, fatal pod fact, or deadline passed", "–", "RollingBack"},
		when: func(v *view) bool {
			if v.exhausted() {
				return true
			}
			ours := v.candidate().Rollout == v.r.Number && v.deployed()
			return (ours && !v.candidate().IsReady() && has(v.candidate().Fatal())) || (v.phaseOlderThan(v.timeout()) && !v.candidate().IsReady())
		},
		then: func(v *view, d *Decision) {
			cause, evidence := v.whyNotReady()
			if !v.exhausted() && !has(v.candidate().Fatal()) {
				cause = fmt.Sprintf("not ready after %s: %s", v.timeout(), cause)
			}
			giveUp(d, cause, evidence)
		},
	}, {
		Row:  Row{"5", deploying, "candidate slot does not carry the release, also when retired or scaled to nothing", "**Deploy(candidate)**", "Deploying"},
		when: func(v *view) bool { return !v.deployed() || v.candidate().Desired == 0 },
		then: func(v *view, d *Decision) {
			d.Act, d.Slot = DeployAct, v.r.Candidate
			d.Message = fmt.Sprintf("helm release %s", v.r.Candidate.HelmRelease(v.r.Service))
		},
	}, {
		Row:  Row{"7", deploying, "deployed and ready", "–", "Shifting(0)"},
		when: func(v *view) bool { return v.candidate().IsReady() },
		then: to(v1alpha1.Shifting, "pods are ready"),
	}, {
		Row:  Row{"6", deploying, "deployed, not ready, before the deadline", "– (retry)", "Deploying"},
		when: always,
		then: wait("waiting for ready pods"),
	}}
}

func shiftingRows() []row {
	shifting := phases(v1alpha1.Shifting)
	return []row{{
		Row:  Row{"9", shifting, "candidate not ready beyond grace, attempts exhausted, or the routes do not follow before the deadline", "–", "RollingBack"},
		when: func(v *view) bool { return v.beyondGrace() || v.exhausted() || v.phaseOlderThan(v.timeout()) },
		then: func(v *view, d *Decision) {
			switch {
			case v.exhausted():
				giveUp(d, "traffic could not be moved: "+v.r.LastError, nil)
			case v.beyondGrace():
				cause, evidence := v.whyNotReady()
				giveUp(d, cause, evidence)
			default:
				giveUp(d, fmt.Sprintf("traffic did not reach %s within %s: %s", v.planned(), v.timeout(), describe(v)), nil)
			}
		},
	}, {
		Row:  Row{"9a", shifting, "candidate not ready, within grace", "– (retry)", "Shifting(i)"},
		when: func(v *view) bool { return !v.candidate().IsReady() },
		then: wait("candidate is not ready; traffic stays"),
	}, {
		Row:  Row{"10", shifting, "candidate ready, observed split is not plan[i], or is one of our own intermediate states", "**Shift(plan[i])**", "Shifting(i)"},
		when: func(v *view) bool { return !v.onPlan() },
		then: func(v *view, d *Decision) {
			d.Act, d.Split, d.Rest = ShiftAct, v.planned(), v.o.Traffic.Wait
			d.Message = "traffic to " + d.Split.String()
		},
	}, {
		Row:  Row{"11", shifting, "observed split is plan[i] and converged", "– (stamp stepSince)", "Analyzing(i)"},
		when: func(v *view) bool { return v.o.Traffic.Converged() },
		then: func(v *view, d *Decision) {
			d.Next = v1alpha1.Analyzing
			d.Message = "traffic is at " + v.planned().String()
		},
	}, {
		Row:  Row{"11a", shifting, "observed split is plan[i], not converged yet", "– (retry)", "Shifting(i)"},
		when: always,
		then: waitForProxies,
	}}
}

func analyzingRows() []row {
	analyzing := phases(v1alpha1.Analyzing)
	return []row{{
		Row:  Row{"12", analyzing, "a gate failed, or did not answer before the deadline", "–", "RollingBack"},
		when: func(v *view) bool { return has(v.gate(v1alpha1.Failed)) || v.gatesOverdue() },
		then: func(v *view, d *Decision) {
			if g, ok := v.gate(v1alpha1.Failed); ok {
				giveUp(d, fmt.Sprintf("gate %q failed: %s", g.Gate, g.Evidence), nil)
				return
			}
			g, _ := v.gate(v1alpha1.Waiting)
			giveUp(d, fmt.Sprintf("gate %q gave no answer within %s: %s", g.Gate, v.hold()+v.timeout(), g.Evidence), nil)
		},
	}, {
		Row:  Row{"13", analyzing, "candidate no longer ready beyond grace", "–", "RollingBack"},
		when: func(v *view) bool { return v.beyondGrace() },
		then: func(v *view, d *Decision) {
			cause, evidence := v.whyNotReady()
			giveUp(d, cause, evidence)
		},
	}, {
		Row:  Row{"12a", analyzing, "no evidence before the deadline, and the plan says to roll back then", "–", "RollingBack"},
		when: func(v *view) bool { return v.evidenceOverdue() && v.onNoEvidence() == v1alpha1.OutcomeRollBack },
		then: func(v *view, d *Decision) {
			giveUp(d, fmt.Sprintf("no evidence within %s: %s", v.hold()+v.timeout(), v.judged()), evidenceOf(v))
		},
	}, {
		Row:  Row{"14a", analyzing, "no evidence before the deadline", "– (the run ends, resumable)", "Analyzing(i)"},
		when: func(v *view) bool { return v.evidenceOverdue() },
		then: func(v *view, d *Decision) { d.Waits, d.Message = true, "waiting for evidence: "+v.judged() },
	}, {
		Row:  Row{"14", analyzing, "gates waiting, evidence lacking (no data is waiting), or hold not over", "– (retry)", "Analyzing(i)"},
		when: func(v *view) bool { return !v.gatesPassed() || v.holding() || v.evidenceLacks() },
		then: func(v *view, d *Decision) {
			if g, ok := v.gate(v1alpha1.Waiting); ok {
				d.Message = fmt.Sprintf("gate %q is waiting: %s", g.Gate, g.Evidence)
			} else if v.gatesPassed() && !v.holdOver() {
				d.Message = fmt.Sprintf("holding %s for %s", v.planned(), v.hold())
				d.Rest = v.hold() - v.now.Sub(v.r.StepSince)
			} else if v.gatesPassed() {
				d.Message = "waiting for evidence"
			}
		},
	}, {
		Row:  Row{"16", analyzing, "all passed, hold over, last step: from here the candidate is live and verified", "–", "Settling"},
		when: func(v *view) bool { return v.lastStep() },
		then: to(v1alpha1.Settling, "verified"),
	}, {
		Row:  Row{"15", analyzing, "all passed, hold over, not the last step", "–", "Shifting(i+1)"},
		when: always,
		then: func(v *view, d *Decision) {
			d.Next, d.Step = v1alpha1.Shifting, v.r.Step+1
			d.Message = fmt.Sprintf("step %d passed", v.r.Step+1)
		},
	}}
}

func evidenceOf(v *view) []string {
	if v.o.Judgement == nil {
		return nil
	}
	return v.o.Judgement.Evidence
}

func settlingRows() []row {
	settling := phases(v1alpha1.Settling)
	return []row{{
		Row:  Row{"19", settling, "old slot absent or retired, or direct", "–", "Succeeded"},
		when: func(v *view) bool { return !v.r.Plan.Slots || v.first() || settled(v) },
		then: to(v1alpha1.Succeeded, "done"),
	}, {
		Row:  Row{"18", settling, "keepOld over, or a newer rollout waits; old slot present", "**Retire(old)**", "Settling"},
		when: func(v *view) bool { return v.keepOldOver() && !v.exhausted() },
		then: func(v *view, d *Decision) {
			d.Act, d.Slot = RetireAct, v.r.Return.Slot
			d.Message = fmt.Sprintf("retiring slot %s", v.r.Return.Slot)
		},
	}, {
		Row:  Row{"17", settling, "keepOld not over, or the old slot could not be retired", "– (retry)", "Settling"},
		when: always,
		then: func(v *view, d *Decision) {
			d.Message = fmt.Sprintf("slot %s is kept until %s", v.r.Return.Slot, v.r.VerifiedAt.Add(v.r.Plan.KeepOld.D()).Format("15:04:05"))
			if v.exhausted() {
				d.Message = "the old slot could not be retired: " + v.r.LastError
			}
		},
	}}
}

func settled(v *view) bool {
	state := v.old().State
	return state == "" || state == deploy.Absent || state == deploy.Retired
}
