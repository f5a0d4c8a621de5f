//go:build e2e

package helm

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

func TestTakeoverThenSlotsThenDirectLosesNothing(t *testing.T) {
	p := newPlace(t)
	p.installForeign(t, nil)
	probe := p.probe(t)
	slots, plain := slotPlan("blueGreen"), slotPlan("direct")

	if err := p.deploy(t, blue, direct, slots, p.release("crash", nil), 1); err != nil {
		t.Fatal(err)
	}
	p.until(t, "blue crashes", func(o deploy.Observation) bool { _, fatal := o.Slots[blue].Fatal(); return fatal })
	if have, want := p.names(t, "services"), "shop shop-blue shop-direct"; have != want {
		t.Errorf("services after the takeover: %s, want %s", have, want)
	}
	if have := p.names(t, "ingresses"); have != "shop" {
		t.Errorf("ingresses after the takeover: %s", have)
	}
	p.retire(t, blue, direct, slots, true, 1)
	o := p.until(t, "blue gone", func(o deploy.Observation) bool { return len(o.Slots) == 1 })
	old := o.Slots[direct]
	if !old.Foreign || !old.IsReady() || old.Routes.SlotService("shop") != "shop-direct" || len(old.Routes.Objects) != 1 {
		t.Errorf("the foreign slot after a bad release: %+v", old)
	}

	live := p.mustDeploy(t, blue, direct, slots, p.release("v2", nil), 2)
	p.shift(t, live.Routes)
	p.retire(t, direct, blue, slots, true, 2)
	if have := p.names(t, "services"); have != "shop shop-blue" {
		t.Errorf("services after direct was retired: %s", have)
	}

	live = p.mustDeploy(t, direct, blue, plain, p.release("v3", nil), 3)
	p.shift(t, live.Routes)
	p.retire(t, blue, direct, plain, true, 3)
	p.retire(t, blue, direct, plain, true, 3)
	o = p.until(t, "only direct", func(o deploy.Observation) bool { return len(o.Slots) == 1 })
	if s := o.Slots[direct]; !s.IsReady() || s.Routes.SlotService("shop") != "shop" || s.DeployDigest != "deploy-v3" {
		t.Errorf("direct after the hand-back: %+v", s)
	}
	time.Sleep(time.Second)
	p.mustDeploy(t, direct, direct, v1alpha1.Plan{Strategy: "direct"}, p.release("v4", nil), 4)
	if have := p.names(t, "services"); have != "shop" {
		t.Errorf("services after the next direct deployment: %s", have)
	}
	if have := p.names(t, "ingresses"); have != "shop" {
		t.Errorf("ingresses at the end: %s", have)
	}
	p.upgradeForeign(t, "v5")
	probe.lost(t)
}

func TestTakeoverOfAnHTTPRouteLosesNothing(t *testing.T) {
	p := newPlace(t)
	values := map[string]any{"ingress": false, "httpRoute": true}
	p.installForeign(t, values)
	probe := p.probe(t)
	slots, plain := slotPlan("canary"), slotPlan("direct")
	live := p.mustDeploy(t, blue, direct, slots, p.release("v2", values), 1)
	p.shift(t, live.Routes)
	p.retire(t, direct, blue, slots, true, 1)
	live = p.mustDeploy(t, direct, blue, plain, p.release("v3", values), 2)
	p.shift(t, live.Routes)
	p.retire(t, blue, direct, plain, true, 2)
	time.Sleep(time.Second)
	p.mustDeploy(t, direct, direct, v1alpha1.Plan{Strategy: "direct"}, p.release("v4", values), 3)
	if have := p.names(t, "services"); have != "shop" {
		t.Errorf("services at the end: %s", have)
	}
	probe.lost(t)
}

func TestDirectTakesItsRoutesBackInPlace(t *testing.T) {
	p := newPlace(t)
	p.volume(t)
	const claim = "PersistentVolumeClaim/shop-data"
	values := map[string]any{"pvc": true}
	p.installForeign(t, values)
	probe := p.probe(t)
	slots, plain := slotPlan("blueGreen"), v1alpha1.Plan{Strategy: "direct", Spec: v1alpha1.Service{Shared: []string{claim}}}
	if err := p.deploy(t, blue, direct, slots, p.release("crash", values, claim), 1); err != nil {
		t.Fatal(err)
	}
	p.retire(t, blue, direct, slots, true, 1)
	o := p.until(t, "blue gone", func(o deploy.Observation) bool { return len(o.Slots) == 1 })
	before := o.Slots[direct]

	// A bad release in place, and back: the revision to go back to does not list routes, Services and claim.
	if err := p.deploy(t, direct, direct, plain, p.release("crash", values, claim), 2); err != nil {
		t.Fatal(err)
	}
	err := p.releaser.Deploy(context.Background(), deploy.Request{
		Scope: p.scope, Slot: direct, Live: direct, Plan: plain, Rollout: 2, Generation: 2,
		Restore: &v1alpha1.ReturnTarget{Slot: direct, HelmRevision: before.HelmRevision, Foreign: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.until(t, "foreign again", func(o deploy.Observation) bool { return o.Slots[direct].IsReady() && o.Slots[direct].Foreign })

	p.mustDeploy(t, direct, direct, plain, p.release("v3", values, claim), 3)
	if have := p.names(t, "services"); have != "shop shop-direct" {
		t.Errorf("services after the routes came back: %s", have)
	}
	p.mustDeploy(t, direct, direct, plain, p.release("v4", values, claim), 4)
	if have := p.names(t, "services") + ", " + p.names(t, "ingresses"); have != "shop, shop" {
		t.Errorf("services and ingresses at the end: %s", have)
	}
	probe.lost(t)
	p.retire(t, direct, none, plain, true, 5)
	if have := p.names(t, "services") + p.names(t, "ingresses"); have != "" {
		t.Errorf("left after removal: %s", have)
	}
}

func TestSharedObjectsLiveOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.volume(t)
	values := map[string]any{"pvc": true, "replicas": 1}
	p.installForeign(t, values)
	slots, plain := slotPlan("blueGreen"), slotPlan("direct")
	const claim = "PersistentVolumeClaim/shop-data"
	claims := func() string {
		list, err := p.releaser.kube.CoreV1().PersistentVolumeClaims(p.scope.Namespace).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, c := range list.Items {
			out = append(out, c.Name+" of "+c.Annotations[releaseAnnotation])
		}
		return strings.Join(out, ", ")
	}
	s := p.mustDeploy(t, blue, direct, slots, p.release("v2", values, claim), 1)
	if have := claims(); have != "shop-data of shop-shared" {
		t.Errorf("claims beside the foreign release: %s", have)
	}
	p.shift(t, s.Routes)
	p.retire(t, direct, blue, slots, true, 1)
	s = p.mustDeploy(t, green, blue, slots, p.release("v3", values, claim), 2)
	p.shift(t, s.Routes)
	p.retire(t, blue, green, slots, false, 2)
	s = p.mustDeploy(t, direct, green, plain, p.release("v4", values, claim), 3)
	p.shift(t, s.Routes)
	p.retire(t, green, direct, plain, true, 3)
	if have := claims(); have != "shop-data of shop" {
		t.Errorf("claims after the hand-back: %s", have)
	}
	p.mustDeploy(t, direct, direct, v1alpha1.Plan{Strategy: "direct"}, p.release("v5", values, claim), 4)
	if have := claims(); have != "shop-data of shop" {
		t.Errorf("claims at the end: %s", have)
	}
	p.retire(t, direct, none, v1alpha1.Plan{Strategy: "direct"}, true, 5)
	if have := p.names(t, "services") + p.names(t, "ingresses"); have != "" {
		t.Errorf("left after removal: %s", have)
	}
}
