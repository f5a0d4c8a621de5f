package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// namespace is an API server with one namespace of a service: what a witness reads.
type namespace struct {
	t       *testing.T
	objects *fake.Clientset
	pods    []corev1.Pod
	// logs by POD/CONTAINER, those of the run before with " before" at the end. Missing: the kubelet refuses.
	logs map[string]string
	// broken is a resource that cannot be listed.
	broken string
	asked  atomic.Int32
}

func (n *namespace) releaser() *Releaser {
	n.t.Helper()
	server := httptest.NewServer(n)
	n.t.Cleanup(server.Close)
	r, err := New(&rest.Config{Host: server.URL, QPS: 1000, Burst: 1000}, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// ServeHTTP answers lists, single Secrets and logs.
func (n *namespace) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/shop-dev/")
	resource, name, _ := strings.Cut(path, "/")
	var answer any
	switch {
	case resource == n.broken:
		w.WriteHeader(http.StatusForbidden)
		answer = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: "Forbidden", Code: 403, Message: resource + " are forbidden"}
	case strings.HasSuffix(name, "/log"):
		n.asked.Add(1)
		key := strings.TrimSuffix(name, "/log") + "/" + r.URL.Query().Get("container")
		if r.URL.Query().Get("previous") == "true" {
			key += " before"
		}
		text, ok := n.logs[key]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			text = "no log of " + key
		}
		fmt.Fprint(w, text)
		return
	case resource == "secrets" && name != "":
		answer, _ = n.objects.CoreV1().Secrets("shop-dev").Get(r.Context(), name, metav1.GetOptions{})
	case resource == "secrets":
		list, _ := n.objects.CoreV1().Secrets("shop-dev").List(r.Context(), metav1.ListOptions{})
		found := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadataList", APIVersion: "meta.k8s.io/v1"}}
		for _, s := range list.Items {
			found.Items = append(found.Items, metav1.PartialObjectMetadata{ObjectMeta: s.ObjectMeta})
		}
		answer = found
	case resource == "deployments":
		answer = appsv1.DeploymentList{Items: []appsv1.Deployment{workloadOf("shop-green")}}
	case resource == "pods":
		answer = corev1.PodList{Items: n.pods}
	default:
		answer = map[string]any{"items": []any{}}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func workloadOf(release string) appsv1.Deployment {
	one := int32(1)
	return appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: release, Annotations: map[string]string{releaseAnnotation: release}},
		Spec:       appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": release}}},
	}
}

// podOf is a pod of the candidate.
func podOf(name string, containers ...corev1.ContainerStatus) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"app": "shop-green"}, OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "shop-green-abc"}},
		},
		Status: corev1.PodStatus{ContainerStatuses: containers},
	}
}

func running(name string, restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, RestartCount: restarts, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

// install stores a revision as Helm does.
func (n *namespace) install(name string, version int, status common.Status, digest string, defaults, values map[string]any) {
	n.t.Helper()
	rel := &releasev1.Release{
		Name: name, Namespace: "shop-dev", Version: version, Info: &releasev1.Info{Status: status}, Config: values,
		Chart:  &chart.Chart{Metadata: &chart.Metadata{Name: "shop", Version: "1.0.0", APIVersion: "v2"}, Values: defaults},
		Labels: map[string]string{labelDigest: digest},
	}
	if err := driver.NewSecrets(n.objects.CoreV1().Secrets("shop-dev")).Create(secretName(name, version), rel); err != nil {
		n.t.Fatal(err)
	}
}

func newNamespace(t *testing.T) *namespace {
	return &namespace{t: t, objects: fake.NewClientset(), logs: map[string]string{}}
}

func here() deploy.Scope {
	return deploy.Scope{Service: "shop", Environment: "dev", Namespace: "shop-dev"}
}

func TestTestimony(t *testing.T) {
	n := newNamespace(t)
	n.install("shop-blue", 3, common.StatusDeployed, "one", map[string]any{"mode": "good", "workers": 2}, map[string]any{"host": "shop-blue.example.com"})
	n.install("shop-green", 7, common.StatusFailed, "two", map[string]any{"mode": "good", "workers": 2}, map[string]any{"workers": 3, "host": "shop-green.example.com"})
	migrate := corev1.ContainerStatus{Name: "migrate", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
	broken := corev1.ContainerStatus{Name: "seed", RestartCount: 1, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}}
	a := podOf("a", running("web", 0), waiting("ContainerCreating", "", 0), running("silent", 0))
	a.Status.InitContainerStatuses = []corev1.ContainerStatus{migrate, broken}
	n.pods = []corev1.Pod{a, podOf("b", running("web", 2))}
	n.logs = map[string]string{
		"a/web": "listening, password hunter2\n", "a/migrate": "done\n", "a/seed": "no such table\n", "a/silent": "",
		"b/web": "", "b/web before": strings.Repeat("a long line\n", 400) + "panic: out of luck\n",
	}
	r := n.releaser()
	r.Hide = func(text string) string { return strings.ReplaceAll(text, "hunter2", "[redacted]") }
	have := r.Testify(t.Context(), here(), v1alpha1.SlotGreen, v1alpha1.SlotBlue)
	if !strings.HasSuffix(have.Logs["b/web"], "panic: out of luck") || len(have.Logs["b/web"]) > 4096 {
		t.Errorf("the log before the restart: %q", have.Logs["b/web"])
	}
	delete(have.Logs, "b/web")
	want := deploy.Testimony{
		Logs: map[string]string{"a/web": "listening, password [redacted]", "a/seed": "no such table"}, Differences: []string{"workers: 2 → 3"},
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Error(d)
	}
	// A first installation is compared with nothing.
	if first := r.Testify(t.Context(), here(), v1alpha1.SlotGreen, v1alpha1.SlotNone); first.Differences != nil || len(first.Logs) != 3 || first.Lacking != "" {
		t.Errorf("a first installation: %+v", first)
	}
}

func TestTestimonyIsBounded(t *testing.T) {
	n := newNamespace(t)
	n.install("shop-green", 1, common.StatusDeployed, "two", nil, nil)
	for i := range 7 {
		name := fmt.Sprintf("p%d", i)
		n.pods = append(n.pods, podOf(name, running("web", int32(i)), running("side", 0)))
		n.logs[name+"/web"], n.logs[name+"/side"] = "web", "side"
	}
	have := n.releaser().Testify(t.Context(), here(), v1alpha1.SlotGreen, v1alpha1.SlotNone)
	if len(have.Logs) != heardContainers || have.Logs["p6/web"] == "" || have.Logs["p0/web"] != "" || n.asked.Load() != heardContainers {
		t.Errorf("%d logs of %d requests: %v", len(have.Logs), n.asked.Load(), have.Logs)
	}
	if want := "the logs of 2 more containers; the logs of 2 more pods"; have.Lacking != want {
		t.Errorf("lacking %q, want %q", have.Lacking, want)
	}
}

func TestWhatATestimonyLacks(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*namespace)
		want    []string
	}{
		{"no right to read logs", func(n *namespace) { n.logs = nil }, []string{"the log of p/side: ", " (and 1 more logs)"}},
		{"no right to list pods", func(n *namespace) { n.broken = "pods" }, []string{"the pods of slot green: list Pods: pods are forbidden"}},
		{"no right to read releases", func(n *namespace) { n.broken = "secrets" }, []string{"the pods of slot green: list Helm releases in namespace shop-dev"}},
		{"no pods", func(n *namespace) { n.pods = nil }, []string{"slot green has no pods"}},
		{"a live slot that is gone", func(n *namespace) {
			_ = n.objects.CoreV1().Secrets("shop-dev").Delete(context.Background(), secretName("shop-blue", 1), metav1.DeleteOptions{})
		}, []string{"the values of the slots: Helm release shop-blue has no revision to compare with"}},
		{"a release that cannot be read", func(n *namespace) {
			s, _ := n.objects.CoreV1().Secrets("shop-dev").Get(context.Background(), secretName("shop-blue", 1), metav1.GetOptions{})
			s.Data = map[string][]byte{"release": []byte("rubbish")}
			_, _ = n.objects.CoreV1().Secrets("shop-dev").Update(context.Background(), s, metav1.UpdateOptions{})
		}, []string{"the values of the slots: read Helm release shop-blue revision 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNamespace(t)
			n.install("shop-blue", 1, common.StatusDeployed, "one", nil, map[string]any{"a": 1})
			n.install("shop-green", 1, common.StatusDeployed, "two", nil, map[string]any{"a": 2})
			n.pods = []corev1.Pod{podOf("p", running("side", 0), running("web", 1))}
			n.logs = map[string]string{"p/side": "", "p/web": "x"}
			c.prepare(n)
			have := n.releaser().Testify(t.Context(), here(), v1alpha1.SlotGreen, v1alpha1.SlotBlue)
			for _, want := range c.want {
				if !strings.Contains(have.Lacking, want) {
					t.Errorf("lacking %q, want %q in it", have.Lacking, want)
				}
			}
			if strings.Contains(have.Lacking, "\n") {
				t.Errorf("more than one line: %q", have.Lacking)
			}
		})
	}
	n := newNamespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if have := n.releaser().Testify(ctx, here(), v1alpha1.SlotGreen, v1alpha1.SlotBlue); !strings.Contains(have.Lacking, "canceled") {
		t.Errorf("cancelled: %+v", have)
	}
}

func TestTheOneSlotIsComparedWithWhatItWas(t *testing.T) {
	n := newNamespace(t)
	values := func(mode string) map[string]any { return map[string]any{"mode": mode} }
	n.install("shop", 1, common.StatusSuperseded, "one", nil, values("good"))
	n.install("shop", 2, common.StatusFailed, "broken", nil, values("never"))
	n.install("shop", 3, common.StatusSuperseded, "two", nil, values("bad"))
	n.install("shop", 4, common.StatusDeployed, "two", nil, values("bad"))
	have := n.releaser().Testify(t.Context(), here(), v1alpha1.SlotDirect, v1alpha1.SlotDirect)
	if d := cmp.Diff([]string{"mode: good → bad"}, have.Differences); d != "" {
		t.Error(d)
	}
}
