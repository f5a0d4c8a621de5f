//go:build e2e

package helm

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
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
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/kube"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
)

// Where the local cluster is. The environment overrides it.
const (
	defaultKubeconfig = "/var/lib/sluice-local/kubeconfig"
	defaultRegistry   = "localhost:5000"
)

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
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(content))}); err != nil {
		return "", err
	}
	if _, err := w.Write(content); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return "", err
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return "", err
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Config: v1.Config{Entrypoint: []string{"/server"}, User: "65532"},
		RootFS: rootFS(image),
	})
	if err != nil {
		return "", err
	}
	registry := defaultRegistry
	if r := os.Getenv("SLUICE_E2E_REGISTRY"); r != "" {
		registry = r
	}
	ref, err := name.ParseReference(registry+"/helm-e2e/server:1", name.Insecure)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, image); err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), nil
}

func rootFS(image v1.Image) v1.RootFS {
	c, err := image.ConfigFile()
	if err != nil {
		return v1.RootFS{}
	}
	return c.RootFS
}

// place is a namespace of one test on the local cluster.
type place struct {
	config   *rest.Config
	releaser *Releaser
	scope    deploy.Scope
	chart    []byte
	image    string
	host     string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	kubeconfig := defaultKubeconfig
	if k := os.Getenv("SLUICE_E2E_KUBECONFIG"); k != "" {
		kubeconfig = k
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatalf("no local cluster: %v", err)
	}
	config.QPS, config.Burst = 200, 400
	r, err := New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	image, err := serverImage()
	if err != nil {
		t.Fatal(err)
	}
	ns := fmt.Sprintf("helm-e2e-%d", time.Now().UnixNano()%1_000_000_000)
	ctx := context.Background()
	if _, err := r.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		background := metav1.DeletePropagationBackground
		if err := r.kube.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
			t.Error(err)
		}
	})
	return &place{
		config: config, releaser: r, scope: deploy.Scope{Service: "shop", Environment: "dev", Namespace: ns},
		chart: packChart(t, "testdata/shop"), image: image, host: ns + ".localhost",
	}
}

func packChart(t *testing.T, dir string) []byte {
	t.Helper()
	c, err := loader.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	path, err := chartutil.Save(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// release makes a release whose values are the given ones.
func (p *place) release(version string, values map[string]any, shared ...string) deploytest.Release {
	all := map[string]any{"host": p.host, "mode": version}
	for k, v := range values {
		all[k] = v
	}
	file, err := yaml.Marshal(all)
	if err != nil {
		panic(err)
	}
	return deploytest.Release{
		Release: &v1alpha1.Release{
			Service: "shop", Version: version, Images: map[string]string{"shop": p.image},
			Spec:         v1alpha1.Service{ImageValues: map[string]string{"shop": "image"}, Shared: shared},
			Environments: map[string]v1alpha1.Environment{"dev": {Values: []string{"values.yaml"}}},
			Files:        map[string][]byte{"values.yaml": file}, ChartArchive: p.chart,
		},
		Ref:    v1alpha1.ReleaseRef{Ref: "localhost/shop@sha256:" + version, Digest: "sha256:" + version, Version: version},
		Digest: "deploy-" + version,
	}
}

func (p *place) until(t *testing.T, what string, ok func(deploy.Observation) bool) deploy.Observation {
	t.Helper()
	var o deploy.Observation
	for range 160 {
		var err error
		o, err = p.releaser.Observe(context.Background(), p.scope)
		if err != nil {
			t.Fatal(err)
		}
		if ok(o) {
			return o
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Fatalf("never: %s; have %+v", what, o)
	return o
}

// installForeign installs the service as plain Helm does.
func (p *place) installForeign(t *testing.T, values map[string]any) {
	t.Helper()
	p.installForeignAs(t, "shop", values)
}

func (p *place) installForeignAs(t *testing.T, release string, values map[string]any) {
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
	all := map[string]any{"image": p.image, "host": p.host, "mode": "foreign"}
	for k, v := range values {
		all[k] = v
	}
	a := action.NewInstall(cfg)
	a.ReleaseName, a.Namespace, a.WaitStrategy, a.Timeout = release, p.scope.Namespace, kube.StatusWatcherStrategy, time.Minute
	if _, err := a.Run(c, all); err != nil {
		t.Fatal(err)
	}
}

func slotPlan(strategy string) v1alpha1.Plan {
	return v1alpha1.Plan{Strategy: strategy, Slots: true, Router: v1alpha1.RouterNginx, Timeout: v1alpha1.Duration(time.Minute)}
}

func TestContractOnTheLocalCluster(t *testing.T) {
	deploytest.Contract(t, func(t *testing.T) deploytest.Subject {
		p := newPlace(t)
		return deploytest.Subject{
			Releaser: p.releaser, Scope: p.scope,
			Good: p.release("good", nil), Better: p.release("better", nil), Bad: p.release("crash", nil),
			Plan: slotPlan("blueGreen"), Direct: v1alpha1.Plan{Strategy: "direct", Timeout: v1alpha1.Duration(time.Minute)},
			Until:          p.until,
			InstallForeign: func(t *testing.T) { p.installForeign(t, nil) },
			PendForeign: func(t *testing.T) {
				p.installForeign(t, nil)
				p.pend(t, "shop", 1, nil)
			},
		}
	})
}

// pend makes a revision pending, as a killed client leaves it.
func (p *place) pend(t *testing.T, release string, version int, labels map[string]string) {
	t.Helper()
	ctx := context.Background()
	s, err := p.releaser.open(ctx, p.scope, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	store := s.storage(nil)
	rel, err := getRevision(store, release, version)
	if err != nil {
		t.Fatal(err)
	}
	rel.Info.Status = "pending-upgrade"
	rel.Labels = plain(rel.Labels)
	for k, v := range labels {
		rel.Labels[k] = v
	}
	if err := store.Update(rel); err != nil {
		t.Fatal(err)
	}
}

func (p *place) names(t *testing.T, kind string) string {
	t.Helper()
	ctx := context.Background()
	var out []string
	switch kind {
	case "services":
		list, err := p.releaser.kube.CoreV1().Services(p.scope.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			out = append(out, o.Name)
		}
	case "ingresses":
		list, err := p.releaser.kube.NetworkingV1().Ingresses(p.scope.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			out = append(out, o.Name)
		}
	case "jobs":
		list, err := p.releaser.kube.BatchV1().Jobs(p.scope.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			out = append(out, o.Name)
		}
	default:
		t.Fatalf("unknown kind %s", kind)
	}
	return strings.Join(out, " ")
}
