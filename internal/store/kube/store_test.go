package kube_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	corev1 "k8s.io/api/core/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/kube"
	"github.com/sluice-dev/sluice/internal/store/storetest"
)

func TestStoreContract(t *testing.T) {
	server := newAPIServer()
	storetest.Store(t, "ns", kube.New((&link{server: server}).client(t)))
	for name, object := range server.objects {
		data, _ := object["data"].(map[string]any)
		if body, _ := data["rollout.json"].(string); strings.Contains(name, "configmaps") && len(body) > 900<<10 {
			t.Errorf("%s holds %d bytes, near the 1 MiB that Kubernetes takes", name, len(body))
		}
	}
}

// TestClientFakeDoesNotCompare says why the contract does not run on client-go's fake. Should it fail, the fake of this
// package can go.
func TestClientFakeDoesNotCompare(t *testing.T) {
	client := fake.NewClientset()
	maps := client.CoreV1().ConfigMaps("ns")
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x", ResourceVersion: ""}}
	if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	object.ResourceVersion = "12345"
	if _, err := maps.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Errorf("client-go's fake refuses a stale write by now: %v", err)
	}
}

func TestStoreWritesLabels(t *testing.T) {
	client := (&link{server: newAPIServer()}).client(t)
	s := kube.New(client)
	key := storetest.Key("ns", "calculator")
	record, err := s.Create(t.Context(), storetest.Rollout(key, 3))
	if err != nil {
		t.Fatal(err)
	}
	object, err := client.CoreV1().ConfigMaps("ns").Get(t.Context(), "sluice.calculator.3", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"app.kubernetes.io/managed-by": "sluice", v1alpha1.LabelService: "calculator", v1alpha1.LabelEnvironment: "prod",
		v1alpha1.LabelRollout: "3", v1alpha1.LabelPhase: "Shifting", v1alpha1.LabelRelease: strings.Repeat("a", 40),
	}
	if d := cmp.Diff(want, object.Labels); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
	object.Annotations = map[string]string{"somebody": "was here"}
	if object, err = client.CoreV1().ConfigMaps("ns").Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	record.Version, record.Rollout.Phase = object.ResourceVersion, v1alpha1.Succeeded
	if _, err := s.Update(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if object, err = client.CoreV1().ConfigMaps("ns").Get(t.Context(), "sluice.calculator.3", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if object.Labels[v1alpha1.LabelPhase] != "Succeeded" || object.Annotations["somebody"] == "" {
		t.Errorf("after the update: labels %v, annotations %v", object.Labels, object.Annotations)
	}
}

func TestStoreRefusesDamage(t *testing.T) {
	key := storetest.Key("ns", "svc")
	good, err := store.Encode(storetest.Rollout(key, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data map[string]string
		want string
	}{
		"empty":           {nil, "no rollout.json"},
		"not JSON":        {map[string]string{"rollout.json": "{"}, "line 1"},
		"another version": {map[string]string{"rollout.json": strings.Replace(string(good), "v1alpha1", "v2", 1)}, `unknown apiVersion "sluice.dev/v2"`},
		"another number":  {map[string]string{"rollout.json": strings.Replace(string(good), `"number":1`, `"number":2`, 1)}, "sluice.svc.2"},
		"unknown field":   {map[string]string{"rollout.json": strings.Replace(string(good), `"number":1`, `"number":1,"shiny":true`, 1)}, "shiny"},
	} {
		t.Run(name, func(t *testing.T) {
			client := (&link{server: newAPIServer()}).client(t)
			object := &corev1.ConfigMap{Data: tt.data, ObjectMeta: metav1.ObjectMeta{
				Name:   "sluice.svc.1",
				Labels: map[string]string{v1alpha1.LabelService: "svc", v1alpha1.LabelEnvironment: "prod", v1alpha1.LabelPhase: "Pending"},
			}}
			if _, err := client.CoreV1().ConfigMaps("ns").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			_, err := kube.New(client).Get(t.Context(), key, 1)
			checkDamage(t, err, tt.want)
			_, err = kube.New(client).List(t.Context(), key)
			checkDamage(t, err, tt.want)
		})
	}
}

func checkDamage(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ns/sluice.svc.1") || fault.HintOf(err) == "" {
		t.Errorf("error %v, hint %q, want the place, %q and a cure", err, fault.HintOf(err), want)
	}
	if fault.Is(err, fault.NotFound) {
		t.Error("a damaged record counts as absent")
	}
}

func TestStoreErrors(t *testing.T) {
	s := kube.New((&link{server: newAPIServer()}).client(t))
	_, err := s.Create(t.Context(), storetest.Rollout(storetest.Key("missing", "svc"), 1))
	if !fault.Is(err, fault.NotFound) || !strings.Contains(fault.HintOf(err), "kubectl create namespace missing") {
		t.Errorf("no namespace: %v, hint %q", err, fault.HintOf(err))
	}
	dev, prod := storetest.Key("ns", "svc"), storetest.Key("ns", "svc")
	dev.Environment = "dev"
	if _, err := s.Create(t.Context(), storetest.Rollout(dev, 1)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Create(t.Context(), storetest.Rollout(prod, 1))
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "environment dev") {
		t.Errorf("two environments in a namespace: %v, want fault.Usage naming the other", err)
	}
}
