package app

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

const uid = "11111111-2222-3333-4444-555555555555"

// apiServer is a fake of an API server that knows one thing: who it is, or why it does not say.
func apiServer(t *testing.T, status int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if status != http.StatusOK {
			_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(status), Reason: reason(status)})
			return
		}
		_ = json.NewEncoder(w).Encode(corev1.Namespace{
			TypeMeta: metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: uid},
		})
	}))
	t.Cleanup(server.Close)
	return server
}

func reason(status int) metav1.StatusReason {
	if status == http.StatusForbidden {
		return metav1.StatusReasonForbidden
	}
	return metav1.StatusReasonUnauthorized
}

// kubeconfig writes a file whose current context leads elsewhere than its context "prod".
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"other",
"clusters":[{"name":"c","cluster":{"server":"` + server + `"}},{"name":"o","cluster":{"server":"http://127.0.0.1:1"}}],
"users":[{"name":"u","user":{}}],
"contexts":[{"name":"prod","context":{"cluster":"c","user":"u"}},{"name":"other","context":{"cluster":"o","user":"u"}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConnect(t *testing.T) {
	server := apiServer(t, http.StatusOK)
	forbidden := apiServer(t, http.StatusForbidden)
	refusing := apiServer(t, http.StatusUnauthorized)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	listener.Close()

	tests := []struct {
		name, server string
		spec         v1alpha1.Cluster
		kind         fault.Kind
		want         string
	}{
		{"the named context", server.URL, v1alpha1.Cluster{Context: "prod"}, 0, ""},
		{"no context is never the current one", server.URL, v1alpha1.Cluster{}, fault.Usage, "the current one is never used"},
		{"unknown context", server.URL, v1alpha1.Cluster{Context: "prd"}, fault.NotFound, `no context "prd"`},
		{"nobody listens", closed, v1alpha1.Cluster{Context: "prod"}, fault.Unreachable, "connection refused"},
		{"wrong credentials", refusing.URL, v1alpha1.Cluster{Context: "prod"}, fault.Unreachable, "refuses the credentials"},
		{"kube-system may not be read", forbidden.URL, v1alpha1.Cluster{Context: "prod"}, 0, ""},
		{"not in a pod", server.URL, v1alpha1.Cluster{InCluster: true}, fault.Unreachable, "no pod with a service account"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.spec.InCluster {
				tt.spec.Kubeconfig = kubeconfig(t, tt.server)
			}
			c, err := New(Options{Dir: "/"}).connect(t.Context(), "prod", tt.spec)
			if tt.want == "" {
				if err != nil || c.server != tt.server {
					t.Errorf("connected to %v: %v", c, err)
				}
				return
			}
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error (%s): %v; want %s: %s", fault.KindOf(err), err, tt.kind, tt.want)
			}
			if fault.HintOf(err) == "" && !tt.spec.InCluster {
				t.Error("the error has no hint")
			}
		})
	}
}

func TestMissingKubeconfig(t *testing.T) {
	_, err := New(Options{Dir: t.TempDir()}).connect(t.Context(), "prod", v1alpha1.Cluster{Context: "prod", Kubeconfig: "nowhere"})
	if err == nil || fault.ExitCode(err) != 2 || !strings.Contains(err.Error(), "nowhere does not exist") {
		t.Errorf("error: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	here := identity{server: "https://api.example.com", uid: uid}
	blind := identity{server: "https://api.example.com"}
	tests := []struct {
		name string
		is   identity
		want string
		kind fault.Kind
		ok   bool
	}{
		{"none named", here, "", 0, true},
		{"the URL", here, "https://API.example.com:443/", 0, true},
		{"another URL", here, "https://other.example.com", fault.Usage, false},
		{"another scheme", here, "http://api.example.com", fault.Usage, false},
		{"the UID", here, uid, 0, true},
		{"another UID", here, "99999999-2222-3333-4444-555555555555", fault.Usage, false},
		{"the UID cannot be found out", blind, uid, fault.Unreachable, false},
		{"the URL suffices without the UID", blind, "https://api.example.com", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.is.verify("prod", v1alpha1.Cluster{Context: "prod", Identity: tt.want})
			if tt.ok != (err == nil) || (!tt.ok && !fault.Is(err, tt.kind)) {
				t.Fatalf("verify: %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error does not name what was wanted: %v", err)
			}
		})
	}
}

func TestPin(t *testing.T) {
	ctx := t.Context()
	client := fake.NewClientset()
	here := &cluster{client: client, identity: identity{server: "https://api.example.com", uid: uid}}
	if pinned, err := here.pinned(ctx, client, "prod", "shop"); pinned || err != nil {
		t.Fatalf("pinned before the first write: %v %v", pinned, err)
	}
	done, err := here.prepare(ctx, "prod", "shop", false)
	if err != nil || !done.NamespaceCreated || !done.IdentityPinned {
		t.Fatalf("prepare: %+v %v", done, err)
	}
	if pinned, err := here.pinned(ctx, client, "prod", "shop"); !pinned || err != nil {
		t.Errorf("pinned: %v %v", pinned, err)
	}
	if done, err := here.prepare(ctx, "prod", "shop", true); err != nil || done != (Prepared{}) {
		t.Errorf("prepare again: %+v %v", done, err)
	}
	elsewhere := identity{server: "https://api.example.com", uid: "99999999-2222-3333-4444-555555555555"}
	if _, err := elsewhere.pinned(ctx, client, "prod", "shop"); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), uid) || !strings.Contains(err.Error(), elsewhere.uid) {
		t.Errorf("another cluster with a copy of the namespace: %v", err)
	}
}

func TestForget(t *testing.T) {
	ctx := t.Context()
	record := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "sluice.other.1", Namespace: "shop", Labels: map[string]string{v1alpha1.LabelService: "other"}}}
	client := fake.NewClientset(record)
	here := &cluster{client: client, identity: identity{uid: uid}}
	if _, err := here.prepare(ctx, "prod", "shop", false); err != nil {
		t.Fatal(err)
	}
	left := func() bool {
		pinned, err := here.pinned(ctx, client, "prod", "shop")
		if err != nil {
			t.Fatal(err)
		}
		return pinned
	}
	if err := here.forget(ctx, "shop"); err != nil || !left() {
		t.Errorf("the pin is gone while another service is there: %v", err)
	}
	if err := client.CoreV1().ConfigMaps("shop").Delete(ctx, record.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := here.forget(ctx, "shop"); err != nil || left() {
		t.Errorf("the pin is left: %v", err)
	}
}

// plugin writes a fake sluice-local that answers status with a kubeconfig.
func plugin(t *testing.T, dir, kubeconfig string) {
	t.Helper()
	text := "#!/bin/sh\necho '{\"kubeconfig\":\"" + kubeconfig + "\"}'\n"
	if err := os.WriteFile(filepath.Join(dir, localPlugin), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestLocalClusterIsFound(t *testing.T) {
	server := apiServer(t, http.StatusOK)
	path := kubeconfig(t, server.URL)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), `"prod"`, `"`+LocalContext+`"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	plugin(t, bin, path)
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	a := New(Options{Dir: "/", Executable: filepath.Join(bin, "sluice")})
	if _, err := a.connect(t.Context(), "dev", v1alpha1.Cluster{Context: LocalContext}); err != nil {
		t.Errorf("connect: %v", err)
	}
	plugin(t, bin, filepath.Join(bin, "gone"))
	_, err = a.connect(t.Context(), "dev", v1alpha1.Cluster{Context: LocalContext})
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), "sluice local up") {
		t.Errorf("no local cluster: %v", err)
	}
}

func TestLocalPlugin(t *testing.T) {
	beside, inPath := t.TempDir(), t.TempDir()
	t.Setenv("PATH", inPath)
	if _, err := LocalPlugin(filepath.Join(beside, "sluice")); !fault.Is(err, fault.NotFound) || fault.HintOf(err) == "" {
		t.Errorf("nothing there: %v", err)
	}
	plugin(t, inPath, "")
	if path, err := LocalPlugin(filepath.Join(beside, "sluice")); err != nil || path != filepath.Join(inPath, localPlugin) {
		t.Errorf("in the PATH: %s %v", path, err)
	}
	plugin(t, beside, "")
	if path, err := LocalPlugin(filepath.Join(beside, "sluice")); err != nil || path != filepath.Join(beside, localPlugin) {
		t.Errorf("beside the binary: %s %v", path, err)
	}
}

func TestCloseIsLastInFirstOut(t *testing.T) {
	a := New(Options{})
	var order []int
	for i := range 3 {
		a.closers = append(a.closers, func() error { order = append(order, i); return nil })
	}
	if err := a.Close(); err != nil || len(order) != 3 || order[0] != 2 || order[2] != 0 {
		t.Errorf("closed in order %v: %v", order, err)
	}
	if err := a.Close(); err != nil || len(order) != 3 {
		t.Error("closed twice")
	}
}
