//go:build e2e

package traffic_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/traffic/gateway"
	"github.com/sluice-dev/sluice/internal/traffic/nginx"
	"github.com/sluice-dev/sluice/internal/traffic/service"
	"github.com/sluice-dev/sluice/internal/traffic/traffictest"
)

// Where the local cluster is. The environment overrides it.
const (
	defaultKubeconfig = "/var/lib/sluice-local/kubeconfig"
	defaultRegistry   = "localhost:5000"
	defaultEntry      = "http://127.0.0.1:8080"
)

func setting(variable, otherwise string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}

var serverImage = sync.OnceValues(pushServer)

// pushServer builds the tests' application and pushes it.
func pushServer() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-e2e")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "server")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err = errors.Join(w.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(content))}), writeAll(w, content), w.Close())
	if err != nil {
		return "", err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		return "", err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return "", err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return "", err
	}
	file = file.DeepCopy()
	file.Architecture, file.OS, file.Config = "amd64", "linux", v1.Config{Entrypoint: []string{"/server"}, User: "65532"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return "", err
	}
	ref, err := name.ParseReference(setting("SLUICE_E2E_REGISTRY", defaultRegistry)+"/traffic-e2e/server:1", name.Insecure)
	if err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), remote.Write(ref, image)
}

func writeAll(w io.Writer, content []byte) error {
	_, err := w.Write(content)
	return err
}

// place is a namespace on the local cluster in which slots blue and green of service shop run, without any route.
type place struct {
	t      *testing.T
	kind   v1alpha1.Router
	client kubernetes.Interface
	// documents is the client for what has no type here.
	documents dynamic.Interface
	target    traffic.Target
	router    traffic.Router
	host      string

	mu sync.Mutex
	// left is how many more writes succeed; negative: all.
	left int
}

func newPlace(t *testing.T, kind v1alpha1.Router, convergence time.Duration) *place {
	t.Helper()
	kubeconfig := setting("SLUICE_E2E_KUBECONFIG", defaultKubeconfig)
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatalf("no local cluster: %v\n(make test starts it; by hand: bin/sluice local up)", err)
	}
	config.QPS = -1
	namespace := "traffic-e2e-" + string(kind)
	p := &place{t: t, kind: kind, left: -1, host: namespace + ".localhost"}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return breakable{p, next} })
	p.client, p.documents = kubernetes.NewForConfigOrDie(config), dynamic.NewForConfigOrDie(config)
	p.target = traffic.Target{
		Service: "shop", Environment: "test", Namespace: namespace, Convergence: convergence,
		Routes: map[v1alpha1.Slot]v1alpha1.Routes{blue: p.routes(blue), green: p.routes(green)},
	}
	callers := service.New(p.client, nil)
	switch kind {
	case v1alpha1.RouterNginx:
		p.router = nginx.New(p.client, callers, nil)
	case v1alpha1.RouterGateway:
		p.router = gateway.New(p.documents, callers, nil)
	default:
		p.router = callers
	}
	p.start()
	return p
}

// breakable lets a number of writes through and then cuts the connection.
type breakable struct {
	p    *place
	next http.RoundTripper
}

func (b breakable) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && !b.p.spend() {
		return nil, traffictest.ErrBroken
	}
	return b.next.RoundTrip(r)
}

func (p *place) spend() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left > 0 {
		p.left--
		return true
	}
	return p.left < 0
}

func (p *place) allow(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = n
}

// routes are those of a plain chart with one Service and one route.
func (p *place) routes(slot v1alpha1.Slot) v1alpha1.Routes {
	r := v1alpha1.Routes{Services: []v1alpha1.StableService{stable("shop-web", slot)}}
	switch p.kind {
	case v1alpha1.RouterNginx:
		r.Objects = []v1alpha1.RouteObject{plain(ingress("shop", p.host, map[string]string{"/": "shop-web"}))}
	case v1alpha1.RouterGateway:
		r.Objects = []v1alpha1.RouteObject{httpRoute("shop", p.host, map[string]string{"/": "shop-web"})}
	}
	return r
}

// plain takes the certificate away, which would redirect users to https.
func plain(o v1alpha1.RouteObject) v1alpha1.RouteObject {
	before, rest, _ := bytes.Cut(o.Manifest, []byte(`"tls":[`))
	_, after, _ := bytes.Cut(rest, []byte("],\"rules"))
	o.Manifest = append(append(append([]byte{}, before...), []byte(`"rules`)...), after...)
	return o
}

// start makes a fresh namespace with both slots and waits until their pods are ready.
func (p *place) start() {
	t, ctx, namespaces := p.t, context.Background(), p.client.CoreV1().Namespaces()
	t.Helper()
	if err := namespaces.Delete(ctx, p.target.Namespace, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	p.until("the old namespace is gone", func() bool {
		_, err := namespaces.Get(ctx, p.target.Namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.target.Namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.allow(-1)
		_ = namespaces.Delete(ctx, p.target.Namespace, metav1.DeleteOptions{})
	})
	image, err := serverImage()
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range []v1alpha1.Slot{blue, green} {
		p.deploy(slot, image)
	}
	for _, slot := range []v1alpha1.Slot{blue, green} {
		p.until("slot "+string(slot)+" is ready", func() bool {
			d, err := p.client.AppsV1().Deployments(p.target.Namespace).Get(ctx, "shop-"+string(slot), metav1.GetOptions{})
			return err == nil && d.Status.ReadyReplicas == 2
		})
	}
}

func (p *place) deploy(slot v1alpha1.Slot, image string) {
	p.t.Helper()
	var d appsv1.Deployment
	var s corev1.Service
	for text, into := range map[string]any{`
metadata: {name: shop-SLOT}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop-web, release: shop-SLOT}}
  template:
    metadata: {labels: {app: shop-web, release: shop-SLOT}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: IMAGE, env: [{name: SLOT, value: SLOT}], ports: [{name: http, containerPort: 8080}], readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}}
`: &d, `
metadata: {name: shop-web-SLOT}
spec: {selector: {app: shop-web, release: shop-SLOT}, ports: [{name: http, port: 80, targetPort: http}]}
`: &s} {
		text = strings.NewReplacer("value: SLOT", "value: "+string(slot), "SLOT,", "SLOT,", "shop-SLOT", "shop-"+string(slot), "web-SLOT", "web-"+string(slot), "IMAGE", image).Replace(text)
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			p.t.Fatal(err)
		}
	}
	ctx := context.Background()
	if _, err := p.client.AppsV1().Deployments(p.target.Namespace).Create(ctx, &d, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.client.CoreV1().Services(p.target.Namespace).Create(ctx, &s, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) until(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("never: %s", what)
		}
	}
}

// control makes a route that nothing switches, to tell a lost request from a machine that does not carry the load.
func (p *place) control() {
	p.t.Helper()
	ctx := context.Background()
	var err error
	if p.kind == v1alpha1.RouterGateway {
		var route unstructured.Unstructured
		o := httpRoute("control", "control."+p.host, map[string]string{"/": "shop-web-blue"})
		if err = route.UnmarshalJSON(o.Manifest); err == nil {
			route.SetNamespace(p.target.Namespace)
			routes := p.documents.Resource(schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"})
			_, err = routes.Namespace(p.target.Namespace).Create(ctx, &route, metav1.CreateOptions{})
		}
	} else {
		var i networkingv1.Ingress
		o := plain(ingress("control", "control."+p.host, map[string]string{"/": "shop-web-blue"}))
		if err = json.Unmarshal(o.Manifest, &i); err == nil {
			i.Namespace = p.target.Namespace
			_, err = p.client.NetworkingV1().Ingresses(i.Namespace).Create(ctx, &i, metav1.CreateOptions{})
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// url is how users reach the service, or a host below it.
func (p *place) url(below ...string) string {
	entry, err := url.Parse(setting("SLUICE_E2E_ENTRY", defaultEntry))
	if err != nil {
		p.t.Fatal(err)
	}
	return "http://" + strings.Join(below, "") + p.host + ":" + entry.Port() + "/"
}

// TestContractOnCluster runs the suite against real controllers. The proxies' time is short, because here they are on the same machine.
func TestContractOnCluster(t *testing.T) {
	for _, kind := range []v1alpha1.Router{v1alpha1.RouterService, v1alpha1.RouterNginx, v1alpha1.RouterGateway} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPlace(t, kind, 100*time.Millisecond)
			traffictest.Contract(t, func(t *testing.T) traffictest.Subject {
				p.t = t
				p.clear()
				return traffictest.Subject{
					Router: p.router, Target: p.target, AllOrNothing: kind == v1alpha1.RouterService,
					Advance: func(*testing.T) { time.Sleep(120 * time.Millisecond) },
					Break:   func(_ *testing.T, n int) { p.allow(n) },
				}
			})
		})
	}
}

// clear takes every route away, whatever wrote it.
func (p *place) clear() {
	p.t.Helper()
	if err := p.router.Remove(context.Background(), p.target, 1<<40); err != nil {
		p.t.Fatal(err)
	}
}
