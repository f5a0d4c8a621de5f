package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// statusDocument is the result of `sluice status`.
type statusDocument struct {
	document
	Service      string              `json:"service"`
	Environments []environmentStatus `json:"environments"`
}

type environmentStatus struct {
	Environment string `json:"environment"`
	Namespace   string `json:"namespace"`
	Cluster     string `json:"cluster,omitempty"`
	Entry       string `json:"entry,omitempty"`
	// Error says why nothing else is known.
	Error string `json:"error,omitempty"`
	// Unseen says why slots and traffic are not known: the credentials may read records, but not what Helm keeps.
	Unseen string       `json:"unseen,omitempty"`
	Slots  []slotStatus `json:"slots,omitempty"`
	// Split as written; Converged says that the proxies serve it.
	Split     v1alpha1.Split `json:"split,omitzero"`
	Converged bool           `json:"converged"`
	// Rollout is the newest.
	Rollout *v1alpha1.Rollout `json:"rollout,omitempty"`
	// Driver is the run that moves it; UnattendedSince is set where an unfinished rollout has none.
	Driver          string    `json:"driver,omitempty"`
	UnattendedSince time.Time `json:"unattendedSince,omitzero"`
	KeptUntil       time.Time `json:"keptUntil,omitzero"`
	// Notes say what else a person should know; Next is the command that goes on.
	Notes []string `json:"notes,omitempty"`
	Next  string   `json:"next,omitempty"`
}

type slotStatus struct {
	Slot v1alpha1.Slot `json:"slot"`
	// Role is live, candidate or empty.
	Role         string              `json:"role,omitempty"`
	State        deploy.State        `json:"state"`
	Release      v1alpha1.ReleaseRef `json:"release,omitzero"`
	Rollout      int                 `json:"rollout,omitempty"`
	HelmRevision int                 `json:"helmRevision,omitempty"`
	Foreign      bool                `json:"foreign,omitempty"`
	Ready        int                 `json:"ready"`
	Desired      int                 `json:"desired"`
	Weight       int                 `json:"weight"`
	Header       bool                `json:"header,omitempty"`
	Facts        []v1alpha1.PodFact  `json:"facts,omitempty"`
}

// planOf is the plan by which traffic is read: that of the newest rollout with slots, else what the environment asks for.
func planOf(records []store.Record, env v1alpha1.Environment) v1alpha1.Plan {
	for _, record := range records {
		if record.Rollout.Plan.Slots {
			return record.Rollout.Plan
		}
	}
	var t v1alpha1.Traffic
	switch s := env.Strategy; {
	case s.BlueGreen != nil:
		t = s.BlueGreen.Traffic
	case s.Canary != nil:
		t = s.Canary.Traffic
	}
	return v1alpha1.Plan{Traffic: t, Router: t.Router(), Slots: env.Strategy.BlueGreen != nil || env.Strategy.Canary != nil}
}

// splitOf reads the traffic. Where no router serves the service, its only slot has all of it.
func splitOf(ctx context.Context, place *app.Place, plan v1alpha1.Plan, seen deploy.Observation) (traffic.State, error) {
	router, ok := place.Routers[plan.Router]
	if !ok || !plan.Slots {
		for _, slot := range v1alpha1.Slots() {
			if s, ok := seen.Slots[slot]; ok && s.State == deploy.Deployed {
				return traffic.State{Split: v1alpha1.Only(slot)}, nil
			}
		}
		return traffic.State{}, nil
	}
	return router.Split(ctx, target(place, plan, seen))
}

func target(place *app.Place, plan v1alpha1.Plan, seen deploy.Observation) traffic.Target {
	routes := map[v1alpha1.Slot]v1alpha1.Routes{}
	for slot, s := range seen.Slots {
		routes[slot] = s.Routes
	}
	return traffic.Target{
		Service: place.Key.Service, Environment: place.Key.Environment, Namespace: place.Key.Namespace,
		Header: plan.Header.OrDefault(), Routes: routes,
	}
}

// observe fills in what was seen.
func (e *environmentStatus) observe(seen deploy.Observation, state traffic.State, plan v1alpha1.Plan) {
	e.Split, e.Converged = state.Split, state.Converged()
	for _, slot := range v1alpha1.Slots() {
		s, ok := seen.Slots[slot]
		if !ok || s.State == deploy.Absent {
			continue
		}
		status := slotStatus{
			Slot: slot, State: s.State, Release: s.Release, Rollout: s.Rollout, HelmRevision: s.HelmRevision, Foreign: s.Foreign,
			Ready: s.Ready, Desired: s.Desired, Weight: state.Split.Weights[slot], Header: state.Split.Header == slot, Facts: s.Facts,
		}
		if slot == state.Split.Live() {
			status.Role = "live"
		}
		e.Slots = append(e.Slots, status)
	}
	if state.Foreign != "" {
		e.Notes = append(e.Notes, "traffic was changed by a foreign hand: "+state.Foreign)
	}
	if weights := len(state.Split.Weights); plan.Slots && weights > 1 {
		for _, s := range seen.Slots[state.Split.Live()].Routes.Services {
			e.Notes = append(e.Notes, fmt.Sprintf("callers inside the cluster that use Service %s still reach slot %s: weights do not apply to them", s.Name, state.Split.Live()))
		}
	}
}

// record fills in what the newest rollout says, and who drives it.
func (e *environmentStatus) record(r v1alpha1.Rollout, lock store.LockState, now time.Time) {
	e.Rollout = &r
	for i := range e.Slots {
		if !r.Phase.Final() && r.Phase != v1alpha1.Settling && e.Slots[i].Slot == r.Candidate && e.Slots[i].Role == "" {
			e.Slots[i].Role = "candidate"
		}
	}
	if r.Phase.Final() {
		return
	}
	e.judged(r)
	resume := fmt.Sprintf("sluice resume %s --env %s", r.Service, r.Environment)
	alive := lock.Holder != "" && !lock.Expired
	if e.KeptUntil = keptUntil(r); !e.KeptUntil.IsZero() {
		state := "is kept until " + e.KeptUntil.UTC().Format(time.RFC3339)
		if now.After(e.KeptUntil) && !alive {
			e.Next = resume + " --wait"
			state += ", which is over: `" + e.Next + "` or the next rollout retires it"
		}
		e.Notes = append(e.Notes, fmt.Sprintf("slot %s %s", r.Return.Slot, state))
	}
	switch {
	case alive:
		e.Driver = lock.Holder
		e.Notes = append(e.Notes, "driven by "+lock.Holder)
	case r.Phase != v1alpha1.Settling:
		e.UnattendedSince = r.PhaseSince
		if !lock.RenewedAt.IsZero() {
			e.UnattendedSince = lock.RenewedAt
		}
		e.Next = resume
		e.Notes = append(e.Notes, fmt.Sprintf("unattended since %s; `%s` goes on, `sluice abort %s --env %s` takes it back",
			e.UnattendedSince.UTC().Format(time.RFC3339), resume, r.Service, r.Environment))
	}
}

// judged says what the analysis has found so far.
func (e *environmentStatus) judged(r v1alpha1.Rollout) {
	if j := r.Judgement; j != nil && r.Phase != v1alpha1.RollingBack {
		e.Notes = append(e.Notes, fmt.Sprintf("analysis at %s: %s", j.At.UTC().Format(time.RFC3339), told(*j)))
	}
}
