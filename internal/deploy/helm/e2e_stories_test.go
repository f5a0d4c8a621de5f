//go:build e2e

package helm

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
	"github.com/sluice-dev/sluice/internal/fault"
)

func TestBadReleasesTellTheirCause(t *testing.T) {
	for _, c := range []struct {
		name   string
		values map[string]any
		change func(*deploytest.Release)
		reason string
		fatal  bool
		log    string
	}{
		{name: "crash", reason: "CrashLoopBackOff", fatal: true, log: "the configuration is missing"},
		{name: "oom", reason: "OOMKilled", fatal: true},
		{name: "unready", reason: "NotReady"},
		{name: "image", reason: "ImagePull", fatal: true, change: func(r *deploytest.Release) {
			r.Release.Images["shop"] = "localhost:5000/helm-e2e/server:absent"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			r := p.release(c.name, c.values)
			if c.change != nil {
				c.change(&r)
			}
			if err := p.deploy(t, blue, none, slotPlan("canary"), r, 1); err != nil {
				t.Fatal(err)
			}
			o := p.until(t, c.reason, func(o deploy.Observation) bool {
				for _, f := range o.Slots[blue].Facts {
					if strings.Contains(f.Reason, c.reason) && f.Fatal == c.fatal && strings.Contains(f.Log, c.log) {
						return true
					}
				}
				return false
			})
			t.Log(o.Slots[blue].Facts)
		})
	}
}

func TestWhatTheServerRefusesIsNeverApplied(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.mustDeploy(t, blue, none, slotPlan("blueGreen"), p.release("v1", nil), 1)
	for name, values := range map[string]map[string]any{
		"unknown field":    {"extra": map[string]any{"replicaz": 3}},
		"invalid value":    {"extra": map[string]any{"minReadySeconds": -1}},
		"unchangeable one": {"instance": "other"},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.deploy(t, blue, none, slotPlan("blueGreen"), p.release("v2", values), 2)
			if !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "Deployment/shop-blue (shop/templates/deployment.yaml)") {
				t.Errorf("have %v", err)
			}
			if s := p.until(t, "observed", func(deploy.Observation) bool { return true }).Slots[blue]; s.HelmRevision != 1 || !s.IsReady() {
				t.Errorf("something was written: %+v", s)
			}
		})
	}
}

func TestQuotaIsAFatalFact(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ctx := context.Background()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")},
	}}
	if _, err := p.releaser.kube.CoreV1().ResourceQuotas(p.scope.Namespace).Create(ctx, quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := p.deploy(t, blue, none, slotPlan("canary"), p.release("v1", nil), 1); err != nil {
		t.Fatal(err)
	}
	o := p.until(t, "quota", func(o deploy.Observation) bool { _, fatal := o.Slots[blue].Fatal(); return fatal })
	if f, _ := o.Slots[blue].Fatal(); f.Reason != "FailedCreate" || !strings.Contains(f.Message, "exceeded quota: small") {
		t.Errorf("have %+v", f)
	}
}

func TestMigrationsRunOncePerRelease(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	plan := slotPlan("blueGreen")
	run := func(command string) map[string]any {
		return map[string]any{"seed": true, "migration": map[string]any{"enabled": true, "command": command}}
	}
	p.mustDeploy(t, blue, none, plan, p.release("v1", run("succeed")), 1)
	if have := p.names(t, "jobs"); have != "shop-blue-migrate shop-blue-seed" {
		t.Errorf("jobs of the first installation: %s", have)
	}
	p.mustDeploy(t, green, blue, plan, p.release("v2", run("succeed")), 2)
	if have := p.names(t, "jobs"); have != "shop-blue-migrate shop-blue-seed shop-green-migrate" {
		t.Errorf("jobs of the second release: %s", have)
	}
	err := p.deploy(t, blue, green, plan, p.release("v3", run("fail")), 3)
	if !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "shop-blue-migrate") || !strings.Contains(err.Error(), "column exists") {
		t.Errorf("a failing hook: %v", err)
	}
	o := p.until(t, "blue is broken", func(o deploy.Observation) bool { return o.Slots[blue].State == deploy.Broken })
	if s := o.Slots[blue]; s.HelmRevision != 2 {
		t.Errorf("blue after the failing hook: %+v", s)
	}
	p.mustDeploy(t, blue, green, plan, p.release("v4", run("succeed")), 4)
}

func TestDeleteHooksRunOnlyWhenTheServiceGoes(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	plan := slotPlan("blueGreen")
	values := map[string]any{"farewell": true}
	p.mustDeploy(t, blue, none, plan, p.release("v1", values), 1)
	p.mustDeploy(t, green, blue, plan, p.release("v2", values), 2)
	p.retire(t, blue, green, plan, true, 2)
	if have := p.names(t, "jobs"); have != "" {
		t.Errorf("a delete hook ran beside the live slot: %s", have)
	}
	p.retire(t, green, none, plan, true, 3)
	if have := p.names(t, "jobs"); have != "shop-green-farewell" {
		t.Errorf("jobs after the service is gone: %q", have)
	}
}

func TestInterruptedHookIsAwaited(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	plan := slotPlan("blueGreen")
	p.mustDeploy(t, blue, none, plan, p.release("v1", nil), 1)
	slow := p.release("v2", map[string]any{"migration": map[string]any{"enabled": true, "command": "slow"}})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(4*time.Second, cancel)
	err := p.releaser.Deploy(ctx, deploy.Request{
		Scope: p.scope, Slot: green, Live: blue, Release: slow.Release, Ref: slow.Ref, DeployDigest: slow.Digest, Plan: plan, Rollout: 2, Generation: 2,
	})
	if !fault.Is(err, fault.Interrupted) {
		t.Fatalf("want interrupted, have %v", err)
	}
	job, err := p.releaser.kube.BatchV1().Jobs(p.scope.Namespace).Get(context.Background(), "shop-green-migrate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if o := p.until(t, "pending", func(o deploy.Observation) bool { return o.Slots[green].State == deploy.Pending }); o.Slots[green].Foreign {
		t.Errorf("our own pending revision is foreign: %+v", o.Slots[green])
	}
	p.mustDeploy(t, green, blue, plan, slow, 3)
	after, err := p.releaser.kube.BatchV1().Jobs(p.scope.Namespace).Get(context.Background(), "shop-green-migrate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.UID != job.UID {
		t.Error("the running migration was replaced")
	}
}

func TestPendingRevisionOfOursIsCleared(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	plan := slotPlan("blueGreen")
	p.mustDeploy(t, blue, none, plan, p.release("v1", nil), 1)
	p.pend(t, "shop-blue", 1, nil)
	p.until(t, "pending", func(o deploy.Observation) bool { return o.Slots[blue].State == deploy.Pending })
	s := p.mustDeploy(t, blue, none, plan, p.release("v1", nil), 2)
	if s.HelmRevision != 2 {
		t.Errorf("after clearing: %+v", s)
	}
}

func TestCapacityFollowsTheLiveSlot(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	plan := slotPlan("blueGreen")
	values := map[string]any{"replicas": nil, "hpa": map[string]any{"enabled": true, "min": 1, "max": 5}}
	p.mustDeploy(t, blue, none, plan, p.release("v1", values), 1)
	ctx := context.Background()
	s, err := p.releaser.open(ctx, p.scope, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	live := blue
	if err := s.scale("deployments", "shop-blue", 3); err != nil {
		t.Fatal(err)
	}
	for i, next := range []v1alpha1.Slot{green, blue, green} {
		rollout := i + 2
		p.until(t, "live ready", func(o deploy.Observation) bool { return o.Slots[live].IsReady() && o.Slots[live].Desired == 3 })
		seen := p.mustDeploy(t, next, live, plan, p.release(fmt.Sprintf("v%d", rollout), values), rollout)
		if seen.Desired != 3 {
			t.Errorf("rollout %d: %d replicas, want the live slot's 3", rollout, seen.Desired)
		}
		for _, slot := range []v1alpha1.Slot{live, next} {
			h, err := p.releaser.kube.AutoscalingV2().HorizontalPodAutoscalers(p.scope.Namespace).Get(ctx, "shop-"+string(slot), metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if *h.Spec.MinReplicas != 3 {
				t.Errorf("rollout %d: minReplicas of %s is %d while both slots are there", rollout, slot, *h.Spec.MinReplicas)
			}
		}
		p.retire(t, live, next, plan, false, rollout)
		h, err := p.releaser.kube.AutoscalingV2().HorizontalPodAutoscalers(p.scope.Namespace).Get(ctx, "shop-"+string(next), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if *h.Spec.MinReplicas != 1 {
			t.Errorf("rollout %d: minReplicas is still pinned at %d", rollout, *h.Spec.MinReplicas)
		}
		live = next
	}
}
