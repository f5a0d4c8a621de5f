package deploytest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
)

func release(version string) deploytest.Release {
	return deploytest.Release{
		Release: &v1alpha1.Release{Service: "shop", Version: version},
		Ref:     v1alpha1.ReleaseRef{Ref: "registry/shop@sha256:" + version, Digest: "sha256:" + version, Version: version},
		Digest:  "deploy-" + version,
	}
}

func TestFakeKeepsTheContract(t *testing.T) {
	deploytest.Contract(t, func(*testing.T) deploytest.Subject {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		fake := deploytest.NewFake(func() time.Time { return now })
		scope := deploy.Scope{Service: "shop", Environment: "dev", Namespace: "shop-dev"}
		fake.Behave("deploy-2", deploytest.Behaviour{ReadyAfter: 3 * time.Second})
		fake.Behave("deploy-3", deploytest.Behaviour{Never: true, Facts: []v1alpha1.PodFact{
			{Pod: "shop-1", Container: "shop", Reason: "CrashLoopBackOff", Fatal: true, Log: "panic: no"},
		}})
		return deploytest.Subject{
			Releaser: fake, Scope: scope, Good: release("1"), Better: release("2"), Bad: release("3"),
			Plan: v1alpha1.Plan{Slots: true}, Direct: v1alpha1.Plan{},
			Until: func(t *testing.T, what string, ok func(deploy.Observation) bool) deploy.Observation {
				t.Helper()
				for range 10 {
					o, err := fake.Observe(context.Background(), scope)
					if err != nil {
						t.Fatal(err)
					}
					if ok(o) {
						return o
					}
					now = now.Add(time.Second)
				}
				t.Fatalf("never: %s; have %+v", what, fake.Peek(scope))
				return deploy.Observation{}
			},
			InstallForeign: func(*testing.T) { fake.InstallForeign(scope) },
			PendForeign:    func(*testing.T) { fake.PendForeign(scope, v1alpha1.SlotDirect, "shop v1") },
		}
	})
}

func TestFakeDiesDuringDeploy(t *testing.T) {
	fake := deploytest.NewFake(nil)
	scope := deploy.Scope{Service: "shop", Environment: "dev", Namespace: "shop-dev"}
	died := errors.New("died")
	fake.Hook(func(_ context.Context, c deploytest.Call) error {
		if c.Moment == deploytest.During {
			return died
		}
		return nil
	})
	req := deploy.Request{Scope: scope, Slot: v1alpha1.SlotBlue, DeployDigest: "d", Rollout: 1, Generation: 1}
	if err := fake.Deploy(context.Background(), req); !errors.Is(err, died) {
		t.Fatalf("want the hook's error, have %v", err)
	}
	if s := fake.Peek(scope).Slots[v1alpha1.SlotBlue]; s.State != deploy.Pending || s.IsReady() {
		t.Errorf("a deployment cut off in the middle: %+v", s)
	}
	fake.Hook(nil)
	req.Generation = 2
	if err := fake.Deploy(context.Background(), req); err != nil {
		t.Fatal(err)
	}
	if s := fake.Peek(scope).Slots[v1alpha1.SlotBlue]; !s.IsReady() || len(fake.Calls()) != 2 {
		t.Errorf("deployed again: %+v after %d calls", s, len(fake.Calls()))
	}
}

func TestFakeFailingHook(t *testing.T) {
	fake := deploytest.NewFake(nil)
	failed := errors.New("hook failed")
	fake.Behave("d", deploytest.Behaviour{Err: failed})
	scope := deploy.Scope{Service: "shop", Environment: "dev", Namespace: "shop-dev"}
	err := fake.Deploy(context.Background(), deploy.Request{Scope: scope, Slot: v1alpha1.SlotBlue, DeployDigest: "d"})
	if !errors.Is(err, failed) || fake.Peek(scope).Slots[v1alpha1.SlotBlue].State != deploy.Broken {
		t.Errorf("want a broken slot and the hook's error, have %v and %+v", err, fake.Peek(scope))
	}
}
