package guard_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
)

// unmade is a stage where something cannot be made.
type unmade struct {
	*stage
	probe, counters, number error
}

func (u *unmade) Probe(of metric.Subject, spec v1alpha1.Analysis, p v1alpha1.Probe) (guard.Feed, error) {
	if u.probe != nil {
		return guard.Feed{}, u.probe
	}
	return u.stage.Probe(of, spec, p)
}

func (u *unmade) Counters(of metric.Subject, spec v1alpha1.Analysis, m v1alpha1.Metric) (guard.Feed, error) {
	if u.counters != nil {
		return guard.Feed{}, u.counters
	}
	return u.stage.Counters(of, spec, m)
}

func (u *unmade) Number(of metric.Subject, spec v1alpha1.Analysis, m v1alpha1.Metric) (guard.Reader, error) {
	if u.number != nil {
		return guard.Reader{}, u.number
	}
	return u.stage.Number(of, spec, m)
}

// TestCheck finds what is wrong in itself, and only that.
func TestCheck(t *testing.T) {
	unset := fault.New(fault.Usage, "environments.prod.analysis.prometheus.token", "environment variable TOKEN is not set").WithHint("export it")
	away := fault.New(fault.Unreachable, "find the ingress controller", "the API server is away")
	for name, test := range map[string]struct {
		damage func(u *unmade)
		says   string
	}{
		"nothing":                         {func(*unmade) {}, ""},
		"nobody was counted yet":          {func(u *unmade) { u.requests.err = metric.ErrNoData }, ""},
		"a source is down":                {func(u *unmade) { u.requests.err, u.stage.counters["logins"].err = down(), down() }, ""},
		"a source does not answer":        {func(u *unmade) { u.requests.hangs = make(chan struct{}) }, ""},
		"no bucket at the limit":          {func(u *unmade) { u.requests.err = never() }, "does not count requests slower than 200ms"},
		"a query that cannot be asked":    {func(u *unmade) { u.stage.counters["logins"].err = never() }, "does not count requests slower than 200ms"},
		"a probe that cannot be made":     {func(u *unmade) { u.probe = unset }, "TOKEN"},
		"counters that cannot be made":    {func(u *unmade) { u.counters = unset }, "TOKEN"},
		"counters that are away":          {func(u *unmade) { u.counters = away }, ""},
		"a number that cannot be made":    {func(u *unmade) { u.number = unset }, "TOKEN"},
		"a number that is away":           {func(u *unmade) { u.number = away }, ""},
		"a number that cannot be asked":   {func(u *unmade) { u.numbers["load"].err = never() }, "does not count requests slower than 200ms"},
		"a number is of no candidate yet": {func(u *unmade) { u.numbers["load"].err = metric.NoData("", "no such series") }, ""},
		"a condition that is none":        {func(u *unmade) { u.scene.Spec.Metrics[1].Condition = "much" }, `"much" is no comparison`},
		"probes alone":                    {func(u *unmade) { u.scene.Spec.Source = &v1alpha1.RequestSource{Probe: &v1alpha1.Probe{}} }, ""},
		"probes alone that cannot be made": {func(u *unmade) {
			u.scene.Spec.Source, u.probe = &v1alpha1.RequestSource{Probe: &v1alpha1.Probe{}}, unset
		}, "TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unmade{stage: newStage(t, v1alpha1.Analysis{Probe: &v1alpha1.Probe{}, Metrics: []v1alpha1.Metric{{Name: "logins"}, {Name: "load", Condition: "< 3"}}})}
			u.scene.Subject.Header, u.scene.Step, u.scene.Weight = v1alpha1.Header{}, 0, 0
			test.damage(u)
			if u.requests.hangs != nil {
				defer close(u.requests.hangs)
			}
			g := guard.New(guard.Options{Sources: u})
			err := g.Check(t.Context(), u.scene)
			switch {
			case test.says == "" && err != nil:
				t.Errorf("it says %v", err)
			case test.says != "" && (!fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), test.says) || fault.HintOf(err) == ""):
				t.Errorf("it says %v (%s)", err, fault.HintOf(err))
			}
			if u.stage.probe.asked() > 0 {
				t.Error("probes were sent")
			}
		})
	}
}
