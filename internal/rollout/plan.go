package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Digest is what a slot carries when a release is in it: the release, the environment as the release knows it, and the versions of the
// variables, so that a secret that was renewed is deployed.
func Digest(ref v1alpha1.ReleaseRef, environment string, env v1alpha1.Environment, variables map[string]string) (string, error) {
	spec, err := json.Marshal(env)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "digest of environment "+environment, err)
	}
	parts := [][]byte{[]byte(ref.Digest), []byte(environment), spec}
	if len(variables) > 0 {
		versions, err := json.Marshal(variables)
		if err != nil {
			return "", fault.Wrap(fault.Internal, "digest of environment "+environment, err)
		}
		parts = append(parts, versions)
	}
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
		h.Write([]byte{0})
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// expand turns a strategy into the data that the machine follows.
func expand(env v1alpha1.Environment, spec v1alpha1.Service) v1alpha1.Plan {
	plan := v1alpha1.Plan{
		Gates: env.Gates, Analysis: env.Analysis, Timeout: env.Timeout, Entry: env.Entry, Spec: spec,
		Strategy: "direct", Router: v1alpha1.RouterNone, Steps: []v1alpha1.Step{{Weight: 100}},
	}
	switch s := env.Strategy; {
	case s.BlueGreen != nil:
		plan.Strategy, plan.Slots, plan.Traffic = "blueGreen", true, s.BlueGreen.Traffic
		plan.Header, plan.KeepOld = s.BlueGreen.Header, s.BlueGreen.KeepOld
		plan.Steps = []v1alpha1.Step{{Weight: 0}, {Weight: 100, Hold: s.BlueGreen.Hold}}
	case s.Canary != nil:
		plan.Strategy, plan.Slots, plan.Traffic = "canary", true, s.Canary.Traffic
		plan.Header, plan.KeepOld, plan.Steps = s.Canary.Header, s.Canary.KeepOld, s.Canary.Steps
	default:
		if s.Direct != nil {
			plan.Steps[0].Hold = s.Direct.Hold
		}
		return plan
	}
	plan.Router = plan.Traffic.Router()
	plan.Header = plan.Header.OrDefault()
	if plan.Router == v1alpha1.RouterNone {
		// Without traffic there is nothing to weigh: the candidate runs beside the old slot until it is verified.
		plan.Steps = plan.Steps[len(plan.Steps)-1:]
	}
	return plan
}

// leaveSlots is the plan of a direct strategy where a slot is live: one more two-slot rollout, into the direct slot.
func leaveSlots(plan, last v1alpha1.Plan) v1alpha1.Plan {
	plan.Slots, plan.Router, plan.Traffic, plan.Header = true, last.Router, last.Traffic, last.Header
	plan.Steps = []v1alpha1.Step{{Weight: 0}, {Weight: 100, Hold: plan.Steps[0].Hold}}
	if plan.Router == v1alpha1.RouterNone {
		plan.Steps = plan.Steps[1:]
	}
	return plan
}

// oneStep is the plan of a rollback: the release passed its gates here before.
func oneStep(plan v1alpha1.Plan) v1alpha1.Plan {
	plan.Steps = []v1alpha1.Step{{Weight: 100}}
	plan.KeepOld = 0
	return plan
}

// firstHold is how long a first installation is watched at least, where its analysis judges it: evidence takes time.
const firstHold = 30 * time.Second

// firstInstallation is a plan where nothing is live. There is nothing to compare with: an analysis without a limit could not tell anything.
func firstInstallation(plan v1alpha1.Plan) v1alpha1.Plan {
	hold := plan.Steps[len(plan.Steps)-1].Hold.D()
	plan = oneStep(plan)
	if !decides(plan.Analysis) {
		plan.Analysis = nil
		return plan
	}
	plan.Steps[0].Hold = v1alpha1.Duration(max(hold, firstHold))
	return plan
}

// candidateSlot is the slot that is not live.
func candidateSlot(plan v1alpha1.Plan, live v1alpha1.Slot) v1alpha1.Slot {
	switch {
	case plan.Strategy == "direct":
		return v1alpha1.SlotDirect
	case live == v1alpha1.SlotBlue:
		return v1alpha1.SlotGreen
	default:
		return v1alpha1.SlotBlue
	}
}

// liveSlot is where the traffic is; without traffic, the last verified slot, else whatever is deployed.
func liveSlot(o Observation) v1alpha1.Slot {
	if live := o.Traffic.Split.Live(); live != v1alpha1.SlotNone {
		return live
	}
	if o.Verified != nil && o.Slots[o.Verified.Candidate].State == deploy.Deployed {
		return o.Verified.Candidate
	}
	for _, slot := range v1alpha1.Slots() {
		if s := o.Slots[slot]; s.State == deploy.Deployed || (slot == v1alpha1.SlotDirect && s.State != "" && s.State != deploy.Absent) {
			return slot
		}
	}
	return v1alpha1.SlotNone
}

// decides says that an analysis can find a version bad that has nothing beside it.
func decides(spec *v1alpha1.Analysis) bool {
	return spec != nil && (spec.Errors != nil && spec.Errors.Max > 0 || spec.Slower != nil && spec.Slower.Max > 0 ||
		slices.ContainsFunc(spec.Metrics, func(m v1alpha1.Metric) bool { return m.Max > 0 || m.Condition != "" }))
}
