//go:build e2e

package helm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"bytes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
	"github.com/sluice-dev/sluice/internal/fault"
)

// prober sends requests through the entry and to the stable Service until it is stopped, each on a connection of its own.
type prober struct {
	mu       sync.Mutex
	sent     int
	failures []string
	seen     map[string]int
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

func (p *place) probe(t *testing.T) *prober {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pr := &prober{stop: cancel, seen: map[string]int{}}
	entry := "http://127.0.0.1:8080/"
	service, err := p.releaser.kube.CoreV1().Services(p.scope.Namespace).Get(ctx, "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inside := "http://" + service.Spec.ClusterIP + "/"
	p.waitEntry(t, entry)
	for _, url := range []string{entry, inside} {
		pr.wg.Go(func() {
			client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for ctx.Err() == nil {
				pr.once(client, url, p.host)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); pr.wg.Wait() })
	return pr
}

func (p *place) waitEntry(t *testing.T, entry string) {
	t.Helper()
	for range 100 {
		req, _ := http.NewRequest(http.MethodGet, entry, nil)
		req.Host = p.host
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the entry never served %s", p.host)
}

func (pr *prober) once(client *http.Client, url, host string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return
	}
	req.Host = host
	res, err := client.Do(req)
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.sent++
	if err != nil {
		pr.failures = append(pr.failures, time.Now().Format("15:04:05.000 ")+err.Error())
		return
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	mode, _, _ := strings.Cut(string(body), " ")
	pr.seen[url[:12]+mode]++
	if res.StatusCode != http.StatusOK {
		pr.failures = append(pr.failures, time.Now().Format("15:04:05.000 ")+url+" "+res.Status)
	}
}

// lost ends the probing and fails the test if a request was lost.
func (pr *prober) lost(t *testing.T) {
	t.Helper()
	pr.stop()
	pr.wg.Wait()
	t.Logf("%d requests: %v", pr.sent, pr.seen)
	if len(pr.failures) > 0 {
		t.Errorf("%d of %d requests failed, first %v", len(pr.failures), pr.sent, pr.failures[:min(5, len(pr.failures))])
	}
	if pr.sent < 100 {
		t.Errorf("only %d requests were sent", pr.sent)
	}
}

// shift does what a router does at 100 %: the route to the slot's Service, then the stable Service to the slot's pods.
func (p *place) shift(t *testing.T, routes v1alpha1.Routes) {
	t.Helper()
	s, err := p.releaser.open(context.Background(), p.scope, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	apply := func(manifest string) {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON([]byte(manifest)); err != nil {
			t.Fatal(err)
		}
		at, err := s.resource(object{Unstructured: u})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := at.Apply(s.ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: v1alpha1.FieldManager, Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range routes.Objects {
		text := string(r.Manifest)
		for _, service := range routes.Services {
			for _, at := range []string{`"service":{"name":%q`, `"backendRefs":[{"name":%q`} {
				text = strings.ReplaceAll(text, fmt.Sprintf(at, service.Name), fmt.Sprintf(at, service.SlotService))
			}
		}
		apply(text)
	}
	for _, service := range routes.Services {
		apply(string(service.Manifest))
	}
	time.Sleep(3 * time.Second)
}

func (p *place) deploy(t *testing.T, slot, live v1alpha1.Slot, plan v1alpha1.Plan, r deploytest.Release, rollout int) error {
	t.Helper()
	return p.releaser.Deploy(context.Background(), deploy.Request{
		Scope: p.scope, Slot: slot, Live: live, Release: r.Release, Ref: r.Ref, DeployDigest: r.Digest, Plan: plan, Rollout: rollout, Generation: int64(rollout),
	})
}

func (p *place) retire(t *testing.T, slot, live v1alpha1.Slot, plan v1alpha1.Plan, remove bool, rollout int) {
	t.Helper()
	err := p.releaser.Retire(context.Background(), deploy.RetireRequest{
		Scope: p.scope, Slot: slot, Live: live, Plan: plan, Remove: remove, Rollout: rollout, Generation: int64(rollout),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) mustDeploy(t *testing.T, slot, live v1alpha1.Slot, plan v1alpha1.Plan, r deploytest.Release, rollout int) deploy.Slot {
	t.Helper()
	if err := p.deploy(t, slot, live, plan, r, rollout); err != nil {
		t.Fatalf("deploy %s: %v", slot, err)
	}
	o := p.until(t, string(slot)+" ready", func(o deploy.Observation) bool { return o.Slots[slot].IsReady() })
	return o.Slots[slot]
}

const (
	none   = v1alpha1.SlotNone
	direct = v1alpha1.SlotDirect
	blue   = v1alpha1.SlotBlue
	green  = v1alpha1.SlotGreen
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

// upgradeForeign is a plain `helm upgrade --wait` without any force.
func (p *place) upgradeForeign(t *testing.T, mode string) {
	t.Helper()
	g := newGetter(context.Background(), p.config, p.scope.Namespace, func() error { return nil })
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(p.releaser.log))
	if err := cfg.Init(g, p.scope.Namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadArchive(bytes.NewReader(p.chart))
	if err != nil {
		t.Fatal(err)
	}
	a := action.NewUpgrade(cfg)
	a.Namespace, a.WaitStrategy, a.Timeout = p.scope.Namespace, kube.StatusWatcherStrategy, time.Minute
	if _, err := a.Run("shop", c, map[string]any{"image": p.image, "host": p.host, "mode": mode}); err != nil {
		t.Errorf("plain Helm cannot go on: %v", err)
	}
}

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

func TestInterruptedHookIsAwaited(t *testing.T) {
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

func TestSharedObjectsLiveOnce(t *testing.T) {
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

// volume makes sure that a claim of the namespace is bound where the cluster has no storage class.
func (p *place) volume(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	classes, err := p.releaser.kube.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(classes.Items) > 0 {
		return
	}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: p.scope.Namespace}, Spec: corev1.PersistentVolumeSpec{
		Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		ClaimRef:    &corev1.ObjectReference{Namespace: p.scope.Namespace, Name: "shop-data"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: t.TempDir()},
		},
	}}
	if _, err := p.releaser.kube.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.releaser.kube.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	})
}
