package helm

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/release/common"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

func TestHookEvents(t *testing.T) {
	for _, c := range []struct {
		name           string
		fresh, upgrade bool
		events, want   string
	}{
		{"plain install", true, false, "pre-install", "pre-install"},
		{"plain upgrade", false, true, "post-upgrade", "post-upgrade"},
		{"upgrade hook stays for the record at an install", true, false, "pre-upgrade", "pre-upgrade"},
		{"first deployment of a slot beside live", false, false, "pre-upgrade", "pre-install"},
		{"both events beside live", false, false, "pre-install,pre-upgrade", "pre-install"},
		{"seeding does not run again", false, false, "post-install", ""},
		{"first installation tried again", true, true, "pre-install", "pre-upgrade"},
		{"migration at a first installation tried again", true, true, "pre-upgrade", ""},
		{"tests stay", false, false, "test", "test"},
		{"delete hooks stay", false, false, "pre-delete,post-install", "pre-delete"},
		{"rollback hooks stay", false, true, "pre-rollback, pre-upgrade", "pre-rollback,pre-upgrade"},
	} {
		b := &blueprint{fresh: c.fresh, upgrade: c.upgrade}
		if have := strings.Join(b.events(splitList(c.events)), ","); have != c.want {
			t.Errorf("%s: %s becomes %q, want %q", c.name, c.events, have, c.want)
		}
	}
}

func TestFinishedHooksDoNotRunAgain(t *testing.T) {
	objects, err := parseDocuments("h.yaml", "kind: Job\napiVersion: batch/v1\nmetadata: {name: migrate, annotations: {helm.sh/hook: 'pre-upgrade,test'}}")
	if err != nil {
		t.Fatal(err)
	}
	b := &blueprint{upgrade: true, done: map[string]bool{"Job/migrate": true}}
	if !b.adaptHook(objects[0]) {
		t.Fatal("the hook is still a test")
	}
	if have := objects[0].GetAnnotations()["helm.sh/hook"]; have != "test" {
		t.Errorf("events %q", have)
	}
}

func TestDigestLabels(t *testing.T) {
	for _, digest := range []string{"sha256:" + strings.Repeat("0f", 32), "plain-1.2"} {
		label, err := encodeDigest(digest)
		if err != nil || len(label) > 63 || decodeDigest(label) != digest {
			t.Errorf("%s becomes %s (%d characters, %v), and %s again", digest, label, len(label), err, decodeDigest(label))
		}
	}
	if _, err := encodeDigest("no label: value"); !fault.Is(err, fault.Usage) {
		t.Errorf("want a usage error, have %v", err)
	}
}

func TestSetWritesAtAPath(t *testing.T) {
	shared := map[string]any{"tag": "1"}
	values := map[string]any{"image": shared}
	for path, value := range map[string]any{"image.ref": "r", "new.deep.one": 1, `annotations.a\.b/c`: "x"} {
		if err := set(values, path, value); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]any{
		"image": map[string]any{"tag": "1", "ref": "r"}, "new": map[string]any{"deep": map[string]any{"one": 1}},
		"annotations": map[string]any{"a.b/c": "x"},
	}
	if d := cmp.Diff(want, values); d != "" {
		t.Error(d)
	}
	if len(shared) != 1 {
		t.Errorf("the map that was there is changed: %v", shared)
	}
	if err := set(values, "a..b", 1); !fault.Is(err, fault.Usage) {
		t.Errorf("an empty part: %v", err)
	}
}

func TestHistory(t *testing.T) {
	rev := func(version int, status common.Status, labels ...string) revision {
		l := map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			l[labels[i]] = labels[i+1]
		}
		return revision{release: "shop", version: version, status: status, labels: l}
	}
	h := history{"shop": {
		rev(1, common.StatusSuperseded), rev(2, common.StatusSuperseded, labelDigest, "a", v1alpha1.LabelRollout, "1", labelGeneration, "4"),
		rev(3, common.StatusDeployed, labelDigest, "b", v1alpha1.LabelRollout, "2", labelGeneration, "6"), rev(4, common.StatusFailed, labelDigest, "a"),
	}}
	if err := h.fence(5); !fault.Is(err, fault.Conflict) {
		t.Errorf("an older generation: %v", err)
	}
	if err := h.fence(6); err != nil {
		t.Errorf("the same generation: %v", err)
	}
	if r, _ := h.effective("shop"); r.version != 3 {
		t.Errorf("effective is revision %d", r.version)
	}
	s := offline(h)
	for _, c := range []struct {
		target v1alpha1.ReturnTarget
		want   int
	}{
		{v1alpha1.ReturnTarget{DeployDigest: "a", HelmRevision: 2}, 2},
		{v1alpha1.ReturnTarget{DeployDigest: "b", HelmRevision: 1}, 3},
		{v1alpha1.ReturnTarget{Foreign: true, HelmRevision: 1}, 1},
		{v1alpha1.ReturnTarget{DeployDigest: "gone", HelmRevision: 2}, 2},
	} {
		if r, err := s.target("shop", &c.target); err != nil || r.version != c.want {
			t.Errorf("%+v leads to revision %d (%v), want %d", c.target, r.version, err, c.want)
		}
	}
	if _, err := s.target("shop", &v1alpha1.ReturnTarget{DeployDigest: "gone", HelmRevision: 9}); !fault.Is(err, fault.Fatal) {
		t.Errorf("nothing to go back to: %v", err)
	}
}

func TestLockedNamesTheForeignOperation(t *testing.T) {
	pending := revision{release: "shop", version: 3, status: common.StatusPendingUpgrade, labels: map[string]string{}}
	err := offline(history{"shop": {pending}}).locked("shop")
	if !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), "shop revision 3 is pending-upgrade") || fault.HintOf(err) == "" {
		t.Errorf("have %v", err)
	}
	pending.labels = map[string]string{v1alpha1.LabelRollout: "1"}
	if err := offline(history{"shop": {pending}}).locked("shop"); err != nil {
		t.Errorf("our own: %v", err)
	}
}

func TestStates(t *testing.T) {
	for status, want := range map[common.Status]deploy.State{
		common.StatusDeployed: deploy.Deployed, common.StatusFailed: deploy.Broken, common.StatusPendingInstall: deploy.Pending,
		common.StatusUninstalling: deploy.Pending,
	} {
		if have := stateOf(revision{status: status}); have != want {
			t.Errorf("%s is %s, want %s", status, have, want)
		}
		if have := stateOf(revision{status: status, labels: map[string]string{labelRetired: "true"}}); have != deploy.Retired {
			t.Errorf("a retired %s is %s", status, have)
		}
	}
}

func TestClassify(t *testing.T) {
	group := schema.GroupResource{Resource: "secrets"}
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{apierrors.NewForbidden(group, "x", errors.New("exceeded quota")), fault.Fatal},
		{apierrors.NewConflict(group, "x", errors.New("changed")), fault.Transient},
		{apierrors.NewUnauthorized("who"), fault.Unreachable},
		{&url.Error{Op: "Get", URL: "https://x", Err: errors.New("refused")}, fault.Unreachable},
		{fault.New(fault.Locked, "x", "y"), fault.Locked},
	} {
		if err := classify(context.Background(), "op", c.err); !fault.Is(err, c.want) || !strings.HasPrefix(err.Error(), "op: ") {
			t.Errorf("%v becomes %v (%v), want %v", c.err, err, fault.KindOf(err), c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := classify(ctx, "op", errors.New("x")); !fault.Is(err, fault.Interrupted) {
		t.Errorf("interrupted: %v", err)
	}
	if classify(context.Background(), "op", nil) != nil {
		t.Error("no error became one")
	}
}

func waiting(reason, message string, restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "c", RestartCount: restarts, State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
	}}
}

func ended(reason string, code, restarts int32, now bool) corev1.ContainerStatus {
	t := &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}
	s := corev1.ContainerStatus{Name: "c", RestartCount: restarts}
	if now {
		s.State.Terminated = t
	} else {
		s.State.Running, s.LastTerminationState.Terminated = &corev1.ContainerStateRunning{}, t
	}
	return s
}

func TestContainerFacts(t *testing.T) {
	for _, c := range []struct {
		name   string
		status corev1.ContainerStatus
		reason string
		fatal  bool
	}{
		{"starting", waiting("ContainerCreating", "", 0), "", false},
		{"crash loop", waiting("CrashLoopBackOff", "", 2), "CrashLoopBackOff", true},
		{"image back-off", waiting("ImagePullBackOff", "", 0), "ImagePullBackOff", true},
		{"image not there", waiting("ErrImagePull", "manifest: not found", 0), "ErrImagePull", true},
		{"registry away", waiting("ErrImagePull", "connection refused", 0), "ErrImagePull", false},
		{"bad image name", waiting("InvalidImageName", "", 0), "InvalidImageName", true},
		{"config", waiting("CreateContainerConfigError", "secret not found", 0), "CreateContainerConfigError", true},
		{"first exit", ended("Error", 1, 0, true), "Error", false},
		{"second exit", ended("Error", 1, 1, true), "CrashLoopBackOff", true},
		{"runs after one exit", ended("Error", 1, 1, false), "CrashLoopBackOff", false},
		{"runs after two exits", ended("Error", 1, 2, false), "CrashLoopBackOff", true},
		{"out of memory once", ended("OOMKilled", 137, 0, true), "OOMKilled", false},
		{"out of memory again", ended("OOMKilled", 137, 1, true), "OOMKilled", true},
		{"done", ended("Completed", 0, 0, true), "", false},
	} {
		f, _ := containerFact(c.status)
		if f.Reason != c.reason || f.Fatal != c.fatal {
			t.Errorf("%s: %q fatal %v, want %q fatal %v", c.name, f.Reason, f.Fatal, c.reason, c.fatal)
		}
	}
	ready := ended("Error", 1, 1, false)
	ready.Ready = true
	if f, ok := containerFact(ready); ok {
		t.Errorf("a container that has recovered tells %+v", f)
	}
}

func TestUnschedulableIsNotFatal(t *testing.T) {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes"},
	}}}
	want := []v1alpha1.PodFact{{Pod: "p", Reason: "Unschedulable", Message: "0/1 nodes"}}
	if d := cmp.Diff(want, podFacts(pod)); d != "" {
		t.Error(d)
	}
}

func TestTakeoverPartsTheManifest(t *testing.T) {
	objects, err := offline(history{}).render(request(t, slotDirect, slotDirect, nil), rendering{release: "shop", values: map[string]any{"pvc": true, "httpRoute": true}})
	if err != nil {
		t.Fatal(err)
	}
	kept, freed := splitTaken(objects, []string{"PersistentVolumeClaim/shop-data"})
	if d := cmp.Diff([]string{"Deployment/shop"}, ids(kept)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"HTTPRoute/shop", "Ingress/shop", "PersistentVolumeClaim/shop-data", "Service/shop"}, ids(freed)); d != "" {
		t.Error(d)
	}
	routes, added, err := offline(history{}).directRoutes(revision{}, freed)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"Service/shop-direct"}, ids(added)); d != "" || len(routes.Objects) != 2 || routes.SlotService("shop") != "shop-direct" {
		t.Errorf("%s %+v", d, routes)
	}
}

func TestReferencesToSharedObjects(t *testing.T) {
	objects, err := parseDocuments("d.yaml", `
kind: Deployment
apiVersion: apps/v1
metadata: {name: shop-blue}
spec:
  template:
    spec:
      serviceAccountName: shop-blue
      imagePullSecrets: [{name: shop-blue}]
      initContainers: [{name: i, envFrom: [{secretRef: {name: shop-blue}}, {configMapRef: {name: other}}]}]
      containers: [{name: c, env: [{name: A, valueFrom: {configMapKeyRef: {name: shop-blue, key: a}}}, {name: B, value: shop-blue}]}]
      volumes: [{name: v, persistentVolumeClaim: {claimName: shop-blue}}, {name: p, projected: {sources: [{secret: {name: shop-blue}}]}}]
`)
	if err != nil {
		t.Fatal(err)
	}
	renames := map[string]map[string]string{}
	for _, kind := range []string{"ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim"} {
		renames[kind] = map[string]string{"shop-blue": "shop"}
	}
	(&blueprint{renames: renames}).rewrite(objects[0])
	have, err := marshal(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	// What is left is the Deployment's own name and a plain value.
	if n := strings.Count(have, "shop-blue"); n != 2 {
		t.Errorf("%d references are left:\n%s", n, have)
	}
	if !strings.Contains(have, "name: other") {
		t.Errorf("a reference to something else is changed:\n%s", have)
	}
}

func TestChangeCause(t *testing.T) {
	workload := func(kind, annotations string) string {
		return "kind: " + kind + "\napiVersion: apps/v1\nmetadata: {name: shop, annotations: {" + annotations + "}}\nspec: {template: {metadata: {labels: {a: b}}}}"
	}
	b := &blueprint{req: deploy.Request{Cause: "release 1.2.3 by ann@host"}}
	for _, c := range []struct{ kind, annotations, want string }{
		{"Deployment", "", "release 1.2.3 by ann@host"},
		{"StatefulSet", "", "release 1.2.3 by ann@host"},
		{"DaemonSet", "", "release 1.2.3 by ann@host"},
		{"Deployment", "kubernetes.io/change-cause: the chart's own", "the chart's own"},
		{"Job", "", ""},
	} {
		objects, err := parseDocuments("d.yaml", workload(c.kind, c.annotations))
		if err != nil {
			t.Fatal(err)
		}
		b.mark(objects[0])
		if have := objects[0].GetAnnotations()[annotationCause]; have != c.want {
			t.Errorf("%s says %q, want %q", c.kind, have, c.want)
		}
		text, err := json.Marshal(podTemplate(objects[0]))
		if err != nil || strings.Contains(string(text), "change-cause") {
			t.Errorf("the pods of a %s would be replaced for it: %s %v", c.kind, text, err)
		}
	}
}

func TestPinnedHPARemembersItsChart(t *testing.T) {
	objects, err := parseDocuments("h.yaml", "kind: HorizontalPodAutoscaler\napiVersion: autoscaling/v2\nmetadata: {name: shop}\nspec: {minReplicas: 2, maxReplicas: 5}")
	if err != nil {
		t.Fatal(err)
	}
	for floor, want := range map[int64]int64{0: 2, 2: 2, 4: 4, 9: 5} {
		o := objects[0].copy()
		(&blueprint{pins: map[string]int64{"shop": floor}}).pin(o)
		if have := replicasOf(o.Object, "spec", "minReplicas"); have != want {
			t.Errorf("live has %d: minReplicas %d, want %d", floor, have, want)
		}
		if remembered := o.GetAnnotations()[annotationMinReplicas]; (remembered == "2") != (want != 2) {
			t.Errorf("live has %d: remembers %q", floor, remembered)
		}
	}
}

func TestWhatTheKubeletSaysIsNoLog(t *testing.T) {
	for answer, want := range map[string]bool{
		"unable to retrieve container logs for containerd://4f1c9e": true,
		"failed to try resolving symlinks in path \"/var/log/pods/shop_app-1/app/0.log\": lstat /var/log/pods/shop_app-1/app/0.log: no such file or directory": true,
		"failed to open log file \"/var/log/pods/shop_app-1/app/0.log\": open: no such file or directory\n":                                                    true,
		"fatal: cannot read the flux capacitor\n":    false,
		"starting\nfailed to open log file /tmp/x":   false,
		"failed to open log file handle cache\nexit": false,
	} {
		if got := apology([]byte(answer)); got != want {
			t.Errorf("%q is taken for a log: %t", answer, !got)
		}
	}
}
