//go:build e2e

package helm

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
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

// freezing stops at the first request that matches, until it is woken.
type freezing struct {
	next   http.RoundTripper
	match  func(*http.Request) bool
	frozen chan struct{}
	wake   chan struct{}
	once   *sync.Once
}

// RoundTrip implements http.RoundTripper.
func (f *freezing) RoundTrip(req *http.Request) (*http.Response, error) {
	if f.match(req) {
		f.once.Do(func() { close(f.frozen); <-f.wake })
	}
	return f.next.RoundTrip(req)
}

// freezer is a releaser that stops once before a request whose path has the suffix.
func (p *place) freezer(t *testing.T, suffix string) (r *Releaser, frozen, wake chan struct{}) {
	t.Helper()
	frozen, wake = make(chan struct{}), make(chan struct{})
	once := &sync.Once{}
	config := rest.CopyConfig(p.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &freezing{next: next, frozen: frozen, wake: wake, once: once, match: func(r *http.Request) bool {
			return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, suffix)
		}}
	})
	r, err := New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, frozen, wake
}

func TestFrozenRetireFreesNothingWhenItWakes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	plan := slotPlan("blueGreen")
	for name, meanwhile := range map[string]func(t *testing.T, p *place){
		"another slot was retired": func(t *testing.T, p *place) { p.retire(t, green, blue, plan, false, 3) },
		"traffic was brought back": func(t *testing.T, p *place) {
			_, err := p.releaser.kube.NetworkingV1().Ingresses(p.scope.Namespace).Create(ctx, &networkingv1.Ingress{
				ObjectMeta: metav1.ObjectMeta{
					Name: "shop", Labels: map[string]string{v1alpha1.LabelService: "shop"}, Annotations: map[string]string{v1alpha1.AnnotationGeneration: "3"},
				},
				Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{
					Service: &networkingv1.IngressServiceBackend{Name: "shop-blue", Port: networkingv1.ServiceBackendPort{Number: 80}},
				}},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.mustDeploy(t, blue, none, plan, p.release("v1", nil), 1)
			p.mustDeploy(t, green, blue, plan, p.release("v2", nil), 2)
			slow, frozen, wake := p.freezer(t, "/deployments")
			failed := make(chan error)
			go func() {
				failed <- slow.Retire(ctx, deploy.RetireRequest{Scope: p.scope, Slot: blue, Live: green, Plan: plan, Rollout: 2, Generation: 2})
			}()
			<-frozen
			meanwhile(t, p)
			time.Sleep(stale)
			close(wake)
			if err := <-failed; !fault.Is(err, fault.Conflict) {
				t.Errorf("the driver that woke: want a conflict, have %v", err)
			}
			o, err := p.releaser.Observe(ctx, p.scope)
			if err != nil {
				t.Fatal(err)
			}
			if s := o.Slots[blue]; !s.IsReady() {
				t.Errorf("the driver that woke freed the live slot: %+v", s)
			}
		})
	}
}

func TestFrozenDriverChangesNothingWhenItWakes(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ctx := context.Background()
	plan := v1alpha1.Plan{Strategy: "direct", Timeout: v1alpha1.Duration(time.Minute)}
	good := p.mustDeploy(t, direct, none, plan, p.release("v1", nil), 1)
	slow, frozen, wake := p.freezer(t, "/services/shop")
	bad := p.release("crash", nil)
	failed := make(chan error)
	go func() {
		failed <- slow.Deploy(ctx, deploy.Request{
			Scope: p.scope, Slot: direct, Live: direct, Release: bad.Release, Ref: bad.Ref, DeployDigest: bad.Digest, Plan: plan, Rollout: 2, Generation: 2,
		})
	}()
	<-frozen
	err := p.releaser.Deploy(ctx, deploy.Request{
		Scope: p.scope, Slot: direct, Live: direct, Plan: plan, Rollout: 2, Generation: 3,
		Restore: &v1alpha1.ReturnTarget{Slot: direct, DeployDigest: good.DeployDigest, HelmRevision: good.HelmRevision},
	})
	if err != nil {
		t.Fatal(err)
	}
	before := p.until(t, "restored", func(o deploy.Observation) bool {
		return o.Slots[direct].IsReady() && o.Slots[direct].DeployDigest == "deploy-v1"
	})
	time.Sleep(stale)
	close(wake)
	if err := <-failed; !fault.Is(err, fault.Conflict) {
		t.Errorf("the driver that woke: want a conflict, have %v", err)
	}
	after, err := p.releaser.Observe(ctx, p.scope)
	if err != nil {
		t.Fatal(err)
	}
	if s := after.Slots[direct]; !s.IsReady() || s.HelmRevision != before.Slots[direct].HelmRevision || s.DeployDigest != "deploy-v1" {
		t.Errorf("the driver that woke changed something: %+v", s)
	}
}
