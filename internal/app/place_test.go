package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// recorder is a fake API server that has a kube-system, nothing else, and remembers what it was asked to change.
type recorder struct {
	*httptest.Server
	mu     sync.Mutex
	writes []string
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if req.Method != http.MethodGet {
			r.mu.Lock()
			r.writes = append(r.writes, req.Method+" "+req.URL.Path)
			r.mu.Unlock()
		}
		if strings.HasSuffix(req.URL.Path, "/namespaces/kube-system") {
			_ = json.NewEncoder(w).Encode(corev1.Namespace{
				TypeMeta: metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: uid},
			})
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		})
	}))
	t.Cleanup(r.Close)
	return r
}

func TestOpen(t *testing.T) {
	server := newRecorder(t)
	file := kubeconfig(t, server.URL)
	open := func(o Options, cluster v1alpha1.Cluster) (*Place, error) {
		a := New(o)
		t.Cleanup(func() {
			if err := a.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return a.Open(t.Context(), "calculator", "prod", v1alpha1.Environment{Cluster: cluster, Namespace: "shop"})
	}
	p, err := open(Options{}, v1alpha1.Cluster{Context: "prod", Kubeconfig: file, Identity: uid})
	if err != nil || p.Identity != uid || p.Key.Namespace != "shop" || p.Machine == nil || len(p.Routers) != 3 {
		t.Fatalf("open: %+v %v", p, err)
	}
	if _, err := open(Options{}, v1alpha1.Cluster{Context: "prod", Kubeconfig: file, Identity: "https://other.example.com"}); !fault.Is(err, fault.Usage) {
		t.Errorf("another cluster: %v", err)
	}
	// Flags say where the cluster is found, and cannot say that another one will do.
	found := Options{Context: "prod", Kubeconfig: file}
	if _, err := open(found, v1alpha1.Cluster{InCluster: true}); err != nil {
		t.Errorf("by flags: %v", err)
	}
	if _, err := open(found, v1alpha1.Cluster{Context: "x", Identity: "https://other.example.com"}); !fault.Is(err, fault.Usage) {
		t.Errorf("another cluster by flags: %v", err)
	}
	if len(server.writes) > 0 {
		t.Errorf("opening wrote: %v", server.writes)
	}
}
