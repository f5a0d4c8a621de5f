//go:build e2e

package helm

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// dying lets a number of writes through and fails everything after them, as the API server sees a process that is killed.
type dying struct {
	next http.RoundTripper
	left *atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (d *dying) RoundTrip(req *http.Request) (*http.Response, error) {
	if d.left.Load() < 0 {
		return nil, errors.New("killed")
	}
	if req.Method != http.MethodGet && d.left.Add(-1) < 0 {
		return nil, errors.New("killed")
	}
	return d.next.RoundTrip(req)
}

// mortal is a releaser that dies after n writes.
func (p *place) mortal(t *testing.T, n int64) *Releaser {
	t.Helper()
	left := &atomic.Int64{}
	left.Store(n)
	config := rest.CopyConfig(p.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &dying{next: next, left: left} })
	r, err := New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// untilDone does an act again and again, each time with one write more before it dies, each time as a new driver.
func (p *place) untilDone(t *testing.T, what string, generation *int64, act func(r *Releaser) error) {
	t.Helper()
	for n := range int64(60) {
		*generation++
		err := act(p.mortal(t, n))
		if err == nil {
			t.Logf("%s: done after dying %d times", what, n)
			if n < 2 {
				t.Errorf("%s: was never interrupted", what)
			}
			return
		}
	}
	t.Fatalf("%s: never done", what)
}

func TestDyingAtEveryWriteLosesNothing(t *testing.T) {
	p := newPlace(t)
	ctx := context.Background()
	p.installForeign(t, nil)
	probe := p.probe(t)
	slots, plain := slotPlan("blueGreen"), slotPlan("direct")
	var generation int64
	deployTo := func(slot, live v1alpha1.Slot, plan v1alpha1.Plan, version string) deploy.Slot {
		r := p.release(version, nil)
		p.untilDone(t, "deploy "+string(slot), &generation, func(releaser *Releaser) error {
			return releaser.Deploy(ctx, deploy.Request{
				Scope: p.scope, Slot: slot, Live: live, Release: r.Release, Ref: r.Ref, DeployDigest: r.Digest, Plan: plan, Rollout: 1, Generation: generation,
			})
		})
		o := p.until(t, string(slot), func(o deploy.Observation) bool { return o.Slots[slot].IsReady() && o.Slots[live].IsReady() })
		return o.Slots[slot]
	}
	retire := func(slot, live v1alpha1.Slot, plan v1alpha1.Plan, remove bool) {
		p.untilDone(t, "retire "+string(slot), &generation, func(releaser *Releaser) error {
			return releaser.Retire(ctx, deploy.RetireRequest{Scope: p.scope, Slot: slot, Live: live, Plan: plan, Remove: remove, Rollout: 1, Generation: generation})
		})
	}
	p.shift(t, deployTo(blue, direct, slots, "v2").Routes)
	retire(direct, blue, slots, true)
	p.shift(t, deployTo(green, blue, slots, "v3").Routes)
	retire(blue, green, slots, false)
	p.shift(t, deployTo(direct, green, plain, "v4").Routes)
	retire(green, direct, plain, true)
	time.Sleep(time.Second)
	o := p.until(t, "only direct", func(o deploy.Observation) bool { return len(o.Slots) == 1 && o.Slots[direct].IsReady() })
	if o.Slots[direct].DeployDigest != "deploy-v4" {
		t.Errorf("at the end: %+v", o.Slots[direct])
	}
	if have := p.names(t, "ingresses"); have != "shop" {
		t.Errorf("ingresses: %s", have)
	}
	p.upgradeForeign(t, "v5")
	probe.lost(t)
}
