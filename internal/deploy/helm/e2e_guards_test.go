//go:build e2e

package helm

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
	"github.com/sluice-dev/sluice/internal/fault"
)

func (p *place) preflight(r deploytest.Release) error {
	return p.releaser.Preflight(context.Background(), deploy.Request{
		Scope: p.scope, Slot: blue, Live: none, Release: r.Release, Ref: r.Ref, DeployDigest: r.Digest, Plan: slotPlan("blueGreen"), Rollout: 1, Generation: 1,
	})
}

func TestAServedHostIsNotTaken(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.installForeignAs(t, "web", map[string]any{"httpRoute": true})
	err := p.preflight(p.release("v1", map[string]any{"httpRoute": true}))
	if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "name the service web") {
		t.Fatalf("have %v, hint %q", err, fault.HintOf(err))
	}
	for _, want := range []string{"Ingress/web-shop of the Helm release web", "HTTPRoute/web-shop of the Helm release web", p.host} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message lacks %q: %v", want, err)
		}
	}
	if have := p.names(t, "services") + ", " + p.names(t, "ingresses"); have != "web-shop, web-shop" {
		t.Errorf("something was written: %s", have)
	}
	if err := p.preflight(p.release("v1", map[string]any{"host": "other-" + p.host})); err != nil {
		t.Errorf("another host: %v", err)
	}
	if err := p.deploy(t, blue, none, slotPlan("blueGreen"), p.release("v1", map[string]any{"host": "other-" + p.host}), 1); err != nil {
		t.Fatal(err)
	}
	if err := p.preflight(p.release("v2", map[string]any{"host": "other-" + p.host})); err != nil {
		t.Errorf("a second attempt: %v", err)
	}
}

func TestAVolumePerSlotMustBeMeant(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.release("v1", map[string]any{"pvc": true})
	if err := p.preflight(r); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "PersistentVolumeClaim/shop-data") {
		t.Errorf("have %v", err)
	}
	r.Release.Spec.PerSlot = []string{"PersistentVolumeClaim/shop-data"}
	if err := p.deploy(t, blue, none, slotPlan("blueGreen"), r, 1); err != nil {
		t.Fatal(err)
	}
	list, err := p.releaser.kube.CoreV1().PersistentVolumeClaims(p.scope.Namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Name != "shop-blue-data" {
		t.Errorf("claims: %+v", list.Items)
	}
}
