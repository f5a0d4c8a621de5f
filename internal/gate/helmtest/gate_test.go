package helmtest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	kubefake "helm.sh/helm/v4/pkg/kube/fake"
	"helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
)

// helmCluster is a fake of what Helm does to a cluster: tests end when and as it is told.
type helmCluster struct {
	kubefake.PrintingKubeClient
	create  error
	end     chan error
	created atomic.Int32
	// run is the one that the cluster was last used by.
	run atomic.Pointer[run]
}

func newHelmCluster() *helmCluster {
	return &helmCluster{PrintingKubeClient: kubefake.PrintingKubeClient{Out: io.Discard}, end: make(chan error, 10)}
}

func (c *helmCluster) Create(kube.ResourceList, ...kube.ClientCreateOption) (*kube.Result, error) {
	c.created.Add(1)
	return &kube.Result{}, c.create
}

func (c *helmCluster) GetWaiterWithOptions(s kube.WaitStrategy, o ...kube.WaitOption) (kube.Waiter, error) {
	w, err := c.PrintingKubeClient.GetWaiterWithOptions(s, o...)
	return &waiter{Waiter: w, end: c.end, ctx: c.run.Load().ctx}, err
}

type waiter struct {
	kube.Waiter
	ctx context.Context
	end chan error
}

// WatchUntilReady waits for the word how the test ended, as long as its run lasts.
func (w *waiter) WatchUntilReady(_ kube.ResourceList, timeout time.Duration) error {
	select {
	case err := <-w.end:
		return err
	case <-w.ctx.Done():
		return w.ctx.Err()
	case <-time.After(timeout):
		return context.DeadlineExceeded
	}
}

const testPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: calculator-green-test}\n"

func testHook(kind string) *releasev1.Hook {
	return &releasev1.Hook{Name: "calculator-green-test", Kind: kind, Manifest: testPod, Events: []releasev1.HookEvent{releasev1.HookTest}}
}

// newFixture makes a Tester whose release has these hooks and whose cluster these objects.
func newFixture(t *testing.T, helm *helmCluster, hooks []*releasev1.Hook, objects ...runtime.Object) (*Tester, *storage.Storage) {
	t.Helper()
	releases := storage.Init(&readOnly{Driver: driver.NewMemory()})
	rel := &releasev1.Release{
		Name: "calculator-green", Namespace: "default", Version: 3, Hooks: hooks, Info: &releasev1.Info{Status: common.StatusDeployed},
	}
	if err := releases.Create(rel); err != nil {
		t.Fatal(err)
	}
	tester := newTester(fake.NewClientset(objects...), func(r *run) (*action.Configuration, error) {
		helm.run.Store(r)
		cfg := action.NewConfiguration()
		cfg.KubeClient, cfg.Releases = helm, releases
		return cfg, nil
	})
	t.Cleanup(func() {
		// The tests of this file may be told of no end; what waits for one is let go.
		close(helm.end)
		if err := tester.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tester, releases
}

func failedPod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "calculator-green-test", Namespace: "default"}, Status: corev1.PodStatus{
		Phase: corev1.PodFailed,
		ContainerStatuses: []corev1.ContainerStatus{{Name: "check", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 7, Reason: "Error"},
		}}},
	}}
}

func subject() gate.Subject {
	return gate.Subject{Service: "calculator", Environment: "prod", Namespace: "default", Rollout: 4, Slot: v1alpha1.SlotGreen}
}

func newGate(t *testing.T, tester *Tester) gate.Gate {
	t.Helper()
	g, err := tester.Gate(v1alpha1.Gate{HelmTest: &v1alpha1.HelmTestGate{Timeout: v1alpha1.Duration(time.Minute)}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// settled asks until the tests have ended; a run ends in the background.
func settled(t *testing.T, tester *Tester, s gate.Subject) (v1alpha1.Verdict, string, error) {
	t.Helper()
	for {
		verdict, evidence, err := newGate(t, tester).Check(t.Context(), s)
		if err != nil || verdict != v1alpha1.Waiting {
			return verdict, evidence, err
		}
		tester.mu.Lock()
		r := tester.runs[place{namespace: s.Namespace, release: s.Slot.HelmRelease(s.Service)}]
		tester.mu.Unlock()
		<-r.done
	}
}

func TestContract(t *testing.T) {
	gatetest.Gate(t, gatetest.Harness{
		World: func(t *testing.T, verdict v1alpha1.Verdict) (gate.Gate, gate.Subject) {
			helm := newHelmCluster()
			var end error
			var objects []runtime.Object
			if verdict == v1alpha1.Failed {
				end, objects = errors.New("not ready"), []runtime.Object{failedPod()}
			}
			helm.end <- end
			tester, _ := newFixture(t, helm, []*releasev1.Hook{testHook("Pod")}, objects...)
			return newGate(t, tester), subject()
		},
		Unknown: func(t *testing.T) (gate.Gate, gate.Subject) {
			tester, _ := newFixture(t, newHelmCluster(), nil)
			return newGate(t, tester), gate.Subject{Service: "calculator"}
		},
		// The tests end in the background.
		Pass: func(*testing.T) { time.Sleep(time.Millisecond) },
	})
}

func TestVerdicts(t *testing.T) {
	gone := errors.New("resource Pod/default/calculator-green-test not ready. status: Failed")
	pods := schema.GroupResource{Resource: "pods"}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "calculator-green-test", Namespace: "default"}, Status: batchv1.JobStatus{
		Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}},
	}}
	for name, tt := range map[string]struct {
		hooks       []*releasev1.Hook
		objects     []runtime.Object
		create, end error
		verdict     v1alpha1.Verdict
		says        []string
	}{
		"passed":   {hooks: []*releasev1.Hook{testHook("Pod")}, verdict: v1alpha1.Passed, says: []string{"Pod calculator-green-test"}},
		"no tests": {verdict: v1alpha1.Failed, says: []string{"has no tests", "helm.sh/hook: test"}},
		"failed pod": {hooks: []*releasev1.Hook{testHook("Pod")}, objects: []runtime.Object{failedPod()}, end: gone, verdict: v1alpha1.Failed,
			says: []string{"pod calculator-green-test, container check: Error, exit code 7", "fake logs"}},
		"failed job whose pods are gone": {hooks: []*releasev1.Hook{testHook("Job")}, objects: []runtime.Object{job}, end: gone,
			verdict: v1alpha1.Failed, says: []string{"job calculator-green-test: BackoffLimitExceeded"}},
		"refused by a quota": {hooks: []*releasev1.Hook{testHook("Pod")}, create: apierrors.NewForbidden(pods, "x", errors.New("exceeded quota")),
			verdict: v1alpha1.Failed, says: []string{"could not start", "exceeded quota"}},
		"an API server that is down": {hooks: []*releasev1.Hook{testHook("Pod")}, create: apierrors.NewServiceUnavailable("down")},
		"a watch that broke":         {hooks: []*releasev1.Hook{testHook("Pod")}, end: errors.New("watch broke")},
	} {
		t.Run(name, func(t *testing.T) {
			helm := newHelmCluster()
			helm.create = tt.create
			helm.end <- tt.end
			tester, _ := newFixture(t, helm, tt.hooks, tt.objects...)
			verdict, evidence, err := settled(t, tester, subject())
			if verdict != tt.verdict || (err != nil) != (tt.verdict == "") {
				t.Fatalf("%q, %q, %v, want %q", verdict, evidence, err, tt.verdict)
			}
			if err != nil && !fault.Retry(err) {
				t.Errorf("%v is not tried again", err)
			}
			for _, part := range tt.says {
				if !strings.Contains(evidence, part) {
					t.Errorf("evidence %q lacks %q", evidence, part)
				}
			}
		})
	}
}

func TestOneRunPerQuestion(t *testing.T) {
	helm := newHelmCluster()
	tester, _ := newFixture(t, helm, []*releasev1.Hook{testHook("Pod")})
	for range 5 {
		if verdict, _, err := newGate(t, tester).Check(t.Context(), subject()); err != nil || verdict != v1alpha1.Waiting {
			t.Fatalf("%q, %v, want waiting", verdict, err)
		}
	}
	helm.end <- nil
	if _, _, err := settled(t, tester, subject()); err != nil {
		t.Fatal(err)
	}
	if n := helm.created.Load(); n != 1 {
		t.Errorf("the tests were started %d times for one question", n)
	}
	other := subject()
	other.Rollout++
	helm.end <- nil
	if verdict, _, err := settled(t, tester, other); err != nil || verdict != v1alpha1.Passed {
		t.Fatalf("%q, %v", verdict, err)
	}
	if n := helm.created.Load(); n != 2 {
		t.Errorf("%d runs for two rollouts", n)
	}
}

func TestErrorStartsAnew(t *testing.T) {
	helm := newHelmCluster()
	helm.end <- errors.New("watch broke")
	tester, _ := newFixture(t, helm, []*releasev1.Hook{testHook("Pod")})
	if _, _, err := settled(t, tester, subject()); err == nil {
		t.Fatal("want an error")
	}
	helm.end <- nil
	if verdict, evidence, err := settled(t, tester, subject()); err != nil || verdict != v1alpha1.Passed {
		t.Errorf("after the outage: %q, %q, %v", verdict, evidence, err)
	}
}

// recorder counts what reaches Helm's driver.
type recorder struct {
	driver.Driver
	updates atomic.Int32
}

func (r *recorder) Update(key string, rel release.Releaser) error {
	r.updates.Add(1)
	return r.Driver.Update(key, rel)
}

// TestReleaseStaysAsItIs: Helm would write back the revision that it read when the tests began.
func TestReleaseStaysAsItIs(t *testing.T) {
	helm := newHelmCluster()
	helm.end <- nil
	tester, releases := newFixture(t, helm, []*releasev1.Hook{testHook("Pod")})
	r := &recorder{Driver: driver.NewMemory()}
	found, err := releases.Last("calculator-green")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Create("sh.helm.release.v1.calculator-green.v3", found); err != nil {
		t.Fatal(err)
	}
	releases.Driver.(*readOnly).Driver = r
	if verdict, evidence, err := settled(t, tester, subject()); err != nil || verdict != v1alpha1.Passed {
		t.Fatalf("%q, %q, %v", verdict, evidence, err)
	}
	if n := r.updates.Load(); n > 0 {
		t.Errorf("the release was written %d times", n)
	}
}

func TestLeftOversAreDeletedFirst(t *testing.T) {
	hook := testHook("Pod")
	hook.DeletePolicies = []releasev1.HookDeletePolicy{releasev1.HookSucceeded}
	_, releases := newFixture(t, newHelmCluster(), []*releasev1.Hook{hook})
	found, err := releases.Last("calculator-green")
	if err != nil {
		t.Fatal(err)
	}
	policies := found.(*releasev1.Release).Hooks[0].DeletePolicies
	if len(policies) != 2 || policies[1] != releasev1.HookBeforeHookCreation {
		t.Errorf("policies %v, want before-hook-creation added", policies)
	}
}

func runningPod() *corev1.Pod {
	pod := failedPod()
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning}
	return pod
}

// begun asks once, and waits until the tests have been created.
func begun(t *testing.T, tester *Tester, helm *helmCluster) *run {
	t.Helper()
	if _, _, err := newGate(t, tester).Check(t.Context(), subject()); err != nil {
		t.Fatal(err)
	}
	for helm.created.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	return helm.run.Load()
}

func podIsThere(t *testing.T, tester *Tester) bool {
	t.Helper()
	_, err := tester.kube.CoreV1().Pods("default").Get(t.Context(), "calculator-green-test", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestCloseEndsRunsAndDeletesTheirPods(t *testing.T) {
	helm := newHelmCluster()
	tester, _ := newFixture(t, helm, []*releasev1.Hook{testHook("Pod")}, runningPod())
	begun(t, tester, helm)
	if err := tester.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if podIsThere(t, tester) {
		t.Error("the pod of an abandoned test is still there")
	}
	if _, _, err := newGate(t, tester).Check(t.Context(), subject()); !fault.Is(err, fault.Interrupted) {
		t.Errorf("a look after the end: %v, want fault.Interrupted", err)
	}
}

func TestRunsThatNobodyAsksAboutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		helm := newHelmCluster()
		tester, _ := newFixture(t, helm, []*releasev1.Hook{testHook("Pod")}, runningPod())
		r := begun(t, tester, helm)
		for range 2 {
			time.Sleep(idle - time.Second)
			if verdict, _, err := newGate(t, tester).Check(t.Context(), subject()); err != nil || verdict != v1alpha1.Waiting {
				t.Fatalf("while somebody asks: %q, %v", verdict, err)
			}
		}
		if helm.run.Load() != r {
			t.Error("the run was begun anew although somebody asked")
		}
		time.Sleep(idle + time.Second)
		select {
		case <-r.done:
		default:
			t.Fatal("nobody asks, and the run goes on")
		}
		if podIsThere(t, tester) {
			t.Error("the pod of an abandoned test is still there")
		}
	})
}

// TestFrozenRunWritesNothing: a process that wakes after its lease was taken over must leave its successor's tests alone.
func TestFrozenRunWritesNothing(t *testing.T) {
	helm := newHelmCluster()
	tester, _ := newFixture(t, helm, []*releasev1.Hook{testHook("Pod")}, runningPod())
	r := begun(t, tester, helm)
	if err := r.mayWrite(); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.asked = time.Now().Add(-orphaned - time.Second)
	r.mu.Unlock()
	if err := r.mayWrite(); err == nil {
		t.Error("an orphan may write")
	}
	if err := tester.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !podIsThere(t, tester) {
		t.Error("an orphan deleted a pod, which may be its successor's")
	}
}
